//! What is measured, and how large.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use lapsed::store::Engine;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A sweep, against the same writes by hand.
    Sweep,
    /// A purge, against the same writes by hand.
    Purge,
    /// A sweep that finds nothing, against the bare query.
    Idle,
    /// Mails to a relay, against `smtp-source`.
    Deliver,
    /// From the start of a sweep to the last accepted mail, by the real daemon on PostgreSQL.
    Whole,
    /// How the cost of a sweep grows with what is due, and with all there is.
    Growth,
    /// The pages of administrators: how long they take, and how large they are.
    Pages,
}

/// An engine, as it is called on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// Embedded.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
}

/// Measures the engine of lapsed against references taken in the same run.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// What to measure; without any, everything.
    parts: Vec<Part>,
    /// On which engines.
    #[arg(long, value_delimiter = ',', default_values = ["sqlite", "postgres", "mariadb"])]
    engine: Vec<EngineName>,
    /// How many keys there are [default: 1000000].
    #[arg(long)]
    keys: Option<u64>,
    /// How many of them are due [default: 100000].
    #[arg(long)]
    due: Option<u64>,
    /// How many mails are sent [default: 10000].
    #[arg(long)]
    mails: Option<u64>,
    /// How many rounds: each measures both, reference and lapsed [default: 5].
    #[arg(long)]
    rounds: Option<usize>,
    /// Keys in one transaction. The goals hold for the first; `sweep` tries them all.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 500, 2_000, 5_000])]
    pub(crate) batch: Vec<usize>,
    /// Where `growth` draws its curves.
    #[arg(long, default_value = "docs/growth.svg")]
    pub(crate) svg: PathBuf,
    /// A tenth of everything, for a first look within minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also the sizes that take long to fill: 5 million keys on SQLite, 10 on PostgreSQL.
    #[arg(long)]
    pub(crate) huge: bool,
    /// The PostgreSQL server; databases are made there, and dropped.
    #[arg(long, default_value = "postgres://postgres@127.0.0.1:5432")]
    pub(crate) postgres: String,
    /// The MariaDB server, likewise.
    #[arg(long, default_value = "mysql://root@127.0.0.1:3306")]
    pub(crate) mariadb: String,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// What to measure, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match self.parts.as_slice() {
            [] => Part::value_variants().to_vec(),
            parts => parts.to_vec(),
        }
    }

    /// On which engines.
    pub(crate) fn engines(&self) -> impl Iterator<Item = Engine> {
        self.engine.iter().map(|name| match name {
            EngineName::Sqlite => Engine::Sqlite,
            EngineName::Postgres => Engine::Postgres,
            EngineName::Mariadb => Engine::MariaDb,
        })
    }

    /// Whether `engine` was asked for.
    pub(crate) fn has(&self, engine: Engine) -> bool {
        self.engines().any(|asked| asked == engine)
    }

    /// How many mails are sent, where sending is measured.
    pub(crate) fn mails(&self) -> u64 {
        self.mails.unwrap_or(if self.quick { 2_000 } else { 10_000 })
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> u64 {
        self.keys.unwrap_or(if self.quick { 100_000 } else { 1_000_000 })
    }

    /// How many keys there are behind the pages.
    pub(crate) fn page_keys(&self) -> u64 {
        self.keys.unwrap_or(100_000)
    }

    /// How many of them are due.
    pub(crate) fn due(&self) -> u64 {
        self.due.unwrap_or(if self.quick { 10_000 } else { 100_000 }).min(self.keys())
    }

    /// Keys in one transaction.
    pub(crate) fn batch(&self) -> usize {
        self.batch.first().copied().unwrap_or(1_000)
    }

    /// How many rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }
}
