//! What is left of purged keys, and for how long.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::{
    domain::{identity::KeyKind, purge::kept_until},
    store::{
        StoreError,
        codes::Coded,
        entity::tombstones::{ActiveModel, Column, Entity, Model},
        from_ms,
        policies::PolicyBook,
        to_ms,
    },
};

/// What came of a look at tombstones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many are gone.
    pub n_deleted: u64,
    /// How many stay, because the policy of now keeps them longer than was said when their keys
    /// went, or because nothing was said.
    pub n_kept: u64,
}

/// Looks at up to `limit` tombstones whose time is over at `now`, or for which none was said, and
/// deletes them, but for those that the rules of now keep longer: they are kept until then.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    book: &PolicyBook,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Pruned, StoreError> {
    let during = || StoreError::during("delete old tombstones");
    let is_over =
        Condition::any().add(Column::KeepUntil.is_null()).add(Column::KeepUntil.lte(to_ms(now)));
    let query = Entity::find().filter(is_over).order_by_asc(Column::Id).limit(limit as u64);
    let rows = query.lock_exclusive().all(conn).await.map_err(during())?;
    // As few statements as there are instants: most of a purge were buried in one.
    let (mut over, mut kept) = (Vec::new(), BTreeMap::<i64, Vec<i64>>::new());
    for row in &rows {
        let until = of_row(row, book);
        if until <= now {
            over.push(row.id);
        } else {
            kept.entry(to_ms(until)).or_default().push(row.id);
        }
    }
    let pruned = Pruned {
        n_deleted: over.len() as u64,
        n_kept: kept.values().map(|ids| ids.len() as u64).sum(),
    };
    if !over.is_empty() {
        let query = Entity::delete_many().filter(Column::Id.is_in(over));
        query.exec(conn).await.map_err(during())?;
    }
    for (until, ids) in kept {
        let change = ActiveModel { keep_until: Set(Some(until)), ..Default::default() };
        let query = Entity::update_many().set(change).filter(Column::Id.is_in(ids));
        query.exec(conn).await.map_err(during())?;
    }
    Ok(pruned)
}

/// Until when a tombstone is kept. Of a kind that nobody knows, as long as people's keys are.
fn of_row(row: &Model, book: &PolicyBook) -> DateTime<Utc> {
    let kind = KeyKind::of_code(row.kind).unwrap_or(KeyKind::User);
    let policy = book.of(row.tenant_id, row.environment_id, kind);
    let purged_at = from_ms(row.purged_at).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    kept_until(policy, purged_at, row.keep_until.and_then(from_ms))
}
