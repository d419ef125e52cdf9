//! An environment of a tenant, such as production.

use sea_orm::entity::prelude::*;

/// A row of `environments`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "environments")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) tenant_id: i64,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) class: i16,
    pub(crate) contacts: String,
    pub(crate) policy: Option<String>,
    pub(crate) created_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
