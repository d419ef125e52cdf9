//! What the schedule promises over real jobs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use lapsed::{
    clock::{Clock, ManualClock},
    config::{Config, ScheduleConfig},
    heartbeat::Heartbeat,
    jobs::{
        self,
        runner::{Cause, Runner},
    },
    mail::{memory::MemoryOutbox, transport::Transport},
    schedule::Schedule,
    shutdown::Shutdown,
    store::Engine,
};

use crate::{
    support::{
        app::{TestApp, days, deps, noon, run},
        db::with_db,
    },
    watch::until,
};

/// A schedule whose lines all mean the next leap day: so that only pokes set jobs off.
fn leap_day() -> ScheduleConfig {
    let lines = ["SWEEP", "DELIVER", "PURGE", "PRUNE"];
    let line = |name| (format!("LAPSED_SCHEDULE__{name}"), "0 0 0 29 2 *".to_owned());
    Config::load(None, lines.into_iter().map(line)).unwrap().config.schedule
}

async fn start(runner: &Runner, config: &ScheduleConfig, shutdown: &Shutdown) -> Schedule {
    Schedule::start(runner, config, Heartbeat::new(), shutdown).await.unwrap()
}

async fn stop(shutdown: &Shutdown) {
    shutdown.token.cancel();
    shutdown.tracker.close();
    let stopped = tokio::time::timeout(Duration::from_secs(5), shutdown.tracker.wait());
    stopped.await.expect("workers that wait stop at once");
}

#[tokio::test]
async fn a_start_catches_up_and_a_sweep_wakes_the_delivery() {
    run(Engine::Sqlite, async |app: TestApp| {
        app.people().await;
        app.key(1, days(5)).await;
        let shutdown = Shutdown::new();
        let schedule = start(&app.runner, &leap_day(), &shutdown).await;
        until(async || app.outbox.sent().len() == 1).await;
        until(async || app.runner.state(jobs::find("purge").unwrap()).n_runs == 1).await;
        assert_eq!(app.runner.state(jobs::find("prune").unwrap()).n_runs, 0, "nothing to catch up");

        app.owner(2, "bob@acme.example").await;
        app.key_of(2, 2, days(5)).await;
        assert!(schedule.poke("sweep", Cause::Schedule));
        until(async || app.outbox.sent().len() == 2).await;
        stop(&shutdown).await;
    })
    .await;
}

#[tokio::test]
async fn a_job_without_a_line_does_not_run_by_itself() {
    run(Engine::Sqlite, async |app: TestApp| {
        app.people().await;
        app.key(1, days(5)).await;
        let config = ScheduleConfig { deliver: None, ..leap_day() };
        let shutdown = Shutdown::new();
        let schedule = start(&app.runner, &config, &shutdown).await;
        let n_runs = |name| app.runner.state(jobs::find(name).unwrap()).n_runs;
        until(async || n_runs("sweep") == 1 && n_runs("purge") == 1).await;
        assert!(!schedule.poke("deliver", Cause::Wake));
        stop(&shutdown).await;
        assert_eq!(n_runs("deliver"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_cron_line_ticks() {
    run(Engine::Sqlite, async |app: TestApp| {
        let every_second = "* * * * * *".parse().ok();
        let config = ScheduleConfig { prune: every_second, ..leap_day() };
        let shutdown = Shutdown::new();
        start(&app.runner, &config, &shutdown).await;
        until(async || app.runner.state(jobs::find("prune").unwrap()).n_runs >= 2).await;
        stop(&shutdown).await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_does_not_stop_stops_the_heart_until_it_does() {
    run(Engine::Sqlite, async |app: TestApp| {
        app.people().await;
        app.key(1, days(5)).await;
        let (shutdown, heartbeat) = (Shutdown::new(), Heartbeat::new());
        let limits = (Duration::from_secs(1), Duration::ZERO);
        let runner = Runner::patient(app.runner.deps(), limits, shutdown.clone());
        let writer = app.db.begin().await.unwrap();
        Schedule::start(&runner, &leap_day(), heartbeat.clone(), &shutdown).await.unwrap();
        until(async || runner.stuck() == Some("sweep")).await;
        // It beats every second while all is well; this is what the watchdog is fed by.
        until(async || Duration::from_secs(3) < heartbeat.age()).await;
        writer.undo().await.unwrap();
        until(async || runner.stuck().is_none() && heartbeat.age() < Duration::from_secs(1)).await;
        stop(&shutdown).await;
    })
    .await;
}

/// A clock that panics when it is asked.
struct Bomb(Arc<AtomicBool>);

impl Clock for Bomb {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.0.load(Ordering::SeqCst), "the clock was armed for the test");
        noon()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn a_panic_fails_one_run_and_the_job_lives_on() {
    with_db(Engine::Sqlite, async |test_db| {
        let is_armed = Arc::new(AtomicBool::new(false));
        let db = test_db.connect(Arc::new(Bomb(is_armed.clone()))).await;
        db.migrate().await.unwrap();
        is_armed.store(true, Ordering::SeqCst);
        let shutdown = Shutdown::new();
        let deps = deps(db, ManualClock::at(noon()), Transport::Memory(MemoryOutbox::default()));
        let runner = Runner::new(deps, Duration::from_secs(60), shutdown.clone());
        let schedule = start(&runner, &leap_day(), &shutdown).await;
        let sweep = || runner.state(jobs::find("sweep").unwrap());
        until(async || sweep().n_failures == 1).await;
        let error = sweep().last_error.unwrap();
        assert_eq!(error, "the job panicked: the clock was armed for the test");

        is_armed.store(false, Ordering::SeqCst);
        until(async || sweep().running_since.is_none()).await;
        schedule.poke("sweep", Cause::Schedule);
        until(async || sweep().n_runs == 2 && sweep().last_success_at.is_some()).await;
        stop(&shutdown).await;
    })
    .await;
}
