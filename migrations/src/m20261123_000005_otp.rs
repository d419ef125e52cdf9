//! One-time passwords, answers that are given once, and administrators' tokens.

use sea_orm_migration::prelude::*;

use crate::columns::{
    code, create, drop, drop_columns, extend, id, index, maybe_number, maybe_text, name, number,
    text, unique,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let throttle = vec![
            // Guesses since the last good one, and the instants of those of the last 24 hours.
            number("otp_in_a_row").default(0).take(),
            maybe_text("otp_recent"),
            maybe_number("otp_locked_until"),
            // After a reset: no rotation by OTP before then.
            maybe_number("otp_hold_until"),
        ];
        extend(manager, "owners", throttle).await?;
        // When the open window was lengthened because the owner's OTP was reset: once at most.
        extend(manager, "api_keys", vec![maybe_number("window_extended_at")]).await?;

        let recovery_codes = vec![
            id(),
            number("owner_id"),
            ColumnDef::new("mac").var_binary(255).not_null().take(),
            number("created_at"),
            maybe_number("used_at"),
        ];
        create(manager, "recovery_codes", recovery_codes, &[("owner_id", "owners")]).await?;
        unique(manager, "recovery_codes", &["owner_id", "mac"]).await?;

        let idempotency_keys = vec![
            id(),
            // Who asked for what, such as `key.rotate 7Hk2pQ9rT4aB operator`.
            name("scope", 200),
            // SHA-256 in hexadecimal digits.
            name("key_hash", 64),
            name("request_hash", 64),
            // JSON: what was answered, without the secret.
            text("result"),
            number("created_at"),
        ];
        create(manager, "idempotency_keys", idempotency_keys, &[]).await?;
        unique(manager, "idempotency_keys", &["scope", "key_hash"]).await?;
        let by_age = "created_at";
        index(manager, "idempotency_keys", "ix_idempotency_keys_created", by_age, None).await?;

        let admin_tokens = vec![
            id(),
            number("key_id"),
            // 1 viewer, 2 operator, 3 admin, 4 auditor.
            code("role"),
            // The one tenant it is for; NULL: all.
            maybe_number("tenant_id"),
        ];
        create(manager, "admin_tokens", admin_tokens, &[("key_id", "api_keys")]).await?;
        unique(manager, "admin_tokens", &["key_id"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["admin_tokens", "idempotency_keys", "recovery_codes"]).await?;
        drop_columns(manager, "api_keys", &["window_extended_at"]).await?;
        let throttle = ["otp_hold_until", "otp_locked_until", "otp_recent", "otp_in_a_row"];
        drop_columns(manager, "owners", &throttle).await
    }
}
