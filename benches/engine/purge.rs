//! A purge of many keys, against the same writes by hand.

use anyhow::ensure;
use lapsed::clock::{Clock as _, SystemClock};

use crate::{
    args::Args,
    by_hand,
    fleet::{DueTo, Fleet},
    installation::Installation,
    measure::{Goal, Pairs, Table, grouped, rate, timed},
    place::{Place, within},
    sweep::traces,
};

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    for engine in args.engines() {
        within(args, engine, async |place| on(args, place, table).await).await?;
    }
    Ok(())
}

async fn on(args: &Args, place: &Place, table: &mut Table) -> anyhow::Result<()> {
    let fleet = Fleet::new(args.keys(), args.due(), SystemClock.now(), DueTo::Purge);
    fleet.fill(place).await?;
    let (n_due, mut pairs) = (fleet.due(), Pairs::default());
    for _ in 0..args.rounds() {
        let (n_purged, reference) = timed(by_hand::purge(place, args.batch())).await?;
        ensure!(n_purged == n_due, "by hand {n_purged} keys were purged, not {n_due}");
        let by_hand = traces(place).await?;
        fleet.reset(place).await?;
        let db = place.open().await?;
        let installation = Installation::new(db.clone(), args.batch())?;
        let (outcome, ours) = timed(installation.job("purge")).await?;
        db.close().await?;
        ensure!(
            outcome.n_changed == n_due,
            "lapsed purged {} keys, not {n_due}",
            outcome.n_changed
        );
        ensure!(by_hand == traces(place).await?, "lapsed does not write what is written by hand");
        fleet.reset(place).await?;
        pairs.add(reference, ours);
    }
    table.add(
        format!(
            "purge, {:?}, {} of {}, batches of {}",
            place.engine,
            grouped(n_due),
            grouped(args.keys()),
            args.batch()
        ),
        rate(n_due, pairs.reference()),
        rate(n_due, pairs.ours()),
        pairs.speed(),
        Goal::AtLeast(0.8),
    );
    Ok(())
}
