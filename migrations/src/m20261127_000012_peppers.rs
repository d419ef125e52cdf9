//! Under which master key a recovery code is remembered.

use sea_orm_migration::prelude::*;

use crate::columns::{code, drop_columns, extend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // 1: from before master keys had numbers, as in `key_secrets`.
        extend(manager, "recovery_codes", vec![code("pepper_id").default(1).take()]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "recovery_codes", &["pepper_id"]).await
    }
}
