//! What waits for a second administrator.

use sea_orm::entity::prelude::*;

/// A row of `approvals`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approvals")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) public_id: String,
    pub(crate) tenant_id: Option<i64>,
    pub(crate) key_id: Option<i64>,
    pub(crate) owner_id: Option<i64>,
    pub(crate) request: String,
    pub(crate) requested_by: String,
    pub(crate) token: String,
    pub(crate) requester_id: i64,
    pub(crate) evidence: String,
    pub(crate) requested_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) state: i16,
    pub(crate) decided_by: Option<String>,
    pub(crate) decided_at: Option<i64>,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
