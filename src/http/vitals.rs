//! What health checks and metrics look at.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use tracing::debug;

use crate::{
    clock::Clock,
    heartbeat::Heartbeat,
    http::{
        fresh::Fresh,
        readiness::{Database, Evidence},
    },
    jobs::runner::Runner,
    meter::Answers,
    metrics::{Process, Scrape},
    shutdown::Shutdown,
    store::{
        Db, StoreError, flags,
        gauges::{self, Backlog, Stock},
        schema::SchemaState,
    },
};

/// How long the loop may stand still before the daemon is called dead.
const DEAD: Duration = Duration::from_secs(300);
/// How long a request waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);
/// How old the word that the database answers may be.
const PULSE_AGE: Duration = Duration::from_secs(2);
/// How old the word about the schema may be.
const SCHEMA_AGE: Duration = Duration::from_secs(60);
/// How old the counts of what waits may be.
const BACKLOG_AGE: Duration = Duration::from_secs(15);
/// How old the counts of what there is may be. Whole tables are read for them.
const STOCK_AGE: Duration = Duration::from_secs(60);
/// No more than one part in so many of the time is spent on reading whole tables.
const STOCK_THRIFT: u32 = 50;

/// How the daemon is. Cheap to clone.
///
/// It begins without a database: health is served before there is one. Every question to it is
/// asked in a task that shutdown waits for, and asked again only when the last answer is old.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    heartbeat: Heartbeat,
    shutdown: Shutdown,
    answers: Arc<Answers>,
    runner: OnceLock<Runner>,
    /// Whether somebody collects the spans of requests.
    are_spans_collected: AtomicBool,
    /// When the database last answered.
    answered_at: Mutex<Option<Instant>>,
    pulse: Fresh<()>,
    schema: Fresh<SchemaState>,
    offset: Fresh<TimeDelta>,
    backlog: Fresh<Backlog>,
    stock: Fresh<Stock>,
}

impl Vitals {
    /// A daemon that has not reached its database yet.
    pub fn new(heartbeat: Heartbeat, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            heartbeat,
            shutdown,
            answers: Arc::default(),
            runner: OnceLock::new(),
            are_spans_collected: AtomicBool::new(false),
            answered_at: Mutex::default(),
            pulse: Fresh::new(PULSE_AGE),
            schema: Fresh::new(SCHEMA_AGE),
            offset: Fresh::new(BACKLOG_AGE),
            backlog: Fresh::new(BACKLOG_AGE),
            stock: Fresh::thrifty(STOCK_AGE, STOCK_THRIFT),
        }))
    }

    /// From now on there is a database, and jobs that work on it. Only the first call counts.
    pub fn reached(&self, runner: Runner) {
        // A second runner would be a mistake of the caller's, but no reason to stop.
        let _ = self.0.runner.set(runner);
    }

    /// From now on somebody collects the spans of requests.
    pub fn spans_are_collected(&self) {
        self.0.are_spans_collected.store(true, Ordering::Relaxed);
    }

    pub(super) fn are_spans_collected(&self) -> bool {
        self.0.are_spans_collected.load(Ordering::Relaxed)
    }

    /// Where answers are counted.
    pub(super) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// For how long the loop has stood still, if it has for too long.
    pub(super) fn standstill(&self) -> Option<Duration> {
        Some(self.0.heartbeat.age()).filter(|age| DEAD <= *age)
    }

    /// What readiness is decided from.
    pub(super) async fn evidence(&self) -> Evidence {
        let Some(runner) = self.0.runner.get() else {
            let database = Database::Awaited;
            return Evidence { database, schema: None, mail_rests_until: None };
        };
        let mut database = self.database(runner).await;
        let mut schema = None;
        if database == Database::Up {
            if let Some(since) = runner.unwritable_for() {
                database = Database::Unwritable(since);
            }
            let db = runner.deps().db;
            let ask = || async move { known("read the schema's version", db.schema_state().await) };
            let known = self.0.schema.get(&self.0.shutdown.tracker, PATIENCE, ask).await;
            schema = known.latest();
        }
        Evidence { database, schema, mail_rests_until: mail_rests_until(runner) }
    }

    /// Everything metrics tell.
    pub(super) async fn scrape(&self) -> Scrape {
        let (process, answers) = (Process::read(), self.0.answers.clone());
        let Some(runner) = self.0.runner.get() else {
            return Scrape { process, answers, ..Scrape::default() };
        };
        let mut scrape = Scrape {
            is_database_up: self.database(runner).await == Database::Up,
            is_mail_resting: Some(mail_rests_until(runner).is_some()),
            clock_doubt: runner.deps().timekeeper.doubt(),
            meter: Some(runner.deps().db.meter().clone()),
            answers,
            process,
            ..Scrape::default()
        };
        if scrape.is_database_up {
            let (tracker, db) = (&self.0.shutdown.tracker, runner.deps().db);
            let ask = || offset(db.clone(), runner.deps().clock);
            scrape.clock_offset = self.0.offset.get(tracker, PATIENCE, ask).await.latest();
            let ask = || backlog(db.clone());
            scrape.backlog = self.0.backlog.get(tracker, PATIENCE, ask).await.latest();
            let ask = || stock(db.clone());
            scrape.stock = self.0.stock.get(tracker, PATIENCE, ask).await.latest();
        }
        scrape.with_jobs(|job| runner.state(job))
    }

    /// Asks the database whether it is there: one row of a small table.
    async fn database(&self, runner: &Runner) -> Database {
        let db = runner.deps().db;
        let ask = || async move {
            known("reach the database", flags::get(&db, flags::PAUSE_ALL).await).map(drop)
        };
        let known = self.0.pulse.get(&self.0.shutdown.tracker, PATIENCE, ask).await;
        let mut answered_at = self.0.answered_at.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_fresh && known.value.is_some() {
            *answered_at = Some(Instant::now());
            return Database::Up;
        }
        answered_at.map_or(Database::Awaited, |at| Database::Away(at.elapsed()))
    }
}

/// By how much the database's clock is ahead, as of the middle of the question.
async fn offset(db: Db, clock: Arc<dyn Clock>) -> Option<TimeDelta> {
    let asked_at = clock.now();
    let now = known("read the database's clock", db.now(db.conn()).await)?;
    Some(now - (asked_at + (clock.now() - asked_at) / 2))
}

async fn backlog(db: Db) -> Option<Backlog> {
    known("count what waits", gauges::backlog(&db).await)
}

async fn stock(db: Db) -> Option<Stock> {
    known("count what there is", gauges::stock(&db).await)
}

/// The answer, if there is one. Why there is none is for debugging only: the jobs say it, once.
fn known<T>(what: &str, answer: Result<T, StoreError>) -> Option<T> {
    let failed = |error| debug!("Failed to {what}: {:#}", anyhow::Error::from(error));
    answer.map_err(failed).ok()
}

fn mail_rests_until(runner: &Runner) -> Option<chrono::DateTime<chrono::Utc>> {
    let deps = runner.deps();
    deps.mailer.breaker.rests_until(deps.clock.now())
}
