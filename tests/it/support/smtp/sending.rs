//! The other side: mails, and a transport to send them to the server with.

use std::time::Duration;

use lapsed::mail::{
    outcome::{Class, Outcome},
    smtp::{Security, SmtpSettings, Timeouts},
    transport::{Outgoing, Transport},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::SmtpServer;

/// How long an impatient client waits for anything.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// A mail whose sender and recipient tell its number.
pub fn mail(id: i64) -> Outgoing {
    let bytes = format!("Message-ID: <{id}@example.com>\r\n\r\nThis is mail {id}.\r\n");
    Outgoing {
        id,
        from: format!("keys+{id}@example.com"),
        to: vec![format!("owner{id}@example.org")],
        bytes: bytes.into_bytes(),
        not_after: None,
    }
}

/// Settings for one lane to the server, in the clear, and for a machine that is busy.
pub fn settings(server: &SmtpServer) -> SmtpSettings {
    SmtpSettings {
        hello: Some("lapsed.example".to_owned()),
        lanes: 1,
        ..SmtpSettings::new("127.0.0.1", server.port, Security::Insecure)
    }
}

/// The same settings for a test in which the server goes quiet.
pub fn impatient(settings: SmtpSettings) -> SmtpSettings {
    let timeouts = Timeouts { connect: PATIENCE, reply: PATIENCE, data: PATIENCE, stop: PATIENCE };
    SmtpSettings { timeouts, ..settings }
}

/// Sends mails that are all there from the beginning. The outcomes come in the mails' order, and
/// it is an error if there is not exactly one for each.
pub async fn send_all(
    settings: &SmtpSettings,
    mails: impl IntoIterator<Item = Outgoing>,
) -> Vec<Outcome> {
    send_until(settings, mails, &CancellationToken::new()).await
}

/// The same, with a stop at hand.
pub async fn send_until(
    settings: &SmtpSettings,
    mails: impl IntoIterator<Item = Outgoing>,
    cancel: &CancellationToken,
) -> Vec<Outcome> {
    let mails: Vec<_> = mails.into_iter().collect();
    let ids: Vec<_> = mails.iter().map(|mail| mail.id).collect();
    let (give, take) = mpsc::channel(mails.len().max(1));
    let (report, mut reports) = mpsc::channel(mails.len().max(1));
    for mail in mails {
        give.try_send(mail).unwrap();
    }
    drop(give);
    Transport::Smtp(settings.clone()).run(take, report, cancel).await;

    let mut reported = Vec::new();
    while let Some(report) = reports.recv().await {
        reported.push(report);
    }
    assert_eq!(reported.len(), ids.len(), "one outcome for each mail: {reported:?}");
    let of = |id: &i64| reported.iter().find(|(reported, _)| reported == id);
    ids.iter().map(|id| of(id).unwrap().1.clone()).collect()
}

/// The classes of outcomes; `None` is an accepted mail.
pub fn classes(outcomes: &[Outcome]) -> Vec<Option<Class>> {
    outcomes.iter().map(Outcome::class).collect()
}
