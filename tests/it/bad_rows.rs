//! Thirty kinds of bad rows among ten thousand good ones: each is put aside with its reason, and
//! stops nothing else.

use chrono::TimeDelta;
use lapsed::{
    domain::key::KeyId,
    store::{Engine, parked},
};

use crate::{
    on_each_engine,
    support::{
        app::{TestApp, days, noon},
        daemon::Site,
        db::with_db,
    },
};

/// The first moment of the year 10,000, and the last one there is: both are damage.
const TOO_LATE: i64 = 253_402_300_800_000;

/// What is wrong with keys that are due for the sweep.
fn bad_for_the_sweep() -> Vec<String> {
    let last = i64::MAX;
    let mut damages: Vec<String> = [
        "state = 9",
        "state = 0",
        "state = -1",
        "state = 2",
        "state = 3",
        "kind = 0",
        "kind = 9",
        "kind = -5",
        "expires_at = -1",
        "issued_at = -1",
        "access_ends_at = -1",
        "review_at = -1",
        "window_ends_at = -1",
        "state = 100",
        "last_stage = -99",
        "expires_at = NULL, access_ends_at = 1800000000000",
    ]
    .map(str::to_owned)
    .into();
    for column in ["expires_at", "issued_at", "access_ends_at", "review_at", "window_ends_at"] {
        damages.push(format!("{column} = {last}"));
    }
    damages.push(format!("expires_at = {TOO_LATE}"));
    damages
}

/// What is wrong with keys that are due for the purge.
fn bad_for_the_purge() -> Vec<String> {
    let mut damages: Vec<String> = [
        "state = 9",
        "state = 1",
        "window_ends_at = NULL",
        "window_ends_at = -1",
        "expires_at = NULL",
        "kind = 0",
        "issued_at = -1",
        "access_ends_at = -1",
    ]
    .map(str::to_owned)
    .into();
    damages.push(format!("window_ends_at = {TOO_LATE}"));
    damages
}

/// What only an engine without strict types lets in.
fn without_types() -> [&'static str; 3] {
    ["window_ends_at = 'soon'", "expires_at = x'ff00'", "state = 'active'"]
}

const N: i64 = 5_000;

/// Writes `N` keys from the number `first` on, due now.
async fn fleet(app: &TestApp, first: i64, columns: &str) {
    let numbers = match app.db.engine() {
        Engine::Sqlite => {
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n) AS n"
        }
        Engine::Postgres => "generate_series(1::bigint, 5000) AS n(i)",
        Engine::MariaDb => "(SELECT CAST(seq AS SIGNED) AS i FROM seq_1_to_5000) AS n",
    };
    let id = match app.db.engine() {
        Engine::Sqlite => format!("printf('key%09d', i + {first})"),
        Engine::Postgres => format!("'key' || LPAD((i + {first})::text, 9, '0')"),
        Engine::MariaDb => format!("CONCAT('key', LPAD(i + {first}, 9, '0'))"),
    };
    let (now, issued) = (noon().timestamp_millis(), (noon() - days(90)).timestamp_millis());
    app.execute(&format!(
        "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, kind, name, \
         ttl_ms, created_at, issued_at, version, next_action_at, expires_at, state, \
         window_ends_at, next_job) SELECT i + {first}, {id}, 1, 1, 1, 1, 'key', 7776000000, \
         {issued}, {issued}, 1, {now}, {columns} FROM {numbers}"
    ))
    .await;
}

async fn damage(app: &TestApp, first: i64, damages: &[String]) {
    for (id, damage) in (first + 100..).step_by(37).zip(damages) {
        app.execute(&format!("UPDATE api_keys SET {damage} WHERE id = {id}")).await;
    }
}

on_each_engine! {
    async fn thirty_kinds_among_ten_thousand_stop_only_themselves(app: TestApp) {
        app.people().await;
        let (in_a_week, a_week_ago) = (noon() + days(7), noon() - days(7) - TimeDelta::seconds(1));
        fleet(&app, 0, &format!("{}, 1, NULL, 1", in_a_week.timestamp_millis())).await;
        let window = (noon() - TimeDelta::seconds(1)).timestamp_millis();
        fleet(&app, 10_000, &format!("{}, 2, {window}, 2", a_week_ago.timestamp_millis())).await;
        app.execute(&format!(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, \
             created_at, due_at, told_at) SELECT id, 1, 1, 0, expires_at, 3, 0, 0, {} \
             FROM api_keys WHERE next_job = 2",
            a_week_ago.timestamp_millis()
        ))
        .await;
        let (mut for_sweep, mut for_purge) = (bad_for_the_sweep(), bad_for_the_purge());
        if app.db.engine() == Engine::Sqlite {
            for_sweep.extend(without_types().map(str::to_owned));
            for_purge.extend(without_types().map(str::to_owned));
        }
        assert!(30 <= for_sweep.len() + for_purge.len());
        damage(&app, 0, &for_sweep).await;
        damage(&app, 10_000, &for_purge).await;

        let (n_sweep, n_purge) = (for_sweep.len() as u64, for_purge.len() as u64);
        let swept = app.sweep().await;
        assert_eq!((swept.n_examined, swept.n_changed, swept.n_failed), (5_000, 5_000 - n_sweep, n_sweep));
        let purged = app.job("purge").await;
        assert_eq!((purged.n_examined, purged.n_changed, purged.n_failed), (5_000, 5_000 - n_purge, n_purge));
        assert_eq!(app.count("tombstones").await, N - n_purge as i64);
        let buried = "audit_events WHERE action = 'key.purged'";
        assert_eq!(app.count(buried).await, N - n_purge as i64, "no line about what did not happen");
        let parked_rows = "api_keys WHERE parked IS NOT NULL AND next_action_at IS NULL";
        assert_eq!(app.count(parked_rows).await, (n_sweep + n_purge) as i64);
        assert_eq!((app.sweep().await.n_examined, app.job("purge").await.n_examined), (0, 0));

        // One is mended and released; then all are, and those that still make no sense are put
        // aside again.
        app.execute("UPDATE api_keys SET state = 1 WHERE id = 100").await;
        assert_eq!(parked::unpark(&app.db, "operator", Some(KeyId(100))).await.unwrap(), 1);
        let swept = app.sweep().await;
        assert_eq!((swept.n_changed, swept.n_failed), (1, 0));
        let n_left = n_sweep + n_purge - 1;
        assert_eq!(parked::unpark(&app.db, "operator", None).await.unwrap(), n_left);
        assert_eq!(app.count("audit_events WHERE action = 'key.unparked'").await, n_left as i64 + 1);
        app.clock.advance(TimeDelta::minutes(1));
        let swept = app.sweep().await;
        assert_eq!(swept.n_examined, n_left);
        assert!(n_left - 3 <= swept.n_failed, "an active key whose turn was the purge is no damage to a sweep");
    }
}

on_each_engine! {
    async fn so_they_do_in_a_batch_that_is_written_in_parts(app: TestApp) {
        let app = app.with(|deps| deps.limits.batch = 10_000);
        thirty_kinds_among_ten_thousand_stop_only_themselves(app).await;
    }
}

#[tokio::test]
async fn whoever_lists_what_was_put_aside_reads_why() {
    with_db(Engine::Sqlite, |test_db| async move {
        let site = Site::new(&test_db, 1).await;
        let create = "keys create --tenant acme --env prod --owner ada@acme.example --name";
        for command in [
            "tenants add acme",
            "environments add acme prod",
            "owners add ada@acme.example --tenant acme",
            &format!("{create} good"),
            &format!("{create} bad"),
        ] {
            assert!(site.run(command).status.success(), "{command}");
        }
        let damage = "UPDATE api_keys SET kind = 9, next_action_at = 0 WHERE name = 'bad'";
        site.execute(damage).await;
        assert_eq!(site.run("sweep").status.code(), Some(3));
        let why: Vec<String> =
            site.column("SELECT parked FROM api_keys WHERE parked IS NOT NULL").await;
        let listed = String::from_utf8(site.run("keys list --parked").stdout).unwrap();
        let rows: Vec<_> = listed.lines().skip(1).collect();
        assert_eq!((why.len(), rows.len()), (1, 1), "{listed}");
        assert!(rows[0].contains("bad") && rows[0].contains(&why[0]), "{listed}");
    })
    .await;
}
