//! From a row to an owner.

use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};

use crate::{
    domain::{identity::OwnerKind, wish::Wish},
    store::{StoreError, codes::Coded, from_ms, owners::Owner, sql::Sql},
};

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    public_id: String,
    tenant_id: i64,
    tenant: String,
    email: String,
    name: String,
    kind: i16,
    access_ends_at: Option<i64>,
    time_zone: String,
    locale: String,
    otp_confirmed_at: Option<i64>,
    mail_status: i16,
    mail_status_reason: Option<String>,
    reminder_wish: Option<i16>,
    created_at: i64,
    n_keys: i64,
}

pub(super) fn select(conn: &impl ConnectionTrait) -> Sql {
    // An owner without a tenant there is not. Said so, no engine begins with one of the few tenants,
    // reads all of its owners and counts their keys, to show fifty.
    Sql::new(conn, "find owners").push(
        "SELECT o.id, o.public_id, o.tenant_id, t.slug AS tenant, o.email, o.name, o.kind, \
         o.access_ends_at, o.time_zone, o.locale, o.otp_confirmed_at, o.mail_status, o.mail_status_reason, \
         o.reminder_wish, o.created_at, (SELECT COUNT(*) FROM api_keys k WHERE k.owner_id = o.id) AS n_keys \
         FROM owners o LEFT JOIN tenants t ON t.id = o.tenant_id",
    )
}

pub(super) fn to_owner(row: &QueryResult) -> Result<Owner, StoreError> {
    let row = Row::from_query_result(row, "").map_err(StoreError::during("read an owner"))?;
    let kind = OwnerKind::of_code(row.kind).ok_or_else(|| StoreError::Corrupt {
        what: "the kind of an owner",
        found: row.kind.to_string(),
    })?;
    let refused = || row.mail_status_reason.clone().unwrap_or_else(|| "refused".to_owned());
    Ok(Owner {
        unreachable: (row.mail_status != 1).then(refused),
        id: row.id,
        public_id: row.public_id,
        tenant_id: row.tenant_id,
        tenant: row.tenant,
        email: row.email,
        name: row.name,
        kind,
        access_ends_at: row.access_ends_at.and_then(from_ms),
        time_zone: row.time_zone,
        locale: row.locale,
        wish: Wish::of_code(row.reminder_wish),
        is_enrolled: row.otp_confirmed_at.is_some(),
        created_at: from_ms(row.created_at).unwrap_or_default(),
        n_keys: row.n_keys.unsigned_abs(),
    })
}
