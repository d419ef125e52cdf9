//! `[smtp]`

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::config::{
    period::Period,
    rule::{Misfit, Rule},
    schema::Rules,
    secret::{self, SecretFile},
    url,
};

/// `[smtp]`: the mail server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// The server's name or IP address. Not empty where mails leave by SMTP.
    pub host: String,
    // As it is written: 0 stands for the usual one.
    port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// Whether [`TlsMode::None`] is meant.
    pub insecure_plaintext: bool,
    /// PEM certificates to trust in the place of the system's; empty for the system's.
    pub ca_file: PathBuf,
    /// The name to log in with; empty for no login.
    pub username: String,
    /// The password to log in with. There if and only if `username` is not empty.
    #[serde(deserialize_with = "secret::optional")]
    pub password_file: Option<SecretFile>,
    /// The name to give in EHLO; empty for this machine's.
    pub hello: String,
    /// How many connections send at the same time. At least 1.
    pub lanes: u16,
    /// How many mails go over one connection. At least 1.
    pub max_mails_per_connection: u32,
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Period,
    /// How long the server may take for an answer to a command.
    pub reply_timeout: Period,
    /// How long the text of a mail, and the answer after it, may take.
    pub data_timeout: Period,
    /// How long an unused connection is kept open.
    pub idle_timeout: Period,
}

impl SmtpConfig {
    /// The port to connect to: never 0.
    pub fn port(&self) -> u16 {
        match (self.port, self.tls) {
            (0, TlsMode::Implicit) => 465,
            (0, TlsMode::Starttls) => 587,
            (0, TlsMode::None) => 25,
            (port, _) => port,
        }
    }
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// TLS from the first byte.
    Implicit,
    /// TLS after the greeting. A server that does not offer it is refused.
    Starttls,
    /// Not at all.
    None,
}

const LEAST: Duration = Duration::from_millis(100);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

const HOST: Rule = Rule::Text {
    allowed: "empty, or the name or the IP address of a machine such as mail.example.com",
    check: check_host,
};

pub(super) const RULES: Rules = &[
    ("smtp.host", HOST),
    ("smtp.port", Rule::Whole(0, 65535)),
    ("smtp.tls", Rule::Choice(&["implicit", "starttls", "none"])),
    ("smtp.insecure_plaintext", Rule::Flag),
    ("smtp.ca_file", Rule::File),
    ("smtp.username", Rule::Text { allowed: "a text", check: |_| Ok(()) }),
    ("smtp.password_file", Rule::Secret),
    ("smtp.hello", HOST),
    ("smtp.lanes", Rule::Whole(1, 64)),
    ("smtp.max_mails_per_connection", Rule::Whole(1, 100_000)),
    ("smtp.connect_timeout", Rule::Time(LEAST, TEN_MINUTES)),
    ("smtp.reply_timeout", Rule::Time(LEAST, TEN_MINUTES)),
    ("smtp.data_timeout", Rule::Time(LEAST, HOUR)),
    ("smtp.idle_timeout", Rule::Time(LEAST, HOUR)),
];

fn check_host(text: &str) -> Result<(), Misfit> {
    if text.is_empty() || url::is_host(text) {
        return Ok(());
    }
    match text.rsplit_once(':') {
        Some((host, port)) if url::is_host(host) && port.parse::<u16>().is_ok() => {
            Err(Misfit::hint("the port has an option of its own, `smtp.port`"))
        }
        _ => Err(Misfit::default()),
    }
}
