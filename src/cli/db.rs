//! `lapsed db`

use clap::Subcommand;
use serde::Serialize;

use crate::{
    app::App,
    cli::{
        Exit, Failure,
        context::{Globals, credentials},
    },
    store::{Engine, schema::SchemaState},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the schema up to date.
    Migrate,
    /// Show how the schema stands to this program's.
    Status,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct StatusJson {
    /// `sqlite`, `postgres` or `mariadb`.
    engine: &'static str,
    /// `current`, `behind` or `ahead`.
    schema: &'static str,
    /// How many migrations are to be applied.
    pending: usize,
}

pub(super) async fn run(globals: &Globals, command: Command) -> anyhow::Result<Exit> {
    let app = App::connect(globals.load()?, credentials().as_deref()).await?;
    let state = app.db.schema_state().await?;
    match command {
        Command::Migrate => migrate(globals, &app, state).await,
        Command::Status => status(globals, app.db.engine(), state),
    }
}

async fn migrate(globals: &Globals, app: &App, state: SchemaState) -> anyhow::Result<Exit> {
    match state {
        SchemaState::Current => globals.out.note("the schema is up to date"),
        SchemaState::Behind { n_pending } => {
            app.db.migrate().await?;
            globals.out.note(&format!("applied {n_pending} migrations"));
        }
        SchemaState::Ahead { unknown } => return Err(ahead(&unknown)),
    }
    Ok(Exit::Done)
}

fn status(globals: &Globals, engine: Engine, state: SchemaState) -> anyhow::Result<Exit> {
    let engine = match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
        Engine::MariaDb => "mariadb",
    };
    let (schema, pending) = match &state {
        SchemaState::Current => ("current", 0),
        SchemaState::Behind { n_pending } => ("behind", *n_pending),
        SchemaState::Ahead { .. } => ("ahead", 0),
    };
    let json = StatusJson { engine, schema, pending };
    let fields = [
        ("engine", engine.to_owned()),
        ("schema", schema.to_owned()),
        ("pending", pending.to_string()),
    ];
    globals.out.fields(&json, &fields)?;
    match state {
        SchemaState::Current => Ok(Exit::Done),
        SchemaState::Behind { .. } => {
            globals.out.note("`lapsed db migrate` brings it up to date");
            Ok(Exit::Partial)
        }
        SchemaState::Ahead { unknown } => Err(ahead(&unknown)),
    }
}

fn ahead(unknown: &str) -> anyhow::Error {
    Failure::new(format!("the database has been migrated by a newer lapsed (`{unknown}`)"))
        .hint("run that version, or restore a back-up from before its migration")
        .into()
}
