//! A database that is there, but not as it should be: it ends its connections, refuses the login,
//! freezes, or takes no changes. The daemon stays up, says so once, heals by itself, loses nothing.

use lapsed::store::Engine;

use super::{IN_A_WEEK, check_told, gated, people, seed, until_done};
use crate::support::{
    daemon::{Daemon, Site, until},
    db::{TestDb, with_db},
    proxy::{Fault, Proxy},
};

/// The login that the daemon of a test has, and nobody else.
struct Account {
    engine: Engine,
    name: String,
}

impl Account {
    /// Makes one that may do everything to the tables of `site`.
    async fn create(engine: Engine, site: &Site) -> Self {
        let name = format!("daemon_{:08x}", rand::random::<u32>());
        let statements = match engine {
            Engine::Postgres => vec![
                format!("CREATE ROLE {name} LOGIN"),
                format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"),
                format!("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}"),
            ],
            _ => vec![
                format!("CREATE USER {name}@'%'"),
                // Whatever the database of the connection is called.
                format!("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO {name}@'%'"),
            ],
        };
        for statement in statements {
            site.execute(&statement).await;
        }
        Self { engine, name }
    }

    /// Ends all its connections, as a restart of the server does.
    async fn disconnect(&self, site: &Site) {
        match self.engine {
            Engine::Postgres => {
                let (what, whose) = ("pg_terminate_backend(pid)", &self.name);
                let ask = format!("SELECT {what} FROM pg_stat_activity WHERE usename = '{whose}'");
                site.column::<bool>(&ask).await;
            }
            _ => site.execute(&format!("KILL CONNECTION USER {}", self.name)).await,
        }
    }

    /// From now on lets nobody in by it, or somebody again.
    async fn allow_login(&self, site: &Site, is_allowed: bool) {
        let name = &self.name;
        let statement = match (self.engine, is_allowed) {
            (Engine::Postgres, true) => format!("ALTER ROLE {name} LOGIN"),
            (Engine::Postgres, false) => format!("ALTER ROLE {name} NOLOGIN"),
            (_, true) => format!("ALTER USER {name}@'%' IDENTIFIED BY ''"),
            (_, false) => format!("ALTER USER {name}@'%' IDENTIFIED BY 'changed'"),
        };
        site.execute(&statement).await;
    }

    async fn drop(&self, site: &Site) {
        let name = &self.name;
        let statements = match self.engine {
            Engine::Postgres => vec![format!("DROP OWNED BY {name}"), format!("DROP ROLE {name}")],
            _ => vec![format!("DROP USER {name}@'%'")],
        };
        for statement in statements {
            site.execute(&statement).await;
        }
    }
}

/// A daemon in the middle of its work, and what it works with.
struct Patient {
    // Dropped before the folder in which its log is.
    daemon: Daemon,
    site: Site,
    account: Account,
    proxy: Proxy,
}

impl Patient {
    /// Looks until it is not ready, for this reason; it must be alive all the time.
    async fn complains(&self, reason: &str) {
        complains(&self.daemon, reason).await;
    }
}

async fn complains(daemon: &Daemon, reason: &str) {
    until(reason, async || {
        let (code, _) = daemon.get("/livez").await?;
        assert_eq!(code, 200, "a restart would heal nothing");
        let (_, report) = daemon.get("/readyz").await?;
        let is_ready = report.starts_with(r#"{"status":"ready""#);
        (!is_ready && report.contains(reason)).then_some(())
    })
    .await;
}

/// Has a daemon fall ill in the middle of 2,000 keys, and takes care that in the end everybody was
/// told exactly once. `said` are the words of its log, and how often they may stand there.
async fn recovers(
    engine: Engine,
    illness: impl AsyncFnOnce(&Patient),
    said: &[(&str, std::ops::RangeInclusive<usize>)],
) {
    with_db(engine, |test_db: TestDb| async move {
        let (n_owners, n_keys) = (400, 2_000);
        let (relay, gate) = gated(50).await;
        let server = test_db.server().unwrap();
        let proxy = Proxy::start(server).await;
        let setup = Site::new(&test_db, relay.port).await;
        let account = Account::create(engine, &setup).await;
        let url = test_db.url().replace(&server.to_string(), &proxy.address.to_string());
        let (scheme, rest) = url.split_once("://").unwrap();
        let place = rest.split_once('@').unwrap().1;
        let url = format!("{scheme}://{}@{place}", account.name);
        let site = Site::by(&test_db, &url, relay.port).await;
        people(&site, n_owners).await;
        let daemon = site.fleet(1).await.remove(0);
        seed(&site, n_owners, n_keys).await;
        until("the relay has taken some", async || (relay.n_mails() >= 50).then_some(())).await;

        let mut patient = Patient { daemon, site, account, proxy };
        gate.send_replace(true);
        illness(&patient).await;
        until_done(&patient.site).await;
        patient.daemon.is_ready().await;
        for (words, often) in said {
            let n_said = patient.daemon.n_logged(words);
            assert!(often.contains(&n_said), "`{words}` was said {n_said} times, not {often:?}");
        }
        patient.daemon.stop().await;
        check_told(&patient.site, &relay, IN_A_WEEK, n_keys).await;
        patient.account.drop(&patient.site).await;
    })
    .await;
}

async fn its_connections_are_ended(engine: Engine) {
    let illness = async |patient: &Patient| {
        for _ in 0..4 {
            patient.account.disconnect(&patient.site).await;
            let sent = patient.site.count("messages WHERE status = 3").await;
            let goes_on = async || {
                let n = patient.site.count("messages WHERE status = 3").await;
                (sent < n || n == 400).then_some(())
            };
            until("it goes on", goes_on).await;
        }
    };
    recovers(engine, illness, &[("The database cannot be reached", 0..=4)]).await;
}

#[tokio::test]
async fn its_connections_are_ended_on_postgres() {
    its_connections_are_ended(Engine::Postgres).await;
}

#[tokio::test]
async fn its_connections_are_ended_on_mariadb() {
    its_connections_are_ended(Engine::MariaDb).await;
}

async fn its_login_is_refused(engine: Engine) {
    let illness = async |patient: &Patient| {
        patient.account.allow_login(&patient.site, false).await;
        patient.account.disconnect(&patient.site).await;
        patient.daemon.has_logged("The database cannot be reached").await;
        patient.complains("it has not answered for").await;
        patient.account.allow_login(&patient.site, true).await;
    };
    let said = [("The database cannot be reached", 1..=1), ("The database is back", 1..=1)];
    recovers(engine, illness, &said).await;
}

#[tokio::test]
async fn its_login_is_refused_on_postgres() {
    its_login_is_refused(Engine::Postgres).await;
}

#[tokio::test]
async fn its_login_is_refused_on_mariadb() {
    its_login_is_refused(Engine::MariaDb).await;
}

async fn it_freezes(engine: Engine) {
    let illness = async |patient: &Patient| {
        patient.proxy.fault(Fault::Blackhole);
        patient.complains("it has not answered for").await;
        patient.proxy.fault(Fault::None);
    };
    recovers(engine, illness, &[("The database cannot be reached", 0..=1)]).await;
}

#[tokio::test]
async fn it_freezes_on_postgres() {
    it_freezes(Engine::Postgres).await;
}

#[tokio::test]
async fn it_freezes_on_mariadb() {
    it_freezes(Engine::MariaDb).await;
}

#[tokio::test]
async fn it_is_read_only_on_postgres() {
    let illness = async |patient: &Patient| {
        let (site, name) = (&patient.site, &patient.account.name);
        site.execute(&format!("ALTER ROLE {name} SET default_transaction_read_only = on")).await;
        patient.account.disconnect(site).await;
        patient.complains("it has taken no changes for").await;
        site.execute(&format!("ALTER ROLE {name} RESET default_transaction_read_only")).await;
        patient.account.disconnect(site).await;
    };
    recovers(Engine::Postgres, illness, &[("Waiting until the database can be written", 1..=1)])
        .await;
}

#[tokio::test]
async fn its_disk_is_full_on_sqlite() {
    with_db(Engine::Sqlite, |test_db| async move {
        let (n_owners, n_keys) = (400, 2_000);
        let (relay, gate) = gated(0).await;
        gate.send_replace(true);
        let site = Site::new(&test_db, relay.port).await;
        people(&site, n_owners).await;
        let mut daemon = site.start_under("trap '' XFSZ");
        daemon.is_ready().await;
        // No file may grow beyond this any more; the log is far from it.
        daemon.limit_files("200000");
        seed(&site, n_owners, n_keys).await;
        daemon.has_logged("Waiting until the database can be written to").await;
        complains(&daemon, "it has taken no changes for").await;
        daemon.limit_files("unlimited");
        until_done(&site).await;
        daemon.has_logged("The database is back").await;
        assert_eq!(daemon.n_logged("Waiting until the database can be written to"), 1);
        assert_eq!(daemon.n_errors(), 1, "said once, and not per key or run");
        daemon.stop().await;
        check_told(&site, &relay, IN_A_WEEK, n_keys).await;
    })
    .await;
}

async fn it_has_to_prove_its_name(engine: Engine, strict: &str) {
    with_db(engine, |test_db| async move {
        let site = Site::new(&test_db, 1).await;
        assert!(site.run("status").status.success(), "it is there");
        // It offers no TLS, or a certificate that nobody vouches for.
        let url = format!("{}?{strict}", test_db.url());
        let refused = Site::by(&test_db, &url, 1).await.run("status");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("TLS") || said.contains("certificate"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn it_has_to_prove_its_name_on_postgres() {
    it_has_to_prove_its_name(Engine::Postgres, "sslmode=verify-full").await;
}

#[tokio::test]
async fn it_has_to_prove_its_name_on_mariadb() {
    it_has_to_prove_its_name(Engine::MariaDb, "ssl-mode=VERIFY_IDENTITY").await;
}
