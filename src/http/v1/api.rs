//! What the API works with: nothing before the database is reached, everything after.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::{policy::Policies, token::Token, verdict::Verdict},
    http::{
        House,
        problem::Problem,
        v1::guesses::{Asker, Guesses, too_many},
    },
    shutdown::{Shutdown, pause},
    store::{Db, last_use::FLUSH_EVERY, policies::PolicyBook, rotation::Mint, verify::Verifier},
};

/// The API's state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    house: OnceLock<Arc<House>>,
    verifier: Verifier,
    guesses: Guesses,
}

impl Api {
    /// An API without a database: it answers 503. Clients may present as many keys that are nobody's
    /// as `guesses` allows.
    pub fn new(shutdown: Shutdown, guesses: Guesses) -> Self {
        let (house, verifier) = (OnceLock::new(), Verifier::default());
        Self(Arc::new(Inner { shutdown, house, verifier, guesses }))
    }

    /// From now on there is a database. Last uses are written down from now on too, every ten
    /// seconds. Only the first call counts.
    pub fn reached(&self, house: Arc<House>) {
        if self.0.house.set(house).is_err() {
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
        let Some(house) = self.0.house.get() else { return };
        if let Err(error) = self.0.verifier.uses.flush(&house.db).await {
            warn!("Failed to write down last uses: {:#}", anyhow::Error::from(error));
        }
    }

    /// # Errors
    /// 503 before the database was reached.
    pub(in crate::http) fn house(&self) -> Result<&House, Problem> {
        self.0.house.get().map(Arc::as_ref).ok_or_else(|| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database has not been reached yet")
                .code("unavailable")
                .retry_after(5)
        })
    }

    pub(in crate::http) fn db(&self) -> Result<&Db, Problem> {
        Ok(&self.house()?.db)
    }

    pub(in crate::http) async fn now(&self) -> Result<DateTime<Utc>, Problem> {
        let db = self.db()?;
        Ok(db.now(db.conn()).await?)
    }

    /// The rules as tenants and environments have changed them.
    pub(in crate::http) async fn policies(&self) -> Result<PolicyBook, Problem> {
        Ok(self.house()?.policies().await?)
    }

    /// The rules where neither tenant nor environment has its own, as the configuration in force
    /// has them.
    pub(in crate::http) fn base(&self) -> Result<Arc<Policies>, Problem> {
        Ok(self.house()?.base())
    }

    pub(in crate::http) fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    pub(super) fn guesses(&self) -> &Guesses {
        &self.0.guesses
    }

    /// What `text` is, if anybody's.
    ///
    /// # Errors
    /// 429 if nothing is known of it and its client has presented too much that was nobody's. What is
    /// no key at all costs no look at the database, and is no guess.
    pub(super) async fn judge(&self, text: &str, asker: Asker) -> Result<Verdict, Problem> {
        let Asker { address, by } = asker;
        let house = self.house()?;
        let Ok(token) = Token::parse(house.brand, text) else { return Ok(Verdict::INVALID) };
        let (guesses, now) = (self.guesses(), Instant::now());
        if !guesses.admits(address, &token.id, now) {
            return Err(too_many());
        }
        let (verifier, pepper) = (&self.0.verifier, house.keyring.pepper());
        let verdict = verifier.judge(&house.db, pepper, (&token, by)).await?;
        match verdict.key {
            Some(known) => guesses.right(known.id, now),
            None => guesses.wrong(address, now),
        }
        Ok(verdict)
    }

    /// As [`Api::judge`], for those who count wrong secrets themselves. `by` is what presented it, if
    /// that is known.
    pub(in crate::http) async fn verify(
        &self,
        text: &str,
        by: Option<String>,
    ) -> Result<Verdict, Problem> {
        let house = self.house()?;
        let secrets = (house.brand, house.keyring.pepper());
        Ok(self.0.verifier.verify(&house.db, secrets, (text, by)).await?)
    }

    pub(in crate::http) fn mint<'a>(&'a self, random: &'a [u8; 32]) -> Result<Mint<'a>, Problem> {
        let house = self.house()?;
        Ok(Mint { brand: house.brand, keyring: &house.keyring, random })
    }
}
