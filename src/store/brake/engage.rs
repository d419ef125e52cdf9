//! The moment at which a brake goes on: one daemon's doing, told once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{BrakeOn, brake_flag, released_flag};
use crate::{
    domain::brake::Destruction,
    store::{
        Db, StoreError, flags,
        outbox::{self, NewMessage, read_list},
        sql::{Batch, Sql},
    },
};

/// Puts a brake on that is off, and writes `messages` about it into the outbox, all at once.
/// Returns whether it was this call that did: of daemons that find the same too much at the same
/// instant one engages it, and the others change nothing.
///
/// # Errors
/// As the database answers.
pub async fn engage(
    db: &Db,
    actor: &str,
    (what, on): (Destruction, &BrakeOn),
    messages: &[NewMessage],
) -> Result<bool, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    match flags::insert(&tx, actor, brake_flag(what), &on.to_json(), now).await {
        Err(StoreError::Taken { .. }) => return Ok(false),
        inserted => inserted?,
    }
    // A word for a plan of long ago does not count for this one.
    flags::clear_in(&tx, actor, released_flag(what), now).await?;
    outbox::form(&*tx, messages, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// The name of the tenant with this number.
///
/// # Errors
/// As the database answers.
pub async fn tenant_name(
    conn: &impl ConnectionTrait,
    id: i64,
) -> Result<Option<String>, StoreError> {
    let op = "read a tenant's name";
    let row = Sql::new(conn, op).push("SELECT name FROM tenants WHERE id = ").bind(id);
    let row = row.one(conn).await?;
    row.map(|row| row.try_get_by_index(0)).transpose().map_err(StoreError::during(op))
}

/// The contacts of these tenants, as they were entered.
///
/// # Errors
/// As the database answers.
pub async fn contacts(
    conn: &impl ConnectionTrait,
    tenants: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    let op = "read the contacts of tenants";
    let batch = Batch::new().numbers("id", tenants);
    let sql = Sql::new(conn, op).push("SELECT tenants.id, tenants.contacts FROM ").batch(&batch);
    let rows = sql.push(" JOIN tenants ON tenants.id = v.id").all(conn).await?;
    let of_tenant = |row: &QueryResult| {
        let contacts: String = row.try_get_by_index(1)?;
        Ok::<_, DbErr>((row.try_get_by_index(0)?, read_list(&contacts)))
    };
    rows.iter().map(of_tenant).collect::<Result<_, _>>().map_err(StoreError::during(op))
}

/// What is held back at this moment, of all tenants or of one: how many keys, and the brake.
/// `None` if it is nothing.
///
/// # Errors
/// As the database answers.
pub async fn held_back(
    conn: &impl ConnectionTrait,
    what: Destruction,
    of_tenant: Option<i64>,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<(u64, BrakeOn)>, StoreError> {
    let Some(on) = super::get_by(conn, what).await? else { return Ok(None) };
    let n = match of_tenant {
        None => on.n,
        Some(id) => {
            let tally = super::tally(conn, what, (now, until)).await?;
            tally.get(&id).copied().unwrap_or_default()
        }
    };
    Ok((n > 0).then_some((n, on)))
}
