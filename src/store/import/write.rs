//! The statements that write a batch of imported keys. What belongs to a key finds its number by
//! the public id, so that nothing has to be read back.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::stage::Stage,
    store::{
        Engine, NoticeStatus, StoreError, Tx,
        amend::Amendment,
        audit::{self, NewEvent},
        codes::{Coded, StateCode},
        import::{Options, entry::NewEntry, places::Place},
        sql::{Batch, Sql},
        to_ms,
    },
};

/// The secret is a SHA-256 as another system made it.
const SHA_256: i16 = 2;

/// Writes new keys with all that belongs to them.
pub(super) async fn keys(
    tx: &Tx,
    options: &Options,
    entries: &[NewEntry<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    insert_keys(tx, options, entries).await?;
    insert_secrets(tx, entries, now).await?;
    insert_passed(tx, entries, now).await?;
    // Whoever imports is at the machine, where no policy asks for a code; the trail says where it
    // would have.
    let detail = |entry: &NewEntry<'_>| {
        let method = if entry.needs_otp { "local" } else { "none" };
        let mfa = serde_json::json!({ "method": method });
        serde_json::json!({ "source": options.source, "mfa": mfa }).to_string()
    };
    let batch = Batch::new()
        .texts("public_id", entries.iter().map(public_id))
        .texts("detail", entries.iter().map(detail));
    Sql::new(&**tx, "write the audit trail")
        .push(
            "INSERT INTO audit_events (tenant_id, key_id, owner_id, action, at, actor, detail) \
             SELECT k.tenant_id, k.id, k.owner_id, 'key.imported', ",
        )
        .bind(to_ms(now))
        .push(", ")
        .bind(options.actor.as_str())
        .push(", v.detail FROM ")
        .batch(&batch)
        .push(" JOIN api_keys k ON k.public_id = v.public_id")
        .execute(&**tx)
        .await
        .map(drop)
}

fn public_id(entry: &NewEntry<'_>) -> String {
    entry.row.public_id.to_string()
}

async fn insert_keys(
    tx: &Tx,
    options: &Options,
    entries: &[NewEntry<'_>],
) -> Result<(), StoreError> {
    let all = || entries.iter();
    let keys = || entries.iter().map(|entry| &entry.key);
    let batch = Batch::new()
        .texts("public_id", all().map(public_id))
        .texts("external_id", all().map(|entry| entry.row.external_id.clone()))
        .texts("name", all().map(|entry| entry.row.name.to_string()))
        .numbers("tenant_id", all().map(|entry| entry.place.tenant_id))
        .numbers("environment_id", all().map(|entry| entry.place.environment_id))
        .numbers("owner_id", all().map(|entry| entry.place.owner_id))
        .numbers("kind", keys().map(|key| key.kind.code().into()))
        .maybe_numbers("ttl", all().map(|entry| entry.ttl_ms))
        .numbers("issued", keys().map(|key| to_ms(key.issued_at)))
        .maybe_numbers("expires", keys().map(|key| key.expires_at().map(to_ms)))
        .maybe_numbers("access", keys().map(|key| key.access_ends_at.map(to_ms)))
        .maybe_numbers("review", keys().map(|key| key.review_at.map(to_ms)))
        .maybe_numbers("stage", keys().map(|key| key.last_stage.map(|stage| stage.code().into())))
        .numbers("job", all().map(|entry| entry.next.0.into()))
        .maybe_numbers("at", all().map(|entry| entry.next.1));
    Sql::new(&**tx, "import keys")
        .push(
            "INSERT INTO api_keys (public_id, external_id, name, tenant_id, environment_id, \
             owner_id, kind, ttl_ms, created_at, issued_at, expires_at, access_ends_at, \
             review_at, last_stage, next_job, next_action_at, version, state, source) \
             SELECT v.public_id, v.external_id, v.name, v.tenant_id, v.environment_id, \
             v.owner_id, v.kind, v.ttl, v.issued, v.issued, v.expires, v.access, \
             v.review, v.stage, v.job, v.at, 1, ",
        )
        .bind(StateCode::Active.code())
        .push(", ")
        .bind(options.source.as_str())
        .push(" FROM ")
        .batch(&batch)
        .push(" WHERE true")
        // Somebody else may be importing the same file.
        .or_ignore("api_keys", "tenant_id, source, external_id")
        .execute(&**tx)
        .await
        .map(drop)
}

async fn insert_secrets(
    tx: &Tx,
    entries: &[NewEntry<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let with_secret =
        || entries.iter().filter_map(|entry| entry.row.secret.map(|secret| (entry, secret)));
    let batch = Batch::new()
        .texts("public_id", with_secret().map(|(entry, _)| public_id(entry)))
        .texts("mac", with_secret().map(|(_, secret)| hex(&secret)));
    if batch.is_empty() {
        return Ok(());
    }
    Sql::new(&**tx, "import secrets")
        .push(
            "INSERT INTO key_secrets (key_id, mac, version, pepper_id, algorithm, created_at) \
             SELECT k.id, ",
        )
        .on(Engine::Postgres, "decode(v.mac, 'hex')")
        .on(Engine::Sqlite, "unhex(v.mac)")
        .on(Engine::MariaDb, "UNHEX(v.mac)")
        .push(", 1, 0, ")
        .bind(SHA_256)
        .push(", ")
        .bind(to_ms(now))
        .push(" FROM ")
        .batch(&batch)
        .push(" JOIN api_keys k ON k.public_id = v.public_id")
        .execute(&**tx)
        .await
        .map(drop)
}

/// Writes down the reminders that are taken as told.
async fn insert_passed(
    tx: &Tx,
    entries: &[NewEntry<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let passed = || {
        entries.iter().flat_map(|entry| {
            let about = entry.key.expires_at().unwrap_or(now);
            entry.passed.iter().map(move |stage| (entry, *stage, about))
        })
    };
    let batch = Batch::new()
        .texts("public_id", passed().map(|(entry, ..)| public_id(entry)))
        .numbers("stage", passed().map(|(_, stage, _)| stage.code().into()))
        .numbers("about", passed().map(|(.., about)| to_ms(about)))
        .numbers("due_at", passed().map(|(_, stage, about)| to_ms(due_at(stage, about))));
    if batch.is_empty() {
        return Ok(());
    }
    Sql::new(&**tx, "write notices")
        .push(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, due_at, reason, \
             status, created_at) SELECT k.id, k.tenant_id, k.owner_id, v.stage, v.about, \
             v.due_at, 'its time had passed before the import', ",
        )
        .bind(NoticeStatus::Baseline.code())
        .push(", ")
        .bind(to_ms(now))
        .push(" FROM ")
        .batch(&batch)
        .push(" JOIN api_keys k ON k.public_id = v.public_id WHERE true")
        .or_ignore("notices", "key_id, expires_at, stage")
        .execute(&**tx)
        .await
        .map(drop)
}

/// When a reminder would have been told.
fn due_at(stage: Stage, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    match stage {
        Stage::Expiring { days } => expires_at - TimeDelta::days(days.into()),
        _ => expires_at,
    }
}

/// Writes down which keys have another expiry now.
pub(super) async fn changes(
    tx: &Tx,
    options: &Options,
    updates: &[(Amendment, Place)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let event = |(amendment, place): &(Amendment, Place)| NewEvent {
        action: "key.changed",
        tenant_id: Some(place.tenant_id),
        key_id: Some(amendment.id),
        owner_id: Some(place.owner_id),
        detail: serde_json::json!({
            "source": options.source, "after": { "expires_at": amendment.expires_at },
        })
        .to_string(),
    };
    let events: Vec<_> = updates.iter().map(event).collect();
    audit::insert(&**tx, &options.actor, &events, now).await.map(drop)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
