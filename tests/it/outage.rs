//! Three days in which nobody looked, with twenty thousand keys: what is told afterwards, and what
//! is not destroyed. What must be is worked out anew here, by dates alone.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::domain::doubt::SETTLE;

use crate::{
    on_each_engine,
    support::app::{TestApp, days},
};

const N_KEYS: i64 = 20_000;
const N_OWNERS: i64 = 2_000;
const OUTAGE: TimeDelta = TimeDelta::hours(72);
const MOMENT: TimeDelta = TimeDelta::milliseconds(1);
/// The ladder, nearest first.
const RUNGS: [i64; 3] = [1, 7, 30];
const EXPIRED: i64 = 0;
const CLOSING: i64 = -1;

/// How long before or after the beginning of the outage a key expires: they are spread over 46
/// days, the first six of which lie behind.
fn ahead(id: i64) -> TimeDelta {
    days(46) / i32::try_from(N_KEYS).unwrap() * i32::try_from(id).unwrap() - days(6)
}

/// The most urgent rung passed at `at` of a key that expires at `expires_at`.
fn passed(expires_at: DateTime<Utc>, at: DateTime<Utc>) -> Option<i64> {
    RUNGS.into_iter().find(|rung| expires_at - days(*rung) <= at)
}

/// What the owner of a key that expires at `expires_at` is told when the daemon is back at `at`,
/// and nothing else of it.
fn due(expires_at: DateTime<Utc>, began: DateTime<Utc>, at: DateTime<Utc>) -> Option<i64> {
    if expires_at <= began {
        // In its window, of which the last day may have come.
        let window_ends_at = expires_at + days(7);
        let is_last_day = window_ends_at - days(1) <= at && at < window_ends_at;
        return is_last_day.then_some(CLOSING);
    }
    if expires_at <= at {
        return Some(EXPIRED);
    }
    passed(expires_at, at).filter(|rung| passed(expires_at, began) != Some(*rung))
}

/// Writes the keys as a daemon leaves them that is up to date.
async fn write(app: &TestApp) {
    let now = app.now();
    let rows: Vec<_> = (2..=N_OWNERS)
        .map(|id| {
            format!("({id}, 'owner{id:07}', 1, 'o{id}@acme.example', 'Ada', 1, 'UTC', 'en', 1, 0)")
        })
        .collect();
    for chunk in rows.chunks(1_000) {
        app.execute(&format!(
            "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, time_zone, locale, \
             mail_status, created_at) VALUES {}",
            chunk.join(", ")
        ))
        .await;
    }
    let rows: Vec<_> = (1..=N_KEYS).map(|id| row(id, now)).collect();
    for chunk in rows.chunks(1_000) {
        app.execute(&format!(
            "INSERT INTO api_keys (id, public_id, owner_id, issued_at, created_at, expires_at, \
             state, window_ends_at, next_job, next_action_at, last_stage, tenant_id, \
             environment_id, kind, name, ttl_ms, version) VALUES {}",
            chunk.join(", ")
        ))
        .await;
    }
    app.execute(
        "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, \
         due_at, told_at) SELECT id, 1, owner_id, 0, expires_at, 3, expires_at, expires_at, \
         expires_at FROM api_keys WHERE state = 2",
    )
    .await;
}

fn row(id: i64, now: DateTime<Utc>) -> String {
    let expires_at = now + ahead(id);
    let ms = |at: DateTime<Utc>| at.timestamp_millis();
    let (born, owner) = (ms(expires_at - days(90)), id % N_OWNERS + 1);
    let (state, ends_at, job, next, told) = if expires_at <= now {
        // None of them is on the last day of its window yet.
        let ends_at = expires_at + days(7);
        (2, ms(ends_at).to_string(), 1, ends_at - days(1), EXPIRED.to_string())
    } else {
        let told = passed(expires_at, now);
        let nearer = RUNGS.into_iter().rev().map(|rung| expires_at - days(rung));
        let next = nearer.filter(|at| now < *at).min().unwrap_or(expires_at);
        let told = told.map_or("NULL".to_owned(), |rung| rung.to_string());
        (1, "NULL".to_owned(), 1, next, told)
    };
    format!(
        "({id}, 'key{id:09}', {owner}, {born}, {born}, {}, {state}, {ends_at}, {job}, {}, {told}, 1, \
         1, 1, 'key {id}', 7776000000, 1)",
        ms(expires_at),
        ms(next)
    )
}

/// What each key's owner was told by mail, and with how many notices.
async fn told(app: &TestApp) -> BTreeMap<i64, Vec<i64>> {
    let mut told = BTreeMap::<i64, Vec<i64>>::new();
    for row in app
        .rows("SELECT key_id, stage FROM notices WHERE message_id IS NOT NULL AND status = 3")
        .await
    {
        let stage: i16 = row.try_get_by_index(1).unwrap();
        told.entry(row.try_get_by_index(0).unwrap()).or_default().push(stage.into());
    }
    told
}

on_each_engine! {
    async fn after_three_days_each_owner_is_told_once_and_nothing_is_lost(app: TestApp) {
        let app = app.with(|deps| {
            deps.limits.settle = Some(SETTLE);
            deps.limits.batch = 1_000;
        });
        app.people().await;
        write(&app).await;
        let began = app.now();
        app.pass().await;
        assert_eq!(app.subjects().len(), 0, "it was up to date");

        app.clock.advance(OUTAGE);
        let app = app.with(|deps| deps.timekeeper = Arc::default());
        let back = app.now();
        app.pass().await;
        let expected: BTreeMap<_, _> = (1..=N_KEYS)
            .filter_map(|id| Some((id, vec![due(began + ahead(id), began, back)?])))
            .collect();
        assert!(told(&app).await == expected, "each is told the most urgent, and nothing else");
        let owners: std::collections::BTreeSet<_> =
            expected.keys().map(|id| id % N_OWNERS + 1).collect();
        let mut addresses: Vec<_> = app.outbox.sent().into_iter().flat_map(|mail| mail.to).collect();
        let n_mails = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!((n_mails, addresses.len()), (owners.len(), owners.len()), "one mail an owner");

        let ends: Vec<i64> = app
            .column(&format!(
                "SELECT DISTINCT window_ends_at FROM api_keys WHERE state = 2 AND expires_at > {}",
                began.timestamp_millis()
            ))
            .await;
        assert_eq!(ends, [(back + days(7)).timestamp_millis()], "the outage took nothing from it");
        assert_eq!(app.count("tombstones").await, 0, "nothing goes before the clock is believed");
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails, "and nobody is told again");

        // A day later the windows that were over go, and no others.
        app.clock.advance(SETTLE);
        app.job("purge").await;
        let is_over = |id: &i64| began + ahead(*id) + days(7) <= app.now();
        let over: Vec<_> = (1..=N_KEYS).filter(is_over).collect();
        let gone: Vec<i64> = app.column("SELECT key_id FROM tombstones ORDER BY key_id").await;
        assert!(!gone.is_empty() && gone == over, "{} gone, {} over", gone.len(), over.len());

        // What expired meanwhile has its seven days from the day the daemon was back.
        let go_to = |at| app.clock.advance(at - app.now());
        go_to(back + days(6));
        app.sweep().await;
        go_to(back + days(7) - MOMENT);
        let n_before = app.count("tombstones").await;
        let extended = format!(
            "tombstones WHERE expires_at > {} AND expires_at <= {}",
            began.timestamp_millis(),
            back.timestamp_millis()
        );
        app.job("purge").await;
        assert_eq!(app.count(&extended).await, 0, "a moment early");
        assert!(n_before <= app.count("tombstones").await);
        go_to(back + days(7));
        app.job("purge").await;
        let n_expired = expected.values().filter(|stages| **stages == [EXPIRED]).count();
        assert_eq!(usize::try_from(app.count(&extended).await), Ok(n_expired));
        assert_eq!(app.count("api_keys WHERE parked IS NOT NULL").await, 0);
    }
}
