//! The mails a lane has taken and not yet reported.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::mail::{outcome::Outcome, transport::Outgoing};

/// What a lane answers for. It outlives the dialogue about its mails, so that each is reported
/// exactly once even if the dialogue is dropped in the middle, or panics.
#[derive(Default)]
pub(super) struct Hand {
    /// The first is the one the dialogue is about.
    pub(super) mails: VecDeque<Outgoing>,
    /// The first mail's body has been given away: it may be delivered from now on.
    pub(super) is_body_out: bool,
    /// What became of the first mail, if it is known and not yet reported.
    verdict: Option<Outcome>,
}

/// Nobody listens to reports any more.
pub(super) struct NobodyListens;

/// Where a lane's reports go.
pub(super) type Outcomes = mpsc::Sender<(i64, Outcome)>;

impl Hand {
    /// Reports the first mail and lets go of it.
    pub(super) async fn report(
        &mut self,
        outcome: Outcome,
        outcomes: &Outcomes,
    ) -> Result<(), NobodyListens> {
        self.verdict = Some(outcome);
        let place = outcomes.reserve().await.map_err(|_| NobodyListens)?;
        // From here on nothing waits, so the report and the letting go are one.
        self.is_body_out = false;
        if let (Some(mail), Some(outcome)) = (self.mails.pop_front(), self.verdict.take()) {
            place.send((mail.id, outcome));
        }
        Ok(())
    }

    /// Reports all mails as not sent.
    pub(super) async fn hand_back(
        &mut self,
        outcome: &Outcome,
        outcomes: &Outcomes,
    ) -> Result<(), NobodyListens> {
        while !self.mails.is_empty() {
            self.report(outcome.clone(), outcomes).await?;
        }
        Ok(())
    }

    /// Reports what is left when a dialogue did not come to its end: `rest`, except for a mail
    /// that may have been delivered, and for one whose outcome was known already.
    pub(super) async fn settle(
        &mut self,
        why: String,
        rest: &Outcome,
        outcomes: &Outcomes,
    ) -> Result<(), NobodyListens> {
        if let Some(verdict) = self.verdict.take() {
            self.report(verdict, outcomes).await?;
        } else if self.is_body_out {
            self.report(Outcome::Unknown { why }, outcomes).await?;
        }
        self.hand_back(rest, outcomes).await
    }
}
