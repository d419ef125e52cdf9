//! Why a key is over: written down when it ends, and no longer read off its dates, by which a key
//! that somebody revoked looked as if it had ended with the access of its owner.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, extend, maybe_code};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The trail knows whom somebody revoked; for the rest, the dates say what they said so far.
const BACK_FILL: &str = "UPDATE api_keys SET end_reason = CASE WHEN EXISTS (SELECT 1 \
     FROM audit_events WHERE audit_events.key_id = api_keys.id \
     AND audit_events.action = 'key.revoked') THEN 2 \
     WHEN access_ends_at <= expires_at THEN 3 ELSE 2 END WHERE state = 3";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of a key that is over for good: 2 somebody revoked it, 3 its owner's access ended, as in
        // `tombstones`. NULL: it is not over, or nobody has said.
        extend(manager, "api_keys", vec![maybe_code("end_reason")]).await?;
        manager.get_connection().execute_unprepared(BACK_FILL).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "api_keys", &["end_reason"]).await
    }
}
