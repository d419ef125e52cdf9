//! Answers that were lost since somebody last looked.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, extend, number};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // How often the server's answer was lost. `ambiguous` counts these and the crashes for
        // good; this begins anew when an operator has the message sent again.
        extend(manager, "messages", vec![number("lost").default(0).take()]).await?;
        let count = "UPDATE messages SET lost = ambiguous - crashes WHERE ambiguous > crashes";
        manager.get_connection().execute_unprepared(count).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "messages", &["lost"]).await
    }
}
