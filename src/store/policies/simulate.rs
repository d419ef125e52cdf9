//! What a change of policy means for the keys that exist: looked at before it is made, and carried
//! out after.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    domain::{
        key::{Key, KeyState},
        lifecycle,
        plan::Plan,
        policy::Policy,
        spread::Spread,
    },
    store::{
        Db, StoreError,
        amend::next_columns,
        entity::api_keys::{Column, Entity, Model},
        policies::{Governed, PolicyBook, apply::ended, change::Scope},
        row,
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

/// How many keys are read at a time.
const PAGE: u64 = 2_000;

/// What a change would do to the keys of a tenant or an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Keys that were looked at.
    pub n_keys: u64,
    /// Keys with another next action.
    pub n_other_next: u64,
    /// Active keys whose window will have another length.
    pub n_other_window: u64,
    /// Active keys that live longer than would be allowed, and do not now.
    pub n_too_long: u64,
    /// Keys that would get a sooner date; without a [`Spread`], none does.
    pub n_shortened: u64,
    /// The first of those dates.
    pub first_end: Option<DateTime<Utc>>,
    /// Rows that make no sense.
    pub n_corrupt: u64,
    /// What will happen as things are, by day.
    pub before: Plan,
    /// What would happen.
    pub after: Plan,
}

/// Compares `old` and `new` rules for the keys of `scope`, up to `until`, with the dates that
/// `spread` would give to those that live longer than would be allowed. Writes nothing.
///
/// # Errors
/// As the database answers.
pub async fn simulate(
    db: &Db,
    (old, new): (&PolicyBook, &PolicyBook),
    scope: &Scope<'_>,
    until: DateTime<Utc>,
    spread: Option<&Spread>,
) -> Result<Simulation, StoreError> {
    let now = db.now(db.conn()).await?;
    let (mut simulation, mut last) = (Simulation::default(), 0);
    loop {
        let rows = page(db.conn(), scope, last).await?;
        let Some(row) = rows.last() else { return Ok(simulation) };
        last = row.id;
        for row in &rows {
            simulation.n_keys += 1;
            let Ok(key) = row::to_key(row) else {
                simulation.n_corrupt += 1;
                continue;
            };
            let governed = Governed::of(row, key.kind);
            let rules = (&*old.of_key(&governed), &*new.of_key(&governed));
            let is_meant = scope.kind.is_none_or(|kind| kind == key.kind);
            let end = spread
                .filter(|_| is_meant && row.parked.is_none())
                .and_then(|spread| spread.new_end(row.public_id.parse().ok()?, &key, rules.1, now));
            simulation.add(&key, end, rules, now, until);
        }
    }
}

impl Simulation {
    fn add(
        &mut self,
        key: &Key,
        end: Option<DateTime<Utc>>,
        (old, new): (&Policy, &Policy),
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) {
        let after = end.map_or(*key, |end| ended(key, end, new, now));
        let next = |key, policy| lifecycle::first_look(key, policy, now);
        self.n_other_next += u64::from(next(key, old) != next(&after, new));
        self.n_shortened += u64::from(end.is_some());
        self.first_end = self.first_end.into_iter().chain(end).min();
        if let KeyState::Active { .. } = key.state {
            let is_too_long = |policy: &Policy| !policy.allows_ttl(key.lifetime());
            self.n_other_window += u64::from(old.window() != new.window());
            self.n_too_long += u64::from(is_too_long(new) && !is_too_long(old));
        }
        self.before.add(key, old, now, until);
        self.after.add(&after, new, now, until);
    }
}

/// Looks anew at every active key of `scope`: when it is its turn under the rules in `book`.
/// Counts the keys whose turn has changed. Doing it twice does nothing the second time.
///
/// # Errors
/// As the database answers; what was changed before stays changed.
pub async fn reschedule(db: &Db, book: &PolicyBook, scope: &Scope<'_>) -> Result<u64, StoreError> {
    let (mut n_changed, mut last) = (0, 0);
    loop {
        let now = db.now(db.conn()).await?;
        let rows = page(db.conn(), scope, last).await?;
        let Some(row) = rows.last() else { return Ok(n_changed) };
        last = row.id;
        let turns: Vec<_> = rows.iter().filter_map(|row| turn(row, book, now)).collect();
        n_changed += write(db, &turns).await?;
    }
}

/// A key's number and version, and whose turn it is when.
type Turn = (i64, i64, (i16, Option<i64>));

/// The key's new turn, if it is another. A key whose time has come is the sweep's, or the brake's.
fn turn(row: &Model, book: &PolicyBook, now: DateTime<Utc>) -> Option<Turn> {
    let key = row::to_key(row).ok()?;
    let KeyState::Active { expires_at } = key.state else { return None };
    if row.parked.is_some() || expires_at.is_some_and(|expires_at| expires_at <= now) {
        return None;
    }
    let policy = book.of_key(&Governed::of(row, key.kind));
    let next = next_columns(lifecycle::first_look(&key, &policy, now));
    let stored = (row.next_job, row.next_action_at);
    // What is due is due, since whenever.
    let is_due = |turn: (i16, Option<i64>)| turn.1.is_some_and(|at| at <= to_ms(now));
    let is_other = next != stored && !(next.0 == stored.0 && is_due(next) && is_due(stored));
    is_other.then_some((row.id, row.version, next))
}

async fn write(db: &Db, turns: &[Turn]) -> Result<u64, StoreError> {
    if turns.is_empty() {
        return Ok(0);
    }
    let batch = Batch::new()
        .numbers("id", turns.iter().map(|(id, ..)| *id))
        .numbers("version", turns.iter().map(|(_, version, _)| *version))
        .numbers("job", turns.iter().map(|(.., (job, _))| i64::from(*job)))
        .maybe_numbers("at", turns.iter().map(|(.., (_, at))| *at));
    let update = Update {
        table: "api_keys",
        sets: &[("next_job", "v.job"), ("next_action_at", "v.at"), ("version", "v.version + 1")],
        joins: "",
        on: "api_keys.id = v.id",
        // Whoever changed the key meanwhile has read the new rules, or is about to sweep it.
        guard: "api_keys.version = v.version",
    };
    let tx = db.begin().await?;
    let sql = Sql::new(&*tx, "look at keys anew").update_from(&update, &batch);
    let n = sql.execute(&*tx).await?;
    tx.commit().await?;
    Ok(n)
}

/// The next keys of `scope`, by number.
async fn page(
    conn: &impl ConnectionTrait,
    scope: &Scope<'_>,
    after: i64,
) -> Result<Vec<Model>, StoreError> {
    let mut query = Entity::find()
        .filter(Column::TenantId.eq(scope.tenant.id))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(PAGE);
    if let Some(environment) = scope.environment {
        query = query.filter(Column::EnvironmentId.eq(environment.id));
    }
    if let Some(key) = scope.key {
        query = query.filter(Column::Id.eq(key.id));
    }
    query.all(conn).await.map_err(StoreError::during("read the keys of a policy"))
}
