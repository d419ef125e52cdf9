//! Rules of single keys.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, extend, maybe_text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // JSON: the policy fields this key sets; an absent field is inherited.
        extend(manager, "api_keys", vec![maybe_text("policy")]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "api_keys", &["policy"]).await
    }
}
