//! What options must be together. What each must be alone stands in its rule.

use crate::config::{Config, Engine, TlsMode, Transport, mailbox::is_address, url::web_host};

/// Options that do not fit together, or hardly so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The options that take part. The first is at fault, the others are its reason.
    pub(super) options: Vec<&'static str>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: Option<&'static str>,
}

fn conflict(
    options: &[&'static str],
    message: impl Into<String>,
    hint: impl Into<Option<&'static str>>,
) -> Conflict {
    Conflict { options: options.to_vec(), message: message.into(), hint: hint.into() }
}

/// What lapsed refuses to run with.
pub(super) fn errors(config: &Config) -> Vec<Conflict> {
    let mut found = Vec::new();
    database(config, &mut found);
    smtp(config, &mut found);
    purge(config, &mut found);
    found.extend(config.lifecycle.errors().into_iter().map(|error| {
        let options: Vec<_> = [Some(error.option), error.other].into_iter().flatten().collect();
        conflict(&options, error.to_string(), None)
    }));
    found
}

fn database(config: &Config, found: &mut Vec<Conflict>) {
    let is_server = config.database.engine() != Engine::Sqlite;
    if is_server && config.keys.master_key_file.is_none() {
        found.push(conflict(
            &["keys.master_key_file", "database.url"],
            "keys.master_key_file is empty, but must be set where database.url names a server",
            "make a file of 32 random bytes with mode 0600, keep a copy apart from the database",
        ));
    }
    if !is_server && config.database.password_file.is_some() {
        found.push(conflict(
            &["database.password_file", "database.url"],
            "database.password_file is set, but database.url names SQLite, which has no passwords",
            None,
        ));
    }
}

fn smtp(config: &Config, found: &mut Vec<Conflict>) {
    let smtp = &config.smtp;
    if config.mail.transport == Transport::Smtp && smtp.host.is_empty() {
        found.push(conflict(
            &["smtp.host", "mail.transport"],
            "smtp.host is empty, but must be set where mail.transport is \"smtp\"",
            None,
        ));
    }
    if smtp.tls == TlsMode::None && !smtp.insecure_plaintext {
        found.push(conflict(
            &["smtp.tls", "smtp.insecure_plaintext"],
            "smtp.tls is \"none\", but smtp.insecure_plaintext is false",
            "use \"implicit\" or \"starttls\"; where nobody listens on the way, \
             set `smtp.insecure_plaintext = true`",
        ));
    }
    match (smtp.username.is_empty(), smtp.password_file.is_some()) {
        (true, true) => found.push(conflict(
            &["smtp.username", "smtp.password_file"],
            "smtp.username is empty, but must be set where smtp.password_file is",
            None,
        )),
        (false, false) => found.push(conflict(
            &["smtp.password_file", "smtp.username"],
            "smtp.password_file is empty, but must be set where smtp.username is",
            None,
        )),
        _ => {}
    }
}

/// A notice longer than the window would have keys stay after the day their owners were told, for
/// nothing: nobody can rotate them any more.
fn purge(config: &Config, found: &mut Vec<Conflict>) {
    let (hours, days) = (config.purge.min_notice_hours, config.lifecycle.window_days);
    let of_window = u32::from(days) * 24;
    if 0 < of_window && of_window < u32::from(hours) {
        found.push(conflict(
            &["purge.min_notice_hours", "lifecycle.window_days"],
            format!(
                "purge.min_notice_hours is {hours}, but must not be more than {of_window}, \
                 the hours of lifecycle.window_days, which is {days}"
            ),
            None,
        ));
    }
}

/// What is allowed, and yet probably not meant.
pub(super) fn warnings(config: &Config) -> Vec<Conflict> {
    let mut found = Vec::new();
    if config.smtp.insecure_plaintext && config.smtp.tls == TlsMode::None {
        found.push(conflict(
            &["smtp.insecure_plaintext"],
            "smtp.insecure_plaintext is true: mails, and the password, travel readable by \
             everyone on the way",
            None,
        ));
    }
    if config.mail.transport == Transport::Smtp {
        going_out(config, &mut found);
    }
    found
}

/// What does no harm as long as no mail leaves the machine.
fn going_out(config: &Config, found: &mut Vec<Conflict>) {
    let is_local = |host: &str| {
        ["localhost", "127.0.0.1", "[::1]"].contains(&host) || host.ends_with(".localhost")
    };
    let url = &config.mail.public_url;
    if web_host(url).is_some_and(is_local) {
        found.push(conflict(
            &["mail.public_url", "mail.transport"],
            format!("mail.public_url is \"{url}\": links in mails lead the owners nowhere"),
            None,
        ));
    } else if url.starts_with("http:") {
        found.push(conflict(
            &["mail.public_url", "mail.transport"],
            format!("mail.public_url is \"{url}\": new keys travel readable on the way"),
            "use https://",
        ));
    }
    let from = config.mail.from.trim_end_matches('>');
    let address = from.rsplit('<').next().unwrap_or(from);
    if is_address(address) && address.rsplit('@').next().is_some_and(is_local) {
        found.push(conflict(
            &["mail.from", "mail.transport"],
            format!("mail.from is \"{}\": most mail servers refuse it", config.mail.from),
            None,
        ));
    }
}
