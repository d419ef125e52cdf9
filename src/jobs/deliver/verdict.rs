//! From what a mail server said to what becomes of the message, its notices and its recipient.

use chrono::{DateTime, Utc};

use crate::{
    domain::retry::{self, Verdict},
    mail::{
        outcome::{Class, Outcome, SmtpStage},
        transport::{OVERDUE, STOPPING},
    },
    store::{
        MessageStatus, NoticeStatus,
        messages::{ClaimedMessage, Mark},
        outbox::Audience,
    },
};

/// How often a refusal "by policy" is tried before the address is taken for bad: one such answer
/// may be a mood of the server's.
const POLICY_ATTEMPTS: u32 = 3;

/// What becomes of one message.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) mark: Mark,
    /// The owner's address is no good, or has not answered for days.
    pub(super) is_bad_address: bool,
    /// The channel is at fault: nothing else should be sent for a while.
    pub(super) is_channel_down: bool,
}

/// Judges one attempt. `jitter` is in `-1.0..=1.0`.
pub(super) fn judge(
    message: &ClaimedMessage,
    outcome: &Outcome,
    now: DateTime<Utc>,
    jitter: f64,
) -> Judgement {
    let n_attempts = message.n_attempts + 1;
    let reply = outcome.to_string();
    let class = outcome.class();
    let mut judgement = Judgement {
        mark: Mark { reply: reply.clone(), ..Mark::unsent(message, now) },
        is_bad_address: false,
        is_channel_down: false,
    };
    let parked = |reply: String| {
        let (status, notices) = (MessageStatus::Parked, NoticeStatus::Queued);
        Mark { n_attempts, ..Mark::over(message, status, reply, notices) }
    };
    let retry = |patience| retry_or_give_up(message, n_attempts, &reply, patience, now, jitter);
    match class {
        None => judgement.mark = accepted(message, n_attempts, reply),
        Some(Class::Channel) => judgement.is_channel_down = !is_because(outcome, STOPPING),
        // Nobody has tried it.
        Some(Class::Transient) if is_because(outcome, OVERDUE) => {}
        // Once more, under the same Message-ID: better twice than not at all. But not a third time.
        Some(Class::Transient) if matches!(outcome, Outcome::Unknown { .. }) => {
            judgement.mark = match message.n_lost {
                0 => retry(retry::LONGEST),
                _ => parked(format!("{reply}, as it may have been before")),
            };
            judgement.mark.is_ambiguous = true;
        }
        Some(Class::Transient) => judgement.mark = retry(retry::LONGEST),
        Some(Class::MailboxFull) => judgement.mark = retry(retry::MAILBOX_FULL),
        // What was refused is the mail, not whom it is for.
        Some(Class::Policy) if is_after_recipients(outcome) => judgement.mark = parked(reply),
        Some(Class::Policy) if n_attempts < POLICY_ATTEMPTS => {
            judgement.mark = retry(retry::LONGEST);
        }
        Some(Class::Recipient | Class::Policy) => {
            judgement.mark = undeliverable(message, n_attempts, reply);
        }
        // Sending the same bytes again would meet the same answer.
        Some(Class::Message) => judgement.mark = parked(reply),
    }
    // Also after days without an answer: otherwise the same notices would be tried for ever.
    judgement.is_bad_address =
        judgement.mark.status == MessageStatus::Failed && message.audience == Audience::Owner;
    judgement
}

/// The judgement of an attempt that failed for the channel's sake, whatever it looks like alone.
pub(super) fn channel_down(
    message: &ClaimedMessage,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Judgement {
    Judgement {
        mark: Mark { reply: outcome.to_string(), ..Mark::unsent(message, now) },
        is_bad_address: false,
        is_channel_down: true,
    }
}

fn is_after_recipients(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { stage, .. } if SmtpStage::Rcpt < *stage)
}

/// Whether the relay was asked at all, and the daemon did not change its mind before.
pub(super) fn was_tried(outcome: &Outcome) -> bool {
    !is_because(outcome, STOPPING) && !is_because(outcome, OVERDUE)
}

fn is_because(outcome: &Outcome, reason: &str) -> bool {
    matches!(outcome, Outcome::NotSent { why, .. } if why == reason)
}

fn accepted(message: &ClaimedMessage, n_attempts: u32, reply: String) -> Mark {
    let notices = match message.audience {
        Audience::Owner => NoticeStatus::Told,
        Audience::Contacts | Audience::Copy | Audience::Operators(_) => NoticeStatus::Escalated,
    };
    Mark { n_attempts, ..Mark::over(message, MessageStatus::Sent, reply, notices) }
}

/// The owner's notices are set free, so that the contacts are told; those of the contacts cannot
/// be told to anybody.
fn undeliverable(message: &ClaimedMessage, n_attempts: u32, reply: String) -> Mark {
    let notices = match message.audience {
        Audience::Owner => NoticeStatus::Pending,
        Audience::Contacts | Audience::Copy | Audience::Operators(_) => NoticeStatus::Failed,
    };
    Mark { n_attempts, ..Mark::over(message, MessageStatus::Failed, reply, notices) }
}

fn retry_or_give_up(
    message: &ClaimedMessage,
    n_attempts: u32,
    reply: &str,
    patience: chrono::TimeDelta,
    now: DateTime<Utc>,
    jitter: f64,
) -> Mark {
    match retry::after_failure(n_attempts, message.created_at, patience, now, jitter) {
        Verdict::RetryAt(at) => {
            Mark { n_attempts, reply: reply.to_owned(), ..Mark::unsent(message, at) }
        }
        // The owner did not answer for so long that the contacts should know.
        Verdict::GiveUp => undeliverable(message, n_attempts, reply.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn message(audience: Audience, n_attempts: u32, age: TimeDelta) -> ClaimedMessage {
        ClaimedMessage {
            id: 1,
            header_id: "x@y".to_owned(),
            tenant_id: 1,
            owner_id: 2,
            audience,
            recipients: vec!["a@example.org".to_owned()],
            created_at: noon() - age,
            n_attempts,
            n_lost: 0,
            lease_until: noon() + TimeDelta::minutes(10),
            due: Vec::new(),
        }
    }

    fn refused(class: Class) -> Outcome {
        Outcome::Refused {
            stage: SmtpStage::Rcpt,
            class,
            code: 550,
            enhanced: None,
            reply: "no".to_owned(),
        }
    }

    /// One judgement in a line.
    fn line(message: &ClaimedMessage, outcome: &Outcome) -> String {
        let Judgement { mark, is_bad_address, is_channel_down } =
            judge(message, outcome, noon(), 0.0);
        let wait = mark.next_attempt_at.map(|at| format!(" in {}", at - noon()));
        format!(
            "{}{}, attempts {}, notices {}{}{}{}",
            mark.status.as_str(),
            wait.unwrap_or_default(),
            mark.n_attempts,
            mark.notices.as_str(),
            if mark.is_ambiguous { ", ambiguous" } else { "" },
            if is_bad_address { ", bad address" } else { "" },
            if is_channel_down { ", channel down" } else { "" },
        )
    }

    #[test]
    fn each_class_has_its_consequence() {
        let fresh = message(Audience::Owner, 0, TimeDelta::zero());
        let third = message(Audience::Owner, 2, TimeDelta::zero());
        let old = message(Audience::Owner, 20, TimeDelta::days(5));
        let lost = ClaimedMessage { n_lost: 1, n_attempts: 1, ..fresh.clone() };
        let spam = Outcome::Refused {
            stage: SmtpStage::Body,
            class: Class::Policy,
            code: 554,
            enhanced: None,
            reply: "spam".to_owned(),
        };
        let contacts = message(Audience::Contacts, 0, TimeDelta::zero());
        let yes = Outcome::Accepted { reply: "250 ok".to_owned(), refused: Vec::new() };
        let unknown = Outcome::Unknown { why: "lost".to_owned() };
        let stopped = Outcome::NotSent { stage: SmtpStage::Connect, why: STOPPING.to_owned() };
        let overdue = Outcome::NotSent { stage: SmtpStage::Mail, why: OVERDUE.to_owned() };
        for (message, outcome, expected) in [
            (&fresh, yes.clone(), "sent, attempts 1, notices told"),
            (&contacts, yes, "sent, attempts 1, notices escalated"),
            (
                &fresh,
                refused(Class::Channel),
                "waiting in P0D, attempts 0, notices queued, channel down",
            ),
            (&fresh, stopped, "waiting in P0D, attempts 0, notices queued"),
            (&fresh, overdue, "waiting in P0D, attempts 0, notices queued"),
            (&fresh, refused(Class::Transient), "waiting in PT120S, attempts 1, notices queued"),
            (&fresh, unknown.clone(), "waiting in PT120S, attempts 1, notices queued, ambiguous"),
            (&lost, unknown, "parked, attempts 2, notices queued, ambiguous"),
            (&old, refused(Class::Transient), "failed, attempts 21, notices pending, bad address"),
            (&third, refused(Class::MailboxFull), "waiting in PT600S, attempts 3, notices queued"),
            (&fresh, refused(Class::Recipient), "failed, attempts 1, notices pending, bad address"),
            (&contacts, refused(Class::Recipient), "failed, attempts 1, notices failed"),
            (&fresh, refused(Class::Policy), "waiting in PT120S, attempts 1, notices queued"),
            (&third, refused(Class::Policy), "failed, attempts 3, notices pending, bad address"),
            (&fresh, spam, "parked, attempts 1, notices queued"),
            (&fresh, refused(Class::Message), "parked, attempts 1, notices queued"),
        ] {
            assert_eq!(line(message, &outcome), expected, "{outcome:?}");
        }
    }
}
