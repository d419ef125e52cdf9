//! What is said about mails over one connection.
//!
//! With pipelining a mail's `MAIL`, `RCPT` and `DATA` go out as one group, and the message of one
//! mail with the group of the next in one write (RFC 2920, section 3.1). Replies come in the order
//! of the commands, so each finds its mail by being counted. One that does not fit means that we
//! have lost count, and ends the connection: a mail must never be taken for sent on the strength
//! of another's reply.

use super::{
    Shared,
    connection::Connection,
    envelope::Envelope,
    hand::{Hand, NobodyListens, Reports},
    reply::Reply,
};
use crate::mail::outcome::{Class, Outcome, RefusedRecipient, SmtpStage};

/// Sends the mails in hand, and others that are waiting already, for as long as the connection is
/// good for it. Gives the connection back if it is at rest and in no doubt.
pub(super) async fn hold(
    connection: Connection,
    hand: &mut Hand,
    reports: &mut Reports,
    shared: &Shared,
) -> Result<Option<Connection>, NobodyListens> {
    let mut dialogue = Dialogue { connection, hand, shared, is_next_begun: false };
    while !dialogue.hand.mails.is_empty() {
        if !dialogue.is_next_begun && !dialogue.may_begin_another() {
            break;
        }
        // The last mail's outcome is reported while the relay is busy with this one. Neither
        // waits for the other longer than it must.
        let ((outcome, mut is_fit), reported) =
            tokio::join!(biased; dialogue.one_mail(), reports.make());
        if outcome.class() == Some(Class::Channel) {
            shared.gate.close(outcome.to_string());
            is_fit = false;
        }
        dialogue.hand.finish(outcome, reports);
        reported?;
        if !is_fit {
            if dialogue.is_next_begun {
                let why = "the connection was lost before its turn came".to_owned();
                let outcome = Outcome::NotSent { stage: SmtpStage::Mail, why };
                dialogue.hand.finish(outcome, reports);
            }
            return Ok(None);
        }
    }
    dialogue.connection.rest();
    Ok(Some(dialogue.connection))
}

struct Dialogue<'a> {
    connection: Connection,
    hand: &'a mut Hand,
    shared: &'a Shared,
    /// The envelope of the next mail has gone out together with the message of the one before.
    is_next_begun: bool,
}

impl Dialogue<'_> {
    fn may_begin_another(&self) -> bool {
        !self.shared.cancel.is_cancelled()
            && self.connection.n_mails < self.shared.relay.settings().mails_per_connection
    }

    /// Brings the first mail in hand to its end. The second value says whether the connection is
    /// good for another.
    async fn one_mail(&mut self) -> (Outcome, bool) {
        let mail = &self.hand.mails[0];
        if !self.is_next_begun {
            if let Some(outcome) = mail.flaw() {
                return (outcome, true);
            }
            self.connection.put_envelope(mail);
        }
        self.is_next_begun = false;
        self.connection.n_mails += 1;
        match self.connection.envelope(mail).await {
            Ok(Envelope::Open { refused }) => self.message(refused).await,
            Ok(Envelope::Refused { outcome, is_waiting: false }) => (outcome, true),
            Ok(Envelope::Refused { outcome, is_waiting: true }) => {
                // All recipients are refused, but the relay waits for a message. It gets an empty
                // one and will not deliver it to anyone (RFC 2920, section 3.1).
                self.connection.out.push_str(".\r\n");
                let reply = self.connection.reply(SmtpStage::Body).await;
                (outcome, reply.is_ok_and(|reply| is_in_step(&reply)))
            }
            Err(outcome) => (outcome, false),
        }
    }

    /// Gives the first mail's message away, and with it the envelope of the next mail if there is
    /// one. Never waits for one.
    async fn message(&mut self, refused: Vec<RefusedRecipient>) -> (Outcome, bool) {
        if let Some(outcome) = self.hand.mails[0].overdue() {
            // The relay waits for a message, and must not get this one. Without the end of it,
            // the connection's end is the end of the mail.
            return (outcome, false);
        }
        let may_look_ahead = self.connection.is_pipelining() && self.may_begin_another();
        if may_look_ahead && self.hand.mails.len() == 1 {
            self.shared.inbox.try_fill(&mut self.hand.mails);
        }
        self.hand.is_message_out = true;
        let bytes = &self.hand.mails[0].bytes;
        let reply = if let Ok(text) = str::from_utf8(bytes) {
            self.connection.put_message(text);
            let next = self.hand.mails.get(1).filter(|_| may_look_ahead);
            if let Some(next) = next.filter(|next| next.flaw().is_none()) {
                self.connection.put_envelope(next);
                self.is_next_begun = true;
            }
            self.connection.reply(SmtpStage::Body).await
        } else {
            self.connection.reply_to_bytes(bytes).await
        };
        match reply {
            Ok(reply) if reply.is_done() => {
                (Outcome::Accepted { reply: reply.line(), refused }, true)
            }
            Ok(reply) if reply.is_negative() => {
                let is_fit = is_in_step(&reply);
                (reply.refusal(SmtpStage::Body), is_fit)
            }
            Ok(reply) => {
                (Outcome::Unknown { why: format!("unexpected reply `{}`", reply.line()) }, false)
            }
            Err(why) => (Outcome::Unknown { why }, false),
        }
    }
}

/// Whether this is an answer to a message after which the dialogue goes on.
fn is_in_step(reply: &Reply) -> bool {
    (reply.is_done() || reply.is_negative()) && !reply.is_goodbye()
}
