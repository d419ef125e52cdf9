//! Leases: who may do what only one daemon may do at a time.
//!
//! The database's time decides. A lease is held for exactly one term: it is renewed and given
//! back by that term's own beginning, so that a daemon that slept through the end of its term
//! cannot touch the next one's. (The design is River's.)

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};

use crate::store::{
    Db, StoreError,
    entity::leases::{ActiveModel, Column, Entity},
    from_ms, to_ms,
};

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    name: String,
    holder: String,
    began_at: DateTime<Utc>,
    /// When somebody else may take it.
    pub expires_at: DateTime<Utc>,
}

/// Takes the lease called `name` for `ttl`. `None` if somebody else holds it.
///
/// # Errors
/// As the database answers.
pub async fn take(
    db: &Db,
    name: &str,
    holder: &str,
    ttl: TimeDelta,
) -> Result<Option<Term>, StoreError> {
    let during = || StoreError::during("take a lease");
    let tx = db.begin().await?;
    let held = Entity::find_by_id(name).lock_exclusive().one(&*tx).await.map_err(during())?;
    let now = db.now(&*tx).await?;
    if held.as_ref().is_some_and(|held| to_ms(now) < held.expires_at) {
        return Ok(None);
    }
    // Two terms must not begin at the same instant, however coarse the clock is.
    let after_last = held.as_ref().and_then(|held| from_ms(held.term + 1));
    let began_at = after_last.map_or(now, |after| after.max(now));
    let row = ActiveModel {
        name: Set(name.to_owned()),
        holder: Set(holder.to_owned()),
        term: Set(to_ms(began_at)),
        expires_at: Set(to_ms(now + ttl)),
    };
    let written = match held {
        Some(_) => row.update(&*tx).await.map(|_| ()),
        None => row.insert(&*tx).await.map(|_| ()),
    };
    match written.map_err(during()) {
        Ok(()) => tx.commit().await?,
        // Somebody else took it at this very moment.
        Err(StoreError::Taken { .. } | StoreError::Busy { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let (name, holder) = (name.to_owned(), holder.to_owned());
    Ok(Some(Term { name, holder, began_at, expires_at: now + ttl }))
}

/// Prolongs `term` by `ttl` from now. `None` if it has ended: then the holder must stop.
///
/// # Errors
/// As the database answers.
pub async fn renew(db: &Db, term: &Term, ttl: TimeDelta) -> Result<Option<Term>, StoreError> {
    let now = db.now(db.conn()).await?;
    let done = Entity::update_many()
        .col_expr(Column::ExpiresAt, Expr::value(to_ms(now + ttl)))
        .filter(Column::Name.eq(&term.name))
        .filter(Column::Holder.eq(&term.holder))
        .filter(Column::Term.eq(to_ms(term.began_at)))
        .filter(Column::ExpiresAt.gt(to_ms(now)))
        .exec(db.conn())
        .await
        .map_err(StoreError::during("renew a lease"))?;
    let is_held = done.rows_affected == 1;
    Ok(is_held.then(|| Term { expires_at: now + ttl, ..term.clone() }))
}

/// Gives `term` back. Returns whether it was still held.
///
/// # Errors
/// As the database answers.
pub async fn give_back(db: &Db, term: &Term) -> Result<bool, StoreError> {
    // The row stays, with its end in the past: the next term must begin later than this one.
    let done = Entity::update_many()
        .col_expr(Column::ExpiresAt, Expr::value(0))
        .filter(Column::Name.eq(&term.name))
        .filter(Column::Holder.eq(&term.holder))
        .filter(Column::Term.eq(to_ms(term.began_at)))
        .exec(db.conn())
        .await
        .map_err(StoreError::during("give back a lease"))?;
    Ok(done.rows_affected == 1)
}

/// The names of the leases that are held at `now`, in order.
///
/// # Errors
/// As the database answers.
pub async fn held(db: &Db, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
    let query = Entity::find().filter(Column::ExpiresAt.gt(to_ms(now))).order_by_asc(Column::Name);
    let rows = query.all(db.conn()).await.map_err(StoreError::during("list leases"))?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}
