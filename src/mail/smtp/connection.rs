//! One connection to the relay: commands are gathered and written as one, replies read one by one.

use std::time::{Duration, Instant};

use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::timeout;

use super::{Timeouts, relay::no_answer, reply::Reply};
use crate::{crash, mail::outcome::SmtpStage};

/// Longest wait for the relay's goodbye. It changes nothing.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the relay offers that we make use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
}

/// A connection over which mail can be sent.
///
/// After any error it is in doubt and has to be dropped: replies that are still to come would be
/// taken for the answers to something else.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    abilities: Abilities,
    timeouts: Timeouts,
    /// What is written before the next reply is read.
    pub(super) out: String,
    /// A transaction was begun and not ended: `RSET` comes before the next.
    pub(super) needs_reset: bool,
    /// Mails this connection has been used for.
    pub(super) n_mails: u32,
    rested_at: Instant,
}

impl Connection {
    pub(super) fn new(smtp: AsyncSmtpConnection, abilities: Abilities, timeouts: Timeouts) -> Self {
        Self {
            smtp,
            abilities,
            timeouts,
            out: String::new(),
            needs_reset: false,
            n_mails: 0,
            rested_at: Instant::now(),
        }
    }

    /// Whether commands may be sent without waiting for the reply to the one before (RFC 2920).
    pub(super) fn is_pipelining(&self) -> bool {
        self.abilities.pipelining
    }

    /// Whether messages may have bytes beyond ASCII.
    pub(super) fn takes_eight_bit(&self) -> bool {
        self.abilities.eight_bit
    }

    /// Writes what has been gathered, if anything, and reads one reply.
    pub(super) async fn reply(&mut self, stage: SmtpStage) -> Result<Reply, String> {
        let limit = self.limit(stage);
        crash::point();
        let result = if self.out.is_empty() {
            timeout(limit, self.smtp.read_response()).await
        } else {
            // One write for all of it: this is what makes pipelining fast.
            let result = timeout(limit, self.smtp.command(self.out.as_str())).await;
            self.out.clear();
            result
        };
        crash::point();
        Reply::from_lettre(result.map_err(|_| no_answer(limit))?)
    }

    /// Writes a message that is no text, and reads the reply to its end.
    pub(super) async fn reply_to_bytes(&mut self, message: &[u8]) -> Result<Reply, String> {
        let limit = self.limit(SmtpStage::Body);
        let result = timeout(limit, self.smtp.message(message)).await;
        Reply::from_lettre(result.map_err(|_| no_answer(limit))?)
    }

    fn limit(&self, stage: SmtpStage) -> Duration {
        if stage == SmtpStage::Body { self.timeouts.data } else { self.timeouts.reply }
    }

    /// Marks the beginning of a time without mails.
    pub(super) fn rest(&mut self) {
        self.rested_at = Instant::now();
    }

    /// How long there has been no mail.
    pub(super) fn rested_for(&self) -> Duration {
        self.rested_at.elapsed()
    }

    /// Asks whether anyone is there. If not, the connection is of no more use.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.out.push_str("NOOP\r\n");
        self.reply(SmtpStage::Hello).await.is_ok_and(|reply| reply.is_done())
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        // There is nothing left to lose, whatever the relay answers, or whether it does.
        let _ = timeout(FAREWELL.min(self.timeouts.reply), self.smtp.quit()).await;
    }
}
