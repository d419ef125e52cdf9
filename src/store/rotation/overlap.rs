//! The early end of an overlap: the old secret is dead from now on.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::{
    domain::key::KeyId,
    store::{
        Db, StoreError,
        entity::api_keys,
        keys,
        rotation::{RotationError, latest, write},
    },
};

/// Ends the overlap of a key's last rotation: only its newest secret goes on.
///
/// # Errors
/// [`RotationError::NoOverlap`] if it is over already; nothing has changed then.
pub async fn end_overlap(db: &Db, actor: &str, public_id: &str) -> Result<(), RotationError> {
    let tx = db.begin().await?;
    let query = api_keys::Entity::find().filter(api_keys::Column::PublicId.eq(public_id));
    let row = query.lock_exclusive().one(&*tx).await.map_err(StoreError::during("read a key"))?;
    let row = row.ok_or_else(|| RotationError::NoKey(public_id.to_owned()))?;
    let now = db.now(&*tx).await?;
    let newest = latest(&*tx, row.id).await?.map_or(0, |secret| secret.version);
    let ended = write::end_others(&*tx, KeyId(row.id), newest, now).await?;
    if ended.is_empty() {
        return Err(RotationError::NoOverlap);
    }
    let detail = serde_json::json!({ "ended_versions": ended });
    let ids = (row.tenant_id, row.owner_id);
    keys::record(&*tx, actor, "key.overlap-ended", KeyId(row.id), ids, detail, now).await?;
    Ok(tx.commit().await?)
}
