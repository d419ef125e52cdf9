//! The daemon's own memory: runs, leases and flags.

use sea_orm_migration::prelude::*;

use crate::columns::{code, create, drop, id, index, maybe_number, maybe_text, name, number, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let job_runs = vec![
            id(),
            name("job", 32),
            name("instance", 100),
            name("cause", 16),
            number("started_at"),
            maybe_number("finished_at"),
            // 1 running, 2 done, 3 done but some items failed, 4 failed.
            code("status"),
            number("n_examined"),
            number("n_changed"),
            number("n_failed"),
            maybe_text("error"),
        ];
        create(manager, "job_runs", job_runs, &[]).await?;
        index(manager, "job_runs", "ix_job_runs_job", "job, started_at", None).await?;

        let leases = vec![
            ColumnDef::new("name").string_len(64).not_null().primary_key().take(),
            name("holder", 100),
            // When this term began: a lease is renewed and given back for exactly one term.
            number("term"),
            number("expires_at"),
        ];
        create(manager, "leases", leases, &[]).await?;

        let flags = vec![
            ColumnDef::new("name").string_len(64).not_null().primary_key().take(),
            text("value"),
            number("set_at"),
            name("set_by", 100),
        ];
        create(manager, "flags", flags, &[]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["flags", "leases", "job_runs"]).await
    }
}
