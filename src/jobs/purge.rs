//! The purge: keys whose window is over go, leaving a tombstone; one that must not go yet is put
//! off until it may be asked about again.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tracing::warn;

use crate::{
    domain::{
        brake::Destruction,
        key::KeyId,
        purge::{Reason, Verdict, verdict},
        stage::Stage,
    },
    jobs::{
        Context, Deps, Outcome,
        batches::{self, Batches, Taken, Written},
        braking::{Brake, PUT_OFF, ended, notice, terms},
    },
    store::{
        CorruptKey, NoticeStatus, StoreError, Tx,
        audit::{self, NewEvent},
        brake, due, flags,
        notices::{self, NewNotice},
        policies::PolicyBook,
        purge::{self, EndedKey},
        turn::{self, Claim, Place},
    },
};

/// Purges every key whose time has come.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    if ctx.deps.timekeeper.look(&ctx.deps).await.context("look at the clock")?.is_some() {
        return Ok(Outcome::default());
    }
    let mut brake = Brake::new(&ctx.deps, Destruction::Purge).await.context("ask the brake")?;
    let policy = format!(r#"{{"min_notice_hours":{}}}"#, ctx.deps.limits.min_notice.num_hours());
    let book = PolicyBook::load(&ctx.deps.db, (*ctx.deps.policies).clone()).await;
    let purge = Purge { deps: &ctx.deps, policy, book: book.context("read policies")? };
    let done = batches::run(&purge, &ctx, &mut brake).await.context("purge")?;
    brake.close().await.context("tell the brake")?;
    Ok(done.outcome)
}

struct Purge<'a> {
    deps: &'a Deps,
    /// Under which rules keys go: for their tombstones.
    policy: String,
    /// By which it goes how long an owner must have known.
    book: PolicyBook,
}

/// What one batch writes.
#[derive(Debug, Default)]
struct Plan {
    /// Keys that go.
    gone: Vec<EndedKey>,
    /// Their tenants.
    tenants: Vec<i64>,
    /// Keys that stay, each until it may be asked about again.
    deferred: Vec<(EndedKey, DateTime<Utc>)>,
    /// Keys that might go, but are held back: each with its version.
    held: Vec<(KeyId, i64)>,
    /// How many stay because nobody could be told.
    n_untold: u64,
    /// Rows that make no sense.
    corrupt: Vec<CorruptKey>,
}

impl Batches for Purge<'_> {
    type Plan = Plan;

    async fn claim(
        &self,
        tx: &Tx,
        after: Option<Place>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Result<Option<Taken<Plan>>, StoreError> {
        if self.is_paused().await? {
            return Ok(None);
        }
        let after = after.unwrap_or(turn::BEGINNING);
        let claim = purge::claim(&**tx, after, now, self.deps.limits.batch).await?;
        Ok(Some(self.taken(claim, now, brake)))
    }

    async fn look(
        &self,
        after: Option<Place>,
        now: DateTime<Utc>,
        brake: &Brake<'_>,
    ) -> Result<Option<Taken<Plan>>, StoreError> {
        if self.is_paused().await? {
            return Ok(None);
        }
        let after = after.unwrap_or(turn::BEGINNING);
        let seen = purge::look(self.deps.db.conn(), after, now, self.deps.limits.batch).await?;
        Ok(Some(self.taken(seen, now, brake)))
    }

    fn doomed<'p>(&self, plan: &'p Plan) -> &'p [i64] {
        &plan.tenants
    }

    async fn write(
        &self,
        tx: &Tx,
        plan: &mut Plan,
        now: DateTime<Utc>,
        take_next: &Notify,
    ) -> Result<Written, StoreError> {
        take_next.notify_one();
        let tx = &**tx;
        let terms = |key: &EndedKey| terms(&self.book, self.deps, key, now);
        let n_purged = purge::purge(tx, &plan.gone, &self.policy, now, terms).await?;
        let receipts: Vec<_> = plan.gone.iter().map(|key| receipt(key, now)).collect();
        notices::insert(tx, &receipts, now).await?;
        let events: Vec<_> = plan.gone.iter().map(event).collect();
        audit::insert(tx, "daemon", &events, now).await?;
        let n_deferred = purge::defer(tx, &plan.deferred).await?;
        brake::set_turn(tx, plan.held.iter().copied(), now + PUT_OFF).await?;
        due::park(tx, &plan.corrupt).await?;
        let n_corrupt = plan.corrupt.len() as u64;
        let n_sound = plan.gone.len() + plan.deferred.len() + plan.held.len();
        let outcome = Outcome {
            n_examined: n_sound as u64 + n_corrupt,
            n_changed: n_purged,
            n_failed: plan.n_untold + n_corrupt,
        };
        let is_whole =
            n_purged == plan.gone.len() as u64 && n_deferred == plan.deferred.len() as u64;
        Ok(Written { outcome, is_whole })
    }

    fn tell(&self, plan: &Plan) {
        for key in &plan.corrupt {
            warn!(key.id = key.id.0, "Put a key aside: {}", key.what);
        }
        if plan.n_untold > 0 {
            warn!(n_keys = plan.n_untold, "Kept keys whose end nobody could be told");
        }
    }
}

impl Purge<'_> {
    /// Asked for each batch, so that a pause stops a purge that is under way.
    async fn is_paused(&self) -> Result<bool, StoreError> {
        flags::get(&self.deps.db, flags::PAUSE_PURGE).await.map(|paused| paused.is_some())
    }

    fn taken(&self, claim: Claim<EndedKey>, now: DateTime<Utc>, brake: &Brake<'_>) -> Taken<Plan> {
        let (n_rows, last) = (claim.len(), claim.last);
        let mut plan = Plan { corrupt: claim.corrupt, ..Plan::default() };
        for key in claim.keys {
            match verdict(&ended(&self.book, &key), notice(&self.book, self.deps, &key), now) {
                Verdict::Purge if brake.holds(key.id, key.version) => {
                    plan.held.push((key.id, key.version));
                }
                Verdict::Purge => {
                    plan.tenants.push(key.tenant_id);
                    plan.gone.push(key);
                }
                Verdict::Defer { until, reason } => {
                    plan.n_untold += u64::from(reason == Reason::Untold);
                    plan.deferred.push((key, until));
                }
            }
        }
        Taken { n_rows, last, is_sound: plan.corrupt.is_empty(), plan }
    }
}

fn receipt(key: &EndedKey, now: DateTime<Utc>) -> NewNotice {
    NewNotice {
        key_id: key.id,
        tenant_id: key.tenant_id,
        owner_id: key.owner_id,
        stage: Stage::Purged,
        about: key.ends_at.unwrap_or(now),
        status: NoticeStatus::Pending,
        due_at: now,
    }
}

fn event(key: &EndedKey) -> NewEvent {
    NewEvent {
        action: "key.purged",
        tenant_id: Some(key.tenant_id),
        key_id: Some(key.id),
        owner_id: Some(key.owner_id),
        detail: format!(r#"{{"reason":"{}"}}"#, key.reason.as_str()),
    }
}
