//! What is left of a purged key.

use sea_orm::entity::prelude::*;

/// A row of `tombstones`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tombstones")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) key_id: i64,
    pub(crate) public_id: String,
    pub(crate) tenant_id: i64,
    pub(crate) environment_id: i64,
    pub(crate) owner_id: i64,
    pub(crate) kind: i16,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) window_ends_at: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) purged_at: i64,
    pub(crate) reason: i16,
    pub(crate) policy: String,
    pub(crate) keep_until: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
