//! One door for all ways a mail can leave: to a relay, into a folder, or into a test's memory.

use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    build::Built,
    files::{self, FileSettings},
    memory::MemoryOutbox,
    outcome::{Class, Outcome, SmtpStage},
    smtp::{self, SmtpSettings},
};

/// A mail that is ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What the caller knows the mail by. The outcome carries it.
    pub id: i64,
    /// The envelope's sender: a plain ASCII address, without brackets.
    pub from: String,
    /// The envelope's recipients, likewise. At least one.
    pub to: Vec<String>,
    /// The message, headers and all, with CRLF line ends.
    pub bytes: Vec<u8>,
    /// From when on it must not be begun, because it may be somebody else's by then.
    pub not_after: Option<Instant>,
}

impl Outgoing {
    /// A mail that was built, to be known by this `id`. It may be begun at any time.
    pub fn new(id: i64, built: Built) -> Self {
        let Built { from, to, bytes } = built;
        Self { id, from, to, bytes, not_after: None }
    }

    /// Why this mail must not be given to a relay at all. The addresses become part of commands,
    /// so that one with a line end in it would be a command of its own. They have been checked
    /// long before; this is the last door.
    pub(super) fn flaw(&self) -> Option<Outcome> {
        if let Some(outcome) = self.overdue() {
            return Some(outcome);
        }
        let is_plain = |address: &String| {
            !address.is_empty()
                && address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte))
        };
        let (stage, class, reply) = if !is_plain(&self.from) {
            (SmtpStage::Mail, Class::Message, "the sender is no plain address")
        } else if self.to.is_empty() {
            (SmtpStage::Rcpt, Class::Message, "the mail has no recipient")
        } else if !self.to.iter().all(is_plain) {
            (SmtpStage::Rcpt, Class::Recipient, "a recipient is no plain address")
        } else {
            return None;
        };
        let reply = reply.to_owned();
        Some(Outcome::Refused { stage, class, code: 0, enhanced: None, reply })
    }
}

impl Outgoing {
    /// The outcome of a mail that has waited for too long: for a slow relay, or in a process that
    /// was not running.
    pub(super) fn overdue(&self) -> Option<Outcome> {
        let is_overdue = self.not_after.is_some_and(|not_after| not_after <= Instant::now());
        is_overdue.then(|| Outcome::NotSent { stage: SmtpStage::Mail, why: OVERDUE.to_owned() })
    }
}

/// A way for mails to leave.
#[derive(Clone, Debug)]
pub enum Transport {
    /// To an SMTP relay.
    Smtp(SmtpSettings),
    /// Into a folder, one `.eml` file each.
    Files(FileSettings),
    /// Nowhere: kept for a test to look at.
    Memory(MemoryOutbox),
}

impl Transport {
    /// Sends everything that comes in on `mails`, and reports each on `outcomes` exactly once,
    /// until `mails` is closed and empty. The order of the reports is not that of the mails.
    ///
    /// After `cancel`, what is under way may finish for a short while, and everything else is
    /// reported as [`Outcome::NotSent`] at stage `Connect` with [`STOPPING`] as the reason: a
    /// caller that is itself being stopped must not take this for a fault of the channel.
    ///
    /// If nobody listens on `outcomes` any more, it ends with the next mail.
    pub async fn run(
        &self,
        mails: mpsc::Receiver<Outgoing>,
        outcomes: mpsc::Sender<(i64, Outcome)>,
        cancel: &CancellationToken,
    ) {
        match self {
            Self::Smtp(settings) => smtp::run(settings, mails, outcomes, cancel).await,
            Self::Files(settings) => {
                one_by_one(mails, outcomes, cancel, |mail| files::write(settings, mail)).await;
            }
            Self::Memory(outbox) => {
                one_by_one(mails, outcomes, cancel, |mail| outbox.take(mail)).await;
            }
        }
    }

    /// Goes all the way to the point where a mail could be sent, and says in one line what it
    /// found there. Sends nothing.
    pub async fn check(&self) -> Result<String, Outcome> {
        match self {
            Self::Smtp(settings) => smtp::check(settings).await,
            Self::Files(settings) => files::check(settings).await,
            Self::Memory(_) => Ok("keeps mails in memory".to_owned()),
        }
    }
}

/// Why a mail was handed back after a cancellation.
pub const STOPPING: &str = "stopped before its turn came";

/// Why a mail was handed back that had waited past [`Outgoing::not_after`].
pub const OVERDUE: &str = "waited for too long";

/// The loop of the transports that need no connection.
async fn one_by_one<F: Future<Output = Outcome>>(
    mut mails: mpsc::Receiver<Outgoing>,
    outcomes: mpsc::Sender<(i64, Outcome)>,
    cancel: &CancellationToken,
    send: impl Fn(Outgoing) -> F,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                mails.close();
                mails.recv().await
            }
            mail = mails.recv() => mail,
        };
        let Some(mail) = next else { return };
        let id = mail.id;
        let outcome = match mail.overdue() {
            _ if cancel.is_cancelled() => stopped(),
            Some(outcome) => outcome,
            None => send(mail).await,
        };
        if outcomes.send((id, outcome)).await.is_err() {
            return;
        }
    }
}

/// The outcome of a mail whose turn never came.
pub(super) fn stopped() -> Outcome {
    Outcome::NotSent { stage: SmtpStage::Connect, why: STOPPING.to_owned() }
}
