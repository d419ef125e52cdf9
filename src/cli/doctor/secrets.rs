//! Whether the master key is there, and for nobody else.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    cli::{
        context::shown,
        doctor::{Finding, Level, bad, ok},
    },
    config::{Config, MasterKey},
};

const CHECK: &str = "master key";

/// Looks at the master key's file, without reading it.
pub(super) fn master_key(config: &Config, credentials: Option<&Path>) -> Finding {
    match config.master_key() {
        MasterKey::Throwaway => ok(CHECK, "is made anew each time, as the database is"),
        MasterKey::BesideDatabase(path) => file(&path, true),
        MasterKey::Named(named) => match named.path("keys.master_key_file", credentials) {
            Ok(path) => file(&path, false),
            Err(error) => bad(CHECK, Level::Error, error.to_string(), "lapsed config check"),
        },
    }
}

fn file(path: &Path, is_made: bool) -> Finding {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_made => {
            ok(CHECK, "will be made with the first key")
        }
        Err(error) => {
            let found = format!("{}: {error}", shown(path));
            bad(CHECK, Level::Error, found, "restore it from its back-up: every key depends on it")
        }
        Ok(meta) => {
            let mode = meta.permissions().mode() & 0o777;
            if mode & 0o077 == 0 {
                return ok(CHECK, format!("{} is for its owner alone", shown(path)));
            }
            let found = format!("{} has mode {mode:o}: others can read it", shown(path));
            bad(CHECK, Level::Warning, found, format!("chmod 600 {}", shown(path)))
        }
    }
}
