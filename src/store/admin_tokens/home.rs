//! Where administrators' tokens are at home: the tenant, the environment and the owners that are
//! made with the first of them.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    domain::identity::{OwnerKind, PublicId},
    store::{
        StoreError, Tx,
        admin_tokens::{ENVIRONMENT, FORM, Holder, OWNER, TENANT},
        codes::Coded,
        entity::{environments, owners, tenants},
        owners as owner_rows, to_ms,
    },
};

pub(super) async fn tenant(tx: &Tx, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let during = || StoreError::during("make the tenant of administrators' tokens");
    let found = tenants::Entity::find().filter(tenants::Column::Slug.eq(TENANT)).one(&**tx).await;
    if let Some(row) = found.map_err(during())? {
        return Ok(row.id);
    }
    let row = tenants::ActiveModel {
        slug: Set(TENANT.to_owned()),
        name: Set("lapsed itself".to_owned()),
        contacts: Set("[]".to_owned()),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    Ok(row.insert(&**tx).await.map_err(during())?.id)
}

pub(super) async fn environment(
    tx: &Tx,
    tenant_id: i64,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    use environments::{ActiveModel, Column, Entity};

    let during = || StoreError::during("make the environment of administrators' tokens");
    let query = Entity::find().filter(Column::TenantId.eq(tenant_id));
    let found = query.filter(Column::Slug.eq(ENVIRONMENT)).one(&**tx).await;
    if let Some(row) = found.map_err(during())? {
        return Ok(row.id);
    }
    let row = ActiveModel {
        tenant_id: Set(tenant_id),
        slug: Set(ENVIRONMENT.to_owned()),
        name: Set("Administration".to_owned()),
        class: Set(FORM.1.code()),
        contacts: Set("[]".to_owned()),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    Ok(row.insert(&**tx).await.map_err(during())?.id)
}

/// The number of whom a token belongs to; they are made if they are not there.
pub(super) async fn owner(
    tx: &Tx,
    tenant_id: i64,
    holder: Holder<'_>,
    public_id: PublicId,
    (actor, now): (&str, DateTime<Utc>),
) -> Result<i64, StoreError> {
    use owners::{ActiveModel, Column, Entity};

    let during = || StoreError::during("make the owner of a token");
    let email = match holder {
        Holder::Owner(id) => return Ok(id),
        Holder::Mail(email) => email,
        Holder::Nobody => OWNER,
    };
    let query = Entity::find().filter(Column::TenantId.eq(tenant_id));
    let found = query.filter(Column::Email.eq(email)).one(&**tx).await;
    if let Some(row) = found.map_err(during())? {
        return Ok(row.id);
    }
    let row = ActiveModel {
        public_id: Set(public_id.to_string()),
        tenant_id: Set(tenant_id),
        email: Set(email.to_owned()),
        time_zone: Set("UTC".to_owned()),
        locale: Set("en".to_owned()),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    let row = match holder {
        Holder::Mail(_) => ActiveModel {
            name: Set(email.split('@').next().unwrap_or_default().to_owned()),
            kind: Set(OwnerKind::Employee.code()),
            mail_status: Set(1),
            ..row
        },
        _ => ActiveModel {
            name: Set("Administrators' tokens".to_owned()),
            kind: Set(OwnerKind::Application.code()),
            // Refused from the beginning, so that nobody tries and the contacts are told.
            mail_status: Set(2),
            mail_status_at: Set(Some(to_ms(now))),
            mail_status_reason: Set(Some("it is no mailbox".to_owned())),
            ..row
        },
    };
    let id = row.insert(&**tx).await.map_err(during())?.id;
    if let Holder::Mail(_) = holder {
        let kind = OwnerKind::Employee.as_str();
        let detail = serde_json::json!({ "kind": kind, "access_ends_at": serde_json::Value::Null })
            .to_string();
        owner_rows::record(&**tx, actor, "owner.added", (tenant_id, id), detail, now).await?;
    }
    Ok(id)
}
