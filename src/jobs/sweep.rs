//! The sweep: what is due is looked at, decided, and written, a batch at a time.
//!
//! A batch is taken in the order of `next_action_at` ([`batches`]), the domain is asked about each
//! key, and one transaction writes keys, notices and audit together. Every row of it leaves the due
//! set in that transaction: done, put off, or put aside with the reason. So nothing can clog the
//! window, and a crash at any point leaves either all of a batch or none of it.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tracing::warn;

use crate::{
    domain::{brake::Destruction, doubt::Doubt, key::KeyId, plan::Day},
    jobs::{
        Context, Deps, Outcome,
        batches::{self, Batches, Taken, Written},
        braking::Brake,
    },
    store::{
        CorruptKey, Db, NoticeStatus, StoreError, Tx, brake,
        due::{self, DueKey},
        policies::PolicyBook,
        turn::{self, Claim, Place},
        unused,
    },
};

mod decide;
mod part;

use decide::decide;
use part::{Part, in_parts};

/// Looks at every key that is due.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    let deps = &ctx.deps;
    let Some(from) = floor(&ctx).await.context("look whether anything is due")? else {
        return Ok(Outcome::default());
    };
    let book =
        PolicyBook::load(&deps.db, (*deps.policies).clone()).await.context("read policies")?;
    let doubt = deps.timekeeper.look(deps).await.context("look at the clock")?;
    if doubt.is_some_and(|doubt| doubt.holds_reminders()) {
        return Ok(Outcome::default());
    }
    let mut brake = match doubt.filter(Doubt::holds_expiries) {
        Some(_) => Brake::tight(deps, Destruction::Expire),
        None => Brake::new(deps, Destruction::Expire).await.context("ask the brake")?,
    };
    let sweep = Sweep { deps, book, from };
    let done = batches::run(&sweep, &ctx, &mut brake).await.context("sweep")?;
    if let Some(now) = done.drained_at {
        deps.swept.drained(now);
    }
    brake.close().await.context("tell the brake")?;
    Ok(done.outcome)
}

/// The instant below which nothing can be due; `None` if there is nothing to do, which is what
/// most sweeps find.
async fn floor(ctx: &Context) -> Result<Option<DateTime<Utc>>, StoreError> {
    let Deps { db, clock, swept, .. } = &ctx.deps;
    let from = swept.floor(clock.now());
    let glance = due::glance(db, from).await?;
    // The floor goes by the database's clock. Where that says something else, or was set back,
    // this machine's does not count.
    if glance.is_idle && swept.floor(glance.now) == from {
        swept.drained(glance.now);
        return Ok(None);
    }
    Ok(Some(swept.floor(glance.now)))
}

struct Sweep<'a> {
    deps: &'a Deps,
    book: PolicyBook,
    /// Below that, nothing is due.
    from: DateTime<Utc>,
}

impl Batches for Sweep<'_> {
    type Plan = Plan;

    async fn claim(
        &self,
        tx: &Tx,
        after: Option<Place>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Result<Option<Taken<Plan>>, StoreError> {
        let after = after.unwrap_or((self.from, KeyId(0)));
        let mut claim = due::claim(&**tx, after, now, self.deps.limits.batch).await?;
        unused::look_up(&**tx, &mut claim, &self.book).await?;
        Ok(Some(self.taken(claim, now, brake)))
    }

    async fn look(
        &self,
        after: Option<Place>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Result<Option<Taken<Plan>>, StoreError> {
        let after = after.unwrap_or((self.from, KeyId(0)));
        let conn = self.deps.db.conn();
        let mut seen = due::look(conn, after, now, self.deps.limits.batch).await?;
        unused::look_up(conn, &mut seen, &self.book).await?;
        Ok(Some(self.taken(seen, now, brake)))
    }

    fn doomed<'p>(&self, plan: &'p Plan) -> &'p [i64] {
        &plan.expired
    }

    async fn write(
        &self,
        tx: &Tx,
        plan: &mut Plan,
        now: DateTime<Utc>,
        take_next: &Notify,
    ) -> Result<Written, StoreError> {
        let (mut written, n_parts) = (Written::default(), plan.parts.len());
        for (n, part) in plan.parts.iter_mut().enumerate() {
            if n + 1 == n_parts {
                take_next.notify_one();
            }
            written += part.write(tx, now).await?;
        }
        due::park(&**tx, &plan.corrupt).await?;
        let n_corrupt = plan.corrupt.len() as u64;
        written.outcome += Outcome { n_examined: n_corrupt, n_changed: 0, n_failed: n_corrupt };
        Ok(written)
    }

    fn tell(&self, plan: &Plan) {
        for key in &plan.corrupt {
            warn!(key.id = key.id.0, "Put a key aside: {}", key.what);
        }
    }
}

impl Sweep<'_> {
    fn taken(
        &self,
        mut claim: Claim<DueKey>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Taken<Plan> {
        let (n_rows, last) = (claim.len(), claim.last);
        let is_sound = claim.corrupt.is_empty();
        let is_held = |due: &DueKey| brake.holds(due.id, due.version);
        let mut plan = Plan { corrupt: claim.corrupt, ..Plan::default() };
        for keys in in_parts(&self.deps.db, &mut claim.keys) {
            let writes = decide(keys, &self.book, now, is_held);
            plan.expired.extend_from_slice(&writes.expired);
            plan.parts.push(Part::new(&self.deps.db, writes, now));
        }
        Taken { n_rows, last, is_sound, plan }
    }
}

/// What is written about a batch.
#[derive(Default)]
struct Plan {
    parts: Vec<Part>,
    /// The tenants of the keys that expire.
    expired: Vec<i64>,
    /// Rows that make no sense.
    corrupt: Vec<CorruptKey>,
}

/// Counts what a sweep and a purge would do now, without doing it: everything that is due.
///
/// # Errors
/// As the database answers.
pub async fn foretell(db: &Db, book: &PolicyBook) -> Result<Day, StoreError> {
    /// Rows read at a time.
    const CHUNK: usize = 5_000;

    let now = db.now(db.conn()).await?;
    let n_purged = brake::n_at_most(db.conn(), Destruction::Purge, now).await?;
    let mut due = Day { n_purged, ..Day::default() };
    let mut after = turn::BEGINNING;
    loop {
        let mut claim = due::look(db.conn(), after, now, CHUNK).await?;
        unused::look_up(db.conn(), &mut claim, book).await?;
        let writes = decide(&claim.keys, book, now, |_| false);
        due.n_notices +=
            writes.notices.iter().filter(|notice| notice.status == NoticeStatus::Pending).count()
                as u64;
        due.n_expired += writes.expired.len() as u64;
        due.n_suspended += writes.n_suspended();
        match claim.last {
            Some(last) if claim.len() == CHUNK => after = last,
            _ => return Ok(due),
        }
    }
}
