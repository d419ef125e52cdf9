//! What is to be told (notices), and the mails that carry it (messages).

use sea_orm_migration::prelude::*;

use crate::columns::{
    code, create, drop, id, index, maybe_code, maybe_name, maybe_number, maybe_text, name, number,
    text, unique,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let notices = vec![
            id(),
            // No reference: the receipt of a purge outlives the key.
            number("key_id"),
            number("tenant_id"),
            number("owner_id"),
            code("stage"),
            // The expiry it speaks of; for a key without one, the instant of the event.
            number("expires_at"),
            code("status"),
            number("created_at"),
            // When it should have been told, had all gone well.
            number("due_at"),
            // The message that carries it.
            maybe_number("message_id"),
            // When a mail server took it over.
            maybe_number("told_at"),
            maybe_text("reason"),
        ];
        create(manager, "notices", notices, &[]).await?;
        // What makes a second sweep, a second replica or a crash half-way harmless.
        unique(manager, "notices", &["key_id", "expires_at", "stage"]).await?;
        let pending = Some("status = 1");
        index(manager, "notices", "ix_notices_pending", "status, owner_id, id", pending).await?;
        let carried = Some("message_id IS NOT NULL");
        index(manager, "notices", "ix_notices_message", "message_id", carried).await?;

        let messages = vec![
            id(),
            // The Message-ID without its brackets: the same through all attempts (RFC 5322).
            name("header_id", 200),
            number("tenant_id"),
            number("owner_id"),
            // 1 the owner, 2 the contacts instead.
            code("audience"),
            // A JSON list of addresses.
            text("recipients"),
            code("status"),
            number("created_at"),
            maybe_number("next_attempt_at"),
            number("attempts"),
            // While it is being sent: by whom, and until when nobody else may.
            maybe_number("lease_until"),
            maybe_name("holder", 100),
            // How often a daemon died while it held the message.
            number("crashes"),
            // How often it may have been delivered without our knowing.
            number("ambiguous"),
            maybe_code("last_class"),
            maybe_text("last_reply"),
            maybe_number("sent_at"),
        ];
        create(manager, "messages", messages, &[]).await?;
        unique(manager, "messages", &["header_id"]).await?;
        let due = Some("next_attempt_at IS NOT NULL");
        index(manager, "messages", "ix_messages_due", "status, next_attempt_at, id", due).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["messages", "notices"]).await
    }
}
