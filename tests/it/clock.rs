//! What is not done while the clock may be wrong, and that it is done when the clock is right.

use std::sync::Arc;

use chrono::TimeDelta;
use lapsed::{
    domain::doubt::{Cause, SETTLE},
    store::{Engine, clock},
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days},
};

/// The installation with its guard, after a first run in which all was well.
async fn guarded(app: TestApp) -> TestApp {
    let app = app.with(|deps| deps.limits.settle = Some(SETTLE));
    app.people().await;
    app.job("purge").await;
    app
}

/// The same after a restart: what the process knew of the time is lost.
fn restarted(app: TestApp) -> TestApp {
    app.with(|deps| deps.timekeeper = Arc::default())
}

fn cause(app: &TestApp) -> Option<Cause> {
    app.deps.timekeeper.doubt().map(|doubt| doubt.cause)
}

async fn trail(app: &TestApp) -> Vec<String> {
    app.column("SELECT action FROM audit_events WHERE action LIKE 'clock.%' ORDER BY id").await
}

on_each_engine! {
    async fn a_clock_that_jumps_ahead_destroys_nothing_and_tells_nobody(app: TestApp) {
        let app = guarded(app).await;
        app.key(1, days(20)).await;
        app.key(2, days(40)).await;
        app.clock.set(app.now() + days(30));
        for _ in 0..3 {
            assert_eq!(app.sweep().await.n_examined, 0);
            app.job("purge").await;
            app.clock.advance(TimeDelta::minutes(1));
        }
        assert_eq!(cause(&app), Some(Cause::Jumped));
        assert_eq!(app.count("notices").await, 0, "nobody is told of dates that are far away");
        assert_eq!(trail(&app).await, ["clock.doubted"], "once, and not per run");

        // Put right, it is believed at once.
        app.clock.set(app.now() - days(30));
        assert_eq!(app.sweep().await.n_examined, 2);
        assert_eq!(cause(&app), None);
        assert_eq!(app.notices(1).await.last().unwrap(), "expiring-30d pending");
        assert_eq!(trail(&app).await, ["clock.doubted", "clock.trusted"]);
    }
}

on_each_engine! {
    async fn a_jump_that_nobody_puts_right_is_believed_after_a_day(app: TestApp) {
        let app = guarded(app).await;
        app.key(1, days(20)).await;
        app.clock.set(app.now() + days(25));
        app.sweep().await;
        // Another jump does not make the day shorter.
        app.clock.set(app.now() + days(2));
        app.sweep().await;
        app.clock.advance(SETTLE - TimeDelta::seconds(1));
        assert_eq!(app.sweep().await.n_examined, 0);
        app.clock.advance(TimeDelta::seconds(1));
        assert_eq!(app.sweep().await.n_examined, 1);
        assert_eq!(cause(&app), None);
    }
}

on_each_engine! {
    async fn an_operator_who_accepts_the_clock_ends_the_doubt(app: TestApp) {
        let app = guarded(app).await;
        app.key(1, days(20)).await;
        app.clock.set(app.now() + days(25));
        app.sweep().await;
        clock::trust(&app.db, "operator", app.now()).await.unwrap();
        app.sweep().await;
        assert_eq!(cause(&app), None);
        assert_eq!(app.notices(1).await.last().unwrap(), "expired pending");
    }
}

on_each_engine! {
    async fn a_clock_that_is_set_back_is_waited_for(app: TestApp) {
        let app = guarded(app).await;
        app.key(1, days(2)).await;
        app.sweep().await;
        app.clock.advance(days(2));
        app.clock.set(app.now() - days(2) - TimeDelta::hours(3));
        app.job("purge").await;
        assert_eq!(cause(&app), Some(Cause::Behind));
        app.clock.advance(TimeDelta::hours(3));
        app.job("purge").await;
        assert_eq!(cause(&app), None);
    }
}

on_each_engine! {
    async fn after_a_stop_owners_are_told_and_purges_wait(app: TestApp) {
        let app = guarded(app).await;
        app.key(1, days(1)).await;
        app.clock.advance(days(1));
        app.pass().await;
        assert_eq!(app.notices(1).await.last().unwrap(), "expired told");
        // Everything is down until a moment after the window.
        app.clock.advance(days(7));
        let app = restarted(app);
        app.key(2, days(1)).await;
        app.clock.advance(TimeDelta::seconds(1));
        app.pass().await;
        assert_eq!(cause(&app), Some(Cause::Gap));
        assert_eq!(app.notices(2).await.last().unwrap(), "expiring-1d told");
        assert_eq!(app.count("tombstones").await, 0);
        // A second start does not begin the day anew.
        app.clock.advance(TimeDelta::hours(12));
        let app = restarted(app);
        app.pass().await;
        assert_eq!(app.count("tombstones").await, 0);
        app.clock.advance(TimeDelta::hours(12));
        app.pass().await;
        assert_eq!(app.count("tombstones").await, 1);
    }
}

on_each_engine! {
    async fn a_short_stop_raises_no_doubt(app: TestApp) {
        let app = guarded(app).await;
        app.clock.advance(TimeDelta::minutes(49));
        let app = restarted(app);
        app.sweep().await;
        assert_eq!(cause(&app), None);
        assert!(trail(&app).await.is_empty());
    }
}

on_each_engine! {
    async fn clocks_that_are_apart_hold_everything_until_they_agree(app: TestApp) {
        if app.db.engine() == Engine::Sqlite {
            return; // It has no clock of its own.
        }
        // The server's own clock decides, and this machine's is ten minutes ahead of it.
        let db = app.test_db.connect_unforced().await;
        let real = db.now(db.conn()).await.unwrap();
        app.clock.set(real + TimeDelta::minutes(10));
        let app = app.with(|deps| {
            deps.db = db;
            deps.limits.settle = Some(SETTLE);
        });
        app.people().await;
        app.key(1, days(5)).await;
        app.execute("UPDATE api_keys SET next_action_at = 0").await;
        assert_eq!(app.sweep().await.n_examined, 0);
        assert_eq!(cause(&app), Some(Cause::Apart));
        app.clock.set(app.deps.db.now(app.deps.db.conn()).await.unwrap());
        assert_eq!(app.sweep().await.n_examined, 1);
        assert_eq!(cause(&app), None);
        app.deps.db.close().await.unwrap();
    }
}
