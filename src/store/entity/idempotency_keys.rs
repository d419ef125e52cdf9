//! An answer that was given, for whoever asks again.

use sea_orm::entity::prelude::*;

/// A row of `idempotency_keys`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) scope: String,
    pub(crate) key_hash: String,
    pub(crate) request_hash: String,
    pub(crate) result: String,
    pub(crate) created_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
