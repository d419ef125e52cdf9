//! The line from the outbox to the relay: one task claims and words messages ([`feed`](super::feed)), the
//! transport's lanes send them, one task marks what became of them. Everything in between is bounded,
//! so that memory does not grow with the outbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use anyhow::Context as _;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    jobs::{
        Context, Outcome,
        deliver::{
            feed::{Feeder, Gathered},
            mark::Marker,
            streak::{Report, SEVERAL, Streak},
        },
    },
    mail::outcome::Outcome as MailOutcome,
    store::{
        channel,
        messages::{self, ClaimedMessage},
    },
};

/// Mails that wait for a lane.
const QUEUE: usize = 500;
/// Outcomes marked in one transaction.
const MARKS: usize = 500;

/// The messages that are with the lanes.
pub(super) type InFlight = Arc<Mutex<HashMap<i64, ClaimedMessage>>>;

/// Sends everything that is due, and what comes to be due while it is gathered.
pub(super) async fn run(ctx: Context, gathered: Gathered) -> anyhow::Result<Outcome> {
    let db = &ctx.deps.db;
    let now = db.now(db.conn()).await?;
    let n_rescued = messages::rescue(db.conn(), now).await?;
    db.meter().possible_duplicates.add(n_rescued);
    let down = channel::get(db.conn()).await?;
    ctx.deps.mailer.breaker.learn(down.clone());
    if down.as_ref().is_some_and(|down| down.is_resting(now)) {
        return Ok(Outcome::default());
    }
    // A channel that has just failed is tried with one mail first, or with as many as it takes to
    // tell its fault from theirs.
    let n_trial = down.map(|down| if down.by_policy { SEVERAL + 1 } else { 1 });
    let in_flight = InFlight::default();
    let (mails, queue) = mpsc::channel(QUEUE);
    let (reports, outcomes) = mpsc::channel(QUEUE);
    // Stops the lanes: when the job is stopped, and when the channel turns out to be down.
    let halt = ctx.cancel.child_token();
    let mut tasks = JoinSet::new();
    {
        let (mailer, halt) = (ctx.deps.mailer.clone(), halt.clone());
        let send = async move {
            mailer.transport.run(queue, reports, &halt).await;
            Ok(Outcome::default())
        };
        tasks.spawn(send.in_current_span());
    }
    let feeder = Feeder {
        ctx: ctx.clone(),
        mails,
        in_flight: in_flight.clone(),
        halt: halt.clone(),
        n_trial,
    };
    tasks.spawn(feeder.run(gathered).in_current_span());
    let mark = mark_all(ctx.clone(), outcomes, in_flight, halt, n_trial.is_some());
    tasks.spawn(mark.in_current_span());
    let mut total = Outcome::default();
    let mut failure = None;
    while let Some(done) = tasks.join_next().await {
        match done.map_err(anyhow::Error::from).and_then(|result| result) {
            Ok(outcome) => total += outcome,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(total), Err)
}

pub(super) fn lock(
    in_flight: &InFlight,
) -> std::sync::MutexGuard<'_, HashMap<i64, ClaimedMessage>> {
    // What is in there is whole at any time, so a panic elsewhere spoils nothing.
    in_flight.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Marks what became of mails, many at a time, until the lanes have ended.
async fn mark_all(
    ctx: Context,
    mut outcomes: mpsc::Receiver<(i64, MailOutcome)>,
    in_flight: InFlight,
    halt: CancellationToken,
    is_doubtful: bool,
) -> anyhow::Result<Outcome> {
    let mut marker = Marker::new(ctx, halt, is_doubtful);
    let mut total = Outcome::default();
    let (mut reports, mut streak) = (Vec::with_capacity(MARKS), Streak::default());
    while outcomes.recv_many(&mut reports, MARKS).await > 0 {
        let at = Instant::now();
        let mut ready = Vec::with_capacity(reports.len());
        for (id, outcome) in reports.drain(..) {
            let Some(message) = lock(&in_flight).remove(&id) else { continue };
            ready.extend(streak.add(Report { message, outcome, is_channels: false }, at));
        }
        total += marker.mark(&ready).await.context("mark messages")?;
    }
    total += marker.mark(&streak.end()).await.context("mark messages")?;
    Ok(total)
}
