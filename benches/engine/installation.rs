//! The real jobs on a database, as the daemon puts them together.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use lapsed::{
    clock::SystemClock,
    domain::{
        brake::{self, Limit},
        seal::SealKey,
    },
    jobs::{
        self, Deps, Limits, Outcome,
        deliver::{Breaker, Mailer},
        runner::{Cause, Runner},
    },
    mail::{
        build::Sender,
        memory::MemoryOutbox,
        render::{TemplateSettings, Templates},
        transport::Transport,
    },
    shutdown::Shutdown,
    store::Db,
};

/// A daemon without its faces.
#[derive(Debug)]
pub(crate) struct Installation {
    /// What runs its jobs.
    pub(crate) runner: Runner,
}

impl Installation {
    /// On this database; so many keys in a transaction.
    ///
    /// The brake is there and looks at what ends, as in any daemon; its limits are as high as the
    /// configuration lets them be.
    pub(crate) fn new(db: Db, batch: usize) -> anyhow::Result<Self> {
        let all = Limit { keys: 1_000_000, percent: 100 };
        let brake = brake::Limits { is_enabled: true, expire: all, purge: all };
        let deps = Deps {
            db,
            clock: Arc::new(SystemClock),
            policies: Arc::default(),
            limits: Limits { batch, brake, ..Limits::default() },
            mailer: Arc::new(mailer(Transport::Memory(MemoryOutbox::default()))?),
            swept: Arc::default(),
            timekeeper: Arc::default(),
            audit_key: Arc::new(SealKey::new(lapsed::domain::derived::Derived::new(7, [7; 32]))),
            instance: "bench".into(),
        };
        let limit = Duration::from_secs(3_600);
        Ok(Self { runner: Runner::new(deps, limit, Shutdown::new()) })
    }

    /// Runs a job as the schedule does.
    pub(crate) async fn job(&self, name: &str) -> anyhow::Result<Outcome> {
        let job = jobs::find(name).with_context(|| format!("there is no job `{name}`"))?;
        Ok(self.runner.run(job, Cause::Schedule).await?)
    }
}

fn mailer(transport: Transport) -> anyhow::Result<Mailer> {
    let settings =
        TemplateSettings { operator_folder: None, public_url: None, answers_are_read: false };
    Ok(Mailer {
        transport,
        templates: Templates::new(&settings)?,
        sender: Sender {
            from: "lapsed <keys@acme.example>".parse()?,
            reply_to: None,
            list_id: "keys.acme.example".to_owned(),
            domain: "acme.example".to_owned(),
        },
        contacts: Vec::new(),
        links: None,
        breaker: Breaker::default(),
    })
}
