//! What a sweep does, and what it never does.

use chrono::TimeDelta;

use crate::{
    on_each_engine,
    support::app::{days, noon},
};

const SECOND: TimeDelta = TimeDelta::seconds(1);

on_each_engine! {
    async fn a_key_is_announced_once_then_opens_its_window(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        assert_eq!(app.notices(1).await, ["expiring-30d superseded", "expiring-7d pending"]);
        assert_eq!(app.sweep().await.n_examined, 0, "a second sweep finds nothing due");
        assert_eq!(app.describe(1).await, "active, next sweep in PT518400S");

        app.clock.advance(days(6));
        app.sweep().await;
        app.clock.advance(days(1) - SECOND);
        assert_eq!(app.sweep().await.n_examined, 0);
        assert_eq!(app.describe(1).await, "active, next sweep in PT1S");

        app.clock.advance(SECOND);
        app.sweep().await;
        assert_eq!(app.describe(1).await, "window, next sweep in PT518400S");
        app.clock.advance(days(6));
        app.sweep().await;
        assert_eq!(app.describe(1).await, "window, next purge in PT86400S");
        assert_eq!(app.notices(1).await[2..], ["expiring-1d pending", "expired pending", "closing pending"]);
        let actions: Vec<String> = app.column("SELECT action FROM audit_events ORDER BY id").await;
        assert_eq!(actions, ["key.expired"], "each change of state has its row in the trail");
    }
}

on_each_engine! {
    async fn an_outage_takes_nothing_from_the_window(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.clock.advance(days(7 + 20));
        app.sweep().await;
        assert_eq!(app.describe(1).await, "window, next sweep in PT518400S");
        let told = ["expiring-30d superseded", "expiring-7d superseded", "expiring-1d superseded", "expired pending"];
        assert_eq!(app.notices(1).await, told, "only the most urgent is told");
    }
}

on_each_engine! {
    async fn every_due_key_is_done_in_one_run_however_many(app: TestApp) {
        app.people().await;
        for id in 1..=250 {
            app.key(id, days(7)).await;
        }
        let outcome = app.sweep().await;
        assert_eq!((outcome.n_examined, outcome.n_changed, outcome.n_failed), (250, 250, 0));
        assert_eq!(app.sweep().await.n_examined, 0);
    }
}

on_each_engine! {
    async fn a_bad_row_stops_only_itself(app: TestApp) {
        app.people().await;
        for id in 1..=12 {
            app.key(id, days(7)).await;
        }
        app.execute("UPDATE api_keys SET state = 9 WHERE id = 3").await;
        app.execute("UPDATE api_keys SET state = 2 WHERE id = 5").await;
        app.execute("UPDATE api_keys SET kind = 0 WHERE id = 7").await;
        app.execute("UPDATE api_keys SET expires_at = -1 WHERE id = 9").await;
        let outcome = app.sweep().await;
        assert_eq!((outcome.n_examined, outcome.n_changed, outcome.n_failed), (12, 8, 4));
        let reasons: Vec<String> =
            app.column("SELECT parked FROM api_keys WHERE parked IS NOT NULL ORDER BY id").await;
        assert_eq!(reasons, [
            "state is 9, which is no state of a key",
            "window_ends_at is missing, though the key is expired",
            "kind is 0, which is no kind of key",
            "expires_at is -1 ms, which is no time from 1970 to 9999",
        ]);
        assert_eq!(app.sweep().await.n_examined, 0, "and is not looked at again");
    }
}

on_each_engine! {
    async fn a_contractors_key_ends_with_the_contract(app: TestApp) {
        app.people().await;
        app.key(1, days(1)).await;
        let access_ends_at = (noon() + days(1)).timestamp_millis();
        app.execute(&format!("UPDATE api_keys SET access_ends_at = {access_ends_at}")).await;
        app.clock.advance(days(1));
        app.sweep().await;
        assert_eq!(app.describe(1).await, "revoked, next purge in PT259200S");
    }
}

on_each_engine! {
    async fn a_tenants_own_window_holds(app: TestApp) {
        app.people().await;
        app.execute(r#"UPDATE tenants SET policy = '{"window_days": 20}'"#).await;
        app.key(1, days(0)).await;
        app.sweep().await;
        assert_eq!(app.describe(1).await, "window, next sweep in PT1641600S");
    }
}

on_each_engine! {
    async fn an_idle_sweep_looks_at_nothing_old_but_forgets_nothing(app: TestApp) {
        app.people().await;
        app.sweep().await;
        app.key(1, days(7)).await;
        app.clock.advance(TimeDelta::minutes(4));
        assert_eq!(app.sweep().await.n_examined, 1, "a commit that came late is found");
        app.key(2, days(7)).await;
        app.execute("UPDATE api_keys SET next_action_at = 1000 WHERE id = 2").await;
        assert_eq!(app.sweep().await.n_examined, 0, "below the floor nothing can be due");
        app.clock.advance(TimeDelta::minutes(10));
        assert_eq!(app.sweep().await.n_examined, 1, "but every ten minutes everything is looked at");
    }
}
