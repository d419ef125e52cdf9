//! Sessions of administrators, and what makes the counts of their overview cheap.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::columns::{create, drop, id, index, name, number, unique};

/// Indexes of rows that are few. MariaDB and MySQL cannot index a part of a table, and have whole
/// indexes that begin with the status already.
const OF_FEW: [(&str, &str, &str); 2] = [
    ("notices", "ix_notices_failed", "status = 7"),
    ("messages", "ix_messages_stuck", "status IN (4, 6)"),
];

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sessions = vec![
            id(),
            // SHA-256 of what the cookie has, in hexadecimal digits.
            name("token_hash", 64),
            // The administrator's token it was traded for, and which of its secrets. No
            // reference: a token that is purged leaves a session that is good for nothing.
            number("key_id"),
            number("version"),
            number("created_at"),
            // When it was last used, to the minute.
            number("seen_at"),
        ];
        create(manager, "admin_sessions", sessions, &[]).await?;
        unique(manager, "admin_sessions", &["token_hash"]).await?;
        index(manager, "admin_sessions", "ix_admin_sessions_created", "created_at", None).await?;
        if manager.get_database_backend() != DbBackend::MySql {
            for (table, name, condition) in OF_FEW {
                index(manager, table, name, "status", Some(condition)).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::MySql {
            for (_, name, _) in OF_FEW {
                let statement = format!("DROP INDEX {name}");
                manager.get_connection().execute_unprepared(&statement).await?;
            }
        }
        drop(manager, &["admin_sessions"]).await
    }
}
