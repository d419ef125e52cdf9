//! The command line: one command a file, one door to stdout and stderr, one place where errors
//! are told. Command names and exit codes are a contract.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod admin;
mod approvals;
mod args;
mod ask;
mod audit;
mod brake;
mod clock;
mod completions;
mod config;
mod context;
mod db;
mod demo;
mod doctor;
mod environments;
mod exit;
mod keys;
mod mail;
mod notices;
mod otp;
mod output;
mod owners;
mod pause;
mod plan;
mod policy;
mod progress;
mod rekey;
mod run;
mod status;
mod sweep;
mod tenants;
mod views;
mod when;

pub use context::Context;
pub use exit::{Exit, Failure};
pub use output::Out;

use context::Globals;

/// Who the trail says it was.
const ACTOR: &str = "operator";

const EXAMPLES: &str = "\
Examples:
  lapsed demo
  lapsed tenants add acme --contact ops@acme.example
  lapsed keys import keys.csv --dry-run
  lapsed plan --until 30d
  lapsed keys explain 7Hk2pQ9rT4aB

Exit codes:
  0 done   1 failed   2 wrong usage   3 ran, but some items failed   4 the brake is on
  78 the configuration is wrong";

/// Looks after API keys until they end: announces, expires, rotates and purges them.
#[derive(Debug, Parser)]
#[command(name = "lapsed", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "LAPSED_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Write data as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: schedule, deliver, serve HTTP.
    Run,
    /// Do one full pass (sweep, deliver, purge), and exit.
    Sweep(sweep::Sweep),
    /// Show the whole life of a made-up fleet in a few seconds.
    Demo(demo::DemoArgs),
    /// Organisations whose keys are looked after.
    #[command(subcommand)]
    Tenants(tenants::Command),
    /// Parts of a tenant with contacts and rules of their own.
    #[command(subcommand)]
    Environments(environments::Command),
    /// People and teams who have keys.
    #[command(subcommand)]
    Owners(owners::Command),
    /// The keys themselves.
    #[command(subcommand)]
    Keys(keys::Command),
    /// What will be mailed, expired and purged, by day. Changes nothing.
    Plan(plan::Args),
    /// What owners are told, and whether it reached them.
    #[command(subcommand)]
    Notices(notices::Command),
    /// Send a test mail, or look at the texts.
    #[command(subcommand)]
    Mail(mail::Command),
    /// The rules keys live under.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Owners' second factors.
    #[command(subcommand)]
    Otp(otp::Command),
    /// Administrators' tokens.
    #[command(subcommand)]
    Admin(admin::Command),
    /// What waits for a second administrator.
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// What is held back because it would destroy too much at once.
    #[command(subcommand)]
    Brake(brake::Command),
    /// Whether the clock is believed, without which nothing is destroyed.
    #[command(subcommand)]
    Clock(clock::Command),
    /// Hold the jobs until `lapsed resume`.
    Pause(pause::PauseArgs),
    /// Let the jobs go on.
    Resume(pause::ResumeArgs),
    /// How the installation is doing.
    Status,
    /// Look for what is wrong, and say how to mend it.
    Doctor,
    /// The trail of who did what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Put what is encrypted under a new master key.
    Rekey(rekey::Args),
    /// The database's schema.
    #[command(subcommand)]
    Db(db::Command),
    /// What is set, and where.
    #[command(subcommand)]
    Config(config::Command),
    /// Write a completion script for a shell to stdout.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a folder.
    Man(completions::ManArgs),
}

/// Runs the command the process was called with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(cli.json);
    let exit = match tokio::runtime::Runtime::new() {
        Ok(runtime) => match runtime.block_on(run(cli)) {
            Ok(exit) => exit,
            Err(error) => exit::report(&out, &error),
        },
        Err(error) => exit::report(&out, &anyhow::Error::from(error).context("start the runtime")),
    };
    exit.into()
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let globals = Globals { config: cli.config, out: Out::new(cli.json) };
    match cli.command {
        Command::Run => run::run(globals).await,
        Command::Sweep(args) => sweep::run(&globals.open().await?, args).await,
        Command::Demo(args) => demo::run(globals.out, args).await,
        Command::Tenants(command) => tenants::run(&globals.open().await?, command).await,
        Command::Environments(command) => environments::run(&globals.open().await?, command).await,
        Command::Owners(command) => owners::run(&globals.open().await?, command).await,
        Command::Keys(command) => keys::run(&globals.open().await?, command).await,
        Command::Plan(args) => plan::run(&globals.open().await?, args).await,
        Command::Notices(command) => notices::run(&globals.open().await?, command).await,
        Command::Mail(command) => mail::run(&globals.open().await?, command).await,
        Command::Policy(command) => policy::run(&globals.open().await?, command).await,
        Command::Otp(command) => otp::run(&globals.open().await?, command).await,
        Command::Admin(command) => admin::run(&globals.open().await?, command).await,
        Command::Approvals(command) => approvals::run(&globals.open().await?, command).await,
        Command::Brake(command) => brake::run(&globals.open().await?, command).await,
        Command::Clock(command) => clock::run(&globals.open().await?, command).await,
        Command::Pause(args) => pause::pause(&globals.open().await?, args).await,
        Command::Resume(args) => pause::resume(&globals.open().await?, args).await,
        Command::Status => status::run(&globals.open().await?).await,
        Command::Doctor => doctor::run(&globals).await,
        Command::Audit(command) => audit::run(&globals.open().await?, command).await,
        Command::Rekey(args) => rekey::run(&globals.open().await?, args).await,
        Command::Db(command) => db::run(&globals, command).await,
        Command::Config(command) => config::run(&globals, command),
        Command::Completions(args) => completions::completions(globals.out, args),
        Command::Man(args) => completions::man(globals.out, args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
