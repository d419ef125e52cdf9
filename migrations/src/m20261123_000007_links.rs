//! Links in mails.

use sea_orm_migration::prelude::*;

use crate::columns::{create, drop, id, index, name, number, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let links = vec![
            id(),
            // The mail it came with: every attempt at it has the same link. No reference, since
            // mails are deleted sooner, and their links are dead then.
            number("message_id"),
            number("owner_id"),
            // 32 random bytes in hexadecimal digits; the token is a MAC of them.
            name("salt", 64),
            // SHA-256 of the token in hexadecimal digits.
            name("token_hash", 64),
            number("created_at"),
        ];
        create(manager, "links", links, &[("owner_id", "owners")]).await?;
        unique(manager, "links", &["message_id"]).await?;
        unique(manager, "links", &["token_hash"]).await?;
        index(manager, "links", "ix_links_created", "created_at", None).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["links"]).await
    }
}
