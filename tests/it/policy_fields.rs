//! The fields of policies that are about the end of keys: how long their record is kept, who lets
//! them go, and why the rules are as they are.

use chrono::TimeDelta;
use lapsed::{
    domain::purge::NotAwaited,
    store::{
        Db, approval, gauges, key_changes, key_list, keys::KeyError, policies::PolicyBook, purge,
    },
};
use serde_json::json;

use crate::{
    admin_pages::Desk,
    api::{Face, text},
    cli::Lapsed,
    on_each_engine,
    support::{
        app::{OPERATOR, TestApp, days},
        secrets::Secrets,
    },
};

pub async fn book(app: &TestApp) -> PolicyBook {
    PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap()
}

/// Has the tenant set `policy`, and nothing else.
pub async fn tenant_sets(app: &TestApp, policy: &serde_json::Value) {
    app.execute(&format!("UPDATE tenants SET policy = '{policy}'")).await;
}

/// Has the window of key `id` pass, and its owner told: nothing but the purge is left.
async fn end(app: &TestApp, id: i64) {
    app.key(id, days(0)).await;
    app.pass().await;
    app.clock.advance(days(6));
    app.pass().await;
    app.clock.advance(days(1));
}

async fn approve(app: &TestApp, id: i64) -> Result<(), KeyError> {
    let public_id = format!("key{id:09}");
    let which = (public_id.as_str(), None);
    approval::approve_purge(&app.db, &book(app).await, OPERATOR, which, Some("seen")).await
}

fn not_awaited(result: Result<(), KeyError>) -> NotAwaited {
    match result {
        Err(KeyError::NotAwaited(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn deferred(db: &Db, app: &TestApp) -> u64 {
    gauges::deferred(db, app.now()).await.unwrap()
}

on_each_engine! {
    async fn a_record_is_kept_as_long_as_was_said_and_no_later_policy_shortens_that(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "tombstone_days": 20 })).await;
        app.key(1, days(0)).await;
        app.key(2, days(0)).await;
        // Longer, so stricter: a key may ask for that.
        app.execute("UPDATE api_keys SET policy = '{\"tombstone_days\": 40}' WHERE id = 2").await;
        app.pass().await;
        app.clock.advance(days(7));
        app.pass().await;
        let purged_at = app.now();
        let kept: Vec<i64> = app.column("SELECT keep_until FROM tombstones ORDER BY key_id").await;
        let in_days = |n| (purged_at + days(n)).timestamp_millis();
        assert_eq!(kept, [in_days(20), in_days(40)]);

        tenant_sets(&app, &json!({ "tombstone_days": 1 })).await;
        app.clock.advance(days(20) - TimeDelta::milliseconds(1));
        app.job("prune").await;
        assert_eq!(app.count("tombstones").await, 2, "what was said, holds");
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("prune").await;
        let left: Vec<i64> = app.column("SELECT key_id FROM tombstones").await;
        assert_eq!(left, [2]);
        // A longer one reaches what is there.
        tenant_sets(&app, &json!({ "tombstone_days": 60 })).await;
        app.clock.advance(days(20));
        app.job("prune").await;
        let kept: Vec<i64> = app.column("SELECT keep_until FROM tombstones").await;
        assert_eq!(kept, [in_days(60)]);
        // One from before there was such a rule.
        app.execute("UPDATE tombstones SET keep_until = NULL").await;
        app.job("prune").await;
        let kept: Vec<i64> = app.column("SELECT keep_until FROM tombstones").await;
        assert_eq!(kept, [in_days(60)], "the policy of now says it");
        tenant_sets(&app, &json!({})).await;
        app.clock.advance(days(19));
        app.job("prune").await;
        assert_eq!(app.count("tombstones").await, 1, "the default is longer still");
        app.clock.advance(days(341) + TimeDelta::milliseconds(1));
        app.job("prune").await;
        assert_eq!(app.count("tombstones").await, 0);
    }
}

on_each_engine! {
    async fn a_purge_waits_for_somebodys_word_where_the_policy_asks_for_that(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "purge_mode": "manual" })).await;
        app.key(9, days(90)).await;
        end(&app, 1).await;
        app.clock.advance(TimeDelta::hours(-1));
        let early = not_awaited(approve(&app, 1).await);
        assert!(matches!(early, NotAwaited::TooSoon { .. }), "{early}");
        app.clock.advance(TimeDelta::hours(1));
        let run = app.job("purge").await;
        assert_eq!((run.n_changed, run.n_failed), (0, 0), "it waits, which is no failure");
        assert_eq!(app.describe(1).await, "window, next purge in PT3600S");
        assert_eq!(deferred(&app.db, &app).await, 1);
        let filter = key_list::Filter { deferred_at: Some(app.now()), ..Default::default() };
        assert_eq!(key_list::list(&app.db, &filter, 0, 9).await.unwrap().len(), 1);
        assert_eq!(not_awaited(approve(&app, 9).await), NotAwaited::InUse);

        // Whoever believes that it may go finds out that it may not.
        app.clock.advance(TimeDelta::hours(1));
        let claim = purge::claim(app.db.conn(), lapsed::store::turn::BEGINNING, app.now(), 10).await.unwrap();
        let terms = |needs_approval| {
            let keep_until = app.now();
            move |_: &purge::EndedKey| purge::Terms { notice: TimeDelta::zero(), needs_approval, keep_until }
        };
        let n = purge::purge(app.db.conn(), &claim.keys, "{}", app.now(), terms(true)).await;
        assert_eq!(n.unwrap(), 0);

        approve(&app, 1).await.unwrap();
        assert_eq!(not_awaited(approve(&app, 1).await), NotAwaited::Given);
        assert_eq!(app.job("purge").await.n_changed, 1, "at once, and not after its hour");
        assert_eq!(app.describe(1).await, "gone");
        let trail: Vec<String> = app.column("SELECT action FROM audit_events ORDER BY id").await;
        assert_eq!(trail, ["key.expired", "key.purge_approved", "key.purged"]);
    }
}

on_each_engine! {
    async fn the_word_for_a_purge_stands_in_for_nothing_else_and_is_for_one_end(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "purge_mode": "manual" })).await;
        for id in [1, 2, 3] {
            app.key(id, days(0)).await;
        }
        app.pass().await;
        let rules = book(&app).await;
        key_changes::revoke(&app.db, &rules, OPERATOR, "key000000003", None).await.unwrap();
        app.clock.advance(days(6));
        app.pass().await;
        app.clock.advance(days(1));
        app.job("purge").await;
        assert_ne!(app.describe(3).await, "gone", "who revoked it did not say that it may go");
        for id in [1, 2, 3] {
            approve(&app, id).await.unwrap();
        }
        app.execute("UPDATE api_keys SET hold = 'court order' WHERE id = 1").await;
        // It is brought back and ends again: as a rotation and another expiry would leave it.
        let again = (app.now() + days(5)).timestamp_millis();
        app.execute(&format!("UPDATE api_keys SET window_ends_at = {again}, next_action_at = {again} WHERE id = 2")).await;
        app.clock.advance(days(5));
        app.job("purge").await;
        assert_ne!(app.describe(1).await, "gone", "it is held");
        assert_eq!(app.describe(2).await, "window, next purge in PT3600S", "that was for another end");
        assert_eq!(app.describe(3).await, "gone");
        // A policy that asks no more lets it go.
        tenant_sets(&app, &json!({})).await;
        app.clock.advance(TimeDelta::hours(1));
        app.job("purge").await;
        assert_eq!(app.describe(2).await, "gone");
        app.key(4, days(0)).await;
        app.pass().await;
        app.clock.advance(days(9));
        assert_eq!(not_awaited(approve(&app, 4).await), NotAwaited::ByPolicy);
    }
}

on_each_engine! {
    async fn a_purge_is_approved_by_the_api_and_on_the_keys_page(app: TestApp) {
        let desk = Desk::new(&app).await;
        let face = &desk.face;
        let set = json!({ "set": { "purge_mode": "manual", "risk_analysis_ref": "TRA-2026-014" } });
        let changed = face.call(&face.root, "PATCH", "/v1/tenants/acme/policy", set).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        end(&app, 101).await;
        end(&app, 102).await;
        app.clock.advance(days(1));
        app.job("purge").await;
        let root = desk.root().await;
        let page = desk.get(&root, "/admin/keys/key000000101").await;
        assert!(page.text.contains("Approve the purge"), "{}", page.text);
        assert!(page.text.contains("lapsed keys approve-purge ID"), "it says why: {}", page.text);
        assert!(page.text.contains("TRA-2026-014"), "{}", page.text);
        let approve = "/admin/keys/key000000101/approve-purge";
        let refused = desk.post(&root, approve, "name=another&reason=seen").await;
        assert!(refused.status == 422 && refused.text.contains("That is not the name"), "{refused:?}");
        let done = desk.post(&root, approve, "name=key+101&reason=seen").await;
        assert_eq!(done.status, 303, "{done:?}");
        let page = desk.get(&root, "/admin/keys/key000000101").await;
        assert!(!page.text.contains("Approve the purge") && page.text.contains("approved"), "{}", page.text);

        let path = "/v1/keys/key000000102/approve-purge";
        let done = face.call(&face.root, "POST", path, json!({})).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(done.json()["purge_approved_for"], done.json()["window_ends_at"]);
        let again = face.call(&face.root, "POST", path, json!({})).await;
        assert_eq!((again.status, again.code()), (409, "not-awaited".to_owned()));
        app.job("purge").await;
        assert_eq!(app.count("api_keys WHERE id IN (101, 102)").await, 0);
        let gone = desk.get(&root, "/admin/keys/key000000101").await;
        assert!(gone.text.contains("This record is kept until"), "{}", gone.text);
    }
}

on_each_engine! {
    async fn where_the_reasons_are_written_is_shown_and_in_the_trail_and_does_nothing(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let face = Face::with(&app, secrets.keyring.clone()).await;
        let before = app.describe(1).await;
        let long = "x".repeat(201);
        for (text, status) in [("TRA-14", 200), (long.as_str(), 422), ("", 422), ("two\nlines", 422)] {
            let set = json!({ "set": { "risk_analysis_ref": text } });
            let reply = face.call(&face.root, "PATCH", "/v1/tenants/acme/policy", set).await;
            assert_eq!(reply.status, status, "{text}: {reply:?}");
        }
        let trail: Vec<String> =
            app.column("SELECT detail FROM audit_events WHERE action = 'policy.changed'").await;
        let said: serde_json::Value = serde_json::from_str(&trail[0]).unwrap();
        assert_eq!((trail.len(), &said["after"]["risk_analysis_ref"]), (1, &json!("TRA-14")));
        // The nearest says it, and may say that there is none.
        let own = format!("/v1/keys/{}/policy", key.id);
        for (set, value, origin) in [
            (json!("https://wiki.example/tra/15"), "https://wiki.example/tra/15", "key"),
            (json!("none"), "none", "key"),
            (serde_json::Value::Null, "TRA-14", "tenant"),
        ] {
            let set = json!({ "set": { "risk_analysis_ref": set } });
            let reply = face.call(&face.root, "PATCH", &own, set).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let all = reply.json();
            let field = all["items"].as_array().unwrap().iter()
                .find(|field| field["field"] == "risk_analysis_ref").unwrap().clone();
            assert_eq!((text(&field["value"]), text(&field["origin"])), (value.to_owned(), origin.to_owned()));
        }
        assert_eq!(app.describe(1).await, before);
    }
}

#[test]
fn keys_are_held_released_and_let_go_on_the_command_line() {
    let lapsed = Lapsed::with_ada();
    lapsed.ok("policy set --tenant acme purge_mode=manual undo_hours=0 risk_analysis_ref=2026");
    let shown = lapsed.json("policy show --tenant acme --kind user");
    let of = |name: &str| {
        let all = shown.as_array().unwrap();
        all.iter().find(|field| field["field"] == name).unwrap()["value"].clone()
    };
    assert_eq!((of("purge_mode"), of("risk_analysis_ref")), (json!("manual"), json!("2026")));
    assert_eq!(of("tombstone_days"), json!(400));
    let create = "keys create --tenant acme --env production --owner ada@acme.example --name";
    let make = |name: &str| {
        lapsed.ok(&format!("{create} {name}")).stdout.split('_').nth(2).unwrap().to_owned()
    };
    let (one, other) = (make("one"), make("other"));
    lapsed.ok(&format!("keys hold {one} --reason court-order"));
    let hold = |id: &str| lapsed.json(&format!("keys show {id}"))["hold"].clone();
    assert_eq!(hold(&one), json!("court-order"));
    lapsed.ok(&format!("keys hold {other}"));
    assert_eq!(hold(&other), json!("held by an operator"));
    lapsed.ok(&format!("keys release {other} --reason over"));
    assert_eq!(hold(&other), serde_json::Value::Null);
    let early = lapsed.run(&format!("keys approve-purge {other}"));
    assert_eq!(early.code, 1);
    assert!(early.stderr.contains("the key has not ended"), "{}", early.stderr);

    for id in [&one, &other] {
        lapsed.ok(&format!("keys revoke {id}"));
    }
    lapsed.ok("sweep");
    let next = lapsed.ok(&format!("keys explain {other}")).stdout;
    assert!(next.contains("lapsed keys approve-purge ID"), "{next}");
    let both = lapsed.run(&format!("keys approve-purge {one} 000000000000 --reason seen"));
    assert_eq!(both.code, 3, "one of the two: {}", both.stderr);
    lapsed.ok(&format!("keys approve-purge {other}"));
    lapsed.ok("sweep");
    let gone = lapsed.json(&format!("keys explain {other}"));
    assert!(gone["tombstone"]["keep_until"].is_string(), "{gone}");
    assert_eq!(hold(&one), json!("court-order"), "it is held, whatever was said");
    lapsed.ok(&format!("keys release {one}"));
    lapsed.ok("sweep");
    assert!(lapsed.json(&format!("keys explain {one}"))["tombstone"].is_object());
}
