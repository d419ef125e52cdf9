//! The schema goes up, down and up again on every engine, and several daemons may try at once.

use std::sync::Arc;

use lapsed::{clock::ManualClock, store::schema::SchemaState};
use migrations::{Migrator, MigratorTrait as _};

use crate::{
    on_each_engine,
    support::app::{days, noon},
};

on_each_engine! {
    async fn the_schema_goes_up_down_and_up_again(app: TestApp) {
        assert_eq!(app.db.schema_state().await.unwrap(), SchemaState::Current);
        let n = Migrator::migrations().len();
        Migrator::down(app.db.conn(), None).await.unwrap();
        assert_eq!(app.db.schema_state().await.unwrap(), SchemaState::Behind { n_pending: n });
        app.db.migrate().await.unwrap();
        app.people().await;
        assert_eq!(app.count("tenants").await, 1);
    }
}

on_each_engine! {
    async fn why_old_keys_ended_is_read_off_the_trail_and_else_off_their_dates(app: TestApp) {
        app.people().await;
        for id in 1..=4 {
            app.key(id, days(0)).await;
        }
        let n_before = Migrator::migrations().iter().position(|one| one.name().contains("_000015_"));
        let n_after = Migrator::migrations().len() - n_before.unwrap();
        Migrator::down(app.db.conn(), u32::try_from(n_after).ok()).await.unwrap();
        app.execute("UPDATE api_keys SET state = 3, window_ends_at = 1 WHERE id <= 3").await;
        app.execute("UPDATE api_keys SET access_ends_at = expires_at WHERE id <= 2").await;
        app.execute(
            "INSERT INTO audit_events (at, actor, action, key_id, detail) \
             VALUES (0, 'operator', 'key.revoked', 1, '{}'), (0, 'daemon', 'key.access_ended', 2, '{}')",
        )
        .await;
        app.db.migrate().await.unwrap();
        let reasons: Vec<Option<i16>> = app.column("SELECT end_reason FROM api_keys ORDER BY id").await;
        assert_eq!(reasons, [Some(2), Some(3), Some(2), None]);
    }
}

on_each_engine! {
    async fn a_newer_schema_is_left_alone(app: TestApp) {
        app.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2999_future', 0)").await;
        let expected = SchemaState::Ahead { unknown: "m2999_future".to_owned() };
        assert_eq!(app.db.schema_state().await.unwrap(), expected);
    }
}

on_each_engine! {
    async fn four_that_start_together_migrate_once(app: TestApp) {
        Migrator::down(app.db.conn(), None).await.unwrap();
        let clock = Arc::new(ManualClock::at(noon()));
        let mut daemons = Vec::new();
        for _ in 0..4 {
            daemons.push(app.test_db.connect(clock.clone()).await);
        }
        let migrations = daemons.iter().map(|db| db.migrate());
        for result in futures_util::future::join_all(migrations).await {
            result.unwrap();
        }
        assert_eq!(app.db.schema_state().await.unwrap(), SchemaState::Current);
    }
}
