//! `lapsed run`

use crate::{
    cli::{
        Exit,
        context::{Globals, credentials},
    },
    daemon, telemetry,
};

/// Runs the daemon until somebody stops it.
pub(super) async fn run(globals: &Globals) -> anyhow::Result<Exit> {
    let loaded = globals.load()?;
    telemetry::init(loaded.config.log.format, &loaded.config.log.filter)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    daemon::run(loaded, credentials().as_deref()).await?;
    Ok(Exit::Done)
}
