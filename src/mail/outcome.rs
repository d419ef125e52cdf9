//! How an attempt to send one mail ended, and whose fault it is if it did not go well.
//!
//! The classes follow RFC 3463 where the relay gives an enhanced code, and the plain code where it
//! does not. What is done about a class (wait, pause, mark the address) is not decided here.

use std::fmt;

/// How far the dialogue with the relay had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SmtpStage {
    /// The TCP connection and the relay's greeting.
    Connect,
    /// `EHLO`.
    Hello,
    /// `STARTTLS` and the TLS handshake.
    Tls,
    /// `AUTH`.
    Auth,
    /// `MAIL FROM`.
    Mail,
    /// `RCPT TO`.
    Rcpt,
    /// `DATA`, up to the relay's "go ahead".
    Data,
    /// The message itself, up to the reply to its end.
    Body,
}

impl SmtpStage {
    /// Whether a mail has nothing to do with this stage: what fails here fails for every mail.
    pub fn is_before_any_mail(self) -> bool {
        self <= Self::Auth
    }
}

impl fmt::Display for SmtpStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connect",
            Self::Hello => "EHLO",
            Self::Tls => "TLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Body => "end of data",
        })
    }
}

/// Whose fault it is that a mail was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The relay's, or our credentials': no mail would have gone out. The mail is not to blame.
    Channel,
    /// Nobody's for long: waiting may help.
    Transient,
    /// The mailbox is full. Waiting may help, but not longer than a day.
    MailboxFull,
    /// The address is bad and stays so.
    Recipient,
    /// This very mail is bad and stays so.
    Message,
    /// The relay will not have it, as a matter of policy (`5.7.x` to `RCPT` or to the message): the
    /// recipient's, the mail's, or if it says so to everybody, the channel's.
    Policy,
}

impl Class {
    /// The word under which it is counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Transient => "transient",
            Self::MailboxFull => "mailbox_full",
            Self::Recipient => "recipient",
            Self::Message => "message",
            Self::Policy => "policy",
        }
    }
}

/// A recipient who was refused while others of the same mail were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecipient {
    /// The address, as it stands in [`Outgoing::to`](super::transport::Outgoing::to).
    pub address: String,
    /// Whose fault it is.
    pub class: Class,
    /// The relay's reply, code first.
    pub reply: String,
}

/// How an attempt to send one mail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken responsibility for the mail.
    Accepted {
        /// The relay's reply, code first.
        reply: String,
        /// The recipients the relay refused nevertheless. Never all of them.
        refused: Vec<RefusedRecipient>,
    },
    /// The relay said no. Nothing was delivered.
    Refused {
        /// What it said no to.
        stage: SmtpStage,
        /// Whose fault it is.
        class: Class,
        /// The reply code. 0 if it was we who refused to send the mail.
        code: u16,
        /// The enhanced status code, if the relay gave one.
        enhanced: Option<(u8, u16, u16)>,
        /// The text of the reply, without the code.
        reply: String,
    },
    /// Trouble before the end of the data. Nothing was delivered, and it is safe to repeat.
    NotSent {
        /// What we were waiting for.
        stage: SmtpStage,
        /// What happened.
        why: String,
    },
    /// Trouble after the end of the data was written: it may have been delivered. To be repeated
    /// with the same Message-ID, so that the recipient can tell.
    Unknown {
        /// What happened.
        why: String,
    },
}

impl Outcome {
    /// Whose fault it is, or `None` if the mail was accepted.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Accepted { .. } => None,
            Self::Refused { class, .. } => Some(*class),
            Self::NotSent { stage, .. } if stage.is_before_any_mail() => Some(Class::Channel),
            Self::NotSent { .. } | Self::Unknown { .. } => Some(Class::Transient),
        }
    }

    /// Whether the relay has taken the mail.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

/// One line for a log or a history. It quotes the relay, who may quote the recipient's address.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { reply, .. } => f.write_str(reply),
            Self::Refused { stage, code: 0, reply, .. } => write!(f, "{stage}: {reply}"),
            Self::Refused { stage, code, reply, .. } => write!(f, "{stage}: {code} {reply}"),
            Self::NotSent { stage, why } => write!(f, "{stage}: {why}"),
            Self::Unknown { why } => write!(f, "may have been delivered: {why}"),
        }
    }
}

/// Whose fault a negative reply (4xx or 5xx) at `stage` is.
pub fn classify(stage: SmtpStage, code: u16, enhanced: Option<(u8, u16, u16)>) -> Class {
    let is_about_credentials = matches!(code, 530 | 534 | 535 | 538);
    if stage.is_before_any_mail() || is_about_credentials {
        return Class::Channel;
    }
    if code < 500 {
        return Class::Transient;
    }
    let detail = enhanced.map(|(_, subject, detail)| (subject, detail));
    match stage {
        // Nothing is known of the recipient yet: it is our sender or our way to speak that is
        // refused, and the next mail has the same. Only a mail's size is its own.
        SmtpStage::Mail if detail == Some((3, 4)) => Class::Message,
        SmtpStage::Rcpt => refused_recipient(code, detail),
        SmtpStage::Data | SmtpStage::Body => refused_message(detail),
        _ => Class::Channel,
    }
}

fn refused_recipient(code: u16, detail: Option<(u16, u16)>) -> Class {
    match detail {
        Some((2, 2)) => Class::MailboxFull,
        Some((2, 3) | (3, 4) | (6, _)) => Class::Message,
        Some((1 | 2 | 4, _)) => Class::Recipient,
        Some((5, _)) => Class::Channel,
        Some((3 | 7, _)) => Class::Policy,
        _ => match code {
            552 => Class::MailboxFull,
            501 | 550 | 551 | 553 | 556 => Class::Recipient,
            554 => Class::Policy,
            _ => Class::Channel,
        },
    }
}

/// One mail must not stop the others, so the channel is never to blame from `DATA` on.
fn refused_message(detail: Option<(u16, u16)>) -> Class {
    match detail {
        Some((2, 2)) => Class::MailboxFull,
        Some((1, _) | (2, 1)) => Class::Recipient,
        Some((7, _)) => Class::Policy,
        _ => Class::Message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SmtpStage::{Auth, Body, Connect, Data, Hello, Mail, Rcpt, Tls};

    /// A stage, a reply's code and enhanced code, and who is to blame.
    type Blame = (SmtpStage, u16, Option<(u8, u16, u16)>, Class);

    /// The replies of the T11 matrix. The other five of its 27 cases have no reply.
    const MATRIX: &[Blame] = &[
        (Connect, 421, None, Class::Channel),
        (Connect, 554, None, Class::Channel),
        (Hello, 502, None, Class::Channel),
        (Tls, 454, None, Class::Channel),
        (Auth, 454, Some((4, 7, 0)), Class::Channel),
        (Auth, 535, Some((5, 7, 8)), Class::Channel),
        (Mail, 452, Some((4, 3, 1)), Class::Transient),
        (Mail, 530, Some((5, 7, 0)), Class::Channel),
        (Mail, 550, Some((5, 7, 1)), Class::Channel),
        (Rcpt, 421, None, Class::Transient),
        (Rcpt, 450, Some((4, 2, 0)), Class::Transient),
        (Rcpt, 451, Some((4, 7, 1)), Class::Transient),
        (Rcpt, 452, Some((4, 2, 2)), Class::Transient),
        (Rcpt, 550, Some((5, 1, 1)), Class::Recipient),
        (Rcpt, 551, None, Class::Recipient),
        (Rcpt, 553, Some((5, 1, 3)), Class::Recipient),
        (Rcpt, 552, Some((5, 2, 2)), Class::MailboxFull),
        (Rcpt, 550, Some((5, 7, 1)), Class::Policy),
        (Data, 554, Some((5, 6, 0)), Class::Message),
        (Body, 451, None, Class::Transient),
        (Body, 552, Some((5, 3, 4)), Class::Message),
        (Body, 554, Some((5, 7, 1)), Class::Policy),
    ];

    /// What else relays are known to say, with and without enhanced codes.
    const FURTHER: &[Blame] = &[
        (Mail, 421, None, Class::Transient),
        (Mail, 552, Some((5, 3, 4)), Class::Message),
        (Mail, 501, None, Class::Channel),
        (Rcpt, 530, None, Class::Channel),
        (Rcpt, 550, None, Class::Recipient),
        (Rcpt, 552, None, Class::MailboxFull),
        (Rcpt, 554, None, Class::Policy),
        (Rcpt, 550, Some((5, 2, 1)), Class::Recipient),
        (Rcpt, 550, Some((5, 4, 4)), Class::Recipient),
        (Rcpt, 552, Some((5, 3, 4)), Class::Message),
        (Rcpt, 503, Some((5, 5, 1)), Class::Channel),
        (Rcpt, 503, None, Class::Channel),
        (Body, 554, None, Class::Message),
        (Body, 552, None, Class::Message),
        (Body, 552, Some((5, 2, 2)), Class::MailboxFull),
        (Body, 550, Some((5, 1, 1)), Class::Recipient),
        (Body, 530, Some((5, 7, 0)), Class::Channel),
    ];

    #[test]
    fn every_reply_is_blamed_on_the_right_one() {
        for &(stage, code, enhanced, class) in MATRIX.iter().chain(FURTHER) {
            assert_eq!(classify(stage, code, enhanced), class, "{code} {enhanced:?} to {stage}");
        }
    }

    #[test]
    fn trouble_is_the_channels_until_a_mail_is_named() {
        let not_sent = |stage| Outcome::NotSent { stage, why: String::new() }.class();
        for stage in [Connect, Hello, Tls, Auth] {
            assert_eq!(not_sent(stage), Some(Class::Channel));
        }
        for stage in [Mail, Rcpt, Data, Body] {
            assert_eq!(not_sent(stage), Some(Class::Transient));
        }
    }
}
