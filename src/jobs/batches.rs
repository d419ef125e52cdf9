//! Batch after batch: while one is written, the next is read and decided.
//!
//! On a server, a batch is claimed: its rows are locked by the transaction that will write it, so
//! that replicas share the work. SQLite has one writer, and a claim would keep it waiting; there a
//! batch is only looked at, and written on condition that every row still is what was seen. Where
//! one is not, nothing of that batch is written, and it is claimed and decided anew.

use std::ops::AddAssign;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::{
    jobs::{Context, Outcome, braking::Brake, patience::Patience},
    store::{StoreError, Tx, turn::Place},
};

/// A kind of work on keys whose turn has come.
pub(super) trait Batches {
    /// What was decided about a batch.
    type Plan;

    /// Claims the earliest keys whose turn has come at `now`, after `after` if it is given, and
    /// decides about them; `None` if no more may be done now.
    async fn claim(
        &self,
        tx: &Tx,
        after: Option<Place>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Result<Option<Taken<Self::Plan>>, StoreError>;

    /// The same without a lock.
    async fn look(
        &self,
        after: Option<Place>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Result<Option<Taken<Self::Plan>>, StoreError>;

    /// The tenants of the keys that the plan destroys, one for each key.
    fn doomed<'p>(&self, plan: &'p Self::Plan) -> &'p [i64];

    /// Writes the plan, once. It is not whole if a row was no longer what had been decided about.
    ///
    /// `take_next` may be told earlier that the next batch shall be taken: so late that what it
    /// reads is still at hand when its turn comes, so early that it is decided by then.
    async fn write(
        &self,
        tx: &Tx,
        plan: &mut Self::Plan,
        now: DateTime<Utc>,
        take_next: &Notify,
    ) -> Result<Written, StoreError>;

    /// The plan is true now: says what people have to know of it.
    fn tell(&self, plan: &Self::Plan);
}

/// Rows, and what was decided about them.
pub(super) struct Taken<P> {
    /// How many rows there are.
    pub(super) n_rows: usize,
    /// The place of the last.
    pub(super) last: Option<Place>,
    /// Whether each of them makes sense. If not, they have to be claimed.
    pub(super) is_sound: bool,
    /// What was decided.
    pub(super) plan: P,
}

/// What came of a plan.
pub(super) struct Written {
    /// For the history of runs.
    pub(super) outcome: Outcome,
    /// Whether every row still was what had been decided about.
    pub(super) is_whole: bool,
}

impl Default for Written {
    /// Nothing was to be written.
    fn default() -> Self {
        Self { outcome: Outcome::default(), is_whole: true }
    }
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.outcome += other.outcome;
        self.is_whole &= other.is_whole;
    }
}

/// What came of a run.
pub(super) struct Done {
    /// For the history of runs.
    pub(super) outcome: Outcome,
    /// If nothing is left to do: when that was seen.
    pub(super) drained_at: Option<DateTime<Utc>>,
}

/// A batch that is decided, and not yet written.
struct Ready<P> {
    /// How it was taken.
    turn: Turn,
    /// The transaction that holds its rows; `None` if they were only looked at.
    claim: Option<Tx>,
    now: DateTime<Utc>,
    taken: Taken<P>,
}

/// How the next batch is taken: from the earliest key on, or from a place that was reached.
#[derive(Clone, Copy)]
enum Turn {
    Claim(Option<Place>),
    Look(Option<Place>),
}

/// Does everything that is due, as far as `brake` lets it.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub(super) async fn run<B: Batches>(
    work: &B,
    ctx: &Context,
    brake: &mut Brake<'_>,
) -> anyhow::Result<Done> {
    let run = Run { work, ctx };
    let mut done = Done { outcome: Outcome::default(), drained_at: None };
    let mut patience = Patience::default();
    let mut next = run.prepare(run.first(), brake).await;
    loop {
        let ready = match next {
            Ok(Some(ready)) if ctx.cancel.is_cancelled() => {
                ready.undo().await.context("stop")?;
                break;
            }
            Ok(Some(ready)) => ready,
            Ok(None) => break,
            Err(_) if ctx.cancel.is_cancelled() => break,
            Err(error) => {
                patience.begin_anew(error, &ctx.cancel).await.context("take a batch")?;
                next = run.prepare(run.first(), brake).await;
                continue;
            }
        };
        let doomed = work.doomed(&ready.taken.plan).to_vec();
        if brake.must_look(doomed.iter().copied()) {
            // So much must not be destroyed before somebody has looked.
            ready.undo().await.context("give a batch back")?;
            brake.look().await.context("look at what is destroyed")?;
            next = run.prepare(run.first(), brake).await;
            continue;
        }
        let (now, following) = (ready.now, run.following(&ready));
        // Neither is ever dropped half-way: a statement that is under way ends.
        let take_next = Notify::new();
        let write = async {
            let written = run.write(ready, &take_next).await;
            take_next.notify_one();
            written
        };
        let (written, prepared) = tokio::join!(write, async {
            take_next.notified().await;
            match following {
                Some(turn) => run.prepare(turn, brake).await,
                None => Ok(None),
            }
        });
        next = match written {
            Ok(Some(outcome)) => {
                patience.done();
                done.outcome += outcome;
                brake.did(doomed.into_iter());
                if following.is_none() {
                    done.drained_at = Some(now);
                    break;
                }
                prepared
            }
            // What is prepared was decided before this was known.
            Ok(None) => {
                give_back(prepared).await.context("give a batch back")?;
                run.prepare(Turn::Claim(None), brake).await
            }
            Err(error) => {
                let given_back = give_back(prepared).await;
                patience.begin_anew(error, &ctx.cancel).await.context("write a batch")?;
                given_back.context("give a batch back")?;
                run.prepare(run.first(), brake).await
            }
        };
    }
    Ok(done)
}

struct Run<'a, B> {
    work: &'a B,
    ctx: &'a Context,
}

impl<B: Batches> Run<'_, B> {
    /// How the first batch is taken.
    fn first(&self) -> Turn {
        if self.ctx.deps.db.has_one_writer() { Turn::Look(None) } else { Turn::Claim(None) }
    }

    /// How the batch after this one is taken; `None` if there is none.
    fn following(&self, ready: &Ready<B::Plan>) -> Option<Turn> {
        let last = ready.taken.last;
        if ready.taken.n_rows >= self.ctx.deps.limits.batch {
            let is_looked = self.ctx.deps.db.has_one_writer();
            return Some(if is_looked { Turn::Look(last) } else { Turn::Claim(last) });
        }
        // A key may have become due behind the place that was reached, or another daemon may have
        // let go of one.
        (!matches!(ready.turn, Turn::Claim(None))).then_some(Turn::Claim(None))
    }

    async fn prepare(
        &self,
        turn: Turn,
        brake: &Brake<'_>,
    ) -> Result<Option<Ready<B::Plan>>, StoreError> {
        let db = &self.ctx.deps.db;
        let after = match turn {
            Turn::Claim(after) => after,
            Turn::Look(after) => {
                let now = db.now(db.conn()).await?;
                let Some(taken) = self.work.look(after, now, brake).await? else { return Ok(None) };
                if taken.is_sound && taken.n_rows > 0 {
                    return Ok(Some(Ready { turn, claim: None, now, taken }));
                }
                None
            }
        };
        let (tx, now) = db.begin_step().await?;
        match self.work.claim(&tx, after, now, brake).await? {
            Some(taken) => {
                Ok(Some(Ready { turn: Turn::Claim(after), claim: Some(tx), now, taken }))
            }
            None => tx.undo().await.map(|()| None),
        }
    }

    /// `None` if a row that had only been looked at is another by now: then nothing was written.
    async fn write(
        &self,
        ready: Ready<B::Plan>,
        take_next: &Notify,
    ) -> Result<Option<Outcome>, StoreError> {
        let Ready { claim, now, mut taken, .. } = ready;
        let is_claimed = claim.is_some();
        let tx = match claim {
            Some(tx) => tx,
            None => {
                let (tx, _) = self.ctx.deps.db.begin_step().await?;
                // Not before: a reader that works for longer would keep the writer from beginning.
                take_next.notify_one();
                tx
            }
        };
        if taken.n_rows == 0 {
            return tx.undo().await.map(|()| Some(Outcome::default()));
        }
        let written = self.work.write(&tx, &mut taken.plan, now, take_next).await?;
        if !written.is_whole && !is_claimed {
            return tx.undo().await.map(|()| None);
        }
        tx.commit().await?;
        self.work.tell(&taken.plan);
        Ok(Some(written.outcome))
    }
}

impl<P> Ready<P> {
    /// Lets go of its rows.
    async fn undo(self) -> Result<(), StoreError> {
        match self.claim {
            Some(tx) => tx.undo().await,
            None => Ok(()),
        }
    }
}

/// Lets go of a batch that shall not be written, if it was taken at all.
async fn give_back<P>(prepared: Result<Option<Ready<P>>, StoreError>) -> Result<(), StoreError> {
    match prepared {
        Ok(Some(ready)) => ready.undo().await,
        Ok(None) | Err(_) => Ok(()),
    }
}
