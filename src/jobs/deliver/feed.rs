//! The beginning of the line: messages are claimed and looked up in one transaction, and worded and
//! handed to the lanes after it, while the next are claimed.

use std::time::Instant;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    jobs::{
        Context, Outcome,
        deliver::{
            compose::{self, Draft},
            send::{InFlight, lock},
            word::word,
        },
        patience::Patience,
    },
    mail::transport::Outgoing,
    store::{
        MessageStatus, NoticeStatus, StoreError,
        messages::{self, Mark},
        policies::PolicyBook,
    },
};

/// Messages claimed in one transaction.
const CHUNK: usize = 250;

/// Whoever gathers says with this that there are more messages; when it is dropped, there are all.
pub(super) struct Progress(watch::Sender<()>);

/// What is heard of it.
pub(super) struct Gathered(watch::Receiver<()>);

/// A way for whoever gathers to be heard.
pub(super) fn gathering() -> (Progress, Gathered) {
    let (progress, gathered) = watch::channel(());
    (Progress(progress), Gathered(gathered))
}

impl Progress {
    /// More messages have been formed.
    pub(super) fn made(&self) {
        self.0.send_replace(());
    }
}

impl Gathered {
    /// Waits until there are more messages than when this was last asked, or all.
    async fn more(&mut self) {
        // An error says that there are all.
        let _ = self.0.changed().await;
    }

    /// Whether there are all.
    fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

/// Claims messages, words them, and hands them to the lanes.
pub(super) struct Feeder {
    pub(super) ctx: Context,
    /// Where mails go.
    pub(super) mails: mpsc::Sender<Outgoing>,
    /// The messages that are with the lanes.
    pub(super) in_flight: InFlight,
    /// Stops it.
    pub(super) halt: CancellationToken,
    /// How many mails try a channel that has just failed.
    pub(super) n_trial: Option<usize>,
}

/// Messages that are ours for a while.
struct Chunk {
    n_claimed: usize,
    drafts: Vec<Draft>,
    n_parked: u64,
    /// When they were claimed, by the database's clock and by one that nobody sets.
    now: DateTime<Utc>,
    claimed_at: Instant,
}

/// What became of a chunk.
struct Handed {
    n_unsent: usize,
    n_parked: u64,
}

impl Feeder {
    /// Does so until everything has been gathered and nothing is due.
    pub(super) async fn run(self, mut gathered: Gathered) -> anyhow::Result<Outcome> {
        let deps = &self.ctx.deps;
        let book =
            PolicyBook::load(&deps.db, (*deps.policies).clone()).await.context("read policies")?;
        let mut outcome = Outcome::default();
        let mut limit = self.n_trial.unwrap_or(CHUNK);
        gathered.more().await;
        let mut next = self.next(&mut gathered, limit).await?;
        while let Some(chunk) = next {
            let n_claimed = chunk.n_claimed;
            outcome.n_examined += n_claimed as u64;
            outcome.n_failed += chunk.n_parked;
            let is_nearly_over = Notify::new();
            let (handed, following) =
                tokio::join!(self.hand_over(chunk, &book, &is_nearly_over), async {
                    // The outcome of a trial decides whether there are more mails, and this run does
                    // not wait for it.
                    if self.n_trial.is_some() {
                        return Ok(None);
                    }
                    is_nearly_over.notified().await;
                    self.next(&mut gathered, limit).await
                });
            let handed = match handed {
                Ok(handed) => handed,
                Err(error) => {
                    if let Ok(Some(chunk)) = following {
                        // If that fails too, they are found by their lease.
                        let _ = self.give_back(chunk.drafts, Vec::new()).await;
                    }
                    return Err(error).context("give messages back");
                }
            };
            outcome.n_failed += handed.n_parked;
            // A chunk of which most grew old before it could be handed over was too much to word in
            // the time of a lease, or too much for the relay. The next may be no better.
            limit = if handed.n_unsent > n_claimed / 2 { limit.div_ceil(2) } else { CHUNK };
            next = following?;
        }
        Ok(outcome)
    }

    /// Claims a chunk. Waits for whoever gathers, if nothing is due yet; `None` when nothing is
    /// left, or it has been stopped.
    async fn next(&self, gathered: &mut Gathered, limit: usize) -> anyhow::Result<Option<Chunk>> {
        let mut patience = Patience::default();
        while !self.halt.is_cancelled() {
            let is_over = gathered.is_over();
            match self.claim(limit).await {
                Err(error) => {
                    patience.begin_anew(error, &self.halt).await.context("claim messages")?;
                }
                Ok(chunk) if chunk.n_claimed > 0 => return Ok(Some(chunk)),
                Ok(_) if is_over => break,
                Ok(_) => {
                    patience.done();
                    tokio::select! {
                        () = self.halt.cancelled() => break,
                        () = gathered.more() => (),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Claims messages, and looks up what they are about, in one transaction.
    async fn claim(&self, limit: usize) -> Result<Chunk, StoreError> {
        let claimed_at = Instant::now();
        let (db, deps) = (&self.ctx.deps.db, &self.ctx.deps);
        let tx = db.begin().await?;
        let now = db.now(&*tx).await?;
        let lease = TimeDelta::from_std(deps.limits.lease).unwrap_or(TimeDelta::MAX);
        let claimed = messages::claim(&*tx, &deps.instance, now, now + lease, limit).await?;
        let n_claimed = claimed.len();
        if claimed.is_empty() {
            tx.undo().await?;
            return Ok(Chunk { n_claimed, drafts: Vec::new(), n_parked: 0, now, claimed_at });
        }
        let looked_up = compose::look_up(&self.ctx, &tx, claimed, now).await?;
        messages::mark(&*tx, &deps.instance, &looked_up.marks, now).await?;
        tx.commit().await?;
        let is_parked = |mark: &&Mark| mark.status == MessageStatus::Parked;
        let n_parked = looked_up.marks.iter().filter(is_parked).count() as u64;
        Ok(Chunk { n_claimed, drafts: looked_up.drafts, n_parked, now, claimed_at })
    }

    /// Words mails and hands them to the lanes, while they are certainly still ours; the others are
    /// given back. Says when it is nearly over: when what is left has a place to wait.
    ///
    /// A daemon may be stopped (SIGSTOP) or starved for as long as anybody likes. Half a lease after
    /// the claim, by a clock that nobody sets, it no longer trusts itself to be the only sender: what
    /// has not been begun by then, here or in a lane, is not begun any more.
    async fn hand_over(
        &self,
        chunk: Chunk,
        book: &PolicyBook,
        is_nearly_over: &Notify,
    ) -> Result<Handed, StoreError> {
        let not_after = chunk.claimed_at + self.ctx.deps.limits.lease / 2;
        let (mut unsent, mut broken) = (Vec::new(), Vec::new());
        let mut n_left = chunk.drafts.len();
        for draft in chunk.drafts {
            if n_left <= self.mails.capacity() {
                is_nearly_over.notify_one();
            }
            n_left -= 1;
            let place = match self.mails.reserve().await {
                Ok(place) if Instant::now() < not_after => place,
                Ok(_) | Err(_) => {
                    unsent.push(draft);
                    continue;
                }
            };
            let Draft { message, about } = draft;
            match word(&self.ctx.deps.mailer, book, &message, about, chunk.now) {
                Ok(mut mail) => {
                    mail.not_after = Some(not_after);
                    lock(&self.in_flight).insert(message.id, message);
                    place.send(mail);
                }
                Err(reason) => {
                    let (status, notices) = (MessageStatus::Parked, NoticeStatus::Queued);
                    broken.push(Mark::over(&message, status, reason, notices));
                }
            }
            // Whoever claims the next has waited for this.
            tokio::task::yield_now().await;
        }
        is_nearly_over.notify_one();
        let handed = Handed { n_unsent: unsent.len(), n_parked: broken.len() as u64 };
        self.give_back(unsent, broken).await?;
        Ok(handed)
    }

    /// Gives back what will not be sent now, and puts aside what never can be.
    async fn give_back(&self, unsent: Vec<Draft>, broken: Vec<Mark>) -> Result<(), StoreError> {
        if unsent.is_empty() && broken.is_empty() {
            return Ok(());
        }
        let db = &self.ctx.deps.db;
        let tx = db.begin().await?;
        let now = db.now(&*tx).await?;
        let unsent = unsent.iter().map(|draft| Mark::unsent(&draft.message, now));
        let marks: Vec<_> = unsent.chain(broken).collect();
        messages::mark(&*tx, &self.ctx.deps.instance, &marks, now).await?;
        tx.commit().await
    }
}
