//! What a command works with, and how it is opened.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use crate::{
    app::App,
    cli::{Failure, Out},
    config::{Config, ConfigErrors, Loaded},
    store::{
        Db,
        environments::{self, Environment},
        owners::{self, Owner},
        policies::PolicyBook,
        tenants::{self, Tenant},
    },
};

/// What is given before the command.
#[derive(Debug)]
pub(super) struct Globals {
    pub(super) config: Option<PathBuf>,
    pub(super) out: Out,
}

impl Globals {
    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(self.config.as_deref(), variables())
    }

    /// Opens the database the configuration names.
    pub(super) async fn open(&self) -> anyhow::Result<Context> {
        let app = App::open(self.load()?, credentials().as_deref()).await?;
        let policies = PolicyBook::load(&app.db, (*app.policies).clone()).await;
        let policies = policies.context("read the policies")?;
        for problem in policies.problems() {
            self.out.warning(&format!("{problem}; the rules above it hold"));
        }
        Ok(Context { app, policies, out: self.out })
    }
}

/// The process's environment, as far as it is UTF-8.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

/// The folder in which systemd puts secrets.
pub(super) fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// The database and the configuration.
    pub app: App,
    /// The rules as tenants and environments have changed them.
    pub policies: PolicyBook,
    /// Where output goes.
    pub out: Out,
}

impl Context {
    /// The database.
    pub fn db(&self) -> &Db {
        &self.app.db
    }

    /// The time that decides.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn now(&self) -> anyhow::Result<DateTime<Utc>> {
        Ok(self.db().now(self.db().conn()).await?)
    }

    /// The tenant called `slug`.
    ///
    /// # Errors
    /// If there is none, with what to do.
    pub async fn tenant(&self, slug: &str) -> anyhow::Result<Tenant> {
        let tenant = tenants::find(self.db().conn(), slug).await?;
        tenant.ok_or_else(|| {
            Failure::new(format!("there is no tenant `{slug}`"))
                .hint("`lapsed tenants list` shows the tenants there are")
                .into()
        })
    }

    /// The environment of `tenant` called `slug`.
    ///
    /// # Errors
    /// If there is none, with what to do.
    pub async fn environment(&self, tenant: &Tenant, slug: &str) -> anyhow::Result<Environment> {
        let environment = environments::find(self.db().conn(), tenant.id, slug).await?;
        environment.ok_or_else(|| {
            Failure::new(format!("tenant `{}` has no environment `{slug}`", tenant.slug))
                .hint(format!("lapsed environments add {} {slug}", tenant.slug))
                .into()
        })
    }

    /// The owner with this address; of `tenant`, if one is named.
    ///
    /// # Errors
    /// If there is none, or more than one and no tenant is named.
    pub async fn owner(&self, email: &str, tenant: Option<&str>) -> anyhow::Result<Owner> {
        let filter = owners::Filter {
            tenant: tenant.map(str::to_owned),
            email: Some(email.to_owned()),
            ..Default::default()
        };
        let mut found = owners::list(self.db(), &filter, 0, 100).await?;
        match (found.pop(), found.is_empty()) {
            (Some(owner), true) => Ok(owner),
            (None, _) => Err(Failure::new(format!("there is no owner `{email}`"))
                .hint("`lapsed owners list` shows the owners there are")
                .into()),
            (Some(last), false) => {
                let tenants = found.iter().chain([&last]).map(|owner| owner.tenant.as_str());
                let tenants = tenants.collect::<Vec<_>>().join(", ");
                Err(Failure::new(format!("`{email}` is an owner in more than one tenant"))
                    .hint(format!("name one of them with --tenant: {tenants}"))
                    .usage()
                    .into())
            }
        }
    }
}

/// A file that somebody named, as text for messages.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
