//! What a lane answers for: the mails it has taken, and the reports it has not yet made.
//!
//! Both outlive the dialogue about the mails, so that each mail is reported exactly once even if
//! the dialogue is dropped in the middle, or panics.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::mail::{outcome::Outcome, transport::Outgoing};

/// The mails a lane has taken and knows no outcome of.
#[derive(Default)]
pub(super) struct Hand {
    /// The first is the one the dialogue is about.
    pub(super) mails: VecDeque<Outgoing>,
    /// The first mail's message has been given away: it may be delivered from now on.
    pub(super) is_message_out: bool,
}

impl Hand {
    /// Lets go of the first mail, whose outcome is known now.
    pub(super) fn finish(&mut self, outcome: Outcome, reports: &mut Reports) {
        self.is_message_out = false;
        if let Some(mail) = self.mails.pop_front() {
            reports.known.push_back((mail.id, outcome));
        }
    }

    /// Lets go of all mails because the dialogue will not come to its end. They have the outcome
    /// `rest`, except for one that may have been delivered.
    pub(super) fn settle(&mut self, why: &str, rest: &Outcome, reports: &mut Reports) {
        if self.is_message_out {
            self.finish(Outcome::Unknown { why: why.to_owned() }, reports);
        }
        while !self.mails.is_empty() {
            self.finish(rest.clone(), reports);
        }
    }
}

/// The outcomes a lane knows and has not yet reported.
pub(super) struct Reports {
    known: VecDeque<(i64, Outcome)>,
    outcomes: mpsc::Sender<(i64, Outcome)>,
}

/// There is nobody to report to any more.
pub(super) struct NobodyListens;

impl Reports {
    pub(super) fn new(outcomes: mpsc::Sender<(i64, Outcome)>) -> Self {
        Self { known: VecDeque::new(), outcomes }
    }

    /// Reports all outcomes that are known. Whoever drops this future loses none.
    pub(super) async fn make(&mut self) -> Result<(), NobodyListens> {
        while !self.known.is_empty() {
            let place = self.outcomes.reserve().await.map_err(|_| NobodyListens)?;
            if let Some(report) = self.known.pop_front() {
                place.send(report);
            }
        }
        Ok(())
    }
}
