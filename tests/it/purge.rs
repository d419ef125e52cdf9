//! What is purged, and what never is.

use chrono::TimeDelta;
use lapsed::store::{
    access, gauges, health, key_changes, keys::KeyError, owners, policies::PolicyBook,
};

use crate::{
    on_each_engine,
    support::app::{OPERATOR, days},
};

on_each_engine! {
    async fn a_key_nobody_brought_back_is_purged_and_leaves_a_tombstone(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.execute("INSERT INTO key_secrets (key_id, version, algorithm, mac, pepper_id, created_at) VALUES (1, 1, 1, 'x', 1, 0)").await;
        app.pass().await;
        app.clock.advance(days(7) - TimeDelta::seconds(1));
        app.pass().await;
        assert_eq!(app.describe(1).await, "window, next purge in PT0.998S");
        app.clock.advance(TimeDelta::milliseconds(997));
        app.pass().await;
        assert_eq!(app.describe(1).await, "gone", "at the millisecond at which the window ends");
        app.clock.advance(TimeDelta::seconds(1));
        app.pass().await;
        assert_eq!(app.describe(1).await, "gone");
        assert_eq!(app.count("key_secrets").await, 0);
        let tombstone: Vec<String> = app.column("SELECT public_id FROM tombstones").await;
        assert_eq!(tombstone, ["key000000001"]);
        assert_eq!(app.notices(1).await, ["expiring-30d superseded", "expiring-7d superseded", "expiring-1d superseded", "expired told", "closing told", "purged told"]);
        let actions: Vec<String> = app.column("SELECT action FROM audit_events ORDER BY id").await;
        assert_eq!(actions, ["key.expired", "key.purged"]);
    }
}

on_each_engine! {
    async fn nothing_is_purged_before_somebody_was_told(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.sweep().await;
        app.clock.advance(days(30));
        app.sweep().await;
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "window, next purge in PT3600S", "no mail went out");
        app.job("deliver").await;
        app.clock.advance(TimeDelta::hours(2));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "window, next purge in PT252000S", "told 2 hours ago");
        app.clock.advance(TimeDelta::hours(70));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "gone", "told 72 hours ago");
    }
}

on_each_engine! {
    async fn an_operator_decides_about_a_key_whose_owner_nobody_could_tell(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.sweep().await;
        app.clock.advance(days(30));
        app.sweep().await;
        app.clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(gauges::deferred(&app.db, app.now()).await.unwrap(), 0, "nobody has asked yet");
        app.job("purge").await;
        assert_eq!(gauges::deferred(&app.db, app.now()).await.unwrap(), 1);
        assert_eq!(health::health(&app.db, app.now()).await.unwrap().n_deferred, 1);

        let book = PolicyBook::new((*app.deps.policies).clone());
        key_changes::revoke(&app.db, &book, OPERATOR, "key000000001", None).await.unwrap();
        assert_eq!(gauges::deferred(&app.db, app.now()).await.unwrap(), 0, "it has been decided");
        app.clock.advance(TimeDelta::hours(72));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "gone", "after the time for an undo, told or not");
    }
}

on_each_engine! {
    async fn a_window_shorter_than_the_notice_is_notice_enough(app: TestApp) {
        app.people().await;
        app.execute("UPDATE tenants SET policy = '{\"window_days\": 1}'").await;
        app.execute("INSERT INTO environments (id, tenant_id, slug, name, class, contacts, created_at, policy) \
             VALUES (2, 1, 'none', 'None', 1, '[]', 0, '{\"window_days\": 0}')").await;
        app.key(1, days(0)).await;
        app.key(2, days(0)).await;
        app.execute("UPDATE api_keys SET environment_id = 2 WHERE id = 2").await;
        app.sweep().await;
        app.clock.advance(TimeDelta::hours(2));
        app.job("deliver").await;
        app.clock.advance(days(1) - TimeDelta::milliseconds(1));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "window, next purge in PT0.001S", "it was told two hours late");
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "gone", "after its window nobody could have used the rest");
        assert_eq!(app.describe(2).await, "window, next purge in PT172800S", "without one, all of it counts");
    }
}

on_each_engine! {
    async fn a_key_that_ends_with_a_contract_and_is_revoked_before_is_purged(app: TestApp) {
        app.people().await;
        for id in 1..=2 {
            app.key(id, days(60)).await;
        }
        let book = PolicyBook::new((*app.deps.policies).clone());
        let ada = owners::find(app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap();
        let end = Some(app.now() + days(10));
        access::set_end(&app.db, &book, OPERATOR, &ada, end).await.unwrap();
        key_changes::revoke(&app.db, &book, OPERATOR, "key000000001", None).await.unwrap();
        app.clock.advance(days(3));
        app.job("purge").await;
        assert_eq!(app.describe(1).await, "gone", "whoever revoked it knows, whatever its dates are");
        assert_eq!(app.column::<i16>("SELECT reason FROM tombstones").await, [2]);

        // The other one ends with the contract, and nobody can be told.
        app.execute("UPDATE owners SET email = 'none'").await;
        app.execute("UPDATE tenants SET contacts = '[]'").await;
        app.clock.advance(days(7));
        app.pass().await;
        app.clock.advance(days(30));
        app.job("purge").await;
        assert_ne!(app.describe(2).await, "gone");
        key_changes::revoke(&app.db, &book, OPERATOR, "key000000002", None).await.unwrap();
        let again = key_changes::revoke(&app.db, &book, OPERATOR, "key000000002", None).await;
        assert!(matches!(again, Err(KeyError::Revoked)), "{again:?}");
        app.clock.advance(days(3));
        app.job("purge").await;
        assert_eq!(app.column::<i16>("SELECT reason FROM tombstones ORDER BY id").await, [2, 2]);
    }
}

on_each_engine! {
    async fn a_key_that_never_expires_is_never_purged(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.execute("UPDATE api_keys SET expires_at = NULL, kind = 2, next_job = 2, next_action_at = 0").await;
        app.clock.advance(days(4000));
        app.pass().await;
        assert_ne!(app.describe(1).await, "gone");
        assert_eq!(app.count("tombstones").await, 0);
    }
}

on_each_engine! {
    async fn a_held_key_stays(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.pass().await;
        app.execute("UPDATE api_keys SET hold = 'court order'").await;
        app.clock.advance(days(30));
        app.pass().await;
        assert_ne!(app.describe(1).await, "gone");
    }
}

on_each_engine! {
    async fn old_history_is_pruned_and_the_rest_stays(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.pass().await;
        app.clock.advance(days(7));
        app.pass().await;
        app.clock.advance(days(80));
        app.job("prune").await;
        assert_eq!(app.count("tombstones").await, 1);
        assert!(app.count("messages").await > 0);
        app.clock.advance(days(340));
        app.job("prune").await;
        assert_eq!(app.count("tombstones").await, 0);
        assert_eq!(app.count("messages").await, 0);
        assert_eq!(app.count("notices WHERE message_id IS NOT NULL").await, 0);
    }
}

on_each_engine! {
    async fn the_statement_itself_keeps_what_nobody_was_told_of(app: TestApp) {
        // Not through the job, which decides first: this caller asks for every key it has found.
        app.people().await;
        let now = app.now();
        for id in 1..=8 {
            app.key(id, days(-30)).await;
        }
        let over = (now - days(1)).timestamp_millis();
        app.execute(&format!("UPDATE api_keys SET state = 2, next_job = 2, window_ends_at = {over}, last_stage = -1")).await;
        app.execute("UPDATE api_keys SET state = 3, end_reason = 2 WHERE id = 4").await;
        app.execute("UPDATE api_keys SET state = 3, end_reason = 3 WHERE id = 5").await;
        app.execute("UPDATE api_keys SET state = 3 WHERE id = 8").await;
        let in_time = (now - chrono::TimeDelta::hours(72)).timestamp_millis();
        for (id, stage, off, told_at) in
            [(2, 0, 0, in_time + 1), (3, 0, 0, in_time), (6, 0, 1, 1), (7, -1, 0, 1)]
        {
            app.execute(&format!(
                "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, \
                 created_at, due_at, told_at) SELECT id, 1, 1, {stage}, expires_at + {off}, 3, 0, 0, \
                 {told_at} FROM api_keys WHERE id = {id}"
            ))
            .await;
        }
        let claim = lapsed::store::purge::claim(app.db.conn(), lapsed::store::turn::BEGINNING, now, 10).await.unwrap();
        assert_eq!(claim.keys.len(), 8);
        let min_notice = chrono::TimeDelta::hours(72);
        let terms = |_: &lapsed::store::purge::EndedKey| lapsed::store::purge::Terms {
            notice: min_notice, needs_approval: false, keep_until: now,
        };
        let n = lapsed::store::purge::purge(app.db.conn(), &claim.keys, "{}", now, terms).await;
        assert_eq!(n.unwrap(), 2, "one told just in time, and one that somebody revoked");
        let gone: Vec<i64> = app.column("SELECT key_id FROM tombstones ORDER BY key_id").await;
        assert_eq!(gone, [3, 4]);
        let left: Vec<i64> = app.column("SELECT id FROM api_keys ORDER BY id").await;
        assert_eq!(left, [1, 2, 5, 6, 7, 8]);
    }
}
