//! `lapsed demo`: the real jobs, texts and database on a made-up fleet, with a clock that runs.
//!
//! Nothing here decides anything: it fills an embedded database, moves a clock from one instant
//! at which something is due to the next, runs the jobs there, and tells what they did.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    clock::ManualClock,
    domain::{brake, derived::Derived, policy::Policies, seal::SealKey},
    jobs::{
        self, Deps, Limits,
        deliver::{Breaker, Mailer},
        runner::{Cause, Runner},
    },
    mail::{
        build::Sender,
        files::FileSettings,
        render::{TemplateSettings, Templates},
        transport::Transport,
    },
    shutdown::Shutdown,
    store::{Db, Settings, policies::PolicyBook, timeline},
};

mod fleet;
mod script;
mod tell;

pub use tell::{Event, Summary};

/// How the demonstration is run.
#[derive(Clone, Copy, Debug)]
pub struct Demo<'a> {
    /// Where the database and the mails are left.
    pub folder: &'a Path,
    /// For how many days the clock runs.
    pub n_days: u16,
}

/// The moment at which the clock begins: a Monday morning.
pub fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_803_891_600, 0).unwrap_or_default()
}

impl Demo<'_> {
    /// Runs the clock, and hands each thing that happens to `tell`, in order.
    ///
    /// # Errors
    /// If the folder cannot be written to, or a job fails.
    pub async fn run(&self, mut tell: impl FnMut(&Event)) -> anyhow::Result<Summary> {
        let clock = ManualClock::at(beginning());
        let db = self.open(&clock).await?;
        let policies = Policies::default();
        let book = PolicyBook::new(policies.clone());
        fleet::fill(&db, &book).await.context("make up a fleet")?;
        let deps = self.deps(&db, &clock, policies)?;
        let runner = Runner::new(deps, Duration::from_secs(60), Shutdown::new());
        let end = beginning() + TimeDelta::days(i64::from(self.n_days));
        let mut watcher = Watcher::default();
        // What the fleet's making left in the trail is no news.
        watcher.skip(&db).await?;
        let mut script = script::acts().into_iter().peekable();
        let mut now = beginning();
        loop {
            clock.set(now);
            while let Some(act) = script.next_if(|act| act.at() <= now) {
                script::play(&act, &db, &book).await.context("play a part")?;
            }
            for name in ["sweep", "deliver", "purge", "deliver"] {
                let Some(job) = jobs::find(name) else { continue };
                runner.run(job, Cause::Manual).await?;
            }
            watcher.look(&db, &mut tell).await?;
            let due = timeline::next_instant(db.conn(), now).await?;
            let acted = script.peek().map(script::Act::at);
            match due.into_iter().chain(acted).min().filter(|next| *next <= end) {
                Some(next) => now = next,
                None => break,
            }
        }
        let summary = tell::summary(&db).await?;
        db.close().await?;
        Ok(summary)
    }

    async fn open(&self, clock: &ManualClock) -> anyhow::Result<Db> {
        let settings = Settings {
            url: format!("sqlite://{}", self.folder.join("lapsed.db").display()),
            password: None,
            max_connections: 2,
            acquire_timeout: Duration::from_secs(5),
        };
        let db = Db::connect(&settings, Arc::new(clock.clone()), true).await?;
        db.migrate().await?;
        Ok(db)
    }

    fn deps(&self, db: &Db, clock: &ManualClock, policies: Policies) -> anyhow::Result<Deps> {
        let templates = TemplateSettings { answers_are_read: true, ..TemplateSettings::default() };
        let mailer = Mailer {
            transport: Transport::Files(FileSettings { folder: self.folder.join("mail") }),
            templates: Templates::new(&templates)?,
            sender: Sender {
                from: "Key care <keys@lapsed.example>".parse()?,
                reply_to: None,
                list_id: "keys.lapsed.example".to_owned(),
                domain: "lapsed.example".to_owned(),
            },
            contacts: Vec::new(),
            links: None,
            breaker: Breaker::default(),
        };
        Ok(Deps {
            db: db.clone(),
            clock: Arc::new(clock.clone()),
            policies: Arc::new(policies),
            // Nobody is there to release the keys of a made-up tenant, and its clock jumps.
            limits: Limits { brake: brake::Limits::OFF, settle: None, ..Limits::default() },
            mailer: Arc::new(mailer),
            swept: Arc::default(),
            timekeeper: Arc::default(),
            // Nobody will look at this trail again.
            audit_key: Arc::new(SealKey::new(Derived::new(2, rand::random()))),
            instance: "demo".into(),
        })
    }
}

/// Remembers what has been told already.
#[derive(Debug, Default)]
struct Watcher {
    last_event: i64,
    last_mail: i64,
}

impl Watcher {
    async fn skip(&mut self, db: &Db) -> anyhow::Result<()> {
        self.look(db, &mut |_: &Event| ()).await
    }

    async fn look(&mut self, db: &Db, tell: &mut impl FnMut(&Event)) -> anyhow::Result<()> {
        for happened in timeline::happened(db.conn(), self.last_event).await? {
            self.last_event = happened.id;
            tell(&Event::from(happened));
        }
        let mut mails = timeline::mailed(db.conn(), self.last_mail).await?;
        self.last_mail = mails.last().map_or(self.last_mail, |mail| mail.id);
        // Mails of one instant are in no order; the story is the same each time.
        mails.sort_by(|a, b| (a.at, &a.recipients).cmp(&(b.at, &b.recipients)));
        for mailed in mails {
            tell(&Event::from(mailed));
        }
        Ok(())
    }
}
