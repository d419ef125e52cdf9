//! What waits for a second administrator.

use sea_orm_migration::prelude::*;

use crate::columns::{
    code, create, drop, id, index, maybe_name, maybe_number, maybe_text, name, number, text, unique,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let approvals = vec![
            id(),
            name("public_id", 12),
            // Whose it is about; NULL: the installation. No references: a request outlives what it
            // was about, for whoever asks what became of it.
            maybe_number("tenant_id"),
            maybe_number("key_id"),
            maybe_number("owner_id"),
            // The request, whole, as JSON: exactly this is carried out.
            text("request"),
            // Who asked: as the trail names them, by which token, whose that is, and what they
            // showed as their second factor.
            name("requested_by", 64),
            name("token", 12),
            number("requester_id"),
            text("evidence"),
            number("requested_at"),
            number("expires_at"),
            // 1 pending, 2 approved, 3 rejected, 4 expired, 5 void.
            code("state"),
            maybe_name("decided_by", 64),
            maybe_number("decided_at"),
            maybe_text("reason"),
        ];
        create(manager, "approvals", approvals, &[]).await?;
        unique(manager, "approvals", &["public_id"]).await?;
        index(manager, "approvals", "ix_approvals_state", "state, expires_at", None).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["approvals"]).await
    }
}
