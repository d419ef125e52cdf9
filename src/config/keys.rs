//! `[keys]`

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::{
    Config,
    rule::{Misfit, Rule},
    schema::Rules,
    secret::{self, SecretFile},
};

/// `[keys]`: how keys look, and what protects them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The beginning of every new key: two lower-case ASCII letters.
    pub prefix: String,
    /// The file with the 32-byte master key, where the operator names one.
    /// [`Config::master_key`] says where it is otherwise.
    #[serde(deserialize_with = "secret::optional")]
    pub master_key_file: Option<SecretFile>,
    /// The file with the master key before, while `lapsed rekey` and time do their work.
    #[serde(deserialize_with = "secret::optional")]
    pub old_master_key_file: Option<SecretFile>,
}

/// Where the master key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKey {
    /// In a file of the operator, which must exist.
    Named(SecretFile),
    /// Beside the SQLite file. Created, with mode 0600, if it does not exist.
    BesideDatabase(PathBuf),
    /// Nowhere: the database is in memory, and a key that nobody keeps is right for it.
    Throwaway,
}

impl Config {
    /// Where the master key is.
    pub fn master_key(&self) -> MasterKey {
        match (&self.keys.master_key_file, self.database.sqlite_file()) {
            (Some(file), _) => MasterKey::Named(file.clone()),
            (None, Some(database)) => {
                MasterKey::BesideDatabase(database.with_file_name("master.key"))
            }
            // A server database without a named file is refused when the configuration is loaded.
            (None, None) => MasterKey::Throwaway,
        }
    }
}

pub(super) const RULES: Rules = &[
    ("keys.prefix", Rule::Text { allowed: "two letters from a to z", check: check_prefix }),
    ("keys.master_key_file", Rule::Secret),
    ("keys.old_master_key_file", Rule::Secret),
];

fn check_prefix(text: &str) -> Result<(), Misfit> {
    Misfit::unless(text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_lowercase()))
}
