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
    /// How long the last run took.
    pub last_duration: Duration,
    /// The sum of what its runs did.
    pub total: Outcome,
    /// Why the last run failed, if it did.
    pub last_error: Option<String>,
}

impl JobState {
    /// Notes the end of a run.
    pub(super) fn ended(
        &mut self,
        result: &anyhow::Result<Outcome>,
        started_at: DateTime<Utc>,
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
                self.last_error = None;
            }
            Err(error) => {
                self.n_failures += 1;
                self.last_error = Some(format!("{error:#}"));
            }
        }
    }
}
