//! The real program under a clock that jumps (libfaketime), while it runs and while it is down.
//! Only the time of day is moved: the monotonic clock goes on, as it does in the world.

use std::path::PathBuf;

use lapsed::{
    clock::{Clock as _, SystemClock},
    store::Engine,
};

use super::{people, seed, until_done};
use crate::support::{
    daemon::{Daemon, Site, until},
    db::with_db,
    smtp::Plan,
};

/// Debian's package `faketime`, which `.ci/test` installs.
fn library() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let paths = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found: Option<PathBuf> = paths.into_iter().find(|path| path.exists());
    found.expect("libfaketime\n  hint: apt-get install faketime").display().to_string()
}

/// A clock that can be moved under a program that looks at it.
struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    fn new() -> Self {
        let clock = Self { folder: tempfile::tempdir().unwrap() };
        clock.shift("+0");
        clock
    }

    /// Moves the clock so far from the true time: `+30d`, `-1d`.
    fn shift(&self, by: &str) {
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("shift"));
        std::fs::write(&new, by).unwrap();
        // At once, so that nobody reads half of it.
        std::fs::rename(new, file).unwrap();
    }

    fn start(&self, site: &Site) -> Daemon {
        let file = self.folder.path().join("shift").display().to_string();
        site.start_with(&[
            ("LD_PRELOAD", &library()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ])
    }
}

/// Leaves nothing due for days: ten keys are in their windows, and the others expire in 17 days.
async fn put_off(site: &Site) {
    let (now, day) = (SystemClock.now().timestamp_millis(), 86_400_000);
    let (told, ends_at) = (now - 4 * day, now + 5 * day);
    for statement in [
        format!(
            "UPDATE api_keys SET next_action_at = next_action_at + {0}, expires_at = expires_at + {0}",
            10 * day
        ),
        format!(
            "UPDATE api_keys SET state = 2, window_ends_at = {ends_at}, expires_at = {told}, \
             next_job = 2, next_action_at = {ends_at}, last_stage = -1 WHERE id <= 10"
        ),
        format!(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, \
             created_at, due_at, told_at) SELECT id, 1, owner_id, 0, expires_at, 3, {told}, {told}, \
             {told} FROM api_keys WHERE id <= 10"
        ),
    ] {
        site.execute(&statement).await;
    }
}

/// Waits until each job that a wrong clock misleads has run twice more.
async fn runs_on(daemon: &Daemon) {
    for job in ["sweep", "purge"] {
        let before = daemon.n_runs(job);
        until("it runs on", async || (before + 2 <= daemon.n_runs(job)).then_some(())).await;
    }
}

/// Everything that a wrong clock could spoil.
async fn spoils(site: &Site) -> [i64; 4] {
    let mut n = [0; 4];
    for (n, from) in n.iter_mut().zip([
        "tombstones",
        "notices WHERE message_id IS NOT NULL",
        "api_keys WHERE state = 1",
        "audit_events WHERE action LIKE 'key.%'",
    ]) {
        *n = site.count(from).await;
    }
    n
}

#[tokio::test]
async fn a_clock_that_jumps_destroys_nothing_and_tells_nobody() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let clock = Clock::new();
        people(&site, 10).await;
        let mut daemon = clock.start(&site);
        daemon.is_ready().await;
        // The reminders that are due by the true time are told; none is due for weeks then.
        seed(&site, 10, 50).await;
        until_done(&site).await;
        put_off(&site).await;
        let before = spoils(&site).await;

        // All of it is over by these clocks, or lies before what has been.
        for (n, by) in ["+30d", "-1d", "+1h", "+3650d"].into_iter().enumerate() {
            clock.shift(by);
            until("the doubt", async || (n < daemon.n_logged("Doubting the clock")).then_some(()))
                .await;
            runs_on(&daemon).await;
            assert_eq!(spoils(&site).await, before, "{by}");
            clock.shift("+0");
            until("the clock is believed", async || {
                (n < daemon.n_logged("The clock is believed again")).then_some(())
            })
            .await;
            runs_on(&daemon).await;
            assert_eq!(spoils(&site).await, before, "back from {by}");
        }

        // It moves while nobody looks: a daemon that was down would find the same, so owners are
        // told, and nothing is purged.
        daemon.stop().await;
        clock.shift("+30d");
        let mut daemon = clock.start(&site);
        daemon.has_logged("Doubting the clock").await;
        site.until_count("api_keys WHERE state = 2", |n| n == 50).await;
        runs_on(&daemon).await;
        assert_eq!(site.count("tombstones").await, 0);
        daemon.stop().await;
    })
    .await;
}
