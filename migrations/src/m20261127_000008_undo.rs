//! What an offboarding changed, so that it can be undone; and what used a key last.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, extend, maybe_name, maybe_number};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // When the access was to end before it was brought forward. 0: never; NULL: it was not.
        extend(manager, "owners", vec![maybe_number("access_before")]).await?;
        let of_key = vec![
            // When the key was to end before its owner's access was brought forward; as above.
            maybe_number("expires_before"),
            // What presented it last, as whoever asked about it says.
            maybe_name("last_used_by", 200),
        ];
        extend(manager, "api_keys", of_key).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "api_keys", &["last_used_by", "expires_before"]).await?;
        drop_columns(manager, "owners", &["access_before"]).await
    }
}
