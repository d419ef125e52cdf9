//! What policies say of mails: one for all or one for each key, not in the night, and to whom.

use chrono::TimeDelta;
use mail_parser::MessageParser;
use serde_json::json;

use crate::{
    links::{enable, sent},
    on_each_engine,
    policy_fields::tenant_sets,
    support::app::{TestApp, days},
};

/// The text of the last mail that went to this address.
fn text_to(app: &TestApp, address: &str) -> String {
    let sent = app.outbox.sent();
    let mail = sent.iter().rev().find(|mail| mail.to.iter().any(|to| to.as_str() == address));
    let parsed = MessageParser::default().parse(&mail.unwrap().bytes).unwrap();
    parsed.body_text(0).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// To whom mails went, in order.
fn to(app: &TestApp) -> Vec<String> {
    app.outbox.sent().iter().map(|mail| mail.to.join(", ")).collect()
}

on_each_engine! {
    async fn an_owner_gets_one_mail_or_one_for_each_key(app: TestApp) {
        app.people().await;
        for id in [1, 2, 3] {
            app.key(id, days(7)).await;
        }
        app.pass().await;
        assert_eq!(app.subjects().len(), 1, "{:?}", app.subjects());
        tenant_sets(&app, &json!({ "digest": false })).await;
        app.clock.advance(days(6));
        app.pass().await;
        assert_eq!(app.subjects().len(), 4, "{:?}", app.subjects());
        for id in [1, 2, 3] {
            let n = app.subjects().iter().filter(|subject| subject.contains(&format!("key {id}"))).count();
            assert_eq!(n, 1, "{:?}", app.subjects());
            assert_eq!(app.notices(id).await.last().unwrap(), "expiring-1d told");
        }
    }
}

on_each_engine! {
    async fn what_can_wait_waits_for_the_morning_of_its_owner_and_is_not_late(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "quiet_hours": "22:00-07:00" })).await;
        // 2027-01-15 at 08:00 UTC, so at 9 in Berlin.
        app.key(1, days(30) + TimeDelta::hours(14)).await;
        app.key(2, days(1) + TimeDelta::hours(14)).await;
        app.key(3, TimeDelta::hours(14)).await;
        app.execute("UPDATE api_keys SET last_stage = 7 WHERE id = 2").await;
        app.execute("UPDATE api_keys SET last_stage = 1 WHERE id = 3").await;
        app.sweep().await;
        app.clock.advance(TimeDelta::hours(14));
        app.pass().await;
        assert_eq!(app.subjects().len(), 1, "the last reminder, at 23 o'clock: {:?}", app.subjects());
        assert_eq!(app.notices(1).await, ["expiring-30d queued"]);
        assert_eq!(app.notices(2).await, ["expiring-1d told"]);
        assert_eq!(app.notices(3).await, ["expired queued"], "its window has seven days");
        app.clock.advance(TimeDelta::hours(7) + TimeDelta::minutes(30));
        app.pass().await;
        assert_eq!(app.subjects().len(), 1);
        let overdue = lapsed::store::gauges::stock(&app.db).await.unwrap().overdue_notices;
        assert_eq!(overdue, 0, "nobody is late");
        let oldest = lapsed::store::gauges::backlog(&app.db).await.unwrap().waiting_messages.oldest;
        assert_eq!(oldest, Some(TimeDelta::zero()));
        app.clock.advance(TimeDelta::minutes(30));
        app.pass().await;
        assert_eq!(app.subjects().len(), 2, "both in one: {:?}", app.subjects());
        assert_eq!(app.notices(1).await, ["expiring-30d told"]);
        assert_eq!(app.notices(3).await, ["expired told"]);

        // What is void in the morning is not sent, and what would be too late goes at once.
        app.clock.advance(TimeDelta::hours(16));
        for id in [4, 5] {
            app.key(id, days(7)).await;
        }
        let soon = (app.now() + TimeDelta::hours(5)).timestamp_millis();
        app.execute(&format!("UPDATE api_keys SET expires_at = {soon}, last_stage = 30 WHERE id = 5")).await;
        tenant_sets(&app, &json!({ "quiet_hours": "22:00-07:00", "reminder_days": [30, 7, 1], "closing_days": 0 })).await;
        app.pass().await;
        let n = app.subjects().len();
        assert_eq!(app.notices(5).await.last().unwrap(), "expiring-1d told");
        app.execute("UPDATE api_keys SET state = 3, window_ends_at = 1 WHERE id = 4").await;
        app.clock.advance(TimeDelta::hours(9));
        app.job("deliver").await;
        assert_eq!(app.notices(4).await.last().unwrap(), "expiring-7d void");
        let later = &app.subjects()[n..];
        assert!(later.iter().all(|subject| !subject.contains("key 4")), "{later:?}");
    }
}

on_each_engine! {
    async fn what_came_up_in_a_night_is_one_mail_in_the_morning(app: TestApp) {
        app.people().await;
        app.execute("UPDATE environments SET contacts = '[\"prod@acme.example\"]'").await;
        let rules = json!({ "quiet_hours": "22:00-07:00", "reminder_channels": ["owner", "contacts"] });
        tenant_sets(&app, &rules).await;
        // It is 9 in Berlin. Keys 1 to 4 expire at 23, at 1, at 4, and at 7; 5 and 6 are reminded of at
        // 2 and at 3, with a copy, and of 7 it is the last time, at 2.
        for (id, hours) in [(1, 14), (2, 16), (3, 19), (4, 22)] {
            app.key(id, TimeDelta::hours(hours)).await;
        }
        app.execute("UPDATE api_keys SET last_stage = 1").await;
        app.key(5, days(30) + TimeDelta::hours(17)).await;
        app.key(6, days(30) + TimeDelta::hours(18)).await;
        app.key(7, days(1) + TimeDelta::hours(17)).await;
        app.execute("UPDATE api_keys SET last_stage = 7 WHERE id = 7").await;
        app.sweep().await;
        app.clock.advance(TimeDelta::hours(14));
        for _ in 14..22 {
            app.pass().await;
            app.clock.advance(TimeDelta::hours(1));
        }
        let at_night = ["ada@acme.example", "prod@acme.example"];
        assert_eq!(to(&app), at_night, "the last reminder does not wait");
        assert_eq!(app.notices(7).await, ["expiring-1d told"]);
        app.pass().await;
        assert_eq!(to(&app)[at_night.len()..], at_night, "one mail, and one copy");
        for address in at_night {
            let text = text_to(&app, address);
            for id in 1..=6 {
                assert!(text.contains(&format!("key {id}")), "{id}: {text}");
            }
        }
        for id in [1, 2, 3, 4] {
            assert_eq!(app.notices(id).await, ["expired told"]);
        }
        for id in [5, 6] {
            assert_eq!(app.notices(id).await, ["expiring-30d told"]);
        }
        assert_eq!(app.count("messages").await, 4, "nothing is left of what was made anew");
    }
}

on_each_engine! {
    async fn what_is_told_for_each_key_stays_apart_in_the_morning(app: TestApp) {
        app.people().await;
        tenant_sets(&app, &json!({ "quiet_hours": "22:00-07:00", "digest": false })).await;
        for (id, hours) in [(1, 14), (2, 16)] {
            app.key(id, TimeDelta::hours(hours)).await;
        }
        app.execute("UPDATE api_keys SET last_stage = 1").await;
        app.clock.advance(TimeDelta::hours(14));
        for _ in 14..=22 {
            app.pass().await;
            app.clock.advance(TimeDelta::hours(1));
        }
        assert_eq!(app.subjects().len(), 2, "{:?}", app.subjects());
    }
}

on_each_engine! {
    async fn contacts_get_a_copy_of_reminders_without_the_owners_link(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        app.people().await;
        app.execute("UPDATE environments SET contacts = '[\"prod@acme.example\"]'").await;
        tenant_sets(&app, &json!({ "reminder_channels": ["owner", "contacts"] })).await;
        app.key(1, days(7)).await;
        app.pass().await;
        assert_eq!(to(&app), ["ada@acme.example", "prod@acme.example"]);
        assert_eq!(sent(&app).len(), 1, "one link");
        let copy = text_to(&app, "prod@acme.example");
        assert!(copy.contains("is told too") && copy.contains("its rules ask for it"), "{copy}");
        assert!(!copy.contains("/k/") && !copy.contains("/reminders/"), "{copy}");
        assert_eq!(app.notices(1).await.last().unwrap(), "expiring-7d told");

        // Of an owner who cannot be reached, the tenant's contacts are told as ever, and these too.
        app.execute("UPDATE owners SET mail_status = 2, mail_status_reason = 'no such user'").await;
        app.clock.advance(days(6));
        app.pass().await;
        assert_eq!(to(&app)[2..], ["ops@acme.example", "prod@acme.example"]);
        assert_eq!(app.notices(1).await.last().unwrap(), "expiring-1d escalated");
        let instead = text_to(&app, "ops@acme.example");
        assert!(instead.contains("who could not be reached"), "{instead}");

        // Nothing but reminders.
        app.execute("UPDATE owners SET mail_status = 1, mail_status_reason = NULL").await;
        app.execute("INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, due_at) VALUES (1, 1, 1, -11, 5, 1, 0, 0)").await;
        app.job("deliver").await;
        assert_eq!(to(&app)[4..], ["ada@acme.example"]);
    }
}

on_each_engine! {
    async fn reminders_go_to_contacts_alone_and_to_the_owner_where_there_are_none(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        app.people().await;
        tenant_sets(&app, &json!({ "reminder_channels": ["contacts"] })).await;
        app.key(1, days(7)).await;
        app.pass().await;
        assert_eq!(to(&app), ["ops@acme.example"]);
        let text = text_to(&app, "ops@acme.example");
        assert!(text.contains("and not the owner") && !text.contains("/k/"), "{text}");
        app.execute("UPDATE tenants SET contacts = '[]'").await;
        app.clock.advance(days(6));
        app.pass().await;
        assert_eq!(to(&app)[1..], ["ada@acme.example"]);
        // A key that nobody but its contacts was told of is purged in time.
        app.execute("UPDATE tenants SET contacts = '[\"ops@acme.example\"]'").await;
        app.clock.advance(days(1));
        app.pass().await;
        app.clock.advance(days(7));
        app.pass().await;
        assert_eq!(app.describe(1).await, "gone");
    }
}

on_each_engine! {
    async fn what_is_of_mails_is_not_set_for_one_key(app: TestApp) {
        let face = crate::api::Face::new(&app).await;
        let (id, _) = face.key().await;
        for (field, value) in [
            ("digest", json!(false)),
            ("quiet_hours", json!("22:00-07:00")),
            ("reminder_channels", json!(["contacts"])),
        ] {
            let path = format!("/v1/keys/{id}/policy");
            let refused = face.call(&face.root, "PATCH", &path, json!({ "set": { field: value } })).await;
            assert_eq!(refused.status, 422, "{refused:?}");
            assert!(refused.text.contains("which may speak of several keys"), "{refused:?}");
            face.policy(json!({ field: value })).await;
        }
    }
}
