//! A daemon and a schema that is not its own: made once, waited for, or refused.

use lapsed::store::Engine;

use crate::support::{
    daemon::{Site, until},
    db::with_db,
    smtp::Plan,
};

async fn four_start_together(engine: Engine) {
    with_db(engine, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::empty(&test_db, relay.port).await;
        let options = [("LAPSED_DATABASE__MIGRATE", "true")];
        let mut fleet: Vec<_> = (0..4).map(|_| site.start_with(&options)).collect();
        for daemon in &mut fleet {
            daemon.is_ready().await;
        }
        let n_applied = site.count("seaql_migrations").await;
        let once = "(SELECT DISTINCT version FROM seaql_migrations) AS once";
        assert!(0 < n_applied);
        assert_eq!(site.count(once).await, n_applied);
        for daemon in &mut fleet {
            assert_eq!(daemon.n_errors(), 0);
            daemon.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn four_daemons_make_the_schema_once_on_postgres() {
    four_start_together(Engine::Postgres).await;
}

#[tokio::test]
async fn four_daemons_make_the_schema_once_on_mariadb() {
    four_start_together(Engine::MariaDb).await;
}

async fn an_older_schema(engine: Engine) {
    with_db(engine, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::empty(&test_db, relay.port).await;
        let mut daemon = site.start();
        daemon.has_logged("Waiting for `lapsed db migrate`").await;
        assert_eq!(daemon.get("/livez").await.unwrap().0, 200);
        let (code, report) = daemon.get("/readyz").await.unwrap();
        assert_eq!((code, report.contains("unready")), (503, true), "{report}");

        let migrated = site.run("db migrate");
        assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
        daemon.is_ready().await;
        assert_eq!(daemon.n_logged("Waiting for `lapsed db migrate`"), 1, "said once");
        daemon.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_older_schema_is_waited_for_on_postgres() {
    an_older_schema(Engine::Postgres).await;
}

#[tokio::test]
async fn an_older_schema_is_waited_for_on_mariadb() {
    an_older_schema(Engine::MariaDb).await;
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_schema() {
    with_db(Engine::Postgres, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::empty(&test_db, relay.port).await;
        let mut daemon = site.start();
        daemon.has_logged("Waiting for `lapsed db migrate`").await;
        daemon.stop().await;
    })
    .await;
}

async fn a_newer_schema(engine: Engine) {
    with_db(engine, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        site.execute(
            "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m30001231_000001_far', 1)",
        )
        .await;
        let mut daemon = site.start_with(&[("LAPSED_DATABASE__MIGRATE", "true")]);
        assert_eq!(daemon.end().await.code(), Some(1));
        let words = until("its last words", async || {
            let words = daemon.last_words();
            words.contains("newer lapsed (`m30001231_000001_far`)").then_some(words)
        })
        .await;
        assert!(words.contains("hint: "), "{words}");
        let migrated = site.run("db migrate");
        assert_eq!(migrated.status.code(), Some(1), "{migrated:?}");
    })
    .await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_on_sqlite() {
    a_newer_schema(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_on_postgres() {
    a_newer_schema(Engine::Postgres).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_on_mariadb() {
    a_newer_schema(Engine::MariaDb).await;
}
