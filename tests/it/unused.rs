//! Keys that nothing uses: warned of, suspended, and let go on.

use chrono::TimeDelta;
use lapsed::{
    domain::plan,
    store::{
        key_list,
        policies::{
            change::{Edit, Scope, preview},
            simulate::{reschedule, simulate},
        },
        suspension, tenants,
    },
};
use serde_json::json;

use crate::{
    api::Face,
    links::{enable, sent},
    on_each_engine,
    pages::Site,
    policy_fields::{book, tenant_sets},
    support::{
        app::{TestApp, days},
        secrets::Secrets,
    },
};

/// Notes that key `id` was used now, as a daemon that verifies it does.
async fn used(app: &TestApp, id: i64) {
    let now = app.now().timestamp_millis();
    app.execute(&format!("UPDATE api_keys SET last_used_at = {now} WHERE id = {id}")).await;
}

async fn suspended(app: &TestApp) -> Vec<i64> {
    app.column("SELECT id FROM api_keys WHERE suspended_at IS NOT NULL ORDER BY id").await
}

/// A key made now, which expires in a year.
async fn fresh(app: &TestApp, id: i64) {
    app.key(id, days(365)).await;
    let now = app.now().timestamp_millis();
    app.execute(&format!(
        "UPDATE api_keys SET issued_at = {now}, created_at = {now} WHERE id = {id}"
    ))
    .await;
}

on_each_engine! {
    async fn a_key_out_of_use_is_warned_of_suspended_and_let_go_on(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "unused_days": 30 })).await;
        for id in [1, 2, 3, 4] {
            fresh(&app, id).await;
        }
        // Another system has issued it: nobody knows who uses it there.
        app.execute("UPDATE api_keys SET source = 'vault', external_id = 'x' WHERE id = 3").await;
        // One that never expires is looked at for this alone.
        app.execute("UPDATE api_keys SET kind = 2, expires_at = NULL WHERE id = 4").await;
        app.pass().await;
        assert_eq!(app.describe(1).await, "active, next sweep in PT1987199.999S");
        app.clock.advance(days(20));
        used(&app, 2).await;
        app.clock.advance(days(3));
        app.pass().await;
        assert_eq!(app.notices(1).await, ["unused told"]);
        assert_eq!(app.notices(2).await, Vec::<String>::new());
        assert_eq!(app.describe(2).await, "active, next sweep in PT1727999.999S", "put off by its use");
        assert_eq!((app.notices(3).await.len(), app.notices(4).await.len()), (0, 1));
        assert!(app.subjects()[0].ends_with("2 API keys will be suspended, the first in 7 days: nothing uses them"), "{:?}", app.subjects());

        // It is used after all.
        app.clock.advance(days(1));
        used(&app, 4).await;
        app.clock.advance(days(6) - TimeDelta::milliseconds(2));
        app.pass().await;
        assert_eq!(suspended(&app).await, Vec::<i64>::new(), "to the millisecond");
        app.clock.advance(TimeDelta::milliseconds(1));
        app.pass().await;
        assert_eq!(suspended(&app).await, [1]);
        assert_eq!(app.notices(1).await, ["unused told", "suspended-unused told"]);
        assert_eq!(app.subjects().len(), 2, "the contacts are not asked: {:?}", app.subjects());
        let trail: Vec<String> = app.column("SELECT detail FROM audit_events WHERE action = 'key.suspended'").await;
        assert!(trail.len() == 1 && trail[0].contains("\"reason\":\"unused\""), "{trail:?}");
        assert_eq!(app.describe(1).await, "active, next sweep in PT26351999.997S", "its dates do not wait");

        let which = ("key000000001", None);
        suspension::unsuspend(&app.db, &book(&app).await, "operator", which, None).await.unwrap();
        assert_eq!(app.describe(1).await, "active, next sweep in PT1987200S", "it is counted from now");
        app.clock.advance(days(23));
        app.pass().await;
        app.clock.advance(days(7));
        app.pass().await;
        assert!(suspended(&app).await.contains(&1), "and again");
        let view = key_list::find(app.db.conn(), "key000000001").await.unwrap().unwrap();
        assert_eq!(view.suspended_for.map(|cause| cause.as_str()), Some("unused"));
    }
}

on_each_engine! {
    async fn nobody_is_surprised_by_a_policy_that_begins_to_ask_for_use(app: TestApp) {
        app.people().await;
        for id in [1, 2, 3] {
            fresh(&app, id).await;
        }
        app.clock.advance(days(200));
        used(&app, 3).await;
        app.pass().await;
        let tenant = tenants::find(app.db.conn(), "acme").await.unwrap().unwrap();
        let scope = Scope::of(&tenant);
        let edits: Vec<Edit> = vec!["unused_days=90".parse().unwrap()];
        let old = book(&app).await;
        let (new, _) = preview(app.db.conn(), &app.deps.policies, &scope, &edits).await.unwrap();
        let until = plan::until(app.now(), days(30));
        let tried = simulate(&app.db, (&old, &new), &scope, until, None).await.unwrap();
        assert_eq!((tried.before.total().n_suspended, tried.after.total().n_suspended), (0, 2));
        assert_eq!(tried.n_other_next, 3);

        tenant_sets(&app, &json!({ "unused_days": 90 })).await;
        assert_eq!(reschedule(&app.db, &book(&app).await, &scope).await.unwrap(), 3);
        app.pass().await;
        assert_eq!(suspended(&app).await, Vec::<i64>::new(), "first they are told");
        assert_eq!(app.notices(1).await, ["unused told"]);
        // The daemon is away, and comes back late.
        app.clock.advance(days(9));
        used(&app, 2).await;
        app.pass().await;
        assert_eq!(suspended(&app).await, [1]);
        // A longer limit takes the warning back.
        app.clock.advance(days(83));
        app.pass().await;
        assert_eq!(app.notices(2).await, ["unused told", "unused told"]);
        tenant_sets(&app, &json!({ "unused_days": 120 })).await;
        app.clock.advance(days(8));
        app.pass().await;
        assert_eq!(suspended(&app).await, [1]);
    }
}

on_each_engine! {
    async fn a_warning_that_waited_past_a_use_is_not_sent(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "unused_days": 30 })).await;
        fresh(&app, 1).await;
        app.clock.advance(days(23));
        app.sweep().await;
        app.clock.advance(TimeDelta::seconds(5));
        used(&app, 1).await;
        app.job("deliver").await;
        assert_eq!(app.notices(1).await, ["unused void"]);
        assert_eq!(app.subjects(), Vec::<String>::new());
    }
}

on_each_engine! {
    async fn its_owner_lets_a_key_go_on_that_nothing_used_but_none_that_somebody_suspended(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        tenant_sets(&app, &json!({ "unused_days": 10 })).await;
        let key = secrets.create().await;
        app.job("deliver").await;
        app.clock.advance(days(5));
        app.pass().await;
        app.clock.advance(days(5));
        app.pass().await;
        assert_eq!(secrets.finding(&key).await, "suspended");
        let face = Face::with(&app, secrets.keyring.clone()).await;
        let shown = face.root("GET", &format!("/v1/keys/{}", key.id), None).await;
        assert_eq!((&shown["state"], &shown["suspend_reason"]), (&json!("suspended"), &json!("unused")));

        let site = Site::open(&secrets).await;
        let link = sent(&app).pop().unwrap();
        let path = format!("/k/{}/{}", link.expose(), key.id);
        let page = site.get(&path).await;
        assert!(page.status == 200 && page.body.contains("Let it go on"), "{}", page.body);
        assert_eq!(secrets.finding(&key).await, "suspended", "looking changes nothing");
        let done = site.post(&format!("{path}/resume"), "").await;
        assert!(done.status == 200 && done.body.contains("<h1>deploy goes on</h1>"), "{}", done.body);
        assert_eq!(secrets.finding(&key).await, "valid");
        let again = site.post(&format!("{path}/resume"), "").await;
        assert!(again.status == 200 && !again.body.contains("Let it go on"), "{}", again.body);
        let trail: Vec<String> = app.column("SELECT actor FROM audit_events WHERE action = 'key.unsuspended'").await;
        assert!(trail.len() == 1 && trail[0].starts_with("owner "), "{trail:?}");

        // What an administrator stops, its owner does not let go on: not even what was stopped before.
        let id = key.id.to_string();
        suspension::suspend(&app.db, "operator", (&id, None), None, None).await.unwrap();
        let refused = site.post(&format!("{path}/resume"), "").await;
        assert!(refused.status == 422 && refused.body.contains("until an administrator"), "{}", refused.body);
        let policies = secrets.policies().await;
        suspension::unsuspend(&app.db, &policies, "operator", (&id, None), None).await.unwrap();
        app.execute("UPDATE api_keys SET suspended_at = 1, suspend_reason = 1").await;
        suspension::suspend(&app.db, "operator", (&id, None), None, None).await.unwrap();
        assert_eq!(site.post(&format!("{path}/resume"), "").await.status, 422);
        assert_eq!(secrets.finding(&key).await, "suspended");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_use_at_the_last_moment_forbids_the_suspension(app: TestApp) {
        // Not through the job, which looks again: this caller goes by what it has seen.
        use lapsed::{domain::{key::KeyId, unused::Deed}, store::unused::{UnusedKey, mark}};
        app.people().await;
        fresh(&app, 1).await;
        fresh(&app, 2).await;
        let since = app.now();
        app.clock.advance(days(1));
        used(&app, 2).await;
        let of = |id, version, deed| UnusedKey { id: KeyId(id), version, since, deed };
        let keys = [of(1, 1, Deed::Suspend), of(2, 1, Deed::Suspend)];
        assert_eq!(mark(app.db.conn(), &keys, app.now()).await.unwrap(), 1);
        assert_eq!(suspended(&app).await, [1]);
        fresh(&app, 3).await;
        let other = [of(3, 7, Deed::Suspend)];
        assert_eq!(mark(app.db.conn(), &other, app.now()).await.unwrap(), 0, "another version");
    }
}
