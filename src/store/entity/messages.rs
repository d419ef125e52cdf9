//! One mail.

use sea_orm::entity::prelude::*;

/// A row of `messages`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) header_id: String,
    pub(crate) tenant_id: i64,
    pub(crate) owner_id: i64,
    pub(crate) audience: i16,
    pub(crate) recipients: String,
    pub(crate) status: i16,
    pub(crate) created_at: i64,
    pub(crate) next_attempt_at: Option<i64>,
    pub(crate) attempts: i64,
    pub(crate) lease_until: Option<i64>,
    pub(crate) holder: Option<String>,
    pub(crate) crashes: i64,
    pub(crate) ambiguous: i64,
    pub(crate) last_class: Option<i16>,
    pub(crate) last_reply: Option<String>,
    pub(crate) sent_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
