//! How early owners want to be reminded; and the keys of a tenant in the order in which they are
//! listed.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, drop_index, extend, index, maybe_code};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No reminder earlier than so many days before the expiry; 0: the last one alone; NULL: all.
        extend(manager, "owners", vec![maybe_code("reminder_wish")]).await?;
        index(manager, "api_keys", "ix_api_keys_tenant", "tenant_id, id", None).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "api_keys", "ix_api_keys_tenant").await?;
        drop_columns(manager, "owners", &["reminder_wish"]).await
    }
}
