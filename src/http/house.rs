//! What pages and API work with, once there is a database.

use std::sync::Arc;

use crate::{
    domain::{policy::Policies, token::Brand},
    jobs::runner::Runner,
    keyring::Keyring,
    store::{Db, StoreError, policies::PolicyBook},
};

/// One installation, as its HTTP face sees it.
///
/// What a reload may change is asked of the runner each time, so that pages and API go by the
/// configuration in force, as the jobs do.
#[derive(Debug)]
pub struct House {
    /// The database.
    pub db: Db,
    /// Runs jobs, and knows what they go by.
    pub runner: Runner,
    /// The first letters of keys.
    pub brand: Brand,
    /// Under which secrets are remembered, and OTP seeds encrypted.
    pub keyring: Arc<Keyring>,
}

impl House {
    /// The rules where neither tenant nor environment has its own.
    pub fn base(&self) -> Arc<Policies> {
        self.runner.deps().policies
    }

    /// The rules as tenants and environments have changed them.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn policies(&self) -> Result<PolicyBook, StoreError> {
        PolicyBook::load(&self.db, (*self.base()).clone()).await
    }

    /// Where links say that the pages are, without a slash at the end; `None` if mails have no
    /// links.
    pub fn public_url(&self) -> Option<String> {
        let deps = self.runner.deps();
        let links = deps.mailer.links.as_ref()?;
        Some(links.public_url.trim_end_matches('/').to_owned())
    }
}
