//! The whole of `lapsed` but its faces, with a clock that stands still and mails kept in memory.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::{
    clock::{Clock as _, ManualClock},
    domain::{brake, derived::Derived, seal::SealKey},
    jobs::{
        self, Deps, Limits, Outcome,
        deliver::{Breaker, Mailer},
        runner::{Cause, RunError, Runner},
    },
    mail::{
        build::Sender,
        memory::MemoryOutbox,
        render::{TemplateSettings, Templates},
        transport::Transport,
    },
    shutdown::Shutdown,
    store::{Db, Engine, who::Who},
};
use mail_parser::MessageParser;
use sea_orm::{ConnectionTrait as _, QueryResult, Statement, TryGetable};

use crate::support::db::{TestDb, with_db};

/// Whoever is at the machine.
pub const OPERATOR: Who<'static> = Who::Local("operator");

/// One installation for one test.
pub struct TestApp {
    pub db: Db,
    pub test_db: TestDb,
    pub clock: ManualClock,
    pub outbox: MemoryOutbox,
    pub runner: Runner,
    pub deps: Deps,
}

/// Runs `promise` with an installation of its own on `engine`.
pub async fn run<F: Future<Output = ()>>(engine: Engine, promise: impl FnOnce(TestApp) -> F) {
    with_db(engine, |test_db| async move {
        promise(TestApp::start(test_db).await).await;
    })
    .await;
}

/// The moment at which every test begins.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// So many days.
pub fn days(n: i64) -> TimeDelta {
    TimeDelta::days(n)
}

impl TestApp {
    pub async fn start(test_db: TestDb) -> Self {
        let clock = ManualClock::at(noon());
        let db = test_db.connect(Arc::new(clock.clone())).await;
        db.migrate().await.unwrap();
        let outbox = MemoryOutbox::default();
        let deps = deps(db.clone(), clock.clone(), Transport::Memory(outbox.clone()));
        let runner = Runner::new(deps.clone(), Duration::from_secs(60), Shutdown::new());
        Self { db, test_db, clock, outbox, runner, deps }
    }

    /// The same installation after a restart with other settings.
    pub fn with(self, change: impl FnOnce(&mut Deps)) -> Self {
        // What a process remembers is lost with it.
        let mut deps = Deps { swept: Arc::default(), ..self.deps };
        change(&mut deps);
        let runner = Runner::new(deps.clone(), Duration::from_secs(60), Shutdown::new());
        Self { deps, runner, ..self }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Runs one job, as somebody would by hand.
    pub async fn job(&self, name: &str) -> Outcome {
        self.try_job(name).await.unwrap()
    }

    pub async fn try_job(&self, name: &str) -> Result<Outcome, RunError> {
        self.runner.run(jobs::find(name).unwrap(), Cause::Manual).await
    }

    pub async fn sweep(&self) -> Outcome {
        self.job("sweep").await
    }

    /// Sweeps, delivers and, a moment later, purges: what a minute of the daemon does.
    pub async fn pass(&self) {
        self.job("sweep").await;
        self.job("deliver").await;
        self.clock.advance(TimeDelta::milliseconds(1));
        self.job("purge").await;
        self.job("deliver").await;
    }

    pub async fn execute(&self, statement: &str) {
        self.db.conn().execute_unprepared(statement).await.unwrap();
    }

    pub async fn rows(&self, query: &str) -> Vec<QueryResult> {
        let backend = self.db.conn().get_database_backend();
        self.db.conn().query_all_raw(Statement::from_string(backend, query)).await.unwrap()
    }

    /// The first column of all rows.
    pub async fn column<T: TryGetable>(&self, query: &str) -> Vec<T> {
        self.rows(query).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.column(&format!("SELECT COUNT(*) FROM {table}")).await[0]
    }

    /// A tenant, two environments and an owner called Ada, all with the number 1.
    pub async fn people(&self) {
        self.execute(
            "INSERT INTO tenants (id, slug, name, contacts, created_at) \
             VALUES (1, 'acme', 'Acme', '[\"ops@acme.example\"]', 0)",
        )
        .await;
        self.execute(
            "INSERT INTO environments (id, tenant_id, slug, name, class, contacts, created_at) \
             VALUES (1, 1, 'prod', 'Production', 1, '[]', 0)",
        )
        .await;
        self.owner(1, "ada@acme.example").await;
    }

    pub async fn owner(&self, id: i64, email: &str) {
        self.execute(&format!(
            "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, time_zone, locale, \
             mail_status, created_at) VALUES ({id}, 'owner{id:07}', 1, '{email}', 'Ada {id}', 1, \
             'Europe/Berlin', 'en', 1, 0)"
        ))
        .await;
    }

    /// A key of owner 1 with a life of 90 days that expires `ahead` from now. Its turn is now.
    pub async fn key(&self, id: i64, ahead: TimeDelta) {
        self.key_of(1, id, ahead).await;
    }

    pub async fn key_of(&self, owner_id: i64, id: i64, ahead: TimeDelta) {
        let expires_at = (self.now() + ahead).timestamp_millis();
        let issued_at = (self.now() + ahead - days(90)).timestamp_millis();
        let now = self.now().timestamp_millis();
        self.execute(&format!(
            "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, kind, name, \
             ttl_ms, created_at, issued_at, expires_at, state, next_job, next_action_at, version) \
             VALUES ({id}, 'key{id:09}', 1, 1, {owner_id}, 1, 'key {id}', 7776000000, {issued_at}, \
             {issued_at}, {expires_at}, 1, 1, {now}, 1)"
        ))
        .await;
    }

    /// A key as one line: its state, how often it changed, and its next turn.
    pub async fn describe(&self, id: i64) -> String {
        let query = format!(
            "SELECT state, next_job, next_action_at, window_ends_at, version FROM api_keys WHERE id = {id}"
        );
        let Some(row) = self.rows(&query).await.pop() else { return "gone".to_owned() };
        let state: i16 = row.try_get_by_index(0).unwrap();
        let job: i16 = row.try_get_by_index(1).unwrap();
        let at: Option<i64> = row.try_get_by_index(2).unwrap();
        let state = ["?", "active", "window", "revoked"][usize::try_from(state).unwrap()];
        let job = ["none", "sweep", "purge"][usize::try_from(job).unwrap()];
        let ahead = at.map(|at| TimeDelta::milliseconds(at - self.now().timestamp_millis()));
        format!("{state}, next {job}{}", ahead.map(|at| format!(" in {at}")).unwrap_or_default())
    }

    /// All notices of a key in order: stage and status.
    pub async fn notices(&self, key_id: i64) -> Vec<String> {
        let query =
            format!("SELECT stage, status FROM notices WHERE key_id = {key_id} ORDER BY id");
        let status = [
            "?",
            "pending",
            "queued",
            "told",
            "superseded",
            "void",
            "escalated",
            "failed",
            "baseline",
            "muted",
        ];
        let line = |row: &QueryResult| {
            let stage: i16 = row.try_get_by_index(0).unwrap();
            let code: i16 = row.try_get_by_index(1).unwrap();
            let stage = lapsed::domain::stage::Stage::from_code(stage).unwrap();
            format!("{stage} {}", status[usize::try_from(code).unwrap()])
        };
        self.rows(&query).await.iter().map(line).collect()
    }

    /// Recipients and subjects of all mails that were taken over, in order.
    pub fn subjects(&self) -> Vec<String> {
        let line = |mail: &lapsed::mail::transport::Outgoing| {
            let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
            format!("{}: {}", mail.to.join(", "), parsed.subject().unwrap())
        };
        self.outbox.sent().iter().map(line).collect()
    }
}

/// What the jobs share in a test.
pub fn deps(db: Db, clock: ManualClock, transport: Transport) -> Deps {
    Deps {
        db,
        clock: Arc::new(clock),
        policies: Arc::default(),
        // Small, so that a test of a few hundred keys has several batches.
        // And without a brake: all keys of the one tenant of most tests end at once.
        limits: Limits { batch: 100, brake: brake::Limits::OFF, settle: None, ..Limits::default() },
        mailer: Arc::new(mailer(transport)),
        swept: Arc::default(),
        timekeeper: Arc::default(),
        audit_key: Arc::new(SealKey::new(Derived::new(7, [7; 32]))),
        instance: "test".into(),
    }
}

pub fn mailer(transport: Transport) -> Mailer {
    // Read once for all tests: they take longer to read than a mail to be written.
    static TEMPLATES: LazyLock<Templates> =
        LazyLock::new(|| Templates::new(&TemplateSettings::default()).unwrap());
    Mailer {
        transport,
        templates: TEMPLATES.clone(),
        sender: Sender {
            from: "lapsed <keys@acme.example>".parse().unwrap(),
            reply_to: None,
            list_id: "keys.acme.example".to_owned(),
            domain: "acme.example".to_owned(),
        },
        contacts: Vec::new(),
        links: None,
        breaker: Breaker::default(),
    }
}
