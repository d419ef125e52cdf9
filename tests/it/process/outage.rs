//! A database that goes away under a daemon at work, and comes back.

use lapsed::store::Engine;

use super::{IN_A_WEEK, check_told, gated, people, seed, until_done};
use crate::{
    support::{
        daemon::{Site, until},
        db::{TestDb, with_db},
        proxy::{Fault, Proxy},
    },
    watch::send,
};

/// An installation whose database is behind a proxy.
async fn behind_a_proxy(test_db: &TestDb, smtp_port: u16) -> (Proxy, Site) {
    let server = test_db.server().unwrap();
    let proxy = Proxy::start(server).await;
    let url = test_db.url().replace(&server.to_string(), &proxy.address.to_string());
    let site = Site::by(test_db, &url, smtp_port).await;
    site.db.migrate().await.unwrap();
    (proxy, site)
}

async fn is_waited_for(engine: Engine) {
    with_db(engine, |test_db| async move {
        let (n_owners, n_keys) = (400, 2_000);
        let (relay, gate) = gated(50).await;
        let (proxy, site) = behind_a_proxy(&test_db, relay.port).await;
        people(&site, n_owners).await;
        let mut daemon = site.fleet(1).await.remove(0);
        seed(&site, n_owners, n_keys).await;
        until("the relay has taken some", async || (relay.n_mails() >= 50).then_some(())).await;

        proxy.fault(Fault::Cut);
        gate.send_replace(true);
        daemon.has_logged("The database cannot be reached").await;
        until("it says that the database is away", async || {
            let (code, _) = daemon.get("/livez").await?;
            assert_eq!(code, 200, "a restart would heal nothing");
            // Degraded for a minute, and unready after that.
            let (_, report) = daemon.get("/readyz").await?;
            let is_ready = report.starts_with(r#"{"status":"ready""#);
            (!is_ready && report.contains("it has not answered for")).then_some(())
        })
        .await;

        proxy.fault(Fault::None);
        until_done(&site).await;
        daemon.has_logged("The database is back").await;
        until("it says that all is well", async || {
            let (code, report) = daemon.get("/readyz").await?;
            (code == 200 && report.starts_with(r#"{"status":"ready""#)).then_some(())
        })
        .await;
        assert_eq!(
            daemon.n_logged("The database cannot be reached"),
            1,
            "once, not per key or run"
        );
        assert_eq!(daemon.n_logged("The database is back"), 1);
        assert_eq!(daemon.n_errors(), 0);
        daemon.stop().await;
        check_told(&site, &relay, IN_A_WEEK, n_keys).await;
    })
    .await;
}

#[tokio::test]
async fn postgres_goes_away_and_comes_back() {
    is_waited_for(Engine::Postgres).await;
}

#[tokio::test]
async fn mariadb_goes_away_and_comes_back() {
    is_waited_for(Engine::MariaDb).await;
}

#[tokio::test]
async fn while_the_database_is_away_nobody_is_let_in() {
    with_db(Engine::Postgres, |test_db| async move {
        let (proxy, site) = behind_a_proxy(&test_db, 1).await;
        // A command is waited for, and nothing goes through the proxy meanwhile.
        let direct = Site::by(&test_db, &test_db.url(), 1).await;
        for command in [
            "tenants add acme",
            "environments add acme prod",
            "owners add ada@acme.example --tenant acme",
        ] {
            assert!(direct.run(command).status.success(), "{command}");
        }
        let made = "keys create --tenant acme --env prod --owner ada@acme.example --name deploy";
        let made = String::from_utf8(direct.run(made).stdout).unwrap();
        let mut daemon = site.start();
        daemon.is_ready().await;
        let address = daemon.address().unwrap();
        let headers = format!("X-API-Key: {}\r\n", made.trim());
        let ask = async || send(address, "GET", "/v1/forward-auth", &headers).await.status;
        assert_eq!(ask().await, 204);
        proxy.fault(Fault::Cut);
        // Good just now, and not believed any more: nobody knows what has become of it since.
        for _ in 0..3 {
            assert_eq!(ask().await, 503);
        }
        proxy.fault(Fault::None);
        until("it is let in again", async || (ask().await == 204).then_some(())).await;
        daemon.stop().await;
    })
    .await;
}
