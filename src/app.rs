//! The composition root: the only file that makes real things out of the configuration.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use thiserror::Error;

use crate::{
    clock::{Clock, SystemClock},
    config::{self, Config, Loaded, MasterKey, Origin},
    domain::{link::LinkKey, policy::Policies, seal::SealKey, token::Brand},
    jobs::{
        Deps, Limits,
        deliver::{Breaker, Links, Mailer},
    },
    keyring::Keyring,
    mail::{
        build::Sender,
        files::FileSettings,
        render::{TemplateSettings, Templates},
        smtp::{Credentials, Security, SmtpSettings, Timeouts},
        transport::Transport,
    },
    ping::Ping,
    store::{self, Db, schema::SchemaState},
};

/// The database and what is needed to work on it: all that most commands need.
#[derive(Debug)]
pub struct App {
    /// The configuration, with where each value came from.
    pub loaded: Loaded,
    /// The database, its schema up to date.
    pub db: Db,
    /// This machine's time.
    pub clock: Arc<dyn Clock>,
    /// The rules where neither tenant nor environment has its own.
    pub policies: Arc<Policies>,
    /// The first letters of keys.
    pub brand: Brand,
    credentials: Option<PathBuf>,
    /// Read once: secrets and links of a running daemon all go by the same.
    keyring: Arc<OnceLock<Arc<Keyring>>>,
}

/// The database's schema is older than this program: somebody has to migrate it, and that may be
/// happening at this very moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the database's schema is {n_pending} migrations behind this program\n  \
     hint: run `lapsed db migrate`, or set database.migrate = true"
)]
pub struct SchemaBehind {
    /// How many migrations have to be applied.
    pub n_pending: usize,
}

impl std::fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

impl App {
    /// Opens what `loaded` describes. `credentials` is where systemd puts secrets.
    ///
    /// An embedded database is brought up to date; one on a server too, if `database.migrate`
    /// says so.
    ///
    /// # Errors
    /// [`SchemaBehind`] if somebody else has to bring it up to date. Else if the database cannot be
    /// reached, or its schema is not this program's.
    pub async fn open(loaded: Loaded, credentials: Option<&Path>) -> anyhow::Result<Self> {
        let app = Self::connect(loaded, credentials).await?;
        let config = &app.loaded.config;
        let migrates = config.database.migrate || app.db.engine() == store::Engine::Sqlite;
        match app.db.schema_state().await? {
            SchemaState::Current => {}
            SchemaState::Behind { .. } if migrates => app.db.migrate().await?,
            SchemaState::Behind { n_pending } => return Err(SchemaBehind { n_pending }.into()),
            SchemaState::Ahead { unknown } => bail!(
                "the database has been migrated by a newer lapsed (`{unknown}`)\n  \
                 hint: run that version, or restore a back-up from before its migration"
            ),
        }
        Ok(app)
    }

    /// As [`App::open`], but takes the schema as it is: for `db migrate` and `doctor`.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn connect(loaded: Loaded, credentials: Option<&Path>) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let settings = store::Settings {
            url: config.database.url.clone(),
            password: config.database_password(credentials)?,
            max_connections: config.database.max_connections,
            acquire_timeout: config.database.acquire_timeout.get(),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let db = Db::connect(&settings, clock.clone(), false).await?;
        Self::assemble(loaded, credentials.map(Path::to_owned), db, clock, Arc::default())
    }

    /// The same database and master key under another configuration, whose own words about them
    /// are not looked at.
    ///
    /// # Errors
    /// If its rules make no sense.
    pub fn under(&self, loaded: Loaded) -> anyhow::Result<Self> {
        let (db, clock) = (self.db.clone(), self.clock.clone());
        Self::assemble(loaded, self.credentials.clone(), db, clock, self.keyring.clone())
    }

    fn assemble(
        loaded: Loaded,
        credentials: Option<PathBuf>,
        db: Db,
        clock: Arc<dyn Clock>,
        keyring: Arc<OnceLock<Arc<Keyring>>>,
    ) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let policies = config.lifecycle.policies().context("read the lifecycle's rules")?;
        let Some(brand) = Brand::new(&config.keys.prefix) else {
            bail!("keys.prefix is no pair of lower-case letters");
        };
        Ok(Self { db, clock, policies: Arc::new(policies), brand, loaded, credentials, keyring })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The keys this installation holds, read at the first call. An embedded installation makes
    /// its master key.
    ///
    /// # Errors
    /// If the master key can neither be read nor made.
    pub fn keyring(&self) -> anyhow::Result<Arc<Keyring>> {
        if let Some(keyring) = self.keyring.get() {
            return Ok(keyring.clone());
        }
        let keyring = Arc::new(self.read_keyring()?);
        Ok(self.keyring.get_or_init(|| keyring).clone())
    }

    fn read_keyring(&self) -> anyhow::Result<Keyring> {
        let keyring = self.read_present_keyring()?;
        let Some(file) = &self.config().keys.old_master_key_file else { return Ok(keyring) };
        let text = file.read("keys.old_master_key_file", self.credentials.as_deref())?;
        let old = Keyring::from_hex(&text).context("read keys.old_master_key_file")?;
        Ok(keyring.after(old)?)
    }

    fn read_present_keyring(&self) -> anyhow::Result<Keyring> {
        match self.config().master_key() {
            MasterKey::Named(file) => {
                let text = file.read("keys.master_key_file", self.credentials.as_deref())?;
                Keyring::from_hex(&text).context("read keys.master_key_file")
            }
            MasterKey::BesideDatabase(path) => Ok(Keyring::load_or_create(&path)?),
            MasterKey::Throwaway => Ok(Keyring::throwaway()),
        }
    }

    /// Under which the audit trail is sealed.
    ///
    /// # Errors
    /// As [`App::keyring`].
    pub fn audit_key(&self) -> anyhow::Result<SealKey> {
        Ok(SealKey::new(self.keyring()?.audit().clone()))
    }

    /// The way out for mails.
    ///
    /// # Errors
    /// If a template, an address or a secret file is no good.
    pub fn mailer(&self) -> anyhow::Result<Mailer> {
        let mail = &self.config().mail;
        let transport = match mail.transport {
            config::Transport::File => {
                Transport::Files(FileSettings { folder: mail.folder.clone() })
            }
            config::Transport::Smtp => Transport::Smtp(self.smtp()?),
        };
        Ok(Mailer {
            transport,
            templates: templates(self.config()).context("read the mail templates")?,
            sender: sender(self.config())?,
            contacts: mail.contacts.clone(),
            links: self.links()?,
            breaker: Breaker::default(),
        })
    }

    /// What links in mails are made of. A mail that leaves this machine has none while nobody has
    /// said where the pages can be reached from elsewhere: it says whom to ask instead.
    fn links(&self) -> anyhow::Result<Option<Links>> {
        let mail = &self.config().mail;
        let goes_out = mail.transport == config::Transport::Smtp;
        if goes_out && self.loaded.origins.of("mail.public_url") == Origin::Default {
            return Ok(None);
        }
        let keyring = self.keyring()?;
        let before = keyring.links().before.as_ref().map(|key| key.bytes);
        let key = LinkKey::new(keyring.links().present.bytes).after(before);
        Ok(Some(Links { public_url: mail.public_url.clone(), key }))
    }

    fn smtp(&self) -> anyhow::Result<SmtpSettings> {
        let smtp = &self.config().smtp;
        let security = match smtp.tls {
            config::TlsMode::Implicit => Security::ImplicitTls,
            config::TlsMode::Starttls => Security::StartTls,
            config::TlsMode::None => Security::Insecure,
        };
        let mut settings = SmtpSettings::new(smtp.host.clone(), smtp.port(), security);
        if let Some(password) = self.config().smtp_password(self.credentials.as_deref())? {
            settings.credentials = Some(Credentials { username: smtp.username.clone(), password });
        }
        settings.ca_file = Some(smtp.ca_file.clone()).filter(|path| !path.as_os_str().is_empty());
        settings.hello = Some(smtp.hello.clone()).filter(|name| !name.is_empty());
        settings.lanes = usize::from(smtp.lanes);
        settings.mails_per_connection = smtp.max_mails_per_connection;
        settings.idle_timeout = smtp.idle_timeout.get();
        settings.timeouts = Timeouts {
            connect: smtp.connect_timeout.get(),
            reply: smtp.reply_timeout.get(),
            data: smtp.data_timeout.get(),
            ..Timeouts::default()
        };
        Ok(settings)
    }

    /// Who is pinged after each good round, if anybody.
    ///
    /// # Errors
    /// If this machine trusts no authorities, and the URL begins with https.
    pub fn ping(&self) -> anyhow::Result<Option<Ping>> {
        let ping = &self.config().ping;
        (!ping.url.is_empty()).then(|| Ping::new(&ping.url, ping.timeout.get())).transpose()
    }

    /// What every run of every job shares.
    ///
    /// # Errors
    /// As [`App::mailer`] and [`App::keyring`].
    pub fn deps(&self) -> anyhow::Result<Deps> {
        Ok(Deps {
            db: self.db.clone(),
            clock: self.clock.clone(),
            policies: self.policies.clone(),
            limits: limits(self.config()),
            mailer: Arc::new(self.mailer()?),
            swept: Arc::default(),
            timekeeper: Arc::default(),
            audit_key: Arc::new(self.audit_key()?),
            instance: instance().into(),
        })
    }
}

/// How much is done at a time, and how long things are kept.
pub(crate) fn limits(config: &Config) -> Limits {
    let days = |days: u16| TimeDelta::days(i64::from(days));
    Limits {
        batch: usize::try_from(config.jobs.batch).unwrap_or(1_000),
        brake: config.brake.limits(),
        settle: config.clock.settle(),
        min_notice: TimeDelta::hours(i64::from(config.purge.min_notice_hours)),
        lease: config.jobs.rescue_after.get(),
        approval: TimeDelta::hours(config.lifecycle.approval_hours.into()),
        keep_runs: days(config.retention.job_runs_days),
        keep_messages: days(config.retention.messages_days),
        keep_audit: config.retention.audit_days().map(days),
    }
}

fn templates(config: &Config) -> anyhow::Result<Templates> {
    let mail = &config.mail;
    let settings = TemplateSettings {
        operator_folder: Some(mail.templates.clone()).filter(|path| !path.as_os_str().is_empty()),
        public_url: None,
        answers_are_read: !mail.reply_to.is_empty(),
    };
    Ok(Templates::new(&settings)?)
}

fn sender(config: &Config) -> anyhow::Result<Sender> {
    let mail = &config.mail;
    let from: crate::mail::address::Mailbox = mail.from.parse().context("read mail.from")?;
    let domain = from.address.expose().rsplit('@').next().unwrap_or("localhost").to_owned();
    let list_id =
        if mail.list_id.is_empty() { format!("lapsed.{domain}") } else { mail.list_id.clone() };
    let reply_to = match mail.reply_to.as_str() {
        "" => None,
        text => Some(text.parse().context("read mail.reply_to")?),
    };
    Ok(Sender { from, reply_to, list_id, domain })
}

/// This daemon's name among its replicas: where it runs, and a part that no other start shares.
fn instance() -> String {
    // The first is hidden by `ProcSubset=pid` of a hardened unit.
    let read = |path: &&str| std::fs::read_to_string(path).ok();
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(read);
    let host = host.unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}
