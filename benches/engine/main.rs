//! How fast the engine is, as ratios: each figure is taken beside a reference in the same run, in
//! turns, because a busy machine spoils seconds and spares ratios.
//!
//! `cargo bench --bench engine -- --help` says what there is; docs/performance.md has results.

#![expect(clippy::print_stdout, reason = "the table of results is what this program is for")]

use anyhow::Context as _;
use clap::Parser as _;

mod args;
mod by_hand;
mod fleet;
mod idle;
mod installation;
mod measure;
mod place;
mod purge;
mod sweep;

use args::{Args, Part};
use measure::Table;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    println!("{}", measure::surroundings());
    let mut table = Table::default();
    for part in args.parts() {
        let done = match part {
            Part::Sweep => sweep::run(args, &mut table).await,
            Part::Purge => purge::run(args, &mut table).await,
            Part::Idle => idle::run(args, &mut table).await,
        };
        done.with_context(|| format!("measure `{part:?}`"))?;
    }
    println!("\n{table}");
    println!("{}", measure::surroundings());
    Ok(())
}
