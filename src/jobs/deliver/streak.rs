//! Refusals "as a matter of policy" that follow each other. To one recipient that is the
//! recipient's affair; to several different ones, with nothing accepted in between, it is the
//! channel's: a relay that no longer takes our sender says it to each of them, and none of their
//! addresses is to blame.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::{
    mail::outcome::{Class, Outcome},
    store::messages::ClaimedMessage,
};

/// So many different recipients may be refused in a row; one more is the channel's failure.
pub(super) const SEVERAL: usize = 3;
/// For how long a refusal waits for what follows it: no longer than the message is surely ours.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the lanes report about one message.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) message: ClaimedMessage,
    pub(super) outcome: Outcome,
    /// Whether it is the channel's failure, whatever it looks like alone.
    pub(super) is_channels: bool,
}

/// The refusals that are not judged yet, since what follows them decides.
#[derive(Debug, Default)]
pub(super) struct Streak {
    held: Vec<Report>,
    since: Option<Instant>,
    /// Whether it has been decided that the channel is at fault.
    is_channels: bool,
}

impl Streak {
    /// Takes one report, and returns those that can be judged now.
    pub(super) fn add(&mut self, mut report: Report, at: Instant) -> Vec<Report> {
        if self.since.is_some_and(|since| PATIENCE < at.duration_since(since)) {
            let mut ready = self.release(false);
            ready.extend(self.add(report, at));
            return ready;
        }
        match report.outcome.class() {
            None => {
                self.is_channels = false;
                let mut ready = self.release(false);
                ready.push(report);
                ready
            }
            Some(Class::Policy) if self.is_channels => {
                report.is_channels = true;
                vec![report]
            }
            Some(Class::Policy) => {
                self.since.get_or_insert(at);
                self.held.push(report);
                let different: HashSet<_> =
                    self.held.iter().map(|report| &report.message.recipients).collect();
                if different.len() <= SEVERAL {
                    return Vec::new();
                }
                self.is_channels = true;
                self.release(true)
            }
            Some(_) => vec![report],
        }
    }

    /// What is left when nothing follows any more.
    pub(super) fn end(mut self) -> Vec<Report> {
        self.release(false)
    }

    fn release(&mut self, is_channels: bool) -> Vec<Report> {
        self.since = None;
        let held = std::mem::take(&mut self.held).into_iter();
        held.map(|report| Report { is_channels, ..report }).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{mail::outcome::SmtpStage, store::outbox::Audience};

    fn report(recipient: &str, outcome: Outcome) -> Report {
        let message = ClaimedMessage {
            id: 1,
            header_id: String::new(),
            tenant_id: 1,
            owner_id: 1,
            audience: Audience::Owner,
            recipients: vec![recipient.to_owned()],
            created_at: DateTime::UNIX_EPOCH,
            n_attempts: 0,
            n_lost: 0,
            lease_until: DateTime::UNIX_EPOCH,
            due: Vec::new(),
        };
        Report { message, outcome, is_channels: false }
    }

    fn refused(class: Class) -> Outcome {
        let (stage, reply) = (SmtpStage::Rcpt, "no".to_owned());
        Outcome::Refused { stage, class, code: 550, enhanced: None, reply }
    }

    fn accepted() -> Outcome {
        Outcome::Accepted { reply: String::new(), refused: Vec::new() }
    }

    /// Adds one report for each letter, `+` for one that is accepted, and writes what is ready
    /// after each: a letter as it is, or in upper case if it is the channel's.
    fn play(letters: &str) -> String {
        let (mut streak, start) = (Streak::default(), Instant::now());
        let mut ready = Vec::new();
        let show = |reports: Vec<Report>| -> String {
            let letter = |report: &Report| match report.is_channels {
                true => report.message.recipients[0].to_uppercase(),
                false => report.message.recipients[0].clone(),
            };
            reports.iter().map(letter).collect()
        };
        for letter in letters.split("") {
            ready.push(match letter {
                "" => continue,
                "+" => show(streak.add(report("+", accepted()), start)),
                "?" => show(streak.add(report("?", refused(Class::Transient)), start)),
                one => show(streak.add(report(one, refused(Class::Policy)), start)),
            });
        }
        ready.push(show(streak.end()));
        ready.join(".")
    }

    #[test]
    fn several_different_ones_in_a_row_are_the_channels() {
        assert_eq!(play("abcd"), "...ABCD.");
        assert_eq!(play("abcde"), "...ABCD.E.");
        assert_eq!(play("abc"), "...abc", "three are theirs");
        assert_eq!(play("abcab"), ".....abcab", "and so are three that are met again");
        assert_eq!(play("ab?cd"), "..?..ABCD.", "what is nobody's fault does not count");
        assert_eq!(play("abc+d"), "...abc+..d", "what is accepted shows that it works");
        assert_eq!(play("abcd+e"), "...ABCD.+..e");
    }

    #[test]
    fn nothing_is_held_for_long() {
        let (mut streak, start) = (Streak::default(), Instant::now());
        assert!(streak.add(report("a", refused(Class::Policy)), start).is_empty());
        let later = start + PATIENCE + Duration::from_secs(1);
        let ready = streak.add(report("b", refused(Class::Policy)), later);
        assert_eq!(ready.len(), 1);
        assert_eq!(streak.end().len(), 1);
    }
}
