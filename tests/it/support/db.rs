//! A database for one test, on the engine it asks for, dropped afterwards.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use lapsed::{
    clock::Clock,
    store::{Db, Engine, Settings},
};
use sea_orm::{ConnectionTrait as _, Database};

use crate::support::server::Server;

/// Makes one test out of a body for each engine.
#[macro_export]
macro_rules! on_each_engine {
    ($(#[$meta:meta])* async fn $name:ident($app:ident: TestApp) $body:block) => {
        async fn $name($app: $crate::support::app::TestApp) $body

        mod $name {
            $(#[$meta])*
            #[tokio::test]
            async fn sqlite() {
                $crate::support::app::run(lapsed::store::Engine::Sqlite, super::$name).await;
            }

            $(#[$meta])*
            #[tokio::test]
            async fn postgres() {
                $crate::support::app::run(lapsed::store::Engine::Postgres, super::$name).await;
            }

            $(#[$meta])*
            #[tokio::test]
            async fn mariadb() {
                $crate::support::app::run(lapsed::store::Engine::MariaDb, super::$name).await;
            }
        }
    };
}

/// A database that nobody else uses.
#[derive(Clone, Debug)]
pub struct TestDb {
    engine: Engine,
    name: String,
    /// Where its server is; `None` for an embedded one.
    server: Option<String>,
    /// SQLite's folder; dropped with the last clone.
    folder: Option<Arc<tempfile::TempDir>>,
}

impl TestDb {
    /// Makes an empty database.
    pub async fn create(engine: Engine) -> Self {
        Self::create_on(engine, server(engine)).await
    }

    async fn create_on(engine: Engine, server: Option<String>) -> Self {
        let name = format!("lapsed_test_{:016x}", rand::random::<u64>());
        let folder = (engine == Engine::Sqlite).then(|| Arc::new(tempfile::tempdir().unwrap()));
        if let Some(server) = &server {
            execute(
                &format!("{server}/{}", first_database(engine)),
                &format!("CREATE DATABASE {name}"),
            )
            .await;
        }
        Self { engine, name, server, folder }
    }

    /// Makes an empty SQLite database in memory, where no disk is waited for.
    pub fn in_memory() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (engine, name) = (Engine::Sqlite, String::new());
        Self { engine, name, server: None, folder: Some(Arc::new(folder)) }
    }

    /// How to reach it.
    pub fn url(&self) -> String {
        match &self.folder {
            Some(folder) => format!("sqlite://{}", folder.path().join("test.db").display()),
            None => format!("{}/{}", self.server.as_ref().unwrap(), self.name),
        }
    }

    /// Connects to it; `clock` decides, on every engine.
    pub async fn connect(&self, clock: Arc<dyn Clock>) -> Db {
        connect(self.url(), clock, Duration::from_secs(20)).await
    }

    /// Connects to it as the program does: a server's own clock decides.
    pub async fn connect_unforced(&self) -> Db {
        let acquire_timeout = Duration::from_secs(20);
        let settings =
            Settings { url: self.url(), password: None, max_connections: 4, acquire_timeout };
        Db::connect(&settings, Arc::new(lapsed::clock::SystemClock), false).await.unwrap()
    }

    /// Connects to it by way of `address`, and waits for a connection at most `patience`.
    pub async fn connect_by(
        &self,
        address: SocketAddr,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Db {
        let server = self.server().unwrap().to_string();
        connect(self.url().replace(&server, &address.to_string()), clock, patience).await
    }

    /// Where its server listens; `None` for an embedded one.
    pub fn server(&self) -> Option<SocketAddr> {
        let server = self.server.as_ref()?;
        server.rsplit(['@', '/']).next()?.parse().ok()
    }

    /// Drops it.
    pub async fn drop(self) {
        let Some(server) = &self.server else { return };
        let force = if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
        let statement = format!("DROP DATABASE {}{force}", self.name);
        execute(&format!("{server}/{}", first_database(self.engine)), &statement).await;
    }
}

async fn connect(url: String, clock: Arc<dyn Clock>, acquire_timeout: Duration) -> Db {
    let settings = Settings { url, password: None, max_connections: 4, acquire_timeout };
    Db::connect(&settings, clock, true).await.unwrap()
}

/// Runs `body` with a database of its own, and drops it whether the body panics or not.
pub async fn with_db<F: Future<Output = ()>>(engine: Engine, body: impl FnOnce(TestDb) -> F) {
    within(TestDb::create(engine).await, body).await;
}

/// The same on a PostgreSQL of its own.
pub async fn with_db_on<F: Future<Output = ()>>(server: &Server, body: impl FnOnce(TestDb) -> F) {
    within(TestDb::create_on(Engine::Postgres, Some(server.url())).await, body).await;
}

async fn within<F: Future<Output = ()>>(db: TestDb, body: impl FnOnce(TestDb) -> F) {
    let result = AssertUnwindSafe(body(db.clone())).catch_unwind().await;
    db.drop().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Where the servers are: on this machine, unless the environment says otherwise.
#[expect(clippy::disallowed_methods, reason = "where the test servers are is no configuration")]
fn server(engine: Engine) -> Option<String> {
    let (name, usual) = match engine {
        Engine::Sqlite => return None,
        Engine::Postgres => ("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432"),
        Engine::MariaDb => ("TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306"),
    };
    Some(std::env::var(name).unwrap_or_else(|_| usual.to_owned()))
}

fn first_database(engine: Engine) -> &'static str {
    if engine == Engine::Postgres { "postgres" } else { "mysql" }
}

async fn execute(url: &str, statement: &str) {
    let db = Database::connect(sea_orm::ConnectOptions::new(url).sqlx_logging(false).to_owned())
        .await
        .unwrap_or_else(|error| {
            panic!("{error}\n  hint: .ci/run starts the servers the tests need")
        });
    db.execute_unprepared(statement).await.unwrap();
    db.close().await.unwrap();
}
