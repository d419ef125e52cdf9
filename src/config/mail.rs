//! `[mail]`

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::{
    mailbox,
    rule::{Misfit, Rule},
    schema::Rules,
    url,
};

/// `[mail]`: what mails say and where they go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// How mails leave.
    pub transport: Transport,
    /// The folder of [`Transport::File`].
    pub folder: PathBuf,
    /// The sender: an address, or a name and an address.
    pub from: String,
    /// Where answers go: as `from`, or empty for the sender.
    pub reply_to: String,
    /// Who is told what a tenant without contacts of its own should be told. Plain addresses.
    pub contacts: Vec<String>,
    /// The operator's folder with templates; empty for none.
    pub templates: PathBuf,
    /// Where owners reach the pages, as it is written: links are it, a `/` unless it ends with
    /// one, and a path.
    pub public_url: String,
    /// The List-Id header; empty for none.
    pub list_id: String,
    /// Put before every subject; may be empty.
    pub subject_prefix: String,
}

/// How mails leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Each as an `.eml` file in a folder.
    File,
    /// To a mail server.
    Smtp,
}

pub(super) const RULES: Rules = &[
    ("mail.transport", Rule::Choice(&["file", "smtp"])),
    (
        "mail.folder",
        Rule::Text {
            allowed: "the path of a folder",
            check: |text| Misfit::unless(!text.is_empty()),
        },
    ),
    (
        "mail.from",
        Rule::Text { allowed: MAILBOX, check: |text| Misfit::unless(mailbox::is_mailbox(text)) },
    ),
    (
        "mail.reply_to",
        Rule::Text {
            allowed: "empty, or an address such as keys@example.com or Keys <keys@example.com>",
            check: |text| Misfit::unless(text.is_empty() || mailbox::is_mailbox(text)),
        },
    ),
    (
        "mail.contacts",
        Rule::Texts {
            allowed: "a list of addresses such as [\"keys@example.com\"]",
            check: |text| Misfit::unless(mailbox::is_address(text)),
        },
    ),
    ("mail.templates", Rule::Folder),
    (
        "mail.public_url",
        Rule::Text {
            allowed: "an address such as https://keys.example.com",
            check: check_public_url,
        },
    ),
    (
        "mail.list_id",
        Rule::Text {
            allowed: "empty, or a name with dots such as keys.example.com",
            check: |text| {
                Misfit::unless(text.is_empty() || (text.contains('.') && url::is_host(text)))
            },
        },
    ),
    (
        "mail.subject_prefix",
        Rule::Text {
            allowed: "a text of at most 60 characters",
            check: |text| Misfit::unless(text.chars().count() <= 60),
        },
    ),
];

const MAILBOX: &str = "an address such as keys@example.com or Keys <keys@example.com>";

fn check_public_url(text: &str) -> Result<(), Misfit> {
    if url::web_host(text).is_some() {
        return Ok(());
    }
    let with_scheme = format!("https://{text}");
    match url::web_host(&with_scheme) {
        Some(_) if !text.contains("://") => {
            Err(Misfit::hint(format!("did you mean `{with_scheme}`?")))
        }
        _ => Err(Misfit::default()),
    }
}
