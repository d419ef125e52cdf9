//! The daemon from its start to its stop, in this process.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use lapsed::{
    clock::SystemClock,
    config::{Config, Loaded},
    daemon::{self, Boot},
    shutdown::Shutdown,
    store::{Db, Engine, Settings},
};
use sea_orm::{ConnectionTrait as _, Statement};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_util::task::TaskTracker;

use crate::{
    support::{
        db::with_db,
        proxy::{Fault, Proxy},
        smtp::{Action, Plan, Step},
    },
    watch::{get, until},
};

/// A configuration that keeps everything in `folder`, with `options` set as the environment would.
fn configuration(folder: &Path, options: &[(&str, &str)]) -> Loaded {
    let path = |name: &str| folder.join(name).display().to_string();
    let database = format!("sqlite://{}", path("lapsed.db"));
    let key = folder.join("master.key");
    if !key.exists() {
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, mode).unwrap();
    }
    let usual = [
        ("HTTP__LISTEN", "127.0.0.1:0".to_owned()),
        ("DATABASE__URL", database),
        ("DATABASE__ACQUIRE_TIMEOUT", "200ms".to_owned()),
        ("KEYS__MASTER_KEY_FILE", key.display().to_string()),
        ("MAIL__FOLDER", path("mail")),
    ];
    let named = options.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let env = usual.into_iter().chain(named);
    Config::load(None, env.map(|(name, value)| (format!("LAPSED_{name}"), value))).unwrap()
}

/// A daemon in this process.
struct Daemon {
    address: SocketAddr,
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Daemon {
    async fn start(loaded: Loaded) -> Self {
        let shutdown = Shutdown::new();
        let (listening, address) = oneshot::channel();
        let stop = shutdown.clone();
        let run = async move {
            let tell = |address| listening.send(address).unwrap();
            daemon::run_until(Boot::fixed(loaded), &stop, tell).await
        };
        // A tracker of its own: the daemon's waits for everything that is on it.
        let ended = TaskTracker::new().spawn(run);
        Self { address: address.await.unwrap(), shutdown, ended }
    }

    async fn status(&self, path: &str) -> u16 {
        get(self.address, path).await.status
    }

    /// Stops it, as a signal would.
    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.token.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.ended);
        ended.await.expect("a daemon that has nothing to do stops at once").unwrap()
    }
}

async fn connect(loaded: &Loaded) -> Db {
    let settings = Settings {
        url: loaded.config.database.url.clone(),
        password: None,
        max_connections: 1,
        acquire_timeout: Duration::from_secs(20),
    };
    Db::connect(&settings, Arc::new(SystemClock), false).await.unwrap()
}

/// Gives each of `n` owners a key that is due for its first reminder.
async fn fill(db: &Db, n: i64) {
    let execute = async |statement: &str| {
        db.conn().execute_unprepared(statement).await.unwrap();
    };
    execute("INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (1, 'acme', 'Acme', '[]', 0)").await;
    execute(
        "INSERT INTO environments (id, tenant_id, slug, name, class, contacts, created_at) \
         VALUES (1, 1, 'prod', 'Production', 1, '[]', 0)",
    )
    .await;
    let now = db.now(db.conn()).await.unwrap().timestamp_millis();
    let day = 86_400_000;
    let (life, issued_at, expires_at) = (90 * day, now - 85 * day, now + 5 * day);
    for id in 1..=n {
        execute(&format!(
            "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, time_zone, locale, \
             mail_status, created_at) VALUES ({id}, 'owner{id:07}', 1, 'ada{id}@acme.example', \
             'Ada', 1, 'UTC', 'en', 1, 0)"
        ))
        .await;
        execute(&format!(
            "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, kind, name, \
             ttl_ms, created_at, issued_at, expires_at, state, next_job, next_action_at, version) \
             VALUES ({id}, 'key{id:09}', 1, 1, {id}, 1, 'key', {life}, {issued_at}, {issued_at}, \
             {expires_at}, 1, 1, {now}, 1)"
        ))
        .await;
    }
}

/// How many messages have the status of this code.
async fn n_messages(db: &Db, status: i16) -> i64 {
    let query = format!("SELECT COUNT(*) FROM messages WHERE status = {status}");
    let query = Statement::from_string(db.conn().get_database_backend(), query);
    let row = db.conn().query_one_raw(query).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

const WAITING: i16 = 1;
const SENDING: i16 = 2;
const SENT: i16 = 3;

#[tokio::test]
async fn the_daemon_tells_owners_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = configuration(folder.path(), &[("SCHEDULE__SWEEP", "* * * * * *")]);
    let daemon = Daemon::start(loaded.clone()).await;
    until(async || daemon.status("/readyz").await == 200).await;
    let db = connect(&loaded).await;
    fill(&db, 1).await;
    until(async || n_messages(&db, SENT).await == 1).await;
    assert_eq!(std::fs::read_dir(folder.path().join("mail")).unwrap().count(), 1);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_delivery_gives_every_message_back() {
    let silent =
        |_, step, _: &str| if step == Step::Mail { Action::Stall } else { Action::Default };
    let server = Plan::scripted(silent).start().await;
    let folder = tempfile::tempdir().unwrap();
    let options = [
        ("MAIL__TRANSPORT", "smtp"),
        ("SMTP__HOST", "127.0.0.1"),
        ("SMTP__PORT", &server.port.to_string()),
        ("SMTP__TLS", "none"),
        ("SMTP__INSECURE_PLAINTEXT", "true"),
        ("SCHEDULE__SWEEP", "* * * * * *"),
    ];
    let loaded = configuration(folder.path(), &options);
    let daemon = Daemon::start(loaded.clone()).await;
    until(async || daemon.status("/readyz").await == 200).await;
    let db = connect(&loaded).await;
    fill(&db, 20).await;
    until(async || n_messages(&db, SENDING).await > 0).await;
    daemon.stop().await.unwrap();
    assert_eq!(n_messages(&db, SENDING).await, 0);
    assert!(n_messages(&db, WAITING).await > 0);
}

#[tokio::test]
async fn the_daemon_waits_for_its_database() {
    with_db(Engine::Postgres, async |test_db| {
        let url = test_db.url();
        let (user, rest) = url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let proxy = Proxy::start(server.parse().unwrap()).await;
        proxy.fault(Fault::Cut);
        let url = format!("{user}@{}/{name}", proxy.address);
        let folder = tempfile::tempdir().unwrap();
        let options = [("DATABASE__URL", url.as_str()), ("DATABASE__MIGRATE", "true")];
        let daemon = Daemon::start(configuration(folder.path(), &options)).await;
        let answer = get(daemon.address, "/readyz").await;
        assert_eq!(answer.status, 503);
        let detail = answer.json()["checks"]["database"]["detail"].to_string();
        assert_eq!(detail, "\"it has not been reached yet\"");
        assert_eq!(daemon.status("/livez").await, 200);

        proxy.fault(Fault::None);
        until(async || daemon.status("/readyz").await == 200).await;
        daemon.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stop_is_heard_while_the_database_is_awaited() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("postgres://nobody@127.0.0.1:{port}/nothing");
    let daemon = Daemon::start(configuration(folder.path(), &[("DATABASE__URL", &url)])).await;
    assert_eq!(daemon.status("/readyz").await, 503);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn what_waiting_cannot_mend_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let loaded = configuration(folder.path(), &[("HTTP__LISTEN", &listen)]);
    let error = daemon::run(Boot::fixed(loaded)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on http.listen = \"{listen}\""));

    let loaded = configuration(folder.path(), &[]);
    std::fs::write(folder.path().join("master.key"), "no key").unwrap();
    let error = daemon::run(Boot::fixed(loaded)).await.unwrap_err();
    assert!(format!("{error:#}").contains("master_key_file"), "{error:#}");
}
