//! What the fields of policies need that are about the end of keys, keys out of use, and mails.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_columns, drop_index, extend, index, maybe_code, maybe_number};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let keys = vec![
            // The `window_ends_at` for which somebody has let the key be purged, where its policy
            // asks for that. Another end asks for another word.
            maybe_number("purge_approved_for"),
            // When its owner was told that it will be suspended, because nothing uses it.
            maybe_number("unused_warned_at"),
            // Why a suspended key is suspended: 1 nothing used it. NULL: somebody asked for it.
            maybe_code("suspend_reason"),
        ];
        extend(manager, "api_keys", keys).await?;
        // Until when the record of the key is kept. NULL: from before there was this column; the
        // next time that history is deleted, the policy of then says it.
        extend(manager, "tombstones", vec![maybe_number("keep_until")]).await?;
        drop_index(manager, "tombstones", "ix_tombstones_purged").await?;
        index(manager, "tombstones", "ix_tombstones_keep", "keep_until", None).await?;
        // The message of which it is a copy, for the contacts: it says what that says, and carries
        // no notice.
        extend(manager, "messages", vec![maybe_number("copy_of")]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, "messages", &["copy_of"]).await?;
        drop_index(manager, "tombstones", "ix_tombstones_keep").await?;
        index(manager, "tombstones", "ix_tombstones_purged", "purged_at", None).await?;
        drop_columns(manager, "tombstones", &["keep_until"]).await?;
        let keys = ["purge_approved_for", "unused_warned_at", "suspend_reason"];
        drop_columns(manager, "api_keys", &keys).await
    }
}
