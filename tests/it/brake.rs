//! The brake: what is too much at once is not done, until somebody has released exactly that.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::TimeDelta;
use lapsed::{
    domain::{
        brake::{Destruction, Limit, Limits},
        digest::Digest,
    },
    jobs::{
        self, Deps,
        deliver::Mailer,
        runner::{Cause, Runner},
    },
    mail::transport::Transport,
    shutdown::Shutdown,
    store::brake::{self, BrakeOn},
};

use mail_parser::MessageParser;

use crate::{
    on_each_engine,
    support::app::{TestApp, days, mailer},
};

const PUT_OFF: TimeDelta = TimeDelta::minutes(5);

/// The same installation with a brake, which tests of other things are better off without.
fn braked(app: TestApp) -> TestApp {
    app.with(|deps| deps.limits.brake = Limits::default())
}

/// Active keys of tenant 1 that expire `ahead` from now, whose turn is then.
async fn keys(app: &TestApp, ids: RangeInclusive<i64>, ahead: TimeDelta) {
    let at = (app.now() + ahead).timestamp_millis();
    let rows = ids.map(|id| {
        format!("({id}, 'key{id:09}', 1, 1, 1, 1, 'key', 7776000000, 0, {at} - 7776000000, {at}, 1, 1, {at}, 1)")
    });
    let rows: Vec<String> = rows.collect();
    for rows in rows.chunks(1_000) {
        app.execute(&format!(
            "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, kind, name, \
             ttl_ms, created_at, issued_at, expires_at, state, next_job, next_action_at, version) \
             VALUES {}",
            rows.join(", ")
        ))
        .await;
    }
}

/// Keys whose window is over, and whose owner was told long ago.
async fn ended(app: &TestApp, ids: RangeInclusive<i64>) {
    let (first, last) = (*ids.start(), *ids.end());
    keys(app, ids, days(-30)).await;
    let over = (app.now() - days(1)).timestamp_millis();
    let these = format!("id BETWEEN {first} AND {last}");
    app.execute(&format!("UPDATE api_keys SET state = 2, next_job = 2, window_ends_at = {over}, last_stage = -1 WHERE {these}")).await;
    app.execute(&format!(
        "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, \
         due_at, told_at) SELECT id, 1, 1, 0, expires_at, 3, 0, 0, expires_at FROM api_keys WHERE {these}"
    ))
    .await;
}

/// An installation of 10,000 keys, so many of which are due.
async fn fleet(app: &TestApp, n_due: i64) {
    app.people().await;
    keys(app, 1..=n_due, days(0)).await;
    keys(app, n_due + 1..=10_000, days(80)).await;
}

async fn n_expired(app: &TestApp) -> i64 {
    app.count("api_keys WHERE state <> 1").await
}

async fn on(app: &TestApp, what: Destruction) -> Option<BrakeOn> {
    brake::get(&app.db, what).await.unwrap()
}

async fn expire_on(app: &TestApp) -> Option<BrakeOn> {
    on(app, Destruction::Expire).await
}

/// Releases what the brake holds back.
async fn release(app: &TestApp, on: &BrakeOn) -> bool {
    let hash: Digest = on.hash.parse().unwrap();
    brake::release(&app.db, "operator", hash).await.unwrap().is_some()
}

on_each_engine! {
    async fn five_hundred_may_expire_and_one_more_may_not(app: TestApp) {
        let app = braked(app);
        fleet(&app, 500).await;
        assert_eq!(app.sweep().await.n_changed, 500);
        assert_eq!(n_expired(&app).await, 500);
        assert_eq!(expire_on(&app).await, None);
        // What went within half an hour counts; after it, nothing is left of it.
        app.execute("UPDATE api_keys SET expires_at = 0, issued_at = 0, next_action_at = 1 WHERE id > 9980").await;
        app.clock.advance(TimeDelta::minutes(29));
        let app = app.with(|_| ());
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 500);
        assert_eq!(expire_on(&app).await.unwrap().reason, "520 keys within half an hour are more than 500");
        app.clock.advance(TimeDelta::minutes(6));
        app.sweep().await;
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (520, None));
    }
}

on_each_engine! {
    async fn none_of_too_many_expires_and_reminders_go_out(app: TestApp) {
        let app = braked(app);
        fleet(&app, 501).await;
        app.execute("UPDATE api_keys SET expires_at = expires_at - 4752000000, next_action_at = 1 WHERE id = 10000").await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0, "not one of them");
        assert_eq!(app.notices(10_000).await, ["expiring-30d pending"]);
        assert_eq!(app.describe(1).await, "active, next sweep in PT300S", "put off");
        let first = expire_on(&app).await.unwrap();
        assert_eq!((first.n, first.reason.as_str()), (501, "501 keys within half an hour are more than 500"));

        // A restart changes nothing, and nobody is told twice.
        let app = app.with(|_| ());
        for _ in 0..4 {
            app.clock.advance(PUT_OFF);
            app.sweep().await;
        }
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (0, Some(first.clone())));
        assert_eq!(app.count("audit_events WHERE action = 'flag.set'").await, 1);

        let other = Digest([7; 32]);
        assert_eq!(brake::release(&app.db, "operator", other).await.unwrap(), None);
        assert!(release(&app, &first).await);
        assert_eq!(app.sweep().await.n_changed, 501, "at once, however long they were put off");
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (501, None));
        assert!(!release(&app, &first).await, "once");
        // What somebody released does not count against what follows.
        keys(&app, 10_001..=10_020, days(0)).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 521);
    }
}

/// The text of the last mail.
fn last_text(app: &TestApp) -> String {
    let mails = app.outbox.sent();
    let parsed = MessageParser::default().parse(&mails.last().unwrap().bytes).unwrap();
    assert!(parsed.body_html(0).unwrap().contains("lapsed brake release"));
    parsed.body_text(0).unwrap().into_owned()
}

on_each_engine! {
    async fn operators_are_told_once_that_the_brake_is_on(app: TestApp) {
        let app = braked(app).with(|deps| {
            let contacts = vec!["root@acme.example".to_owned()];
            let transport = Transport::Memory(Default::default());
            deps.mailer = Arc::new(Mailer { contacts, ..mailer(transport) });
        });
        let Transport::Memory(outbox) = app.deps.mailer.transport.clone() else { unreachable!() };
        let app = TestApp { outbox, ..app };
        fleet(&app, 501).await;
        let second = another(&app).await;
        // Two daemons find the same at the same moment, and go on finding it.
        let job = jobs::find("sweep").unwrap();
        let (one, other) = tokio::join!(
            app.runner.run(job, Cause::Schedule),
            second.run(job, Cause::Schedule)
        );
        one.unwrap();
        other.unwrap();
        app.clock.advance(PUT_OFF);
        let app = app.with(|_| ());
        app.sweep().await;
        assert_eq!(app.count("messages WHERE audience = 3").await, 1);
        // What it says is the plan of the moment it leaves.
        app.execute("UPDATE api_keys SET version = version + 1 WHERE id = 77").await;
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        app.job("deliver").await;
        assert_eq!(app.subjects(), ["root@acme.example: The brake is on: 501 API keys would expire at once"]);
        let on = expire_on(&app).await.unwrap();
        let line = format!("    lapsed brake release {}", on.hash);
        assert!(last_text(&app).lines().any(|text| text == line), "{}", last_text(&app));
        assert!(release(&app, &on).await);
        assert_eq!(app.sweep().await.n_changed, 501);
        app.job("deliver").await;
        assert_eq!(app.count("messages WHERE audience >= 3").await, 1, "and not that it went off");
    }
}

on_each_engine! {
    async fn each_tenants_contacts_are_told_of_their_own_where_no_operator_is_named(app: TestApp) {
        let app = braked(app);
        app.people().await;
        app.execute("INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES \
            (2, 'small', 'Small', '[\"it@small.example\", \"none\"]', 0), (3, 'mute', 'Mute', '[]', 0)").await;
        ended(&app, 1..=106).await;
        app.execute("UPDATE api_keys SET tenant_id = 2 WHERE id > 100").await;
        app.execute("UPDATE api_keys SET tenant_id = 3 WHERE id > 103").await;
        app.job("purge").await;
        app.job("deliver").await;
        let mut subjects = app.subjects();
        subjects.sort();
        assert_eq!(subjects, [
            "it@small.example: The brake is on: 3 API keys of Small would be purged at once",
            "ops@acme.example: The brake is on: 100 API keys of Acme would be purged at once",
        ]);
        let text = last_text(&app);
        assert!(text.contains("Ask whoever runs lapsed"), "{text}");
        assert!(!text.contains("half an hour") && !text.contains("would lose"), "figures of others: {text}");
        // A mail that comes too late is none.
        app.execute("UPDATE messages SET status = 1, next_attempt_at = 0, lease_until = NULL").await;
        app.execute("DELETE FROM flags WHERE name = 'brake.purge'").await;
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), 2);
        assert_eq!(app.count("messages WHERE status = 5").await, 2);
    }
}

/// A second daemon on the same database.
async fn another(app: &TestApp) -> Runner {
    let db = app.test_db.connect(Arc::new(app.clock.clone())).await;
    let deps = Deps { db, swept: Arc::default(), ..app.deps.clone() };
    Runner::new(deps, Duration::from_secs(60), Shutdown::new())
}

on_each_engine! {
    async fn a_plan_that_changed_needs_another_word(app: TestApp) {
        let app = braked(app);
        fleet(&app, 520).await;
        app.sweep().await;
        let first = expire_on(&app).await.unwrap();
        assert!(release(&app, &first).await);
        app.execute("UPDATE api_keys SET version = version + 1 WHERE id = 77").await;
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0, "one key is not what it was");
        let second = expire_on(&app).await.unwrap();
        assert_ne!(second.hash, first.hash);
        assert_eq!(second.since, first.since);
        assert!(!release(&app, &first).await);
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0, "the old word does not hold for the new plan");
        assert!(release(&app, &second).await);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 520);
    }
}

on_each_engine! {
    async fn what_becomes_due_later_is_no_part_of_the_plan(app: TestApp) {
        let app = braked(app);
        fleet(&app, 501).await;
        keys(&app, 10_001..=10_030, TimeDelta::minutes(1)).await;
        app.sweep().await;
        let plan = expire_on(&app).await.unwrap();
        app.clock.advance(TimeDelta::minutes(1));
        app.sweep().await;
        assert_eq!(expire_on(&app).await.unwrap().hash, plan.hash, "and does not change it");
        assert!(release(&app, &plan).await);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 501, "exactly the plan");
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (531, None));
    }
}

on_each_engine! {
    async fn a_brake_goes_off_by_itself_when_there_is_less(app: TestApp) {
        let app = braked(app);
        fleet(&app, 501).await;
        app.sweep().await;
        let later = (app.now() + days(9)).timestamp_millis();
        let extend = format!("UPDATE api_keys SET expires_at = {later}, next_action_at = {later}, version = 2");
        app.execute(&format!("{extend} WHERE id <= 2")).await;
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (499, None));
    }
}

on_each_engine! {
    async fn a_fifth_of_all_keys_may_expire_and_no_more(app: TestApp) {
        let app = braked(app);
        app.people().await;
        keys(&app, 1..=42, days(0)).await;
        keys(&app, 43..=200, days(80)).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0, "21 %");
        let reason = expire_on(&app).await.unwrap().reason;
        assert_eq!(reason, "42 keys within half an hour are more than 20 % of 200");
        app.execute("UPDATE api_keys SET expires_at = NULL, next_action_at = NULL WHERE id <= 2").await;
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 40, "20 %");
    }
}

on_each_engine! {
    async fn a_handful_is_always_allowed(app: TestApp) {
        let app = braked(app);
        let app = app.with(|deps| deps.limits.brake.expire.percent = 1);
        app.people().await;
        keys(&app, 1..=10, days(0)).await;
        keys(&app, 11..=200, days(80)).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 10);
        keys(&app, 201..=211, days(0)).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 10, "eleven are no handful");
    }
}

on_each_engine! {
    async fn a_tenant_does_not_lose_all_its_keys_unasked(app: TestApp) {
        let app = braked(app);
        fleet(&app, 0).await;
        app.execute("INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (2, 'small', 'Small', '[]', 0)").await;
        keys(&app, 20_001..=20_005, days(0)).await;
        app.execute("UPDATE api_keys SET tenant_id = 2 WHERE id > 20000").await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0);
        assert_eq!(expire_on(&app).await.unwrap().reason, "tenant 2 would lose all its keys");
        keys(&app, 20_006..=20_006, days(80)).await;
        app.execute("UPDATE api_keys SET tenant_id = 2 WHERE id > 20000").await;
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 5, "not all: one is left");
    }
}

/// Another tenant, which has these keys, all of them due.
async fn small_tenant(app: &TestApp, ids: RangeInclusive<i64>) {
    app.execute("INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (2, 'small', 'Small', '[]', 0)").await;
    let these = format!("id BETWEEN {} AND {}", ids.start(), ids.end());
    keys(app, ids, days(0)).await;
    app.execute(&format!("UPDATE api_keys SET tenant_id = 2 WHERE {these}")).await;
}

on_each_engine! {
    async fn a_crowd_hides_no_tenant_that_would_lose_all_its_keys(app: TestApp) {
        let all = Limit { keys: 1_000_000, percent: 100 };
        let app = app.with(|deps| deps.limits.brake = Limits { expire: all, ..Limits::default() });
        // So many that the brake asks for bounds before it counts.
        fleet(&app, 1_200).await;
        small_tenant(&app, 20_001..=20_005).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0);
        assert_eq!(expire_on(&app).await.unwrap().reason, "tenant 2 would lose all its keys");
        keys(&app, 20_006..=20_006, days(80)).await;
        app.execute("UPDATE api_keys SET tenant_id = 2 WHERE id = 20006").await;
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 1_205);
    }
}

on_each_engine! {
    async fn a_crowd_that_is_too_large_is_counted_and_stopped(app: TestApp) {
        let tenth = Limit { keys: 1_000_000, percent: 10 };
        let app = app.with(|deps| deps.limits.brake = Limits { expire: tenth, ..Limits::default() });
        // A thousand reminders are due besides: with them it is too much, and without them it is not.
        fleet(&app, 1_000).await;
        app.execute("UPDATE api_keys SET next_action_at = 1 WHERE id > 9000").await;
        app.sweep().await;
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (1_000, None));
        app.clock.advance(days(1));
        keys(&app, 20_001..=21_201, days(0)).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 1_000);
        let reason = expire_on(&app).await.unwrap().reason;
        assert!(reason.starts_with("1201 keys within half an hour"), "{reason}");
    }
}

on_each_engine! {
    async fn whether_each_tenant_keeps_a_key_is_not_guessed(app: TestApp) {
        app.people().await;
        let (now, conn) = (app.now(), app.db.conn());
        let keeps = async |what| brake::each_tenant_keeps_a_key(conn, what, (now, now)).await.unwrap();
        assert!(keeps(Destruction::Expire).await, "nobody has a key that could go");
        keys(&app, 1..=5, days(0)).await;
        assert!(!keeps(Destruction::Expire).await);
        assert!(keeps(Destruction::Purge).await);
        assert_eq!(brake::n_at_most(conn, Destruction::Expire, now).await.unwrap(), 5);
        assert_eq!(brake::n_at_most(conn, Destruction::Purge, now).await.unwrap(), 0);
        keys(&app, 6..=6, days(80)).await;
        assert!(keeps(Destruction::Expire).await);
        small_tenant(&app, 7..=7).await;
        assert!(!keeps(Destruction::Expire).await, "the other tenant has no other");
        for stays in ["expires_at = NULL, next_job = 0, next_action_at = NULL", "next_job = 2"] {
            app.execute(&format!("UPDATE api_keys SET {stays} WHERE id = 7")).await;
            assert!(keeps(Destruction::Expire).await, "{stays}");
        }
        app.execute("UPDATE api_keys SET state = 2 WHERE id = 7").await;
        assert!(keeps(Destruction::Expire).await, "none of its keys is active");
        assert!(keeps(Destruction::Purge).await, "it has no turn");
        app.execute("UPDATE api_keys SET next_action_at = 1 WHERE id = 7").await;
        assert!(!keeps(Destruction::Purge).await, "its turn has come");
        app.execute("UPDATE api_keys SET next_action_at = 9000000000000 WHERE id = 7").await;
        assert!(keeps(Destruction::Purge).await, "its turn has not");
        let tenants: Vec<String> = (3..=1_000).map(|id| format!("({id}, 't{id}', 'T', '[]', 0)")).collect();
        for more in [tenants.join(", "), "(1001, 'more', 'T', '[]', 0)".to_owned()] {
            assert!(keeps(Destruction::Expire).await, "those have no keys");
            app.execute(&format!("INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES {more}")).await;
        }
        assert!(!keeps(Destruction::Expire).await, "too many to ask");
    }
}

on_each_engine! {
    async fn a_clock_that_jumps_a_month_expires_nobody(app: TestApp) {
        let app = braked(app);
        fleet(&app, 0).await;
        keys(&app, 10_001..=12_000, days(20)).await;
        app.clock.advance(days(30));
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0);
        assert_eq!(expire_on(&app).await.unwrap().n, 2_000);
        app.clock.set(app.now() - days(30));
        app.clock.advance(PUT_OFF);
        app.sweep().await;
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (0, None), "and is forgotten");
    }
}

on_each_engine! {
    async fn an_import_of_expired_keys_waits_for_a_word(app: TestApp) {
        let app = braked(app);
        app.people().await;
        keys(&app, 1..=10_000, days(-3)).await;
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 0);
        let plan = expire_on(&app).await.unwrap();
        assert_eq!((plan.n, app.count("notices").await), (10_000, 0));
        assert!(release(&app, &plan).await);
        app.sweep().await;
        assert_eq!(n_expired(&app).await, 10_000);
    }
}

on_each_engine! {
    async fn none_of_too_many_is_purged(app: TestApp) {
        let app = braked(app);
        app.people().await;
        ended(&app, 1..=101).await;
        keys(&app, 1_001..=4_000, days(80)).await;
        app.job("purge").await;
        assert_eq!(app.count("tombstones").await, 0);
        let plan = on(&app, Destruction::Purge).await.unwrap();
        assert_eq!((plan.n, plan.reason.as_str()), (101, "101 keys within half an hour are more than 100"));
        // A key that somebody holds is no part of it any more: what is left is not too much.
        app.execute("UPDATE api_keys SET hold = 'mine', version = 2 WHERE id = 5").await;
        app.clock.advance(PUT_OFF);
        let app = app.with(|_| ());
        app.job("purge").await;
        assert_eq!(app.count("tombstones").await, 100);
        assert_eq!(on(&app, Destruction::Purge).await, None);
        // Another hundred within half an hour is too much again, until it is released.
        ended(&app, 201..=300).await;
        app.job("purge").await;
        assert_eq!(app.count("tombstones").await, 100);
        let plan = on(&app, Destruction::Purge).await.unwrap();
        assert!(release(&app, &plan).await);
        app.job("purge").await;
        assert_eq!((app.count("tombstones").await, app.describe(5).await != "gone"), (200, true));
    }
}

on_each_engine! {
    async fn those_nobody_was_told_of_do_not_count_as_purged(app: TestApp) {
        let app = braked(app);
        app.people().await;
        ended(&app, 1..=150).await;
        keys(&app, 1_001..=4_000, days(80)).await;
        app.execute("UPDATE notices SET told_at = NULL WHERE key_id > 50").await;
        let outcome = app.job("purge").await;
        assert_eq!((outcome.n_changed, outcome.n_failed), (50, 100));
        assert_eq!(on(&app, Destruction::Purge).await, None);
    }
}

on_each_engine! {
    async fn without_a_brake_everything_goes(app: TestApp) {
        let app = braked(app);
        let app = app.with(|deps| deps.limits.brake = Limits::OFF);
        fleet(&app, 2_000).await;
        app.sweep().await;
        assert_eq!((n_expired(&app).await, expire_on(&app).await), (2_000, None));
    }
}
