//! A database that goes away, freezes, or refuses: the work waits, says so, and loses nothing.

use std::{sync::Arc, time::Duration};

use lapsed::{
    jobs::{
        self,
        runner::{Cause, RunError, Runner},
    },
    mail::transport::Transport,
    shutdown::Shutdown,
    store::{Engine, StoreError},
};

use crate::{
    on_each_engine,
    support::{
        app::{TestApp, days, deps},
        proxy::{Fault, Proxy},
    },
};

/// A runner that reaches the database of `app` through a proxy.
async fn behind_a_proxy(app: &TestApp) -> Option<(Proxy, Runner)> {
    let proxy = match app.test_db.server() {
        Some(address) => Proxy::start(address).await,
        None => return None, // An embedded database is never away.
    };
    let clock = Arc::new(app.clock.clone());
    let db = app.test_db.connect_by(proxy.address, clock, Duration::from_secs(2)).await;
    let mut deps = deps(db, app.clock.clone(), Transport::Memory(app.outbox.clone()));
    // For so long a mark is tried again; the clock of leases stands still.
    deps.limits.lease = Duration::from_secs(4);
    let runner = Runner::new(deps, Duration::from_secs(60), Shutdown::new());
    Some((proxy, runner))
}

async fn run(runner: &Runner, name: &str) -> Result<(), RunError> {
    runner.run(jobs::find(name).unwrap(), Cause::Schedule).await.map(|_| ())
}

/// Runs a job as the schedule would: again, until the database is back.
async fn run_again(runner: &Runner, name: &str) {
    for _ in 0..10 {
        match run(runner, name).await {
            Err(error) if is_away(&error) => {}
            result => return result.unwrap(),
        }
    }
    panic!("`{name}` does not find the database, which is back");
}

fn is_away(error: &RunError) -> bool {
    let RunError::Failed { source, .. } = error else { return false };
    source.chain().any(|cause| matches!(cause.downcast_ref(), Some(StoreError::Unavailable { .. })))
}

on_each_engine! {
    async fn a_database_that_goes_away_is_waited_for(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        let Some((proxy, runner)) = behind_a_proxy(&app).await else { return };
        run(&runner, "sweep").await.unwrap();
        proxy.fault(Fault::Cut);
        for job in ["sweep", "deliver", "purge", "prune"] {
            let error = run(&runner, job).await.unwrap_err();
            assert!(is_away(&error), "{job}: {error:#?}");
        }
        assert!(app.subjects().is_empty());
        proxy.fault(Fault::None);
        for job in ["sweep", "deliver", "purge", "prune"] {
            run_again(&runner, job).await;
        }
        assert_eq!(app.subjects().len(), 1, "it heals by itself, and nothing is lost");
    }
}

on_each_engine! {
    async fn a_lost_commit_is_not_done_twice(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        let Some((proxy, runner)) = behind_a_proxy(&app).await else { return };
        // The mail is taken over, and then the database is gone before that can be marked.
        let proxy = Arc::new(proxy);
        let saboteur = proxy.clone();
        app.outbox.decide_with(move |_| {
            saboteur.fault(Fault::Cut);
            lapsed::mail::memory::MemoryOutbox::accepted()
        });
        run(&runner, "sweep").await.unwrap();
        assert!(is_away(&run(&runner, "deliver").await.unwrap_err()));
        assert_eq!(app.outbox.sent().len(), 1);
        proxy.fault(Fault::None);
        app.outbox.decide_with(|_| lapsed::mail::memory::MemoryOutbox::accepted());
        run_again(&runner, "deliver").await;
        assert_eq!(app.outbox.sent().len(), 1, "it may have arrived: nobody hurries");
        app.clock.advance(chrono::TimeDelta::minutes(10));
        run(&runner, "deliver").await.unwrap();
        assert_eq!(app.outbox.sent().len(), 2, "then it is sent once more, and counted");
        assert_eq!(app.column::<i64>("SELECT ambiguous FROM messages").await, [1]);
    }
}

on_each_engine! {
    async fn a_deadlock_is_begun_anew(app: TestApp) {
        // The row locks of a claim skip what others hold; this provokes one by hand.
        app.people().await;
        app.key(1, days(7)).await;
        let fails_twice = "IF nextval(attempts) < 3 THEN";
        match app.db.engine() {
            Engine::Sqlite => return, // It has one writer at a time.
            Engine::Postgres => {
                app.execute("CREATE SEQUENCE attempts").await;
                app.execute(
                    "CREATE FUNCTION fail_twice() RETURNS trigger AS $$ BEGIN CASE \
                     nextval('attempts') WHEN 1 THEN RAISE EXCEPTION 'deadlock' \
                     USING ERRCODE = '40P01'; WHEN 2 THEN RAISE EXCEPTION 'no serial order' \
                     USING ERRCODE = '40001'; ELSE RETURN NEW; END CASE; END $$ LANGUAGE plpgsql",
                )
                .await;
                app.execute(
                    "CREATE TRIGGER trouble BEFORE UPDATE ON api_keys FOR EACH STATEMENT \
                     EXECUTE FUNCTION fail_twice()",
                )
                .await;
            }
            Engine::MariaDb => {
                app.execute("CREATE SEQUENCE attempts").await;
                app.execute(&format!(
                    "CREATE TRIGGER trouble BEFORE UPDATE ON api_keys FOR EACH ROW {fails_twice} \
                     SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'deadlock'; \
                     END IF"
                ))
                .await;
            }
        }
        assert_eq!(app.sweep().await.n_changed, 1);
    }
}

on_each_engine! {
    async fn a_full_disk_or_a_read_only_database_fails_the_run_and_loses_nothing(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        // As the servers say it; an embedded database's disk is filled in earnest, with the
        // program that uses it (process/unwell.rs).
        let refusals = match app.db.engine() {
            Engine::Sqlite => return,
            Engine::Postgres => ["53100", "25006"].map(|code| {
                format!(
                    "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
                     RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$ LANGUAGE plpgsql; \
                     CREATE TRIGGER refusal BEFORE INSERT ON notices EXECUTE FUNCTION refuse()"
                )
            }),
            Engine::MariaDb => [
                (1114, "The table 'notices' is full"),
                (1290, "The MariaDB server is running with the --read-only option"),
            ]
            .map(|(code, text)| {
                format!(
                    "CREATE TRIGGER refusal BEFORE INSERT ON notices FOR EACH ROW SIGNAL SQLSTATE \
                     'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = \"{text}\""
                )
            }),
        };
        let on_notices = if app.db.engine() == Engine::Postgres { " ON notices" } else { "" };
        for refusal in refusals {
            app.execute(&refusal).await;
            let error = app.try_job("sweep").await.unwrap_err();
            let RunError::Failed { source, .. } = &error else { panic!("{error}") };
            let is_told = |cause: &(dyn std::error::Error + 'static)| {
                matches!(cause.downcast_ref(), Some(StoreError::Unwritable { .. }))
            };
            assert!(source.chain().any(is_told), "{source:#?}");
            assert_eq!(app.describe(1).await, "active, next sweep in P0D", "all or nothing");
            app.execute(&format!("DROP TRIGGER refusal{on_notices}")).await;
        }
        assert_eq!(app.sweep().await.n_changed, 1);
        assert_eq!(app.notices(1).await[1], "expiring-7d pending");
    }
}
