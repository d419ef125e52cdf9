//! `[jobs]` and `[retention]`

use std::time::Duration;

use serde::Deserialize;

use crate::config::{period::Period, rule::Rule, schema::Rules};

/// `[jobs]`: how much a job does at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsConfig {
    /// How many keys one transaction treats.
    pub batch: u32,
    /// How long one run may take.
    pub time_limit: Period,
    /// How long a mail belongs to a daemon that does not answer.
    pub rescue_after: Period,
}

/// `[retention]`: how long history is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Days for which the runs of jobs are kept.
    pub job_runs_days: u16,
    /// Days for which sent mails are kept.
    pub messages_days: u16,
    // As it is written: 0 stands for ever.
    audit_days: u16,
}

impl RetentionConfig {
    /// Days for which the audit trail is kept; `None` is for ever.
    pub fn audit_days(&self) -> Option<u16> {
        (self.audit_days != 0).then_some(self.audit_days)
    }
}

pub(super) const RULES: Rules = &[
    ("jobs.batch", Rule::Whole(100, 5000)),
    ("jobs.time_limit", Rule::Time(Duration::from_secs(1), Duration::from_secs(12 * 3600))),
    ("jobs.rescue_after", Rule::Time(Duration::from_secs(5), Duration::from_secs(3600))),
];

pub(super) const RETENTION_RULES: Rules = &[
    ("retention.job_runs_days", Rule::Whole(1, 3650)),
    ("retention.messages_days", Rule::Whole(1, 3650)),
    ("retention.audit_days", Rule::Whole(0, 3650)),
];
