//! Sessions of owners.

use sea_orm_migration::prelude::*;

use crate::columns::{create, drop, id, index, name, number, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sessions = vec![
            id(),
            // SHA-256 of what the cookie has, in hexadecimal digits.
            name("token_hash", 64),
            number("owner_id"),
            // The link it was made from. No reference: links are deleted sooner or later.
            number("link_id"),
            // When that link was made: a second factor that is newer proves nothing here.
            number("link_made_at"),
            number("created_at"),
        ];
        create(manager, "owner_sessions", sessions, &[("owner_id", "owners")]).await?;
        unique(manager, "owner_sessions", &["token_hash"]).await?;
        index(manager, "owner_sessions", "ix_owner_sessions_owner", "owner_id", None).await?;
        index(manager, "owner_sessions", "ix_owner_sessions_created", "created_at", None).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["owner_sessions"]).await
    }
}
