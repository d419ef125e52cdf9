//! Tenants, their environments, and the owners of keys.

use sea_orm_migration::prelude::*;

use crate::columns::{
    code, create, drop, id, maybe_number, maybe_text, name, number, text, unique,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tenants = vec![
            id(),
            name("slug", 64),
            name("name", 200),
            // A JSON list of addresses that are told where an owner cannot be.
            text("contacts"),
            // JSON: the policy fields this tenant sets; an absent field is inherited.
            maybe_text("policy"),
            number("created_at"),
        ];
        create(manager, "tenants", tenants, &[]).await?;
        unique(manager, "tenants", &["slug"]).await?;

        let environments = vec![
            id(),
            number("tenant_id"),
            name("slug", 64),
            name("name", 200),
            // 1 live, 2 test: the word in the token.
            code("class"),
            text("contacts"),
            maybe_text("policy"),
            number("created_at"),
        ];
        create(manager, "environments", environments, &[("tenant_id", "tenants")]).await?;
        unique(manager, "environments", &["tenant_id", "slug"]).await?;

        let owners = vec![
            id(),
            name("public_id", 12),
            number("tenant_id"),
            name("email", 320),
            name("name", 200),
            code("kind"),
            maybe_number("access_ends_at"),
            name("time_zone", 64),
            name("locale", 16),
            // 1 fine, 2 refused by its server.
            code("mail_status"),
            maybe_number("mail_status_at"),
            maybe_text("mail_status_reason"),
            // TOTP: the encrypted seed, when it was confirmed, and the last step used.
            ColumnDef::new("otp_seed").var_binary(255).null().take(),
            maybe_number("otp_confirmed_at"),
            maybe_number("otp_last_step"),
            number("created_at"),
        ];
        create(manager, "owners", owners, &[("tenant_id", "tenants")]).await?;
        unique(manager, "owners", &["public_id"]).await?;
        unique(manager, "owners", &["tenant_id", "email"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["owners", "environments", "tenants"]).await
    }
}
