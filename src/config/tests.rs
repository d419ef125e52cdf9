//! The room as its callers see it.

mod wrong;

use std::{io::Write, path::Path};

use crate::config::{
    Config, ConfigErrors, DEFAULTS, Engine, Lifetime, Loaded, MasterKey, Origin, SecretFile,
    TlsMode, Transport, reference, render, schema, show,
};

/// Loads `text` as `lapsed.toml`, with an empty environment.
pub(super) fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    load_with(text, &[])
}

/// Loads `text` as `lapsed.toml`, and `env` over it.
fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let file = super::file::parse(text, Path::new("lapsed.toml"));
    super::load::merge([super::load::defaults(), file, super::environment::read(env)])
}
