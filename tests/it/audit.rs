//! The audit trail's chain: what is sealed cannot be changed unseen.

use chrono::TimeDelta;
use lapsed::{
    domain::{
        derived::Derived,
        digest::Digest,
        seal::{Flaw, SealKey},
    },
    store::audit::{
        self, NewEvent,
        seals::{self, SETTLE},
        trail,
        verify::{Fault, Report, verify},
    },
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days},
};

fn key() -> SealKey {
    SealKey::new(Derived::new(7, [7; 32]))
}

/// So many events, written now.
async fn happen(app: &TestApp, n: i64) {
    let events: Vec<_> = (0..n)
        .map(|n| NewEvent {
            action: "key.expired",
            tenant_id: Some(1),
            key_id: None,
            owner_id: (n % 2 == 0).then_some(n),
            detail: format!(r#"{{"n":{n},"who":"Zoë ✓"}}"#),
        })
        .collect();
    audit::insert(app.db.conn(), "daemon", &events, app.now()).await.unwrap();
}

/// A trail of 2,500 rows in three seals, and ten rows that are not sealed yet.
async fn sealed(app: &TestApp) {
    app.people().await;
    happen(app, 2_500).await;
    app.clock.advance(SETTLE);
    assert_eq!(app.job("seal").await.n_changed, 2_500);
    happen(app, 10).await;
}

async fn report(app: &TestApp, anchor: Option<Digest>) -> Report {
    verify(&app.db, &key(), anchor, |_| ()).await.unwrap()
}

async fn flaw(app: &TestApp) -> Option<(i64, Flaw)> {
    report(app, None).await.fault.map(|Fault { seal, flaw, .. }| (seal, flaw))
}

on_each_engine! {
    async fn a_trail_nobody_touched_verifies(app: TestApp) {
        let empty = report(&app, None).await;
        assert!(empty.is_clean() && empty.head.is_none());
        sealed(&app).await;
        let clean = report(&app, None).await;
        assert!(clean.is_clean());
        assert_eq!((clean.n_seals, clean.n_rows, clean.n_unsealed), (3, 2_500, 10));
        assert_eq!(clean.unsealed_since, Some(app.now()));
        assert_eq!(app.job("seal").await.n_examined, 0, "what has not settled is not sealed");
        app.clock.advance(SETTLE);
        app.job("seal").await;
        let old = clean.head.map(|head| head.digest);
        let later = report(&app, old).await;
        assert_eq!((later.n_seals, later.n_rows, later.n_unsealed), (4, 2_510, 0));
        assert_eq!(later.has_anchor, Some(true), "an old head stays a link of the chain");
        let other = SealKey::new(Derived::new(8, [8; 32]));
        assert!(!verify(&app.db, &other, None, |_| ()).await.unwrap().is_clean());
    }
}

on_each_engine! {
    async fn each_tampering_is_found_and_its_row_is_named(app: TestApp) {
        sealed(&app).await;
        let table = "audit_events";
        let columns = "at, tenant_id, actor, action, key_id, owner_id, detail";

        app.execute("UPDATE audit_events SET detail = '{}' WHERE id = 1500").await;
        assert_eq!(flaw(&app).await, Some((2, Flaw::Edited { row: 1500 })), "edited");
        app.execute(r#"UPDATE audit_events SET detail = '{"n":1499,"who":"Zoë ✓"}' WHERE id = 1500"#).await;
        assert_eq!(flaw(&app).await, None, "and what was put right is right");

        // Reordered: two rows that change places.
        let swap = |a: i64, b: i64| format!("UPDATE {table} SET id = {b} WHERE id = {a}");
        for (a, b) in [(700, -1), (701, 700), (-1, 701)] {
            app.execute(&swap(a, b)).await;
        }
        assert_eq!(flaw(&app).await, Some((1, Flaw::Edited { row: 700 })), "reordered");
        for (a, b) in [(701, -1), (700, 701), (-1, 700)] {
            app.execute(&swap(a, b)).await;
        }

        // Moved away, which is a deletion where it was and an insertion where it is.
        app.execute("UPDATE audit_events SET id = 9000 WHERE id = 2000").await;
        assert_eq!(flaw(&app).await, Some((2, Flaw::Deleted { row: 2000 })), "deleted");
        app.execute("UPDATE audit_events SET id = -3 WHERE id = 9000").await;
        assert_eq!(flaw(&app).await, Some((1, Flaw::Inserted { row: -3 })), "before the first");
        app.execute("UPDATE audit_events SET id = 2000 WHERE id = -3").await;
        assert_eq!(flaw(&app).await, None);

        // The last sealed row is cut off.
        app.execute(&swap(2500, 9000)).await;
        assert_eq!(flaw(&app).await, Some((3, Flaw::Deleted { row: 2500 })), "cut off");
        app.execute(&swap(9000, 2500)).await;

        app.execute("DELETE FROM audit_events WHERE id = 10").await;
        app.execute(&format!("INSERT INTO {table} (id, {columns}) SELECT 10, {columns} FROM {table} WHERE id = 11")).await;
        assert_eq!(flaw(&app).await, Some((1, Flaw::Edited { row: 10 })), "replaced");
    }
}

on_each_engine! {
    async fn a_row_slipped_into_a_gap_is_found(app: TestApp) {
        app.people().await;
        happen(&app, 10).await;
        // A transaction was undone: the ids 4 to 6 are nobody's.
        app.execute("DELETE FROM audit_events WHERE id BETWEEN 4 AND 6").await;
        app.clock.advance(SETTLE);
        app.job("seal").await;
        assert_eq!(flaw(&app).await, None);
        app.execute("UPDATE audit_events SET id = 5 WHERE id = 1").await;
        assert_eq!(flaw(&app).await, Some((1, Flaw::Deleted { row: 1 })));
        app.execute("UPDATE audit_events SET id = 1 WHERE id = 5").await;
        app.execute("INSERT INTO audit_events (id, at, actor, action, detail) VALUES (5, 0, 'me', 'key.created', '{}')").await;
        assert_eq!(flaw(&app).await, Some((1, Flaw::Inserted { row: 5 })));
    }
}

on_each_engine! {
    async fn what_is_done_to_the_seals_is_found(app: TestApp) {
        sealed(&app).await;
        let head = report(&app, None).await.head.map(|head| head.digest);

        app.execute("UPDATE audit_seals SET sealed_at = 1 WHERE id = 2").await;
        assert_eq!(flaw(&app).await, Some((2, Flaw::Forged)));
        // With the end of the chain cut off, the rest holds, and only the anchor tells.
        app.execute("DELETE FROM audit_seals WHERE id = 3").await;
        app.execute("DELETE FROM audit_events WHERE id > 2000").await;
        let sealed_at = (app.now()).timestamp_millis();
        app.execute(&format!("UPDATE audit_seals SET sealed_at = {sealed_at} WHERE id = 2")).await;
        assert!(report(&app, None).await.is_clean());
        let cut = report(&app, head).await;
        assert_eq!((cut.fault, cut.has_anchor, cut.is_clean()), (None, Some(false), false));
    }
}

on_each_engine! {
    async fn a_seal_that_is_gone_breaks_the_chain(app: TestApp) {
        sealed(&app).await;
        app.execute("DELETE FROM audit_seals WHERE id = 2").await;
        app.execute("DELETE FROM audit_events WHERE id BETWEEN 1001 AND 2000").await;
        assert_eq!(flaw(&app).await, Some((3, Flaw::Unlinked)));
    }
}

on_each_engine! {
    async fn a_row_that_comes_late_is_not_passed_over(app: TestApp) {
        app.people().await;
        happen(&app, 5).await;
        app.clock.advance(SETTLE - TimeDelta::seconds(1));
        assert_eq!(app.job("seal").await.n_examined, 0);
        // A transaction that began a moment ago stands before rows that look settled.
        happen(&app, 1).await;
        app.execute("UPDATE audit_events SET id = id + 100 WHERE id <= 5").await;
        app.clock.advance(TimeDelta::seconds(1));
        assert_eq!(app.job("seal").await.n_examined, 0, "sealing stops at what is young");
        app.clock.advance(SETTLE);
        assert_eq!(app.job("seal").await.n_changed, 6);
        assert_eq!(flaw(&app).await, None);
    }
}

on_each_engine! {
    async fn those_who_write_and_those_who_seal_do_not_disturb_each_other(app: TestApp) {
        app.people().await;
        let write = async {
            for n in 1..=30 {
                happen(&app, 40 + n).await;
                app.clock.advance(TimeDelta::seconds(20));
            }
        };
        let seal = || async {
            let mut n = 0;
            for _ in 0..40 {
                n += seals::seal_next(&app.db, &key()).await.unwrap();
            }
            n
        };
        let ((), a, b) = futures_util::join!(write, seal(), seal());
        app.clock.advance(SETTLE);
        let rest = app.job("seal").await.n_changed;
        assert_eq!((a + b) as u64 + rest, (1..=30).map(|n| 40 + n).sum::<u64>(), "each row once");
        let report = report(&app, None).await;
        assert!(report.is_clean(), "{:?}", report.fault);
        assert_eq!(report.n_unsealed, 0);
    }
}

on_each_engine! {
    async fn sealed_rows_are_pruned_with_their_seal_and_the_rest_verifies(app: TestApp) {
        sealed(&app).await;
        let app = app.with(|deps| deps.limits.keep_audit = Some(days(30)));
        app.clock.advance(days(20));
        app.job("seal").await;
        app.job("prune").await;
        assert_eq!(app.count("audit_seals").await, 4, "nothing is old enough");
        let old = report(&app, None).await.head.map(|head| head.digest);
        app.clock.advance(days(15));
        app.job("prune").await;
        assert_eq!((app.count("audit_seals").await, app.count("audit_events").await), (1, 10));
        let left = report(&app, old).await;
        assert!(left.is_clean());
        assert_eq!((left.n_seals, left.pruned_before), (1, Some(2_501)));
        app.clock.advance(days(400));
        app.job("prune").await;
        assert_eq!(app.count("audit_seals").await, 1, "the chain goes on from the last seal");
        happen(&app, 1).await;
        app.clock.advance(SETTLE);
        app.job("seal").await;
        assert!(report(&app, old).await.is_clean());
    }
}

on_each_engine! {
    async fn events_are_read_with_their_names(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        app.sweep().await;
        app.clock.advance(days(1));
        happen(&app, 3).await;
        let all = trail::events(app.db.conn(), 0, None, 2).await.unwrap();
        let first = &all[0];
        assert_eq!((all.len(), first.action.as_str()), (2, "key.expired"));
        assert_eq!(first.tenant.as_deref(), Some("acme"));
        assert_eq!(first.key.as_deref(), Some("key000000001"));
        assert_eq!(first.owner.as_deref(), Some("owner0000001"));
        let late = trail::events(app.db.conn(), 0, Some(app.now()), 9).await.unwrap();
        assert_eq!(late.len(), 3);
        assert_eq!(trail::events(app.db.conn(), late[2].id, None, 9).await.unwrap(), []);
    }
}
