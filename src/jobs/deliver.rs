//! Delivery: notices are gathered into mails ([`gather`]), and mails are sent ([`send`]).
//!
//! Claim (commit), send, mark (commit): that order is the guarantee. A mail is sent at least
//! once; a crash between the server's yes and our note of it sends the same Message-ID again, and
//! no crash can lose a notice.

use std::sync::Mutex;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    domain::{
        link::{LinkKey, LinkToken},
        retry,
    },
    jobs::{Context, Outcome},
    mail::{
        build::Sender,
        outcome::Outcome as MailOutcome,
        render::Templates,
        transport::{Outgoing, Transport},
    },
};

mod compose;
mod gather;
mod send;
mod verdict;

pub use compose::preview;

/// The way out for mails: words, sender, transport, and how the transport has been doing.
#[derive(Debug)]
pub struct Mailer {
    /// How mails leave.
    pub transport: Transport,
    /// What they say.
    pub templates: Templates,
    /// Who they come from.
    pub sender: Sender,
    /// Who is told where neither owner nor tenant can be.
    pub contacts: Vec<String>,
    /// What the links in mails are made of; without it, mails have none.
    pub links: Option<Links>,
    /// Rests the transport after it failed.
    pub breaker: Breaker,
}

/// What links in mails are made of.
#[derive(Clone, Debug)]
pub struct Links {
    /// What they begin with: where the pages are, without a slash at the end.
    pub public_url: String,
    /// Under which their tokens are made.
    pub key: LinkKey,
}

impl Links {
    /// The whole link. It opens a door: not for logs.
    pub fn url(&self, token: &LinkToken) -> String {
        format!("{}/k/{}", self.public_url.trim_end_matches('/'), token.expose())
    }

    /// Where an owner with this id and address chooses which early reminders they get. Not for logs.
    pub fn wish_url(&self, public_id: &str, email: &str) -> String {
        format!("{}{}", self.public_url.trim_end_matches('/'), self.wish_path(public_id, email))
    }

    /// The same as a path.
    pub fn wish_path(&self, public_id: &str, email: &str) -> String {
        format!("/reminders/{public_id}/{}", self.key.wish_token(public_id, email).expose())
    }
}

impl Mailer {
    /// Sends one mail, outside of the outbox: a test.
    pub async fn send_one(&self, mail: Outgoing) -> MailOutcome {
        let (mails, queue) = mpsc::channel(1);
        let (reports, mut outcomes) = mpsc::channel(1);
        // The queue takes one mail, so this does not wait.
        let _ = mails.send(mail).await;
        drop(mails);
        let cancel = CancellationToken::new();
        self.transport.run(queue, reports, &cancel).await;
        match outcomes.recv().await {
            Some((_, outcome)) => outcome,
            None => MailOutcome::Unknown { why: "the transport did not say".to_owned() },
        }
    }
}

/// Gathers what is to be told, and sends what is due.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    gather::run(&ctx).await.context("gather notices")?;
    send::run(ctx).await.context("send messages")
}

/// Keeps a channel that fails from being asked again and again: a changed password must not burn
/// attempts, let alone notices.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<BreakerState>);

#[derive(Clone, Debug, Default)]
struct BreakerState {
    n_failures: u32,
    rests_until: Option<DateTime<Utc>>,
}

impl Breaker {
    /// Until when nothing is to be sent, if the channel rests at `now`.
    pub fn rests_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.lock().rests_until.filter(|until| now < *until)
    }

    /// Whether the last word about the channel was a failure: then one mail is tried first.
    pub fn is_doubtful(&self) -> bool {
        self.lock().n_failures > 0
    }

    /// The channel took a mail.
    pub fn worked(&self) {
        let mut state = self.lock();
        if state.n_failures > 0 {
            info!(n_failures = state.n_failures, "Mail goes out again");
        }
        *state = BreakerState::default();
    }

    /// The channel failed at `now`. Returns until when it rests. Many mails that fail together
    /// count as one failure.
    pub fn failed(&self, now: DateTime<Utc>, why: &str) -> DateTime<Utc> {
        let mut state = self.lock();
        if let Some(until) = state.rests_until.filter(|until| now < *until) {
            return until;
        }
        state.n_failures = state.n_failures.saturating_add(1);
        let pause = retry::channel_pause(state.n_failures);
        state.rests_until = Some(now + pause);
        warn!(
            pause_s = pause.num_seconds(),
            n_failures = state.n_failures,
            "Paused all mail: {why}"
        );
        now + pause
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        // What is in there is whole at any time, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_rests_longer_each_time_until_it_works() {
        let noon = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let breaker = Breaker::default();
        assert_eq!(breaker.rests_until(noon), None);
        let first = breaker.failed(noon, "no");
        assert_eq!((first - noon).num_minutes(), 1);
        assert_eq!(breaker.failed(noon, "no"), first, "failing together is failing once");
        assert_eq!(breaker.rests_until(first), None, "it is tried again then");
        assert!(breaker.is_doubtful());
        assert_eq!((breaker.failed(first, "no") - first).num_minutes(), 2);
        breaker.worked();
        assert!(!breaker.is_doubtful());
        assert_eq!(breaker.rests_until(first), None);
    }
}
