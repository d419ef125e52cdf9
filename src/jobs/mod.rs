//! What the daemon does, job by job: plan, check, apply.
//!
//! A job is a file in this folder and a line in [`JOBS`]. All of them run through one guarded
//! [`runner`], whoever asks: the schedule, the command line, the API.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::{brake, doubt, policy::Policies, seal::SealKey},
    jobs::{deliver::Mailer, swept::Swept, timekeeper::Timekeeper},
    store::Db,
};

mod alone;
mod batches;
mod braking;
pub mod contact;
pub mod deliver;
mod idle;
mod patience;
mod pauses;
pub mod prune;
pub mod purge;
pub mod runner;
pub mod seal;
mod state;
pub mod sweep;
mod swept;
pub mod timekeeper;

/// A job: one of the few things the daemon does.
pub struct Job {
    /// What it is called, everywhere.
    pub name: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// Whether it destroys: a pause of purges holds it.
    pub is_destructive: bool,
    /// Whether one replica does it for all, under a lease. The others share their work by claims.
    pub is_for_one: bool,
    run: fn(Context) -> BoxFuture<'static, anyhow::Result<Outcome>>,
}

/// Every job there is, in the order of a full pass.
pub static JOBS: &[Job] = &[
    Job {
        name: "sweep",
        about: "writes the notices that are due, and moves expired keys into their window",
        is_destructive: false,
        is_for_one: false,
        run: |ctx| Box::pin(sweep::run(ctx)),
    },
    Job {
        name: "deliver",
        about: "gathers notices into mails, and sends what is due",
        is_destructive: false,
        is_for_one: false,
        run: |ctx| Box::pin(deliver::run(ctx)),
    },
    Job {
        name: "purge",
        about: "purges keys whose window is over and whose owners were told",
        is_destructive: true,
        is_for_one: false,
        run: |ctx| Box::pin(purge::run(ctx)),
    },
    Job {
        name: "prune",
        about: "deletes history that has been kept long enough",
        is_destructive: false,
        is_for_one: true,
        run: |ctx| Box::pin(prune::run(ctx)),
    },
    Job {
        name: "seal",
        about: "chains the audit trail, so that no row of it can be changed unseen",
        is_destructive: false,
        is_for_one: true,
        run: |ctx| Box::pin(seal::run(ctx)),
    },
];

/// The job called `name`.
pub fn find(name: &str) -> Option<&'static Job> {
    JOBS.iter().find(|job| job.name == name)
}

/// What every run of every job shares.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub db: Db,
    /// The time of this machine, for measuring and for the history of runs.
    pub clock: Arc<dyn Clock>,
    /// The rules where neither tenant nor environment has its own.
    pub policies: Arc<Policies>,
    /// How much, how long.
    pub limits: Limits,
    /// The way out for mails.
    pub mailer: Arc<Mailer>,
    /// Up to where the due keys have been swept.
    pub swept: Arc<Swept>,
    /// Whether the clock is believed.
    pub timekeeper: Arc<Timekeeper>,
    /// Under which the audit trail is sealed.
    pub audit_key: Arc<SealKey>,
    /// This daemon's name among its replicas.
    pub instance: Arc<str>,
}

/// How much is done at a time, and how long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Keys in one transaction.
    pub batch: usize,
    /// How much may be destroyed before somebody has to look.
    pub brake: brake::Limits,
    /// How long a doubt about the clock stands before it is believed after all; `None` if it is
    /// never doubted.
    pub settle: Option<TimeDelta>,
    /// How long before a purge its owner must have been told.
    pub min_notice: TimeDelta,
    /// How long a message belongs to a daemon that does not answer.
    pub lease: Duration,
    /// How long the history of runs is kept.
    pub keep_runs: TimeDelta,
    /// How long messages and their notices are kept after their end.
    pub keep_messages: TimeDelta,
    /// How long the audit trail is kept; `None`: for ever.
    pub keep_audit: Option<TimeDelta>,
}

impl Default for Limits {
    /// What the default configuration says.
    fn default() -> Self {
        Self {
            batch: 1_000,
            brake: brake::Limits::default(),
            settle: Some(doubt::SETTLE),
            min_notice: TimeDelta::hours(72),
            lease: Duration::from_secs(600),
            keep_runs: TimeDelta::days(30),
            keep_messages: TimeDelta::days(90),
            keep_audit: None,
        }
    }
}

/// What one run gets.
#[derive(Clone)]
pub struct Context {
    /// What all runs share.
    pub deps: Deps,
    /// Set when the run shall stop; looked at between batches, never in the middle of one.
    pub cancel: CancellationToken,
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Items it looked at.
    pub n_examined: u64,
    /// Items it changed.
    pub n_changed: u64,
    /// Items that failed. They stopped nothing else.
    pub n_failed: u64,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.n_examined += other.n_examined;
        self.n_changed += other.n_changed;
        self.n_failed += other.n_failed;
    }
}
