//! `[database]`

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::config::{
    period::Period,
    rule::{Misfit, Rule},
    schema::Rules,
    secret::{self, SecretFile},
    url::{self, Engine},
};

/// `[database]`: where keys, notices and the audit trail are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The database. It names an [`Engine`] and contains no password.
    pub url: String,
    /// The file with the password of a server database.
    #[serde(deserialize_with = "secret::optional")]
    pub password_file: Option<SecretFile>,
    /// How many connections are open at most. At least 1.
    pub max_connections: u32,
    /// How long to wait for a free connection.
    pub acquire_timeout: Period,
    /// Whether `lapsed run` brings the schema of a server database up to date as it starts.
    pub migrate: bool,
}

impl DatabaseConfig {
    /// The kind of database that `url` names.
    pub fn engine(&self) -> Engine {
        // Loading refuses a URL that names no engine.
        Engine::of(&self.url).unwrap_or(Engine::Sqlite)
    }

    /// The file of an SQLite database. `None` where it is in memory, or on a server.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        url::sqlite_file(&self.url)
    }
}

pub(super) const RULES: Rules = &[
    (
        "database.url",
        Rule::Text {
            allowed: "sqlite://FILE, sqlite::memory:, postgres://USER@HOST/NAME or \
                      mysql://USER@HOST/NAME",
            check: check_url,
        },
    ),
    ("database.password_file", Rule::Secret),
    ("database.max_connections", Rule::Whole(1, 500)),
    ("database.acquire_timeout", Rule::Time(Duration::from_millis(100), Duration::from_secs(600))),
    ("database.migrate", Rule::Flag),
];

fn check_url(text: &str) -> Result<(), Misfit> {
    if url::has_password(text) {
        return Err(Misfit {
            says: Some("contains a password, but must not".to_owned()),
            hint: Some("write it to a file, and name that in `database.password_file`".to_owned()),
        });
    }
    if text.starts_with("mariadb:") {
        return Err(Misfit::hint("a MariaDB server is named by `mysql://`, too"));
    }
    Misfit::unless(Engine::of(text).is_some())
}
