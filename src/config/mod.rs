//! What an operator may set, and where each value comes from.
//!
//! `config/default.toml` is default, manual and code at once: every option stands there, and no
//! other. A file and the environment lie over it. Names that nobody knows are errors, all errors
//! are reported together, and each says where it is and what would be right.
//!
//! Secrets never come through here: an option holds the path of a secret's file, and the file is
//! read when the secret is needed. Nothing here prints, waits, or looks at the process itself:
//! sources are arguments.

mod brake;
mod check;
mod clock;
mod cron;
mod database;
mod environment;
mod file;
mod files;
mod http;
mod jobs;
mod keys;
mod layer;
mod lifecycle;
mod load;
mod log;
mod mail;
mod mailbox;
mod origin;
mod period;
mod ping;
mod problem;
mod reference;
mod renew;
mod rule;
mod schedule;
mod schema;
mod secret;
mod show;
mod smtp;
mod suggest;
#[cfg(test)]
mod tests;
mod traces;
mod url;

use serde::Deserialize;

pub use self::{
    brake::BrakeConfig,
    clock::ClockConfig,
    cron::CronLine,
    database::DatabaseConfig,
    http::HttpConfig,
    jobs::{JobsConfig, RetentionConfig},
    keys::{KeysConfig, MasterKey},
    lifecycle::{LifecycleConfig, Lifetime, OptionError, PurgeConfig},
    load::Loaded,
    log::{LogConfig, LogFormat},
    mail::{MailConfig, Transport},
    origin::{Origin, Origins},
    period::Period,
    ping::PingConfig,
    problem::{ConfigErrors, Problem},
    reference::reference,
    schedule::ScheduleConfig,
    secret::{SecretError, SecretFile},
    show::{ShownOption, render, show},
    smtp::{SmtpConfig, TlsMode},
    traces::TracesConfig,
    url::Engine,
};

/// Every default, with its explanation.
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Everything an operator may set. One that comes from [`Config::load`] is checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[database]`: where keys, notices and the audit trail are kept.
    pub database: DatabaseConfig,
    /// `[keys]`: how keys look, and what protects them.
    pub keys: KeysConfig,
    /// `[lifecycle]`: how long keys live and when their owners are told.
    pub lifecycle: LifecycleConfig,
    /// `[purge]`: what has to be true before a key is purged.
    pub purge: PurgeConfig,
    /// `[brake]`: how much may be destroyed before somebody has to look.
    pub brake: BrakeConfig,
    /// `[clock]`: when the clock is believed.
    pub clock: ClockConfig,
    /// `[mail]`: what mails say and where they go.
    pub mail: MailConfig,
    /// `[smtp]`: the mail server.
    pub smtp: SmtpConfig,
    /// `[http]`: where HTTP is served.
    pub http: HttpConfig,
    /// `[schedule]`: when the jobs run.
    pub schedule: ScheduleConfig,
    /// `[jobs]`: how much a job does at a time.
    pub jobs: JobsConfig,
    /// `[retention]`: how long history is kept.
    pub retention: RetentionConfig,
    /// `[ping]`: a sign of life for whoever watches from outside.
    pub ping: PingConfig,
    /// `[log]`: what the program tells about itself.
    pub log: LogConfig,
    /// `[traces]`: where requests and runs are told as spans.
    pub traces: TracesConfig,
}
