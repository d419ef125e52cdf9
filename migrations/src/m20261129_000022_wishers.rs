//! The few owners with a wish, for the sweep that asks of each due key whether its owner has one.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::columns::{drop_index, index};

const NAME: &str = "ix_owners_wish";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// MariaDB and MySQL would index every owner, and SQLite reads the row as fast.
fn is_of_use(manager: &SchemaManager<'_>) -> bool {
    manager.get_database_backend() == DbBackend::Postgres
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if is_of_use(manager) {
            let some = Some("reminder_wish IS NOT NULL");
            index(manager, "owners", NAME, "id", some).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if is_of_use(manager) { drop_index(manager, "owners", NAME).await } else { Ok(()) }
    }
}
