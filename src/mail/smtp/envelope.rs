//! The commands about one mail, and the relay's answers to them.

use super::{connection::Connection, reply::Reply};
use crate::mail::{
    outcome::{Class, Outcome, RefusedRecipient, SmtpStage},
    transport::Outgoing,
};

/// What the relay says to a mail's envelope.
pub(super) enum Envelope {
    /// It waits for the message, on behalf of all recipients but these.
    Open { refused: Vec<RefusedRecipient> },
    /// It will not have the mail, and yet it may be waiting for a message.
    Refused { outcome: Outcome, is_waiting: bool },
}

const RESET: &str = "RSET\r\n";
const DATA: &str = "DATA\r\n";

impl Connection {
    /// Gathers the commands of a mail's envelope, if they may go out as one group. If not,
    /// [`envelope`](Self::envelope) says them one by one.
    pub(super) fn put_envelope(&mut self, mail: &Outgoing) {
        if !self.is_pipelining() {
            return;
        }
        if self.needs_reset {
            self.put(&[RESET]);
        }
        self.put_sender(mail);
        for address in &mail.to {
            self.put_recipient(address);
        }
        self.put(&[DATA]);
    }

    /// Reads the answers to a mail's envelope. The error is the outcome of a mail whose connection
    /// is of no more use.
    pub(super) async fn envelope(&mut self, mail: &Outgoing) -> Result<Envelope, Outcome> {
        use SmtpStage::{Data, Mail, Rcpt};
        if self.needs_reset {
            let answer = self.ask(Mail, |this| this.put(&[RESET])).await?;
            answer.map_err(|reply| out_of_step(Mail, &reply))?;
            self.needs_reset = false;
        }

        let answer = self.ask(Mail, |this| this.put_sender(mail)).await?;
        let mut refusal = answer.err().map(|reply| reply.refusal(Mail));
        let mut refused = Vec::new();
        let mut refusal_of_all = None;
        for address in &mail.to {
            // What has been written will be answered. What has not, need not be asked any more.
            if refusal.is_some() && !self.is_pipelining() {
                break;
            }
            if let Err(reply) = self.ask(Rcpt, |this| this.put_recipient(address)).await? {
                refused.push(RefusedRecipient::new(address, &reply));
                refusal_of_all = Some(more_hopeful(refusal_of_all, reply.refusal(Rcpt)));
            }
        }
        if refused.len() == mail.to.len() {
            refusal = refusal.or(refusal_of_all);
        }

        let mut is_waiting = false;
        if refusal.is_none() || self.is_pipelining() {
            match self.ask(Data, |this| this.put(&[DATA])).await? {
                Ok(()) => is_waiting = true,
                Err(reply) => refusal = refusal.or_else(|| Some(reply.refusal(Data))),
            }
        }
        self.needs_reset = !is_waiting;
        Ok(match refusal {
            None => Envelope::Open { refused },
            Some(outcome) => Envelope::Refused { outcome, is_waiting },
        })
    }

    /// Says one command, if it has not gone out with the group, and reads the answer: yes, or no
    /// and why. The error is the outcome of a mail whose connection is of no more use.
    async fn ask(
        &mut self,
        stage: SmtpStage,
        put: impl FnOnce(&mut Self),
    ) -> Result<Result<(), Reply>, Outcome> {
        if !self.is_pipelining() {
            put(self);
        }
        let reply = self.reply(stage).await;
        let reply = reply.map_err(|why| Outcome::NotSent { stage, why })?;
        // "Yes" to `DATA` is 354 and nothing else. A 250 there belongs to another command, and who
        // believed it would take the next one for the answer to the message.
        let is_yes = if stage == SmtpStage::Data { reply.code == 354 } else { reply.is_done() };
        if is_yes {
            Ok(Ok(()))
        } else if reply.is_goodbye() {
            Err(reply.refusal(stage))
        } else if reply.is_negative() {
            Ok(Err(reply))
        } else {
            Err(out_of_step(stage, &reply))
        }
    }

    /// Gathers a message and its end.
    ///
    /// A dot that begins a line is doubled, also after a bare LF: a relay that takes that for a
    /// line end must not find an end of the message, and commands behind it, in the text of a mail.
    pub(super) fn put_message(&mut self, message: &str) {
        self.out.reserve(message.len() + 64);
        let mut n_put = 0;
        for (at, _) in message.match_indices('.') {
            if at == 0 || message.as_bytes()[at - 1] == b'\n' {
                self.put(&[&message[n_put..at], "."]);
                n_put = at;
            }
        }
        let end = if message.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" };
        self.put(&[&message[n_put..], end]);
    }

    fn put_sender(&mut self, mail: &Outgoing) {
        let is_eight_bit = self.takes_eight_bit() && !mail.bytes.is_ascii();
        let body = if is_eight_bit { " BODY=8BITMIME" } else { "" };
        self.put(&["MAIL FROM:<", &mail.from, ">", body, "\r\n"]);
    }

    fn put_recipient(&mut self, address: &str) {
        self.put(&["RCPT TO:<", address, ">\r\n"]);
    }

    fn put(&mut self, parts: &[&str]) {
        self.out.extend(parts.iter().copied());
    }
}

impl RefusedRecipient {
    fn new(address: &str, reply: &Reply) -> Self {
        let class = reply.class(SmtpStage::Rcpt);
        Self { address: address.to_owned(), class, reply: reply.line() }
    }
}

/// If every recipient is refused, the mail is worth another try as soon as one of them is.
fn more_hopeful(so_far: Option<Outcome>, other: Outcome) -> Outcome {
    match so_far {
        Some(outcome) if other.class() != Some(Class::Transient) => outcome,
        _ => other,
    }
}

/// We wait for the answer to one command and get what must be the answer to another.
fn out_of_step(stage: SmtpStage, reply: &Reply) -> Outcome {
    Outcome::NotSent { stage, why: format!("unexpected reply `{}`", reply.line()) }
}
