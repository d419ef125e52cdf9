//! A key.

use sea_orm::entity::prelude::*;

/// A row of `api_keys`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) public_id: String,
    pub(crate) tenant_id: i64,
    pub(crate) environment_id: i64,
    pub(crate) owner_id: i64,
    pub(crate) kind: i16,
    pub(crate) name: String,
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) access_ends_at: Option<i64>,
    pub(crate) review_at: Option<i64>,
    pub(crate) state: i16,
    pub(crate) window_ends_at: Option<i64>,
    pub(crate) next_job: i16,
    pub(crate) next_action_at: Option<i64>,
    pub(crate) last_stage: Option<i16>,
    pub(crate) version: i64,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) hold: Option<String>,
    pub(crate) parked: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) window_extended_at: Option<i64>,
    pub(crate) expires_before: Option<i64>,
    pub(crate) last_used_by: Option<String>,
    pub(crate) suspended_at: Option<i64>,
    pub(crate) unsuspended_at: Option<i64>,
    pub(crate) end_reason: Option<i16>,
    pub(crate) policy: Option<String>,
    pub(crate) purge_approved_for: Option<i64>,
    pub(crate) unused_warned_at: Option<i64>,
    pub(crate) suspend_reason: Option<i16>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
