//! The daemon as everybody runs it, on a database with keys in it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, ensure};
use lapsed::{
    clock::SystemClock,
    config::Config,
    daemon::{self, Boot},
    domain::{
        identity::{KeyKind, OwnerKind, PublicId},
        life::Ask,
        policy::Policies,
        token::{Brand, Class, Token},
    },
    keyring::Keyring,
    shutdown::Shutdown,
    store::{
        Db, Settings, environments, keys,
        owners::{self, NewOwner},
        policies::PolicyBook,
        tenants, verify,
        who::Who,
    },
};
use sea_orm::{ConnectionTrait as _, Database};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{PATIENCE, client::run};

/// Connections to the database, of either server.
pub(crate) const CONNECTIONS: u32 = 8;
/// Keys in the database.
const N_KEYS: usize = 2000;

/// A daemon that runs, and what is known of its keys.
pub(crate) struct House {
    pub(crate) url: String,
    /// The text of the one read.
    pub(crate) read: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) keys: Vec<String>,
    /// What is nobody's, by what it is.
    pub(crate) nobodys: Vec<(&'static str, String)>,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
    server: Option<(String, String)>,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn build(engine: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (url, server) = match engine {
            "sqlite" => (format!("sqlite://{}", folder.path().join("bench.db").display()), None),
            _ => {
                let server = server();
                let name = format!("lapsed_bench_{:016x}", rand::random::<u64>());
                execute(&server, &format!("CREATE DATABASE {name}")).await?;
                (format!("{server}/{name}"), Some((server, name)))
            }
        };
        let master = "5a".repeat(32);
        let settings = Settings {
            url: url.clone(),
            password: None,
            max_connections: CONNECTIONS,
            acquire_timeout: PATIENCE,
        };
        let db = Db::connect(&settings, Arc::new(SystemClock), false).await?;
        db.migrate().await?;
        let (keys, nobodys) = fill(&db, &Keyring::from_hex(&master.clone().into())?).await?;
        let read = verify::of_one(&db, PublicId::from_random([0; 12])).text().to_owned();
        db.close().await?;

        std::fs::write(folder.path().join("master.key"), &master)?;
        let config = format!(
            "[database]\nurl = \"{url}\"\nmax_connections = {CONNECTIONS}\n\
             [keys]\nmaster_key_file = \"{0}/master.key\"\n\
             [mail]\ntransport = \"file\"\nfolder = \"{0}/mail\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\nguesses_per_second = 0\n",
            folder.path().display()
        );
        let file = folder.path().join("lapsed.toml");
        std::fs::write(&file, config)?;
        let loaded = Config::load(Some(&file), std::iter::empty())?;
        let (tell, told) = oneshot::channel();
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let task = TaskTracker::new().spawn(async move {
            let tell = |address| tell.send(address).unwrap_or_default();
            daemon::run_until(Boot::fixed(loaded), &stop, tell).await
        });
        let address = timeout(PATIENCE, told).await.context("start the daemon")??;
        let read = read.leak();
        let house =
            Self { url, read, address, keys, nobodys, shutdown, task, server, _folder: folder };
        house.wait().await?;
        Ok(house)
    }

    /// Waits until the API has its database.
    async fn wait(&self) -> anyhow::Result<()> {
        let asked = async {
            let body = vec!["{\"key\": \"nobody\"}".to_owned()];
            let path = "/v1/keys/verify".to_owned();
            while run(self.address, path.clone(), body.clone(), 1, 1).await.is_err() {
                ensure!(!self.task.is_finished(), "the daemon does not start: try `lapsed run`");
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        timeout(PATIENCE, asked).await.context("wait for the daemon")?
    }

    pub(crate) async fn down(self) -> anyhow::Result<()> {
        self.shutdown.token.cancel();
        self.task.await.context("stop the daemon")??;
        if let Some((server, name)) = self.server {
            execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        Ok(())
    }
}

/// Where PostgreSQL is: on this machine, unless the environment says otherwise.
#[expect(clippy::disallowed_methods, reason = "where the servers are is no configuration")]
fn server() -> String {
    let named = std::env::var("TEST_POSTGRES_URL");
    named.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned())
}

async fn execute(server: &str, statement: &str) -> anyhow::Result<()> {
    let db = Database::connect(format!("{server}/postgres")).await?;
    db.execute_unprepared(statement).await?;
    db.close().await?;
    Ok(())
}

type Filled = (Vec<String>, Vec<(&'static str, String)>);

/// Makes keys, and things that look like keys.
async fn fill(db: &Db, keyring: &Keyring) -> anyhow::Result<Filled> {
    let tenant = tenants::add(db, "bench", &"acme".parse()?, &"Acme".parse()?, &[]).await?;
    let new = environments::NewEnvironment {
        slug: "prod".parse()?,
        name: "Production".parse()?,
        class: Class::Live,
        contacts: Vec::new(),
    };
    let environment = environments::add(db, "bench", &tenant, &new).await?;
    let owner = NewOwner {
        public_id: PublicId::from_random(rand::random()),
        email: "ada@acme.example".to_owned(),
        name: "Ada".parse()?,
        kind: OwnerKind::Employee,
        access_ends_at: None,
        time_zone: "UTC".to_owned(),
        locale: "en".to_owned(),
    };
    let owner = owners::add(db, "bench", &tenant, &owner).await?;
    let brand = Brand::new("lp").context("a brand")?;
    let book = PolicyBook::new(Policies::default());
    let token = |id| Token::new(brand, KeyKind::User, Class::Live, id, &rand::random());
    let mut made = Vec::with_capacity(N_KEYS);
    for _ in 0..N_KEYS {
        let token = token(PublicId::from_random(rand::random()));
        let new = keys::NewKey {
            public_id: token.id,
            mac: &token.mac(keyring.pepper()),
            tenant_id: tenant.id,
            environment_id: environment.id,
            owner_id: owner.id,
            kind: KeyKind::User,
            name: &"deploy".parse()?,
            ask: Ask::Default,
        };
        keys::create(db, &book, Who::Local("bench"), &new).await?;
        made.push(token);
    }
    let wrong = token(made[0].id);
    // A purged key is as unknown as one that never was: its row is gone.
    let unknown = token(PublicId::from_random(rand::random()));
    let mut mistyped = made[0].expose().to_owned();
    mistyped.replace_range(30..31, if &mistyped[30..31] == "0" { "1" } else { "0" });
    let nobodys = vec![
        ("unknown", unknown.expose().to_owned()),
        ("wrong", wrong.expose().to_owned()),
        ("mistyped", mistyped),
    ];
    Ok((made.iter().map(|token| token.expose().to_owned()).collect(), nobodys))
}
