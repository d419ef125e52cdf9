//! The doctor's queries: nothing is found in the course of things, and each damage is.

use lapsed::store::{
    Engine,
    invariants::{self, Broken},
    key_changes,
    policies::PolicyBook,
};

use crate::{
    on_each_engine,
    support::app::{OPERATOR, TestApp, days},
};

pub async fn broken(app: &TestApp) -> Vec<Broken> {
    let keep = app.deps.limits.keep_messages;
    invariants::broken(app.db.conn(), app.now(), keep).await.unwrap()
}

/// An active key, one in its window, one revoked and one purged: 1 to 4. And two tenants, with
/// owner 1 of the first and owner 2 of the second.
async fn world(app: &TestApp) {
    app.people().await;
    app.owner(2, "bob@other.example").await;
    app.execute("INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (2, 'other', 'Other', '[]', 0)").await;
    app.execute("UPDATE owners SET tenant_id = 2 WHERE id = 2").await;
    for (id, ahead) in [(1, 60), (2, 10), (3, 60), (4, 0)] {
        app.key(id, days(ahead)).await;
    }
    app.pass().await;
    let book = PolicyBook::new((*app.deps.policies).clone());
    app.clock.advance(days(9));
    app.pass().await;
    key_changes::revoke(&app.db, &book, OPERATOR, "key000000003", None).await.unwrap();
    app.clock.advance(days(1));
    app.pass().await;
    // The trail reaches back to when they were made.
    app.execute("UPDATE api_keys SET created_at = (SELECT MIN(at) FROM audit_events)").await;
    app.clock.advance(chrono::TimeDelta::minutes(10));
    app.job("seal").await;
    assert!(app.describe(2).await.starts_with("window"));
    assert_eq!(app.describe(4).await, "gone");
}

/// Damages, how each is undone, and the invariants it breaks.
fn damages(message: i64) -> Vec<(String, String, &'static str)> {
    let table = [
        (
            "UPDATE notices SET stage = 60 WHERE key_id = 2 AND stage = 0",
            "UPDATE notices SET stage = 0 WHERE stage = 60",
            "I1",
        ),
        (
            "UPDATE api_keys SET last_stage = 30 WHERE id = 1",
            "UPDATE api_keys SET last_stage = NULL WHERE id = 1",
            "I1",
        ),
        (
            "UPDATE api_keys SET next_action_at = NULL WHERE id = 1",
            "UPDATE api_keys SET next_action_at = expires_at WHERE id = 1",
            "I1",
        ),
        (
            "UPDATE notices SET status = 2 WHERE key_id = 4 AND stage = 0",
            "UPDATE notices SET status = 3 WHERE key_id = 4 AND stage = 0",
            "I1",
        ),
        (
            "UPDATE audit_events SET action = 'x' WHERE key_id = 2 AND action = 'key.expired'",
            "UPDATE audit_events SET action = 'key.expired' WHERE action = 'x'",
            "I3",
        ),
        (
            "UPDATE audit_events SET action = 'x' WHERE key_id = 4 AND action = 'key.purged'",
            "UPDATE audit_events SET action = 'key.purged' WHERE action = 'x'",
            "I3",
        ),
        (
            "UPDATE tombstones SET key_id = 1 WHERE key_id = 4",
            "UPDATE tombstones SET key_id = 4 WHERE key_id = 1",
            "I3 I4 I6",
        ),
        (
            "UPDATE tombstones SET window_ends_at = window_ends_at + 1000000000",
            "UPDATE tombstones SET window_ends_at = window_ends_at - 1000000000",
            "I5",
        ),
        (
            "UPDATE notices SET told_at = told_at + 1000000000 WHERE key_id = 4 AND stage = 0",
            "UPDATE notices SET told_at = told_at - 1000000000 WHERE key_id = 4 AND stage = 0",
            "I6",
        ),
        (
            "UPDATE messages SET status = 2 WHERE id = {m}",
            "UPDATE messages SET status = 3 WHERE id = {m}",
            "I8",
        ),
        (
            "INSERT INTO flags (name, value, set_at, set_by) VALUES ('brake.purge', 'x', 0, 'y')",
            "DELETE FROM flags WHERE name = 'brake.purge'",
            "I9",
        ),
        (
            "UPDATE api_keys SET state = 9, next_action_at = NULL WHERE id = 1",
            "UPDATE api_keys SET state = 1, next_action_at = expires_at WHERE id = 1",
            "I10",
        ),
        (
            "INSERT INTO key_secrets (key_id, version, algorithm, mac, pepper_id, created_at) VALUES (1, 1, 1, 'plain', 1, 0)",
            "DELETE FROM key_secrets",
            "I11",
        ),
        (
            "UPDATE owners SET otp_seed = 'plain' WHERE id = 1",
            "UPDATE owners SET otp_seed = NULL",
            "I11",
        ),
        (
            "INSERT INTO audit_events (at, actor, action, detail) VALUES (1800000000001, 'x', 'x', '{}')",
            "DELETE FROM audit_events WHERE actor = 'x'",
            "I12",
        ),
        (
            "UPDATE messages SET status = 2, holder = 'x', lease_until = 1, next_attempt_at = 1 WHERE id = {m}",
            "UPDATE messages SET status = 3, next_attempt_at = NULL WHERE id = {m}",
            "I13",
        ),
        (
            "UPDATE api_keys SET tenant_id = 2 WHERE id = 1",
            "UPDATE api_keys SET tenant_id = 1 WHERE id = 1",
            "I14",
        ),
        (
            "UPDATE notices SET tenant_id = 2, status = 1 WHERE key_id = 2 AND stage = 0",
            "UPDATE notices SET tenant_id = 1, status = 3 WHERE key_id = 2 AND stage = 0",
            "I14",
        ),
        (
            "INSERT INTO key_secrets (key_id, version, algorithm, mac, pepper_id, created_at) VALUES (1, 1, 2, 'x', 1, 0), (1, 2, 2, 'y', 1, 0)",
            "DELETE FROM key_secrets",
            "I16",
        ),
        (
            "UPDATE owners SET otp_last_step = 99999999999 WHERE id = 1",
            "UPDATE owners SET otp_last_step = NULL",
            "I17",
        ),
        (
            "INSERT INTO links (message_id, owner_id, salt, token_hash, created_at) VALUES ({m}, 2, 'a', 'b', 0)",
            "DELETE FROM links",
            "I18",
        ),
    ];
    let of = |text: &str| text.replace("{m}", &message.to_string());
    table.map(|(damage, undo, which)| (of(damage), of(undo), which)).into()
}

on_each_engine! {
    async fn each_damage_is_found_with_what_mends_it(app: TestApp) {
        world(&app).await;
        assert_eq!(broken(&app).await, [], "in the course of things");
        let message: i64 = app.column("SELECT MIN(id) FROM messages WHERE status = 3").await[0];
        for (damage, undo, which) in damages(message) {
            app.execute(&damage).await;
            let found = broken(&app).await;
            let mut numbers: Vec<_> = found.iter().map(|broken| broken.invariant).collect();
            numbers.dedup();
            assert_eq!(numbers.join(" "), which, "{damage}: {found:?}");
            for broken in &found {
                assert!(!broken.mend.contains(":one") && !broken.mend.contains(":now"), "{broken:?}");
            }
            app.execute(&undo).await;
            assert_eq!(broken(&app).await, [], "{undo}");
        }
        // Without its index, nothing keeps a notice from being there twice.
        let index = "uq_notices_key_id_expires_at_stage";
        app.execute(&match app.db.engine() {
            Engine::MariaDb => format!("DROP INDEX {index} ON notices"),
            _ => format!("DROP INDEX {index}"),
        })
        .await;
        app.execute(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, due_at) \
             SELECT key_id, tenant_id, owner_id, stage, expires_at, 5, 0, 0 FROM notices WHERE key_id = 4 AND stage = 0",
        )
        .await;
        let found = broken(&app).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].invariant, found[0].found.as_str()), ("I2", "1 keys have one notice twice, such as 4"));
    }
}

on_each_engine! {
    async fn what_the_doctor_says_mends_it(app: TestApp) {
        world(&app).await;
        for (damage, job) in [
            ("UPDATE api_keys SET next_action_at = NULL WHERE id IN (2, 3)", "sweep"),
            ("UPDATE notices SET status = 2 WHERE key_id = 4 AND stage = 0", "deliver"),
            ("UPDATE api_keys SET last_stage = 30 WHERE id = 1", "sweep"),
        ] {
            app.execute(damage).await;
            while let Some(found) = broken(&app).await.pop() {
                let (statement, _) = found.mend.split_once(": ").unwrap();
                app.execute(statement).await;
                app.clock.advance(chrono::TimeDelta::milliseconds(1));
                app.job(job).await;
            }
        }
        assert_eq!(broken(&app).await, []);
    }
}
