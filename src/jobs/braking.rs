//! The brake at work: before a run destroys more than a handful it looks at everything that is to
//! be destroyed, and above the limit it touches none of it.
//!
//! What is held back is put off, so that it does not clog the way of the reminders, and stays what
//! it is: the same keys in the same version, so that an operator can release exactly this plan.
//! While little is due, this costs one look at a flag.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::{
    domain::{
        brake::{Braked, Counts, Destruction, HANDFUL, Toll, WHOLE_TENANT},
        key::KeyId,
    },
    jobs::{Deps, deliver::alarm},
    store::{
        StoreError,
        brake::{self, BrakeOn},
    },
};

mod toll;

use toll::toll;
pub(super) use toll::{ended, notice, terms};

/// For how long a key that is held back is put off.
pub(super) const PUT_OFF: TimeDelta = TimeDelta::minutes(5);
/// Rows read or written at a time.
const CHUNK: usize = 5_000;
/// From so many keys on, a bound on their number is known sooner than the number.
const MANY: u64 = 1_000;
/// Who the trail says it was.
const ACTOR: &str = "daemon";

/// What one run may destroy.
pub(super) struct Brake<'a> {
    deps: &'a Deps,
    what: Destruction,
    grip: Grip,
    /// What this run has destroyed within the limit, by tenant.
    done: HashMap<i64, u64>,
}

#[derive(Debug)]
enum Grip {
    /// Nobody has looked, so a handful is free.
    Loose,
    /// Somebody has looked: so much is free.
    Free(u64),
    /// Nothing is free.
    Tight,
    /// An operator has released these.
    Released(Toll),
}

impl<'a> Brake<'a> {
    /// The brake on `what` for one run. If it was on, the run looks at once whether it still is.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn new(deps: &'a Deps, what: Destruction) -> Result<Self, StoreError> {
        let mut brake = Self { deps, what, grip: Grip::Loose, done: HashMap::new() };
        if !deps.limits.brake.is_enabled {
            brake.grip = Grip::Free(u64::MAX);
        } else if brake::get(&deps.db, what).await?.is_some() {
            brake.look().await?;
        }
        Ok(brake)
    }

    /// A brake that nothing gets past, whatever its limits: while the clock is in doubt.
    pub(super) fn tight(deps: &'a Deps, what: Destruction) -> Self {
        Self { deps, what, grip: Grip::Tight, done: HashMap::new() }
    }

    /// Whether this key is held back.
    pub(super) fn holds(&self, id: KeyId, version: i64) -> bool {
        match &self.grip {
            Grip::Loose | Grip::Free(_) => false,
            Grip::Tight => true,
            Grip::Released(toll) => !toll.has(id, version),
        }
    }

    /// Whether somebody has to [look](Self::look) before these keys of these tenants, which are
    /// not held back, are destroyed.
    pub(super) fn must_look(&self, tenants: impl Iterator<Item = i64>) -> bool {
        let n_done: u64 = self.done.values().sum();
        match self.grip {
            Grip::Tight | Grip::Released(_) => false,
            Grip::Free(n_free) => n_free < n_done + tenants.count() as u64,
            Grip::Loose => {
                let mut all = self.done.clone();
                tenants.for_each(|tenant| *all.entry(tenant).or_default() += 1);
                HANDFUL < all.values().sum() || all.values().any(|n| WHOLE_TENANT <= *n)
            }
        }
    }

    /// Notes that keys of these tenants were destroyed.
    pub(super) fn did(&mut self, tenants: impl Iterator<Item = i64>) {
        // What an operator has released says nothing about what may follow.
        if !matches!(self.grip, Grip::Released(_)) {
            tenants.for_each(|tenant| *self.done.entry(tenant).or_default() += 1);
        }
    }

    /// Ends the run: what it destroyed counts for the next ones.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        let n_done = self.done.values().sum();
        if n_done <= HANDFUL || !self.deps.limits.brake.is_enabled {
            return Ok(());
        }
        brake::add_lately(&self.deps.db, self.what, n_done).await
    }

    /// Looks at everything that is to be destroyed, and decides about this run.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        let db = &self.deps.db;
        let now = db.now(db.conn()).await?;
        let on = brake::get(db, self.what).await?;
        let n_done: u64 = self.done.values().sum();
        if on.is_none() {
            if let Some(n) = self.bound(now).await? {
                self.grip = Grip::Free(n_done + n + HANDFUL);
                return Ok(());
            }
            // What may go is counted quickly. Only if that is too much, it matters which keys.
            let tally = brake::tally(db.conn(), self.what, (now, now + PUT_OFF)).await?;
            let n = tally.values().sum();
            if self.judge(n, &tally, now).await?.is_ok() {
                self.grip = Grip::Free(n_done + n + HANDFUL);
                return Ok(());
            }
        }
        let toll = toll(self.deps, self.what, now).await?;
        let judged = self.judge(toll.len(), &toll.by_tenant(), now).await?;
        self.grip = match (judged, on) {
            (Ok(()), on) => {
                if on.is_some() {
                    brake::take_off(db, ACTOR, self.what).await?;
                    info!("Took the brake off: what is to {} is within its limits", self.verb());
                }
                // A few more may become due while the run goes on.
                Grip::Free(n_done + toll.len() + HANDFUL)
            }
            (Err(reason), Some(on)) => self.insist(toll, on, reason, now).await?,
            (Err(reason), None) => {
                self.engage(&toll, reason, now).await?;
                Grip::Tight
            }
        };
        Ok(())
    }

    /// How many keys may be destroyed at most, if that is seen at a glance: where even all that is
    /// due were no reason to brake, and each tenant keeps a key.
    async fn bound(&self, now: DateTime<Utc>) -> Result<Option<u64>, StoreError> {
        let (conn, until) = (self.deps.db.conn(), now + PUT_OFF);
        let n = brake::n_at_most(conn, self.what, until).await?;
        if n < MANY || !brake::each_tenant_keeps_a_key(conn, self.what, (now, until)).await? {
            return Ok(None);
        }
        let judged = self.judge(n, &BTreeMap::new(), now).await?;
        Ok(judged.is_ok().then_some(n))
    }

    /// What becomes of a brake that is on, and for good reason: it stays, until somebody has
    /// released the very plan that it holds back.
    async fn insist(
        &self,
        toll: Toll,
        on: BrakeOn,
        reason: Braked,
        now: DateTime<Utc>,
    ) -> Result<Grip, StoreError> {
        let db = &self.deps.db;
        let plan = toll.as_of(on.as_of);
        let released = brake::released(db, self.what).await?;
        if plan.hash().to_string() != on.hash {
            if released.is_some() {
                warn!("The plan that was released is not what is to be done now; the brake stays");
            }
            let on = braked(&toll, reason, on.since, now);
            brake::hold_back(db, ACTOR, self.what, &on).await?;
            return Ok(Grip::Tight);
        }
        if released != Some(plan.hash()) {
            return Ok(Grip::Tight);
        }
        brake::take_off(db, ACTOR, self.what).await?;
        info!(n_keys = plan.len(), "Took the brake off: its plan was released");
        let keys: Vec<_> = plan.keys().map(|key| (key.id, key.version)).collect();
        for keys in keys.chunks(CHUNK) {
            let tx = db.begin().await?;
            brake::set_turn(&*tx, keys.iter().copied(), now).await?;
            tx.commit().await?;
        }
        Ok(Grip::Released(plan))
    }

    /// Puts the brake on, and tells of it, unless another daemon has just done both.
    async fn engage(
        &self,
        toll: &Toll,
        reason: Braked,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (db, n) = (&self.deps.db, toll.len());
        let messages = alarm::messages(self.deps, self.what, toll, now).await?;
        let on = braked(toll, reason, now, now);
        if brake::engage(db, ACTOR, (self.what, &on), &messages).await? {
            warn!(n_keys = n, "Put the brake on, so nothing will {}: {reason}", self.verb());
        }
        Ok(())
    }

    /// Whether so many keys may be destroyed, and of each of these tenants so many.
    async fn judge(
        &self,
        n_due: u64,
        by_tenant: &BTreeMap<i64, u64>,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Braked>, StoreError> {
        let (db, limit) = (&self.deps.db, self.deps.limits.brake.of(self.what));
        let n_done: u64 = self.done.values().sum();
        let n_lately = brake::n_lately(db, self.what, now).await? + n_done;
        let mut counts = Counts { n_due, n_lately, ..Counts::default() };
        // How many keys there are matters only if the number alone is no reason.
        let enough = limit.enough(counts.n_due + n_lately);
        counts.n_keys = u64::MAX;
        if let Err(reason) = limit.check(&counts) {
            return Ok(Err(reason));
        }
        counts.n_keys = brake::n_keys(db.conn(), self.what, None, enough).await?;
        for (tenant_id, n) in by_tenant.iter().filter(|(_, n)| WHOLE_TENANT <= **n) {
            let n_keys = brake::n_keys(db.conn(), self.what, Some(*tenant_id), n + 1).await?;
            if n_keys <= *n {
                counts.whole_tenant = Some(*tenant_id);
                break;
            }
        }
        Ok(limit.check(&counts))
    }

    fn verb(&self) -> &'static str {
        match self.what {
            Destruction::Expire => "expire",
            Destruction::Purge => "be purged",
        }
    }
}

/// What is to be remembered of a brake that holds `toll` back.
fn braked(toll: &Toll, reason: Braked, since: DateTime<Utc>, as_of: DateTime<Utc>) -> BrakeOn {
    let (hash, n) = (toll.hash().to_string(), toll.len());
    BrakeOn { hash, n, reason: reason.to_string(), since, as_of }
}
