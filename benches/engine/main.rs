//! How fast the engine is, as ratios: each figure is taken beside a reference in the same run, in
//! turns, because a busy machine spoils seconds and spares ratios.
//!
//! `cargo bench --bench engine -- --help` says what there is; docs/performance.md has results.

#![expect(clippy::print_stdout, reason = "the table of results is what this program is for")]

use anyhow::Context as _;
use clap::Parser as _;

mod args;
mod by_hand;
mod chart;
mod deliver;
mod fleet;
mod growth;
mod idle;
mod installation;
mod measure;
mod pages;
mod place;
#[path = "../../tests/it/support/proxy.rs"]
#[expect(clippy::unwrap_used, dead_code, unreachable_pub, reason = "the tests' own")]
mod proxy;
mod purge;
mod sink;
mod sweep;
mod whole;

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
            Part::Deliver => deliver::run(args, &mut table).await,
            Part::Whole => whole::run(args, &mut table).await,
            Part::Growth => growth::run(args, &mut table).await,
            Part::Pages => pages::run(args, &mut table).await,
        };
        done.with_context(|| format!("measure `{part:?}`"))?;
    }
    println!("\n{table}");
    println!("{}", measure::surroundings());
    Ok(())
}
