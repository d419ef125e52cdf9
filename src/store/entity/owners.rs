//! Who owns keys.

use sea_orm::entity::prelude::*;

/// A row of `owners`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "owners")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) public_id: String,
    pub(crate) tenant_id: i64,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) kind: i16,
    pub(crate) access_ends_at: Option<i64>,
    pub(crate) time_zone: String,
    pub(crate) locale: String,
    pub(crate) mail_status: i16,
    pub(crate) mail_status_at: Option<i64>,
    pub(crate) mail_status_reason: Option<String>,
    pub(crate) otp_seed: Option<Vec<u8>>,
    pub(crate) otp_confirmed_at: Option<i64>,
    pub(crate) otp_last_step: Option<i64>,
    pub(crate) otp_in_a_row: i64,
    pub(crate) otp_recent: Option<String>,
    pub(crate) otp_locked_until: Option<i64>,
    pub(crate) otp_hold_until: Option<i64>,
    pub(crate) access_before: Option<i64>,
    pub(crate) reminder_wish: Option<i16>,
    pub(crate) created_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
