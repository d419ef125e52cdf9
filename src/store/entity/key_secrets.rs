//! One secret of a key: what is remembered of it.

use sea_orm::entity::prelude::*;

/// A row of `key_secrets`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "key_secrets")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) key_id: i64,
    pub(crate) version: i64,
    pub(crate) algorithm: i16,
    pub(crate) mac: Vec<u8>,
    pub(crate) pepper_id: i16,
    pub(crate) created_at: i64,
    pub(crate) valid_until: Option<i64>,
    pub(crate) first_used_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
