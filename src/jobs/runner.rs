//! Every way in - schedule, command line, API - comes through [`Runner::run`], so that a run is
//! guarded, timed, logged and remembered alike, whoever asked for it.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, error, error_span, field, info, warn};

pub use crate::jobs::state::{JobState, Well};
use crate::{
    jobs::{
        Context, Deps, JOBS, Job, Outcome,
        alone::alone,
        contact::{Contact, Work, is_passing},
        idle::Idle,
        pauses::Pauses,
    },
    shutdown::{Shutdown, pause},
    store::runs::{self, Run, RunStatus},
    trace::TraceId,
};

/// What set a run off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The schedule.
    Schedule,
    /// Another job left work for this one.
    Wake,
    /// Somebody, by hand.
    Manual,
}

impl Cause {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Wake => "wake",
            Self::Manual => "manual",
        }
    }
}

/// Why a run did not happen, or did not end well.
#[derive(Debug, Error)]
pub enum RunError {
    /// The last one goes on.
    #[error("job `{0}` is running already")]
    Busy(&'static str),
    /// An operator has paused it.
    #[error("job `{0}` is paused")]
    Paused(&'static str),
    /// Another replica runs it for all.
    #[error("job `{0}` is running in another daemon")]
    Elsewhere(&'static str),
    /// It failed. It has been logged.
    #[error("failed to run job `{name}`: {source:#}")]
    Failed {
        /// The job.
        name: &'static str,
        /// Why.
        source: anyhow::Error,
    },
}

impl RunError {
    /// Whether it failed only because the database is away or busy, so that waiting helps.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Failed { source, .. } if is_passing(source))
    }
}

/// What a run begins with.
#[derive(Clone)]
struct Terms {
    deps: Deps,
    /// How long a run may take before it is asked to stop.
    limit: Duration,
}

/// How long a run may go on after it was asked to stop, before it counts as stuck. Each of its
/// waits is bounded, and none is that long.
const STUCK: Duration = Duration::from_secs(300);

struct Slot {
    guard: Mutex<()>,
    state: watch::Sender<JobState>,
    idle: Idle,
}

/// Runs jobs, one run of each at a time. Cheap to clone.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    /// What runs that begin now get. A reload puts another in its place.
    terms: RwLock<Terms>,
    /// How long a run may go on after it was asked to stop.
    patience: Duration,
    shutdown: Shutdown,
    contact: Contact,
    pauses: Pauses,
    slots: HashMap<&'static str, Slot>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("limit", &self.terms().limit).finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner whose runs may take `limit` each and stop with `shutdown`.
    pub fn new(deps: Deps, limit: Duration, shutdown: Shutdown) -> Self {
        Self::patient(deps, (limit, STUCK), shutdown)
    }

    /// The same, with how long a run may go on after its limit before it counts as [`stuck`](Self::stuck).
    pub fn patient(
        deps: Deps,
        (limit, patience): (Duration, Duration),
        shutdown: Shutdown,
    ) -> Self {
        let slot = || Slot {
            guard: Mutex::default(),
            state: watch::Sender::default(),
            idle: Idle::default(),
        };
        let slots = JOBS.iter().map(|job| (job.name, slot())).collect();
        let terms = RwLock::new(Terms { deps, limit });
        let (contact, pauses) = (Contact::default(), Pauses::default());
        Self(Arc::new(Inner { terms, patience, shutdown, contact, pauses, slots }))
    }

    /// What all runs that begin now share.
    pub fn deps(&self) -> Deps {
        self.terms().deps
    }

    /// Gives `deps` and `limit` to the runs that begin from now on. One that is under way goes on
    /// with what it has.
    pub fn renew(&self, deps: Deps, limit: Duration) {
        let mut terms = self.0.terms.write().unwrap_or_else(PoisonError::into_inner);
        *terms = Terms { deps, limit };
    }

    /// Notes that the schedule wants a run of the job called `name` from now on.
    pub fn due(&self, name: &str) {
        if let Some(slot) = self.0.slots.get(name) {
            slot.state.send_modify(JobState::due);
        }
    }

    /// The job, if there is one, that was asked to stop long ago and did not.
    pub fn stuck(&self) -> Option<&'static str> {
        let longest = self.terms().limit + self.0.patience;
        let is_stuck = |job: &&Job| {
            self.state(job).running_since.is_some_and(|since| longest < since.elapsed())
        };
        JOBS.iter().find(is_stuck).map(|job| job.name)
    }

    /// For how long the database has taken no changes, as far as the jobs have met it.
    pub fn unwritable_for(&self) -> Option<Duration> {
        self.0.contact.unwritable_for()
    }

    fn terms(&self) -> Terms {
        // Terms are whole at any time, so a panic elsewhere spoils nothing.
        self.0.terms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known about `job` in this process.
    pub fn state(&self, job: &Job) -> JobState {
        self.0.slots.get(job.name).map(|slot| slot.state.borrow().clone()).unwrap_or_default()
    }

    /// What is known about `job` in this process from now on, as it changes. `None` if there is no
    /// such job.
    pub fn follow(&self, job: &Job) -> Option<watch::Receiver<JobState>> {
        self.0.slots.get(job.name).map(|slot| slot.state.subscribe())
    }

    /// Runs `job` now, and waits for its end. The run goes on if the caller does not wait.
    ///
    /// # Errors
    /// [`RunError::Busy`] or [`RunError::Elsewhere`] if it is running, [`RunError::Paused`] if it
    /// may not, and
    /// [`RunError::Failed`] if it failed; the runner has logged that.
    pub async fn run(&self, job: &'static Job, cause: Cause) -> Result<Outcome, RunError> {
        let runner = self.clone();
        let span = span_of(job, cause);
        let task = async move { runner.run_guarded(job, cause).await }.instrument(span);
        match self.0.shutdown.tracker.spawn(task).await {
            Ok(result) => result,
            Err(error) => Err(RunError::Failed { name: job.name, source: error.into() }),
        }
    }

    async fn run_guarded(&self, job: &'static Job, cause: Cause) -> Result<Outcome, RunError> {
        let Some(slot) = self.0.slots.get(job.name) else { return Err(RunError::Busy(job.name)) };
        let Ok(_guard) = slot.guard.try_lock() else { return Err(RunError::Busy(job.name)) };
        let terms = self.terms();
        let is_held = self.0.pauses.hold(&terms.deps.db, job, cause).await;
        if let Ok(true) = is_held {
            return Err(RunError::Paused(job.name));
        }
        let started_at = terms.deps.clock.now();
        let started = Instant::now();
        slot.state.send_modify(|state| state.running_since = Some(started));
        let result = match is_held {
            Ok(_) => match self.run_contained(job, &terms).await {
                Some(result) => result,
                None => {
                    slot.state.send_modify(|state| {
                        state.running_since = None;
                        state.is_done(started);
                    });
                    return Err(RunError::Elsewhere(job.name));
                }
            },
            Err(error) => Err(anyhow::Error::from(error)),
        };
        let duration = started.elapsed();
        slot.state.send_modify(|state| {
            state.ended(&result, (started_at, started), duration);
            if result.is_ok() {
                state.is_done(started);
            }
        });
        self.tell(job, &result, started);
        self.remember(&terms.deps, job, cause, started_at, &result).await;
        result.map_err(|source| RunError::Failed { name: job.name, source })
    }

    /// Runs the job so that neither a panic nor an overrun of it gets any further. `None` if it is
    /// for one replica, and another one runs it.
    async fn run_contained(&self, job: &Job, terms: &Terms) -> Option<anyhow::Result<Outcome>> {
        let cancel = self.0.shutdown.token.child_token();
        let ctx = Context { deps: terms.deps.clone(), cancel: cancel.clone() };
        // The panic may come before the future does, so the call is inside as well.
        let work = AssertUnwindSafe(async move { (job.run)(ctx).await }).catch_unwind();
        let Deps { db, instance, .. } = &terms.deps;
        let work = async {
            match job.is_for_one {
                false => Ok(Some(work.await)),
                true => alone(db, job.name, instance, &cancel, work).await,
            }
        };
        let mut work = std::pin::pin!(work);
        // A job that runs too long is asked to stop, and then awaited. It is never dropped in the
        // middle of an `.await`: nothing in the store promises to survive that.
        let result = tokio::select! {
            result = &mut work => result,
            () = overrun(&cancel, terms.limit, job.name) => work.await,
        };
        let panicked =
            |panic: Box<dyn Any + Send>| anyhow!("the job panicked: {}", panic_text(&*panic));
        match result {
            Ok(ran) => ran.map(|ran| ran.unwrap_or_else(|panic| Err(panicked(panic)))),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// One line per run that did something; those that found nothing are one line an hour, and one each
    /// for debugging. An outage of the database is one line for all runs that meet it.
    fn tell(&self, job: &Job, result: &anyhow::Result<Outcome>, began: Instant) {
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let has_written = result.as_ref().is_ok_and(|outcome| 0 < outcome.n_changed);
        let is_passing = self.0.contact.note(result, Work { began, has_written });
        match result {
            Ok(Outcome { n_examined: 0, .. }) => {
                debug!(duration_ms, "Ran job `{}`: nothing was due", job.name);
                let untold = self.0.slots.get(job.name).and_then(|slot| slot.idle.note(began));
                if let Some(n_runs) = untold {
                    info!(n_runs, "Ran job `{}` {n_runs} times: nothing was due", job.name);
                }
            }
            Ok(Outcome { n_examined, n_changed, n_failed: 0 }) => {
                info!(duration_ms, n_examined, n_changed, "Ran job `{}`", job.name);
            }
            Ok(Outcome { n_examined, n_changed, n_failed }) => {
                warn!(
                    duration_ms,
                    n_examined,
                    n_changed,
                    n_failed,
                    "Ran job `{}`, but not all went well",
                    job.name
                );
            }
            Err(error) if is_passing => {
                debug!(duration_ms, "Failed to run job `{}`: {error:#}", job.name);
            }
            Err(error) => error!(duration_ms, "Failed to run job `{}`: {error:#}", job.name),
        }
    }

    /// Writes the run into the history, if there is anything to remember.
    async fn remember(
        &self,
        deps: &Deps,
        job: &Job,
        cause: Cause,
        started_at: DateTime<Utc>,
        result: &anyhow::Result<Outcome>,
    ) {
        if self.0.contact.is_lost() {
            return; // There is nobody to remember it.
        }
        let outcome = result.as_ref().copied().unwrap_or_default();
        let status = match result {
            Ok(Outcome { n_examined: 0, .. }) if cause != Cause::Manual => return,
            Ok(Outcome { n_failed: 0, .. }) => RunStatus::Done,
            Ok(_) => RunStatus::Partial,
            Err(_) => RunStatus::Failed,
        };
        let run = Run {
            job: job.name.to_owned(),
            instance: deps.instance.to_string(),
            cause: cause.as_str().to_owned(),
            started_at,
            finished_at: Some(deps.clock.now()),
            status,
            n_examined: outcome.n_examined,
            n_changed: outcome.n_changed,
            n_failed: outcome.n_failed,
            error: result.as_ref().err().map(|error| format!("{error:#}")),
        };
        let work = Work { began: Instant::now(), has_written: true };
        let recorded = runs::record(&deps.db, &run).await.map_err(anyhow::Error::from);
        let is_passing = self.0.contact.note(&recorded, work);
        if let (Err(error), false) = (recorded, is_passing) {
            warn!("Failed to remember a run of `{}`: {error:#}", job.name);
        }
    }
}

/// What stands in each line of a run, of the highest level so that whatever line is let through has
/// it. A run is part of the trace of the request that asked for it, or begins one.
fn span_of(job: &Job, cause: Cause) -> Span {
    let (name, cause) = (job.name, cause.as_str());
    let span = error_span!("job", job.name = name, job.cause = cause, trace_id = field::Empty);
    if Span::current().is_none() {
        span.record("trace_id", field::display(TraceId::new()));
    }
    span
}

/// Ends when the job has run for `limit` and has been asked to stop.
async fn overrun(cancel: &CancellationToken, limit: Duration, name: &str) {
    if pause(cancel, limit).await {
        warn!("Asked job `{name}` to stop after {limit:?}");
        cancel.cancel();
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
