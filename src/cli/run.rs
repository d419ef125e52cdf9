//! `lapsed run`

use std::sync::Arc;

use crate::{
    cli::{
        Exit,
        context::{Globals, credentials},
    },
    daemon::{self, Boot},
    telemetry,
};

/// Runs the daemon until somebody stops it.
pub(super) async fn run(globals: Globals) -> anyhow::Result<Exit> {
    let loaded = globals.load()?;
    let config = &loaded.config;
    let log = telemetry::init(config.log.format, &config.log.filter, &config.traces.url)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let reread = Arc::new(move || globals.load());
    daemon::run(Boot { loaded, credentials: credentials(), reread, log: Some(log) }).await?;
    Ok(Exit::Done)
}
