//! What is known about a job in this process.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::jobs::Outcome;

/// What is known about a job in this process.
#[derive(Clone, Debug, Default)]
pub struct JobState {
    /// Since when it runs, if it does.
    pub running_since: Option<Instant>,
    /// How often it has run.
    pub n_runs: u64,
    /// How often it ran to its end, but some items failed.
    pub n_partial: u64,
    /// How often it failed.
    pub n_failures: u64,
    /// When it last went well, by this machine's clock.
    pub last_success_at: Option<DateTime<Utc>>,
    /// The last run that went well, by the clock that nobody sets.
    pub last_well: Option<Well>,
    /// How long the last run took.
    pub last_duration: Duration,
    /// Since when a run is wanted, by the schedule, that has not gone well yet.
    pub due_since: Option<Instant>,
    /// The sum of what its runs did.
    pub total: Outcome,
    /// Why the last run failed, if it did.
    pub last_error: Option<String>,
}

/// A run that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Well {
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

impl JobState {
    /// Notes that a run is wanted.
    pub(super) fn due(&mut self) {
        self.due_since.get_or_insert_with(Instant::now);
    }

    /// Notes that a run that began at `began` has done what was wanted before: here, or in the
    /// daemon that does it for all.
    pub(super) fn is_done(&mut self, began: Instant) {
        if self.due_since.is_some_and(|due| due <= began) {
            self.due_since = None;
        }
    }

    /// How long a run has been wanted that has not gone well yet.
    pub fn lateness(&self) -> Duration {
        self.due_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Notes the end of a run.
    pub(super) fn ended(
        &mut self,
        result: &anyhow::Result<Outcome>,
        (started_at, began): (DateTime<Utc>, Instant),
        duration: Duration,
    ) {
        self.running_since = None;
        self.n_runs += 1;
        self.last_duration = duration;
        match result {
            Ok(outcome) => {
                self.total += *outcome;
                self.n_partial += u64::from(outcome.n_failed > 0);
                self.last_success_at = Some(started_at);
                self.last_well = Some(Well { began, ended: began + duration });
                self.last_error = None;
            }
            Err(error) => {
                self.n_failures += 1;
                self.last_error = Some(format!("{error:#}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_late_until_a_run_goes_well_that_began_after_it_was_wanted() {
        let mut state = JobState::default();
        assert_eq!(state.lateness(), Duration::ZERO);
        let earlier = Instant::now();
        state.due();
        let since = state.due_since;
        state.due();
        assert_eq!(state.due_since, since, "it is late since it was first wanted");
        state.is_done(earlier - Duration::from_secs(1));
        assert_eq!(state.due_since, since, "that run may have missed what became due since");
        state.is_done(Instant::now());
        assert_eq!(state.lateness(), Duration::ZERO);
    }
}
