//! What the API works with: nothing before the database is reached, everything after.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::{policy::Policies, token::Brand, verdict::Verdict},
    http::problem::Problem,
    jobs::runner::Runner,
    keyring::Keyring,
    shutdown::{Shutdown, pause},
    store::{
        Db,
        last_use::{FLUSH_EVERY, LastUse},
        policies::PolicyBook,
        rotation::Mint,
        verify,
    },
};

/// The API's state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    parts: OnceLock<Parts>,
    uses: LastUse,
}

/// What there is once the database was reached.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Runs jobs, and knows the rules of the installation.
    pub runner: Runner,
    /// The first letters of keys.
    pub brand: Brand,
    /// Under which secrets are remembered.
    pub keyring: Arc<Keyring>,
}

impl Api {
    /// An API without a database: it answers 503.
    pub fn new(shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner { shutdown, parts: OnceLock::new(), uses: LastUse::default() }))
    }

    /// From now on there is a database. Last uses are written down from now on too, every ten
    /// seconds. Only the first call counts.
    pub fn reached(&self, parts: Parts) {
        if self.0.parts.set(parts).is_err() {
            return;
        }
        let api = self.clone();
        self.0.shutdown.tracker.spawn(async move {
            let every = FLUSH_EVERY.to_std().unwrap_or_default();
            while pause(&api.0.shutdown.token, every).await {
                api.flush().await;
            }
        });
    }

    /// Writes down the last uses that were collected. To be called once more after the last
    /// request was answered. A database that is away is tried again later.
    pub async fn flush(&self) {
        let Some(parts) = self.0.parts.get() else { return };
        if let Err(error) = self.0.uses.flush(&parts.db).await {
            warn!("Failed to write down last uses: {:#}", anyhow::Error::from(error));
        }
    }

    /// # Errors
    /// 503 before the database was reached.
    pub(in crate::http) fn parts(&self) -> Result<&Parts, Problem> {
        self.0.parts.get().ok_or_else(|| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database has not been reached yet")
                .code("unavailable")
                .retry_after(5)
        })
    }

    pub(in crate::http) fn db(&self) -> Result<&Db, Problem> {
        Ok(&self.parts()?.db)
    }

    pub(in crate::http) async fn now(&self) -> Result<DateTime<Utc>, Problem> {
        let db = self.db()?;
        Ok(db.now(db.conn()).await?)
    }

    /// The rules as tenants and environments have changed them.
    pub(in crate::http) async fn policies(&self) -> Result<PolicyBook, Problem> {
        Ok(PolicyBook::load(self.db()?, (*self.base()?).clone()).await?)
    }

    /// The rules where neither tenant nor environment has its own, as the configuration in force
    /// has them.
    pub(in crate::http) fn base(&self) -> Result<Arc<Policies>, Problem> {
        Ok(self.parts()?.runner.deps().policies)
    }

    pub(in crate::http) fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// What `text` is, if anybody's; `by` is what presented it, if that is known.
    pub(in crate::http) async fn verify(
        &self,
        text: &str,
        by: Option<String>,
    ) -> Result<Verdict, Problem> {
        let parts = self.parts()?;
        let secrets = (parts.brand, parts.keyring.pepper());
        Ok(verify::verify(&parts.db, secrets, &self.0.uses, (text, by)).await?)
    }

    pub(in crate::http) fn mint<'a>(&'a self, random: &'a [u8; 32]) -> Result<Mint<'a>, Problem> {
        let parts = self.parts()?;
        Ok(Mint { brand: parts.brand, keyring: &parts.keyring, random })
    }
}
