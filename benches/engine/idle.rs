//! A sweep that finds nothing, against the bare query that would find it.

use lapsed::{
    clock::{Clock as _, SystemClock},
    store::{Db, Engine, sql::Sql},
};

use crate::{
    args::Args,
    fleet::{DueTo, Fleet},
    installation::Installation,
    measure::{Goal, Pairs, Ratio, Table, grouped, time, timed},
    place::{Place, within},
};

/// Looks before anything is measured: statements are prepared, pages are read.
const WARM_UP: usize = 20;

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    for engine in args.engines() {
        let mut times = Vec::new();
        for n_keys in sizes(args, engine) {
            let took = within(args, engine, async |place| on(args, place, n_keys, table).await);
            times.push(took.await?);
        }
        if let ([first, ..], [.., last]) = (times.as_slice(), times.as_slice()) {
            table.add(
                format!("idle sweep, {engine:?}, most keys against fewest"),
                time(*first),
                time(*last),
                Ratio::of(vec![last / first]),
                Goal::AtMost(1.5),
            );
        }
    }
    Ok(())
}

fn sizes(args: &Args, engine: Engine) -> Vec<u64> {
    let mut sizes = vec![10_000, args.keys()];
    if args.huge {
        match engine {
            Engine::Sqlite => sizes.push(5_000_000),
            Engine::Postgres => sizes.push(10_000_000),
            Engine::MariaDb => {}
        }
    }
    sizes
}

/// Measures idle sweeps of so many keys, and returns the median of their times in seconds.
async fn on(args: &Args, place: &Place, n_keys: u64, table: &mut Table) -> anyhow::Result<f64> {
    let n_due = args.due().min(n_keys / 10);
    let fleet = Fleet::new(n_keys, n_due, SystemClock.now(), DueTo::Sweep);
    fleet.fill(place).await?;
    let db = place.open().await?;
    let installation = Installation::new(db.clone(), args.batch())?;
    installation.job("sweep").await?;
    let name = format!("idle sweep, {:?}, {} keys", place.engine, grouped(n_keys));

    // Right after a big sweep: the index is full of entries of rows that have moved on.
    let fresh = pairs(args, &db, &installation, from_five_minutes_ago()).await?;
    table.add(
        format!("{name}, right after a sweep of {}", grouped(fleet.due())),
        time(fresh.reference()),
        time(fresh.ours()),
        fresh.cost(),
        Goal::AtMost(3.0),
    );
    place.tidy().await?;
    let tidied = pairs(args, &db, &installation, from_five_minutes_ago()).await?;
    table.add(
        name,
        time(tidied.reference()),
        time(tidied.ours()),
        tidied.cost(),
        Goal::AtMost(3.0),
    );
    db.close().await?;
    Ok(tidied.ours())
}

/// The lower bound a daemon has that swept a moment ago.
fn from_five_minutes_ago() -> i64 {
    SystemClock.now().timestamp_millis() - 300_000
}

async fn pairs(
    args: &Args,
    db: &Db,
    installation: &Installation,
    from: i64,
) -> anyhow::Result<Pairs> {
    let rounds = if args.quick { 100 } else { 500 };
    let mut pairs = Pairs::default();
    for round in 0..WARM_UP + rounds {
        let ((), reference) = timed(bare(db, from)).await?;
        let (_, ours) = timed(installation.job("sweep")).await?;
        if WARM_UP <= round {
            pairs.add(reference, ours);
        }
    }
    Ok(pairs)
}

/// The query for what is due, and nothing else.
async fn bare(db: &Db, from: i64) -> anyhow::Result<()> {
    Sql::new(db.conn(), "look by hand")
        .push(
            "SELECT id, version, tenant_id, environment_id, owner_id, next_action_at, state, kind, \
             issued_at, expires_at, access_ends_at, review_at, window_ends_at, last_stage \
             FROM api_keys WHERE next_job = 1 AND next_action_at >= ",
        )
        .bind(from)
        .push(" AND next_action_at <= ")
        .bind(SystemClock.now().timestamp_millis())
        .push(" ORDER BY next_action_at, id LIMIT 1000")
        .all(db.conn())
        .await?;
    Ok(())
}
