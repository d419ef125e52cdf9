//! `lapsed completions` and `lapsed man`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use crate::cli::{Cli, Exit, Out, context::shown};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lapsed completions bash > /etc/bash_completion.d/lapsed")]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lapsed man /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// The folder. It is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(out: Out, args: CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lapsed", &mut script);
    out.raw(&script)?;
    Ok(Exit::Done)
}

pub(super) fn man(out: Out, args: ManArgs) -> anyhow::Result<Exit> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", shown(folder)))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("write into {}", shown(folder)))?;
    out.note(&format!("wrote the manual pages into {}", shown(folder)));
    Ok(Exit::Done)
}
