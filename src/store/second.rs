//! What needs a second administrator, where the policy asks for one (`two_person`).

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use thiserror::Error;

use crate::{
    domain::{identity::KeyKind, policy::Policy},
    store::{
        StoreError,
        codes::Coded,
        entity::api_keys::{Column, Entity},
        policies::{Governed, PolicyBook},
    },
};

/// It is not done, because one administrator does not do it alone: see [`crate::store::approvals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("another administrator has to approve this")]
pub struct NeedsSecond {
    /// Whether whoever asks for it needs a code too.
    pub needs_otp: bool,
}

/// Whether what ends an owner's access, or weakens them, needs two: where any rule does that their
/// keys live under or could.
pub(super) async fn of_owner(
    conn: &impl ConnectionTrait,
    policies: &PolicyBook,
    (tenant_id, owner_id): (i64, i64),
) -> Result<bool, StoreError> {
    let somewhere = |kind: &KeyKind| policies.somewhere_in(tenant_id, *kind, Policy::two_person);
    if KeyKind::ALL.iter().any(somewhere) {
        return Ok(true);
    }
    let query =
        Entity::find().filter(Column::OwnerId.eq(owner_id)).filter(Column::Policy.is_not_null());
    let rows = query.all(conn).await.map_err(StoreError::during("read the rules of keys"))?;
    Ok(rows.iter().any(|row| {
        let kind = KeyKind::of_code(row.kind);
        kind.is_some_and(|kind| policies.of_key(&Governed::of(row, kind)).two_person())
    }))
}
