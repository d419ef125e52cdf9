//! The sweep: what is due is looked at, decided, and written, a batch at a time.
//!
//! A batch is taken in the order of `next_action_at` ([`batches`]), the domain is asked about each
//! key, and one transaction writes keys, notices and audit together. Every row of it leaves the due
//! set in that transaction: done, put off, or put aside with the reason. So nothing can clog the
//! window, and a crash at any point leaves either all of a batch or none of it.

use std::mem;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::{
        brake::Destruction,
        doubt::Doubt,
        key::{KeyId, KeyState},
        lifecycle::{Decision, Step, next_step},
        plan::Day,
        stage::Stage,
        unused::{Deed, Unused},
    },
    jobs::{
        Context, Deps, Outcome,
        batches::{self, Batches, Taken, Written},
        braking::{Brake, PUT_OFF},
    },
    store::{
        CorruptKey, Db, NoticeStatus, StoreError, Tx,
        audit::{self, NewEvent},
        brake,
        due::{self, DueKey, KeyChange},
        notices::{self, NewNotice},
        policies::PolicyBook,
        sql::Sql,
        turn::{self, Claim, Place},
        unused::{self, UnusedKey},
    },
};

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
        &plan.writes.expired
    }

    async fn write(
        &self,
        tx: &Tx,
        plan: &mut Plan,
        now: DateTime<Utc>,
    ) -> Result<Written, StoreError> {
        let (tx, writes) = (&**tx, &plan.writes);
        let n_changed = due::write_all(tx, mem::take(&mut plan.statements)).await?;
        let n_marked = unused::mark(tx, &writes.unused, now).await?;
        due::park(tx, &writes.corrupt).await?;
        brake::set_turn(tx, writes.held.iter().copied(), now + PUT_OFF).await?;
        let n_failed = writes.corrupt.len() as u64;
        let n_examined = (writes.changes.len() + writes.held.len()) as u64 + n_failed;
        let outcome = Outcome { n_examined, n_changed, n_failed };
        let is_whole =
            n_changed == writes.changes.len() as u64 && n_marked == writes.unused.len() as u64;
        Ok(Written { outcome, is_whole })
    }

    fn tell(&self, plan: &Plan) {
        for key in &plan.writes.corrupt {
            warn!(key.id = key.id.0, "Put a key aside: {}", key.what);
        }
    }
}

impl Sweep<'_> {
    fn taken(&self, claim: Claim<DueKey>, now: DateTime<Utc>, brake: &Brake<'_>) -> Taken<Plan> {
        let (n_rows, last) = (claim.len(), claim.last);
        let mut writes = decide(&claim, &self.book, now, |due| brake.holds(due.id, due.version));
        writes.corrupt = claim.corrupt;
        let is_sound = writes.corrupt.is_empty();
        Taken { n_rows, last, is_sound, plan: Plan::new(&self.deps.db, writes, now) }
    }
}

/// What is written about a batch, and the statements that do it: a thousand rows take their time
/// to be put into words, which is better done while another batch is written.
struct Plan {
    writes: Writes,
    /// Keys first.
    statements: Vec<Sql>,
}

impl Plan {
    fn new(db: &Db, writes: Writes, now: DateTime<Utc>) -> Self {
        let (conn, mut statements) = (db.conn(), Vec::new());
        let Writes { changes, notices, events, .. } = &writes;
        if !changes.is_empty() {
            statements.push(due::update(conn, changes));
        }
        if !notices.is_empty() {
            statements.push(notices::insertion(conn, notices, now));
        }
        if !events.is_empty() {
            statements.push(audit::insertion(conn, "daemon", events, now));
        }
        Self { writes, statements }
    }
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
        let writes = decide(&claim, book, now, |_| false);
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

/// What one batch writes.
#[derive(Debug, Default)]
struct Writes {
    changes: Vec<KeyChange>,
    notices: Vec<NewNotice>,
    events: Vec<NewEvent>,
    /// The tenants of the keys that expire.
    expired: Vec<i64>,
    /// Keys that nothing uses.
    unused: Vec<UnusedKey>,
    /// Keys that would expire, but are held back: each with its version.
    held: Vec<(KeyId, i64)>,
    /// Rows that make no sense.
    corrupt: Vec<CorruptKey>,
}

/// Asks the domain about each key. Nothing here waits or fails.
fn decide(
    claim: &Claim<DueKey>,
    book: &PolicyBook,
    now: DateTime<Utc>,
    is_held: impl Fn(&DueKey) -> bool,
) -> Writes {
    let mut writes = Writes::default();
    for due in &claim.keys {
        let policy = book.of_key(&due.governed());
        let decision = next_step(&due.key, &policy, now);
        if matches!(decision.step, Step::Expire { .. } | Step::End { .. }) {
            if is_held(due) {
                writes.held.push((due.id, due.version));
                continue;
            }
            writes.expired.push(due.tenant_id);
        }
        writes.add(due, &decision, now);
    }
    writes
}

impl Writes {
    fn add(&mut self, due: &DueKey, decision: &Decision, now: DateTime<Utc>) {
        let mut change = KeyChange {
            id: due.id,
            version: due.version,
            state: due.key.state,
            last_stage: decision.last_stage(&due.key),
            review_at: due.key.review_at,
            next: decision.next,
        };
        for stage in &decision.superseded {
            self.tell(due, *stage, NoticeStatus::Superseded);
        }
        match decision.step {
            Step::Keep => {}
            Step::Notify { stage } => self.tell(due, stage, NoticeStatus::Pending),
            Step::Mute { stage } => self.tell(due, stage, NoticeStatus::Muted),
            Step::Review { next_review_at } => {
                change.review_at = next_review_at;
                self.notice(due, Stage::ReviewDue, due.due_at, NoticeStatus::Pending);
            }
            Step::Expire { window_ends_at } => {
                let expires_at = due.key.expires_at().unwrap_or(now);
                change.state = KeyState::Window { expires_at, window_ends_at };
                self.tell(due, Stage::Expired, NoticeStatus::Pending);
                let detail = format!(r#"{{"window_ends_at":"{}"}}"#, iso(window_ends_at));
                self.happened(due, "key.expired", detail);
            }
            Step::End { purge_at } => {
                change.state = KeyState::Revoked { purge_at };
                self.tell(due, Stage::Expired, NoticeStatus::Pending);
                let detail = format!(r#"{{"purge_at":"{}"}}"#, iso(purge_at));
                self.happened(due, "key.access_ended", detail);
            }
        }
        self.changes.push(change);
        if let (Some(deed), Some(Unused { since, .. })) = (decision.unused, due.key.unused) {
            match deed {
                Deed::Warn { suspends_at } => {
                    self.notice(due, Stage::Unused, suspends_at, NoticeStatus::Pending);
                }
                Deed::Suspend => {
                    // Of this instant, so that each time is told.
                    self.notice(due, Stage::SuspendedUnused, now, NoticeStatus::Pending);
                    let since = iso(since);
                    let detail = format!(r#"{{"reason":"unused","unused_since":"{since}"}}"#);
                    self.happened(due, "key.suspended", detail);
                }
            }
            // The rest is written first, and that raises the version.
            self.unused.push(UnusedKey { id: due.id, version: due.version + 1, since, deed });
        }
    }

    fn n_suspended(&self) -> u64 {
        self.unused.iter().filter(|key| key.deed == Deed::Suspend).count() as u64
    }

    /// Adds a notice about the key's expiry.
    fn tell(&mut self, due: &DueKey, stage: Stage, status: NoticeStatus) {
        let about = due.key.expires_at().unwrap_or(due.due_at);
        self.notice(due, stage, about, status);
    }

    fn notice(&mut self, due: &DueKey, stage: Stage, about: DateTime<Utc>, status: NoticeStatus) {
        self.notices.push(NewNotice {
            key_id: due.id,
            tenant_id: due.tenant_id,
            owner_id: due.owner_id,
            stage,
            about,
            status,
            due_at: due.due_at,
        });
    }

    fn happened(&mut self, due: &DueKey, action: &'static str, detail: String) {
        self.events.push(NewEvent {
            action,
            tenant_id: Some(due.tenant_id),
            key_id: Some(due.id),
            owner_id: Some(due.owner_id),
            detail,
        });
    }
}

/// An instant as JSON has it.
fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
