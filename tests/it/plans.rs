//! The hot statements use their index, on each engine, at 100,000 rows.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use lapsed::{
    clock::SystemClock,
    jobs::{
        self,
        runner::{Cause, Runner},
    },
    mail::transport::Transport,
    shutdown::Shutdown,
    store::{
        Db, Engine, Settings,
        audit::trail,
        due, gauges,
        history::{self, NoticeFilter},
        key_list::{self, Filter},
        letters, messages, outbox, owners, purge,
        sql::Sql,
        turn, verify,
    },
};

use crate::{
    on_each_engine,
    support::{
        app::{TestApp, deps},
        daemon::until,
        proxy::Proxy,
    },
};

/// The numbers from 1 to 100,000, as a table with the column `i`.
fn numbers(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n) AS n"
        }
        Engine::Postgres => "generate_series(1::bigint, 100000) AS n(i)",
        Engine::MariaDb => "(SELECT CAST(seq AS SIGNED) AS i FROM seq_1_to_100000) AS n",
    }
}

/// Fills the tables: 100,000 keys, messages and notices, one in a thousand of them due.
async fn fill(app: &TestApp) {
    app.people().await;
    let numbers = numbers(app.db.engine());
    let text = |sql: &str| match app.db.engine() {
        Engine::MariaDb => format!("CONCAT('x', LPAD({sql}, 11, '0'))"),
        Engine::Postgres => format!("'x' || LPAD(({sql})::text, 11, '0')"),
        Engine::Sqlite => format!("printf('x%011d', {sql})"),
    };
    let (id, now) = (text("i"), app.now().timestamp_millis());
    app.execute(&format!(
        "INSERT INTO api_keys (public_id, tenant_id, environment_id, owner_id, kind, name, ttl_ms, \
         created_at, issued_at, expires_at, state, next_job, next_action_at, version) \
         SELECT {id}, 1, 1, 1, 1, 'key', 1, 0, 0, {now}, 1, CASE WHEN i % 2 = 0 THEN 1 ELSE 2 END, \
         {now} + (i - 100) * 1000000, 1 FROM {numbers}"
    ))
    .await;
    app.execute(&format!(
        "INSERT INTO messages (header_id, tenant_id, owner_id, audience, recipients, status, \
         created_at, next_attempt_at, attempts, crashes, ambiguous) \
         SELECT {id}, 1, 1, 1, '[]', CASE WHEN i % 2 = 0 THEN 1 ELSE 3 END, {now}, \
         {now} + (i - 100) * 1000000, 0, 0, 0 FROM {numbers}"
    ))
    .await;
    app.execute(&format!(
        "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, \
         due_at) SELECT i, 1, i % 1000, 0, {now}, CASE WHEN i % 1000 = 0 THEN 1 ELSE 3 END, 0, 0 \
         FROM {numbers}"
    ))
    .await;
    let analyze = match app.db.engine() {
        Engine::MariaDb => "ANALYZE TABLE api_keys, messages, notices",
        _ => "ANALYZE",
    };
    app.execute(analyze).await;
}

/// How the engine means to carry a statement out, in one text.
async fn plan(app: &TestApp, sql: Sql) -> String {
    let statement = sql.statement();
    let explain = match app.db.engine() {
        Engine::Sqlite => "EXPLAIN QUERY PLAN ",
        _ => "EXPLAIN ",
    };
    let text = format!("{explain}{}", statement.sql);
    let sql = sea_orm::Statement { sql: text, ..statement };
    // SQLite reads what was counted when a connection opens, and not again.
    let db = app.test_db.connect(Arc::new(app.clock.clone())).await;
    let rows = sea_orm::ConnectionTrait::query_all_raw(db.conn(), sql).await.unwrap();
    let mut plan = String::new();
    for row in rows {
        for column in row.column_names() {
            if let Ok(text) = row.try_get::<String>("", &column) {
                plan += &format!("{text} ");
            }
        }
        plan.push('\n');
    }
    db.close().await.unwrap();
    plan
}

async fn uses(app: &TestApp, sql: Sql, index: &str) {
    let plan = plan(app, sql).await;
    assert!(plan.contains(index), "{index} is not used:\n{plan}");
    // The flags are a handful, and the owners here are one.
    let few = plan.replace("Seq Scan on flags", "").replace("Seq Scan on owners", "");
    let is_whole = few.contains("Seq Scan")
        || plan.contains("SCAN api_keys")
        || plan.contains("SCAN messages");
    assert!(!is_whole, "a whole table is read:\n{plan}");
}

on_each_engine! {
    async fn the_claims_read_what_is_due_and_nothing_else(app: TestApp) {
        fill(&app).await;
        let (conn, now) = (app.db.conn(), app.now());
        let floor = now - TimeDelta::hours(1);
        uses(&app, due::claim_statement(conn, turn::BEGINNING, now, 1000), "ix_api_keys_due").await;
        uses(&app, due::claim_statement(conn, (floor, turn::BEGINNING.1), now, 1000), "ix_api_keys_due").await;
        uses(&app, due::glance_statement(&app.db, floor).unwrap(), "ix_api_keys_due").await;
        // By the server's own clock the statement is another one.
        let settings = Settings {
            url: app.test_db.url(),
            password: None,
            max_connections: 1,
            acquire_timeout: Duration::from_secs(20),
        };
        let db = Db::connect(&settings, Arc::new(SystemClock), false).await.unwrap();
        let now = db.now(db.conn()).await.unwrap();
        let floor = now - TimeDelta::hours(1);
        uses(&app, due::glance_statement(&db, floor).unwrap(), "ix_api_keys_due").await;
        let glance = due::glance(&db, floor).await.unwrap();
        assert!(glance.is_idle, "the keys are due next year");
        assert!((glance.now - now).num_seconds().abs() < 60);
        uses(&app, purge::claim_statement(conn, turn::BEGINNING, now, 1000), "ix_api_keys_due").await;
        uses(&app, messages::claim_statement(conn, now, 1000), "ix_messages_due").await;
        uses(&app, outbox::claim_statement(conn, 1000), "ix_notices_pending").await;
        // As many as wait for a morning, of all that wait here.
        let evening = now + TimeDelta::milliseconds(98_900_000_000);
        uses(&app, outbox::waiting_statement(conn, &[1, 2, 3], evening), "ix_messages_due").await;
    }
}

on_each_engine! {
    async fn the_counts_of_what_waits_read_what_is_due_and_nothing_else(app: TestApp) {
        fill(&app).await;
        // Half of the messages wait here, for which no index is worth while.
        let [sweep, purge, notices, ..] = gauges::backlog_statements(app.db.conn(), app.now());
        uses(&app, sweep, "ix_api_keys_due").await;
        uses(&app, purge, "ix_api_keys_due").await;
        uses(&app, notices, "ix_notices_pending").await;
    }
}

on_each_engine! {
    async fn a_page_of_keys_is_read_in_its_order_and_not_sorted(app: TestApp) {
        fill(&app).await;
        // One tenant has most of the keys; of a thousand others each has a few, far apart.
        app.execute(&format!(
            "INSERT INTO tenants (id, slug, name, contacts, created_at) SELECT 1 + i, {}, 'T', '[]', 0 \
             FROM {} WHERE i <= 1000",
            match app.db.engine() {
                Engine::MariaDb => "CONCAT('t', i)",
                _ => "'t' || i",
            },
            numbers(app.db.engine())
        ))
        .await;
        app.execute("UPDATE api_keys SET tenant_id = 2 + id % 1000 WHERE id % 3 = 0").await;
        let analyze = match app.db.engine() {
            Engine::MariaDb => "ANALYZE TABLE api_keys, tenants",
            _ => "ANALYZE",
        };
        app.execute(analyze).await;
        for (tenant, after) in [(None, 0), (Some("acme"), 0), (Some("acme"), 50_000), (Some("t7"), 0)] {
            let filter = Filter { tenant: tenant.map(str::to_owned), ..Filter::default() };
            let keys = key_list::list(&app.db, &filter, after, 51).await.unwrap();
            assert!(keys.iter().all(|key| tenant.is_none_or(|tenant| key.tenant.1 == tenant)));
            assert!(keys.is_sorted_by_key(|key| key.id) && keys.len() > 15, "{tenant:?}");
            let plan = plan(&app, key_list::list_statement(app.db.conn(), &filter, after, 51)).await;
            if tenant == Some("t7") {
                // So few are found by their tenant, by either index, and sorting them is nothing.
                assert!(plan.contains("api_keys_tenant"), "{tenant:?}:\n{plan}");
                continue;
            }
            for sorting in ["TEMP B-TREE", "filesort", "Sort "] {
                assert!(!plan.contains(sorting), "{tenant:?}: all its keys are sorted:\n{plan}");
            }
        }
    }
}

on_each_engine! {
    async fn a_key_is_verified_by_one_read_through_an_index(app: TestApp) {
        fill(&app).await;
        let secrets = "INSERT INTO key_secrets (key_id, version, algorithm, mac, pepper_id, created_at) \
             SELECT id, 1, 1, CAST(public_id AS ";
        let bytes = match app.db.engine() {
            Engine::Sqlite => "BLOB",
            Engine::Postgres => "BYTEA",
            Engine::MariaDb => "BINARY",
        };
        app.execute(&format!("{secrets}{bytes}), 1, 0 FROM api_keys")).await;
        let analyze = match app.db.engine() {
            Engine::MariaDb => "ANALYZE TABLE key_secrets",
            _ => "ANALYZE",
        };
        app.execute(analyze).await;
        let id = "x00000000042".parse().unwrap();
        uses(&app, verify::of_one(&app.db, id), "uq_api_keys_public_id").await;
        uses(&app, verify::of_one(&app.db, id), "uq_key_secrets_key_id_version").await;
        if app.db.engine() == Engine::Postgres {
            let ids = [id; 20];
            uses(&app, verify::of_many(&app.db, &ids), "uq_api_keys_public_id").await;
            uses(&app, verify::of_many(&app.db, &ids), "uq_key_secrets_key_id_version").await;
        }
    }
}

on_each_engine! {
    async fn no_statement_waits_for_nagles_algorithm(app: TestApp) {
        let Some(server) = app.test_db.server() else { return };
        // A port of its own tells these connections from those of other tests.
        let proxy = Proxy::start(server).await;
        let patience = Duration::from_secs(20);
        let db = app.test_db.connect_by(proxy.address, Arc::new(SystemClock), patience).await;
        let both = (db.begin().await.unwrap(), db.begin().await.unwrap());
        let states = nodelay::states(proxy.address.port());
        assert!(2 <= states.len() && states.iter().all(|is_set| *is_set), "{states:?}");
        both.0.undo().await.unwrap();
        both.1.undo().await.unwrap();
        db.close().await.unwrap();
    }
}

on_each_engine! {
    async fn a_mail_reads_its_own_notices_and_no_others(app: TestApp) {
        app.people().await;
        // Written just now, and counted by nobody yet.
        app.execute(&format!(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, \
             due_at, message_id) SELECT i, 1, 1, 0, 0, 2, 0, 0, 1 + i % 20000 FROM {}",
            numbers(app.db.engine())
        ))
        .await;
        let ids: Vec<i64> = (1..=250).collect();
        let plan = plan(&app, letters::texts_statement(app.db.conn(), &ids)).await;
        assert!(plan.contains("ix_notices_message"), "{plan}");
        assert!(!plan.contains("Seq Scan on notices"), "{plan}");
    }
}

#[tokio::test]
async fn no_job_of_every_minute_reads_a_whole_table() {
    // Only PostgreSQL counts this; the statements and their indexes are the same everywhere.
    crate::support::app::run(Engine::Postgres, no_job_scans).await;
}

async fn no_job_scans(app: TestApp) {
    fill(&app).await;
    let now = app.now().timestamp_millis();
    app.execute(&format!(
        "INSERT INTO audit_events (at, actor, action, key_id, detail) \
         SELECT {now}, 'daemon', 'key.created', i, '{{}}' FROM generate_series(1, 100000) AS n(i)"
    ))
    .await;
    app.execute(&format!(
        "INSERT INTO tombstones (key_id, public_id, tenant_id, environment_id, owner_id, kind, name, \
         created_at, purged_at, reason, policy) SELECT i, 'y' || LPAD(i::text, 11, '0'), 1, 1, 1, 1, \
         'key', 0, {now}, 1, '{{}}' FROM generate_series(1, 100000) AS n(i)"
    ))
    .await;
    app.job("seal").await;
    app.execute("ANALYZE").await;
    let connected = "SELECT COUNT(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND backend_type = 'client backend'";
    // Every connection of the test's own is open from now on, so that another is a job's.
    drop(tokio::join!(app.db.begin(), app.db.begin(), app.db.begin(), app.db.begin()));
    let n_before: i64 = app.column(connected).await[0];
    // (Pruning may: it runs once a day, and an index for it would cost every mail something.)
    for name in ["sweep", "deliver", "purge", "seal", "sweep"] {
        app.execute("SELECT pg_stat_reset()").await;
        // Connections of its own: a server process counts what it did when it ends.
        let db = app.test_db.connect(Arc::new(app.clock.clone())).await;
        let deps = deps(db.clone(), app.clock.clone(), Transport::Memory(app.outbox.clone()));
        let runner = Runner::new(deps, Duration::from_secs(60), Shutdown::new());
        runner.run(jobs::find(name).unwrap(), Cause::Manual).await.unwrap();
        db.close().await.unwrap();
        until("its connections end", async || {
            let n: i64 = app.column(connected).await[0];
            (n <= n_before).then_some(())
        })
        .await;
        let scanned: Vec<String> = app
            .column(
                "SELECT s.relname::text || ' ' || s.seq_scan::text FROM pg_stat_user_tables s \
                 JOIN pg_class c ON c.oid = s.relid WHERE s.seq_scan > 0 AND c.reltuples > 10000",
            )
            .await;
        assert!(scanned.is_empty(), "`{name}` reads these from end to end: {scanned:?}");
    }
}

on_each_engine! {
    async fn a_page_of_owners_notices_or_the_trail_is_chosen_before_it_is_dressed(app: TestApp) {
        fill(&app).await;
        let numbers = numbers(app.db.engine());
        let text = |head: &str| match app.db.engine() {
            Engine::MariaDb => format!("CONCAT('{head}', i)"),
            _ => format!("'{head}' || i"),
        };
        app.execute(&format!(
            "INSERT INTO tenants (id, slug, name, contacts, created_at) SELECT 1 + i, {}, 'T', '[]', 0 \
             FROM {numbers} WHERE i <= 5",
            text("t")
        ))
        .await;
        app.execute(&format!(
            "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, time_zone, locale, \
             mail_status, created_at) SELECT 10 + i, {}, 1 + i % 6, {}, 'O', 1, 'UTC', 'en', 1, 0 \
             FROM {numbers} WHERE i <= 20000",
            text("o"),
            text("mail")
        ))
        .await;
        app.execute(&format!(
            "INSERT INTO audit_events (at, tenant_id, actor, action, key_id, owner_id, detail) \
             SELECT 0, 1 + i % 6, 'daemon', 'key.created', i, 10 + i % 20000, '{{}}' FROM {numbers}"
        ))
        .await;
        let analyze = match app.db.engine() {
            Engine::MariaDb => "ANALYZE TABLE owners, tenants, audit_events",
            _ => "ANALYZE",
        };
        app.execute(analyze).await;
        let conn = app.db.conn();
        let latest = trail::Latest { before: Some(90_000), ..trail::Latest::default() };
        let before = NoticeFilter { before: Some(90_000), ..NoticeFilter::default() };
        for (what, sql) in [
            ("owners", owners::list_statement(conn, &owners::Filter::default(), 0, 51)),
            ("owners", owners::list_statement(conn, &owners::Filter::default(), 10_000, 51)),
            ("notices", history::notices_statement(conn, NoticeFilter::default(), 51)),
            ("notices", history::notices_statement(conn, before, 51)),
            ("audit_events", trail::latest_statement(conn, trail::Latest::default(), 51)),
            ("audit_events", trail::latest_statement(conn, latest, 51)),
        ] {
            let plan = plan(&app, sql).await;
            // A page that has been chosen may well be sorted once more.
            let of_all = plan.lines().filter(|line| !line.contains("<derived"));
            let is_sorted = of_all.clone().any(|line| line.contains("filesort"));
            let is_whole = plan.contains(&format!("Seq Scan on {what}"));
            assert!(!is_sorted && !is_whole, "all {what} are read:\n{plan}");
        }
        if app.db.engine() == Engine::Postgres {
            uses(&app, due::claim_statement(conn, turn::BEGINNING, app.now(), 1000), "ix_owners_wish").await;
        }
        let owners = owners::list(&app.db, &owners::Filter::default(), 0, 51).await.unwrap();
        assert!(owners.len() == 51 && owners.is_sorted_by_key(|owner| owner.id));
        let of_one = owners::Filter { tenant: Some("t3".to_owned()), ..owners::Filter::default() };
        let owners = owners::list(&app.db, &of_one, 0, 51).await.unwrap();
        assert!(owners.len() == 51 && owners.iter().all(|owner| owner.tenant == "t3"));
        let notices = history::notices(&app.db, before, 51).await.unwrap();
        let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
        assert_eq!(ids, (89_949..90_000).rev().collect::<Vec<_>>());
        let events = trail::latest(conn, latest, 51).await.unwrap();
        assert!(events.len() == 51 && events.iter().all(|event| event.owner.is_some()));
        assert!(events.is_sorted_by_key(|event| -event.id) && events[0].id == 89_999);
    }
}
