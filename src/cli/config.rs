//! `lapsed config`

use clap::Subcommand;

use crate::{
    cli::{
        Exit,
        context::{Globals, credentials},
    },
    config,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the configuration and the files it names.
    #[command(after_help = "Example:\n  lapsed --config /etc/lapsed/lapsed.toml config check")]
    Check,
    /// Show every option, its value, and where that comes from.
    Show,
}

pub(super) fn run(globals: &Globals, command: Command) -> anyhow::Result<Exit> {
    let mut loaded = globals.load()?;
    match command {
        Command::Check => {
            loaded.check_files(credentials().as_deref())?;
            for warning in &loaded.warnings {
                globals.out.warning(&warning.to_string());
            }
            globals.out.note("the configuration is fine");
        }
        Command::Show => {
            let options = config::show(&loaded);
            if globals.out.is_json() {
                globals.out.json(&options)?;
            } else {
                globals.out.line(config::render(&options).trim_end())?;
            }
        }
    }
    Ok(Exit::Done)
}
