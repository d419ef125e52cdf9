//! Requests as people look at them, and their end.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};

use crate::{
    domain::{approval::ApprovalState, key::KeyId},
    store::{
        Db, StoreError, Tx,
        approvals::{Approval, code_of},
        audit::{self, NewEvent},
        entity::{
            approvals::{ActiveModel, Column, Entity, Model},
            owners,
        },
        sql::Sql,
        to_ms,
    },
};

/// Which requests are listed. `None` is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of the tenant with this number; what is the installation's is left out then.
    pub tenant_id: Option<i64>,
    /// That stand so at this moment.
    pub state: Option<ApprovalState>,
}

/// The rows that stand so at `now`.
fn stand_so(state: ApprovalState, now: DateTime<Utc>) -> Condition {
    let stored = |state| Column::State.eq(code_of(state));
    let late = Column::ExpiresAt.lte(to_ms(now));
    match state {
        ApprovalState::Pending => {
            Condition::all().add(stored(state)).add(Column::ExpiresAt.gt(to_ms(now)))
        }
        ApprovalState::Expired => Condition::any()
            .add(stored(state))
            .add(Condition::all().add(stored(ApprovalState::Pending)).add(late)),
        state => Condition::all().add(stored(state)),
    }
}

/// Up to `limit` requests, by number, after the one numbered `after`.
///
/// # Errors
/// As the database answers.
pub async fn list(
    conn: &impl ConnectionTrait,
    filter: Filter,
    now: DateTime<Utc>,
    after: i64,
    limit: u64,
) -> Result<Vec<Approval>, StoreError> {
    let mut query = Entity::find().filter(Column::Id.gt(after)).order_by_asc(Column::Id);
    if let Some(tenant_id) = filter.tenant_id {
        query = query.filter(Column::TenantId.eq(tenant_id));
    }
    if let Some(state) = filter.state {
        query = query.filter(stand_so(state, now));
    }
    let rows = query.limit(limit).all(conn).await.map_err(StoreError::during("list requests"))?;
    named(conn, rows).await
}

/// The request called `public_id`.
///
/// # Errors
/// As the database answers.
pub async fn find(
    conn: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Approval>, StoreError> {
    let row = Entity::find().filter(Column::PublicId.eq(public_id)).one(conn).await;
    let row = row.map_err(StoreError::during("find a request"))?;
    Ok(named(conn, row.into_iter().collect()).await?.pop())
}

/// With the addresses of those who asked.
async fn named(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<Vec<Approval>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let who: Vec<(i64, String)> = owners::Entity::find()
        .select_only()
        .columns([owners::Column::Id, owners::Column::Email])
        .filter(owners::Column::Id.is_in(rows.iter().map(|row| row.requester_id)))
        .into_tuple()
        .all(conn)
        .await
        .map_err(StoreError::during("name who asked"))?;
    let name = |id| who.iter().find(|(known, _)| *known == id).map(|(_, email)| email.clone());
    Ok(rows
        .into_iter()
        .map(|row| (name(row.requester_id), row))
        .map(|(name, row)| Approval::of(row, name))
        .collect())
}

/// How many requests wait at `now`, of one tenant or of all.
///
/// # Errors
/// As the database answers.
pub async fn count(
    conn: &impl ConnectionTrait,
    tenant_id: Option<i64>,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut query = Entity::find().filter(stand_so(ApprovalState::Pending, now));
    if let Some(tenant_id) = tenant_id {
        query = query.filter(Column::TenantId.eq(tenant_id));
    }
    query.count(conn).await.map_err(StoreError::during("count requests"))
}

/// Writes down, and into the trail, that the time of up to `limit` requests is over. Counts them.
///
/// # Errors
/// As the database answers.
pub async fn expire(db: &Db, actor: &str, limit: u64) -> Result<u64, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let rows = Entity::find()
        .filter(Column::State.eq(code_of(ApprovalState::Pending)))
        .filter(Column::ExpiresAt.lte(to_ms(now)))
        .order_by_asc(Column::Id)
        .limit(limit)
        .lock_exclusive()
        .all(&*tx)
        .await
        .map_err(StoreError::during("find requests whose time is over"))?;
    if rows.is_empty() {
        return Ok(0);
    }
    let change = ActiveModel {
        state: Set(code_of(ApprovalState::Expired)),
        decided_by: Set(Some(actor.to_owned())),
        decided_at: Set(Some(to_ms(now))),
        ..Default::default()
    };
    let query =
        Entity::update_many().set(change).filter(Column::Id.is_in(rows.iter().map(|row| row.id)));
    query.exec(&*tx).await.map_err(StoreError::during("end requests"))?;
    let events: Vec<_> = rows.iter().map(|row| event("approval.expired", row, &[])).collect();
    audit::insert(&*tx, actor, &events, now).await?;
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// Forgets up to `limit` requests that were made before `before` and are decided. Counts them.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: usize,
) -> Result<u64, StoreError> {
    // Nothing waits for so long that it could be among them.
    Sql::new(conn, "forget old requests")
        .delete_oldest("approvals", "requested_at", to_ms(before), limit)
        .execute(conn)
        .await
}

/// What the trail says of a request, with `more` about this event.
pub(super) fn event(
    action: &'static str,
    row: &Model,
    more: &[(&str, serde_json::Value)],
) -> NewEvent {
    let request: serde_json::Value = serde_json::from_str(&row.request).unwrap_or_default();
    let mut detail = serde_json::json!({
        "approval": row.public_id, "requested_by": row.requested_by, "request": request,
    });
    for (name, value) in more {
        detail[*name] = value.clone();
    }
    NewEvent {
        action,
        tenant_id: row.tenant_id,
        key_id: row.key_id.map(KeyId),
        owner_id: row.owner_id,
        detail: detail.to_string(),
    }
}

/// A request, locked against everybody else.
pub(super) async fn locked(tx: &Tx, public_id: &str) -> Result<Option<Model>, StoreError> {
    let query = Entity::find().filter(Column::PublicId.eq(public_id)).lock_exclusive();
    query.one(&**tx).await.map_err(StoreError::during("find a request"))
}
