//! The seals of the audit trail: a chain over its rows, a batch at a time.

use sea_orm_migration::prelude::*;

use crate::columns::{create, drop, id, number, unique};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let digest = |name| ColumnDef::new(name).var_binary(32).not_null().take();
        let audit_seals = vec![
            id(),
            // The ids it covers; it begins where the seal before it ended.
            number("first_id"),
            number("last_id"),
            number("n_rows"),
            // The digest of the seal before it; zeros for the first of all.
            digest("prev"),
            digest("digest"),
            number("sealed_at"),
            // Sixteen bytes for each row: its id, and the first eight bytes of its HMAC.
            ColumnDef::new("marks").blob().not_null().take(),
        ];
        create(manager, "audit_seals", audit_seals, &[]).await?;
        // No two seals follow the same one: the chain cannot fork, whoever seals.
        unique(manager, "audit_seals", &["prev"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["audit_seals"]).await
    }
}
