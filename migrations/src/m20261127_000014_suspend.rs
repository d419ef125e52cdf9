//! Keys that are refused until an administrator has looked at them.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, extend, maybe_number};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = vec![
            // Since when it is suspended, if it is.
            maybe_number("suspended_at"),
            // When that was lifted last: links of mails from before do not suspend it again.
            maybe_number("unsuspended_at"),
        ];
        extend(manager, "api_keys", columns).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "api_keys", &["unsuspended_at", "suspended_at"]).await
    }
}
