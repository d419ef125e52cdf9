//! The keys, their secrets, what is left of purged ones, and the trail of who did what.

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
        let api_keys = vec![
            id(),
            name("public_id", 12),
            number("tenant_id"),
            number("environment_id"),
            number("owner_id"),
            code("kind"),
            name("name", 200),
            // The original length of life; NULL: for ever.
            maybe_number("ttl_ms"),
            number("created_at"),
            // When the present life began: made, imported or rotated.
            number("issued_at"),
            maybe_number("expires_at"),
            // The owner's, copied here so that a sweep reads one table.
            maybe_number("access_ends_at"),
            maybe_number("review_at"),
            code("state"),
            // Frozen when the key ends: it may be purged from then on.
            maybe_number("window_ends_at"),
            // Which job looks at the key next (0: none), and when.
            code("next_job"),
            maybe_number("next_action_at"),
            // The most urgent stage told for the present expiry.
            maybe_code("last_stage"),
            // Goes up with every change of the row: every write is guarded by it.
            number("version"),
            maybe_number("last_used_at"),
            // Why the key must be kept, if it must.
            maybe_text("hold"),
            // Why the row could not be understood, if it could not.
            maybe_text("parked"),
            // For keys that another system issues.
            maybe_name("source", 64),
            maybe_name("external_id", 200),
        ];
        let references =
            [("tenant_id", "tenants"), ("environment_id", "environments"), ("owner_id", "owners")];
        create(manager, "api_keys", api_keys, &references).await?;
        unique(manager, "api_keys", &["public_id"]).await?;
        unique(manager, "api_keys", &["tenant_id", "source", "external_id"]).await?;
        // The one index the daemon scans: its cost goes with what is due, not with all keys.
        let due = Some("next_action_at IS NOT NULL");
        index(manager, "api_keys", "ix_api_keys_due", "next_job, next_action_at, id", due).await?;
        // An owner's page, and the end of an owner's access.
        index(manager, "api_keys", "ix_api_keys_owner", "owner_id, id", None).await?;

        let key_secrets = vec![
            id(),
            number("key_id"),
            number("version"),
            // 1 HMAC-SHA-256 under a pepper of ours, 2 another system's hash as imported.
            code("algorithm"),
            ColumnDef::new("mac").var_binary(255).not_null().take(),
            code("pepper_id"),
            number("created_at"),
            // The end of an overlap; NULL: valid while the key is.
            maybe_number("valid_until"),
            maybe_number("first_used_at"),
        ];
        create(manager, "key_secrets", key_secrets, &[("key_id", "api_keys")]).await?;
        unique(manager, "key_secrets", &["key_id", "version"]).await?;

        let tombstones = vec![
            id(),
            number("key_id"),
            name("public_id", 12),
            number("tenant_id"),
            number("environment_id"),
            number("owner_id"),
            code("kind"),
            name("name", 200),
            number("created_at"),
            maybe_number("expires_at"),
            maybe_number("window_ends_at"),
            maybe_number("last_used_at"),
            number("purged_at"),
            // 1 its window closed, 2 revoked, 3 its owner's access ended.
            code("reason"),
            // JSON: the rules under which it went, and when its owner was told.
            text("policy"),
        ];
        create(manager, "tombstones", tombstones, &[]).await?;
        unique(manager, "tombstones", &["public_id"]).await?;
        index(manager, "tombstones", "ix_tombstones_key", "key_id", None).await?;
        index(manager, "tombstones", "ix_tombstones_purged", "purged_at", None).await?;

        let audit_events = vec![
            id(),
            number("at"),
            maybe_number("tenant_id"),
            // Who: `daemon`, `operator`, `owner:ID`, `key:ID`.
            name("actor", 100),
            name("action", 64),
            maybe_number("key_id"),
            maybe_number("owner_id"),
            // JSON: before, after and why; never a secret.
            text("detail"),
        ];
        create(manager, "audit_events", audit_events, &[]).await?;
        index(manager, "audit_events", "ix_audit_events_key", "key_id, id", None).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["audit_events", "tombstones", "key_secrets", "api_keys"]).await
    }
}
