//! The line from the outbox to the relay: one task claims and words messages, the transport's
//! lanes send them, one task marks what became of them. Everything in between is bounded, so that
//! memory does not grow with the outbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use anyhow::Context as _;
use chrono::TimeDelta;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    jobs::{
        Context, Outcome,
        deliver::{
            compose::{self, Composed},
            mark::Marker,
            streak::{Report, SEVERAL, Streak},
        },
        patience::Patience,
    },
    mail::{outcome::Outcome as MailOutcome, transport::Outgoing},
    store::{
        MessageStatus, StoreError, channel,
        messages::{self, ClaimedMessage, Mark},
        policies::PolicyBook,
    },
};

/// Messages claimed in one transaction.
const CHUNK: usize = 250;
/// Mails that wait for a lane.
const QUEUE: usize = 500;
/// Outcomes marked in one transaction.
const MARKS: usize = 500;

/// The messages that are with the lanes.
type InFlight = Arc<Mutex<HashMap<i64, ClaimedMessage>>>;

/// Sends everything that is due.
pub(super) async fn run(ctx: Context) -> anyhow::Result<Outcome> {
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
        tasks.spawn(async move {
            mailer.transport.run(queue, reports, &halt).await;
            Ok(Outcome::default())
        });
    }
    tasks.spawn(feed(ctx.clone(), mails, in_flight.clone(), halt.clone(), n_trial));
    tasks.spawn(mark_all(ctx.clone(), outcomes, in_flight, halt, n_trial.is_some()));
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

/// Claims messages, words them, and hands them to the lanes, until nothing is due.
async fn feed(
    ctx: Context,
    mails: mpsc::Sender<Outgoing>,
    in_flight: InFlight,
    halt: CancellationToken,
    n_trial: Option<usize>,
) -> anyhow::Result<Outcome> {
    let deps = &ctx.deps;
    let book =
        PolicyBook::load(&deps.db, (*deps.policies).clone()).await.context("read policies")?;
    let mut outcome = Outcome::default();
    let mut patience = Patience::default();
    let mut limit = n_trial.unwrap_or(CHUNK);
    while !halt.is_cancelled() {
        let claimed_at = Instant::now();
        let (n_claimed, composed) = match claim(&ctx, &book, limit).await {
            Ok(claimed) => claimed,
            Err(error) => {
                patience.begin_anew(error, &halt).await.context("claim messages")?;
                continue;
            }
        };
        patience.done();
        outcome.n_examined += n_claimed as u64;
        outcome.n_failed +=
            composed.marks.iter().filter(|mark| mark.status == MessageStatus::Parked).count()
                as u64;
        let unsent = hand_over(&ctx, composed.mails, &mails, &in_flight, claimed_at).await;
        give_back(&ctx, &unsent).await.context("give messages back")?;
        // The outcome of a trial decides whether there are more mails, and this run does not wait
        // for it.
        if n_claimed < limit || n_trial.is_some() {
            break;
        }
        // A chunk of which most grew old before it could be handed over was too much to word in
        // the time of a lease, or too much for the relay. The next may be no better.
        limit = if unsent.len() > limit / 2 { limit.div_ceil(2) } else { CHUNK };
    }
    Ok(outcome)
}

/// Claims and words one chunk in one transaction. Returns how many messages were claimed.
async fn claim(
    ctx: &Context,
    book: &PolicyBook,
    limit: usize,
) -> Result<(usize, Composed), StoreError> {
    let (db, deps) = (&ctx.deps.db, &ctx.deps);
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let lease = TimeDelta::from_std(deps.limits.lease).unwrap_or(TimeDelta::MAX);
    let claimed = messages::claim(&*tx, &deps.instance, now, now + lease, limit).await?;
    let n_claimed = claimed.len();
    if claimed.is_empty() {
        return Ok((0, Composed::default()));
    }
    let composed = compose::compose(ctx, &tx, book, claimed, now).await?;
    messages::mark(&*tx, &deps.instance, &composed.marks, now).await?;
    tx.commit().await?;
    Ok((n_claimed, composed))
}

/// Hands mails to the lanes while they are certainly still ours. Returns those that were not
/// handed over.
///
/// A daemon may be stopped (SIGSTOP) or starved for as long as anybody likes. Half a lease after
/// the claim, by a clock that nobody sets, it no longer trusts itself to be the only sender: what
/// has not been begun by then, here or in a lane, is not begun any more.
async fn hand_over(
    ctx: &Context,
    composed: Vec<(ClaimedMessage, Outgoing)>,
    mails: &mpsc::Sender<Outgoing>,
    in_flight: &InFlight,
    claimed_at: Instant,
) -> Vec<ClaimedMessage> {
    let not_after = claimed_at + ctx.deps.limits.lease / 2;
    let mut unsent = Vec::new();
    for (message, mut mail) in composed {
        mail.not_after = Some(not_after);
        let Ok(place) = mails.reserve().await else {
            unsent.push(message);
            continue;
        };
        if not_after <= Instant::now() {
            unsent.push(message);
            continue;
        }
        lock(in_flight).insert(message.id, message);
        place.send(mail);
    }
    unsent
}

async fn give_back(ctx: &Context, unsent: &[ClaimedMessage]) -> Result<(), StoreError> {
    if unsent.is_empty() {
        return Ok(());
    }
    let db = &ctx.deps.db;
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let marks: Vec<_> = unsent.iter().map(|message| Mark::unsent(message, now)).collect();
    messages::mark(&*tx, &ctx.deps.instance, &marks, now).await?;
    tx.commit().await
}

fn lock(in_flight: &InFlight) -> std::sync::MutexGuard<'_, HashMap<i64, ClaimedMessage>> {
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
