//! What a key for `lapsed` itself may do.

use sea_orm::entity::prelude::*;

/// A row of `admin_tokens`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "admin_tokens")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) key_id: i64,
    pub(crate) role: i16,
    pub(crate) tenant_id: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
