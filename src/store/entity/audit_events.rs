//! Who did what. Only ever added to.

use sea_orm::entity::prelude::*;

/// A row of `audit_events`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) tenant_id: Option<i64>,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) key_id: Option<i64>,
    pub(crate) owner_id: Option<i64>,
    pub(crate) detail: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
