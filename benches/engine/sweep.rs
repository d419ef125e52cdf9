//! A sweep of many due keys, against the same writes by hand; and what a second worker adds.

use std::time::Duration;

use anyhow::ensure;
use lapsed::{
    clock::{Clock as _, SystemClock},
    store::{Db, Engine},
};

use crate::{
    args::Args,
    by_hand,
    fleet::{DueTo, Fleet},
    installation::Installation,
    measure::{Goal, Pairs, Table, grouped, rate, timed},
    place::{Place, within},
};

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    for engine in args.engines() {
        within(args, engine, async |place| on(args, place, table).await).await?;
    }
    Ok(())
}

async fn on(args: &Args, place: &Place, table: &mut Table) -> anyhow::Result<()> {
    let fleet = Fleet::new(args.keys(), args.due(), SystemClock.now(), DueTo::Sweep);
    fleet.fill(place).await?;
    let (n_due, n_keys) = (fleet.due(), args.keys());
    for &batch in &args.batch {
        let rounds = rounds(args, batch);
        let mut pairs = Pairs::default();
        let db = place.open().await?;
        for _ in 0..rounds {
            let (n_swept, reference) = timed(by_hand::sweep(place, batch)).await?;
            ensure!(n_swept == n_due, "by hand {n_swept} keys were swept, not {n_due}");
            let by_hand = traces(place).await?;
            fleet.reset(place).await?;
            let ours = one(&db, batch, n_due).await?;
            ensure!(
                by_hand == traces(place).await?,
                "lapsed does not write what is written by hand"
            );
            fleet.reset(place).await?;
            pairs.add(reference, ours);
        }
        db.close().await?;
        table.add(
            format!(
                "sweep, {:?}, {} due of {}, batches of {batch}",
                place.engine,
                grouped(n_due),
                grouped(n_keys)
            ),
            rate(n_due, pairs.reference()),
            rate(n_due, pairs.ours()),
            pairs.speed(),
            Goal::AtLeast(0.9),
        );
    }
    if place.engine == Engine::Postgres {
        two_by_hand(args, place, &fleet, table).await?;
        for &batch in &args.batch {
            two_workers(args, place, &fleet, batch, table).await?;
        }
    }
    Ok(())
}

/// How often it is measured with batches of this size.
fn rounds(args: &Args, batch: usize) -> usize {
    if batch == args.batch() { args.rounds() } else { args.rounds().div_ceil(2) }
}

/// What a sweep or a purge has written, in numbers: the same for all who write the same.
pub(crate) async fn traces(place: &Place) -> anyhow::Result<Vec<String>> {
    let text = |columns: &str| match place.engine {
        Engine::MariaDb => format!("CONCAT_WS(' ', {columns})"),
        Engine::Postgres => format!("CONCAT_WS(' ', {columns})"),
        Engine::Sqlite => columns
            .split(", ")
            .map(|column| format!("COALESCE({column}, '')"))
            .collect::<Vec<_>>()
            .join(" || ' ' || "),
    };
    let mut all = Vec::new();
    for (columns, table) in [
        ("state, next_job, last_stage, version", "api_keys"),
        ("stage, status", "notices"),
        ("actor, action, LENGTH(detail)", "audit_events"),
        ("reason, kind, policy", "tombstones"),
        ("version", "key_secrets"),
    ] {
        let line = text(&format!("{columns}, COUNT(*)"));
        let query = format!("SELECT {line} FROM {table} GROUP BY {columns} ORDER BY 1");
        let lines = place.lines(&query).await?;
        all.extend(lines.into_iter().map(|line| format!("{table}: {line}")));
    }
    Ok(all)
}

/// Lets lapsed sweep everything that is due.
pub(crate) async fn one(db: &Db, batch: usize, n_due: u64) -> anyhow::Result<Duration> {
    let installation = Installation::new(db.clone(), batch)?;
    let (outcome, took) = timed(installation.job("sweep")).await?;
    ensure!(outcome.n_changed == n_due, "lapsed swept {} keys, not {n_due}", outcome.n_changed);
    Ok(took)
}

/// The writes by hand over two connections at once, against one: what this server can gain at all.
async fn two_by_hand(
    args: &Args,
    place: &Place,
    fleet: &Fleet,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (mut pairs, n_due) = (Pairs::default(), fleet.due());
    let twin = place.twin().await?;
    for _ in 0..args.rounds() {
        let (_, alone) = timed(by_hand::sweep(place, args.batch())).await?;
        fleet.reset(place).await?;
        let both = async {
            tokio::try_join!(
                by_hand::sweep(place, args.batch()),
                by_hand::sweep(&twin, args.batch())
            )
        };
        let ((first, second), together) = timed(both).await?;
        ensure!(first + second == n_due, "by two hands {} keys were swept", first + second);
        fleet.reset(place).await?;
        pairs.add(alone, together);
    }
    twin.drop().await?;
    table.add(
        format!("by hand, Postgres, two connections against one, {} due", grouped(n_due)),
        rate(n_due, pairs.reference()),
        rate(n_due, pairs.ours()),
        pairs.speed(),
        Goal::None,
    );
    Ok(())
}

/// Two replicas at once, each with connections of its own, against one.
async fn two_workers(
    args: &Args,
    place: &Place,
    fleet: &Fleet,
    batch: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (mut pairs, n_due) = (Pairs::default(), fleet.due());
    let rounds = rounds(args, batch);
    let (first, second) = (place.open().await?, place.open().await?);
    for _ in 0..rounds {
        let alone = one(&first, batch, n_due).await?;
        fleet.reset(place).await?;
        let replicas =
            (Installation::new(first.clone(), batch)?, Installation::new(second.clone(), batch)?);
        let both = async {
            let both = tokio::try_join!(replicas.0.job("sweep"), replicas.1.job("sweep"))?;
            Ok(both.0.n_changed + both.1.n_changed)
        };
        let (n_changed, together) = timed(both).await?;
        ensure!(n_changed == n_due, "two replicas swept {n_changed} keys, not {n_due}");
        fleet.reset(place).await?;
        pairs.add(alone, together);
    }
    first.close().await?;
    second.close().await?;
    table.add(
        format!(
            "sweep, Postgres, two workers against one, {} due, batches of {batch}",
            grouped(n_due)
        ),
        rate(n_due, pairs.reference()),
        rate(n_due, pairs.ours()),
        pairs.speed(),
        Goal::AtLeast(1.6),
    );
    Ok(())
}
