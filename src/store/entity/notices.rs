//! Something to be told about a key.

use sea_orm::entity::prelude::*;

/// A row of `notices`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notices")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) key_id: i64,
    pub(crate) tenant_id: i64,
    pub(crate) owner_id: i64,
    pub(crate) stage: i16,
    pub(crate) expires_at: i64,
    pub(crate) status: i16,
    pub(crate) created_at: i64,
    pub(crate) due_at: i64,
    pub(crate) message_id: Option<i64>,
    pub(crate) told_at: Option<i64>,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
