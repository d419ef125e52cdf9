//! "Is this key valid?": one indexed read, and nothing is written.
//!
//! A text that is no key never gets here as far as a query. Of the rest, the secret is compared in
//! constant time before anything is told of its key; and where there is no such key a secret is
//! compared all the same, so that the answer takes as long.

use sea_orm::{DbErr, QueryResult};

use crate::{
    domain::{
        derived::Derived,
        identity::PublicId,
        key::{Key, KeyId},
        token::{Brand, Mac, Token},
        verdict::{Finding, Verdict, judge},
    },
    store::{
        Db, StoreError, from_ms,
        last_use::{LastUse, Use},
        row::{KeyColumns, key_of},
        sql::Sql,
    },
};

/// Secrets of a key that are compared: its newest, and the one before it.
const MOST_SECRETS: usize = 2;

/// Judges what somebody presents as a key. A good one is noted in `uses`, with what presented it
/// (`by`) if that is known, to be written down later.
///
/// The database is not asked about a text that is mistyped. Secrets that another system issued are
/// not ours to verify, and are as unknown as any other.
///
/// # Errors
/// If the database does not answer, or what is stored of the very key makes no sense. Whoever asks
/// must then let nobody in.
pub async fn verify(
    db: &Db,
    (brand, pepper): (Brand, &Derived),
    uses: &LastUse,
    (text, by): (&str, Option<String>),
) -> Result<Verdict, StoreError> {
    let Ok(token) = Token::parse(brand, text) else { return Ok(Verdict::INVALID) };
    let presented = token.macs(pepper);
    let rows = statement(db, token.id).all(db.conn()).await?;
    let Some(row) = matching(&rows, &presented)? else { return Ok(Verdict::INVALID) };
    let found = Found::read(row)?;
    let now = db.now_of(found.now)?;
    let valid_until = found.valid_until.and_then(from_ms);
    let verdict = judge(token.id, &found.key, found.version, valid_until, now);
    if verdict.finding == Finding::Valid {
        // What was remembered under the master key before is remembered anew.
        let mac = presented.into_iter().next().filter(|mac| mac.pepper != found.pepper);
        uses.note(Use { key: found.id, version: found.version, at: now, by, mac });
    }
    Ok(verdict)
}

/// The one read, for those who want to see its plan. Its text is always the same.
pub fn statement(db: &Db, id: PublicId) -> Sql {
    Sql::new(db.conn(), "verify a key")
        .push(
            "SELECT s.mac, s.version, s.valid_until, k.id, k.state, k.kind, \
             k.expires_at, k.access_ends_at, k.window_ends_at, ",
        )
        .push(db.now_column())
        .push(", s.pepper_id, k.suspended_at FROM api_keys k JOIN key_secrets s ON s.key_id = k.id WHERE k.public_id = ")
        .bind(id.as_str())
        .push(" AND s.algorithm = 1 ORDER BY s.version DESC LIMIT 2")
}

/// The row whose secret was presented. As many secrets are compared whether there are any or not.
fn matching<'a>(
    rows: &'a [QueryResult],
    presented: &[Mac],
) -> Result<Option<&'a QueryResult>, StoreError> {
    let mut found = None;
    for n in 0..MOST_SECRETS {
        let stored = match rows.get(n) {
            Some(row) => mac_of(row)?,
            None => Mac { bytes: [0; 32], pepper: 0 },
        };
        for mac in presented {
            let is_this = mac.meets(&stored);
            found = if is_this { rows.get(n) } else { found };
        }
    }
    Ok(found)
}

fn mac_of(row: &QueryResult) -> Result<Mac, StoreError> {
    let bytes: Vec<u8> = row.try_get_by_index(0).map_err(StoreError::during("verify a key"))?;
    let corrupt = |_| StoreError::Corrupt { what: "a secret's MAC", found: "too short".to_owned() };
    Ok(Mac { bytes: bytes.try_into().map_err(corrupt)?, pepper: pepper_of(row)? })
}

fn pepper_of(row: &QueryResult) -> Result<i16, StoreError> {
    row.try_get_by_index(10).map_err(StoreError::during("verify a key"))
}

/// What the read brings of a key, once its secret has been proved.
struct Found {
    id: KeyId,
    key: Key,
    version: i64,
    valid_until: Option<i64>,
    now: Option<i64>,
    pepper: i16,
}

impl Found {
    fn read(row: &QueryResult) -> Result<Self, StoreError> {
        let columns = columns(row).map_err(StoreError::during("verify a key"))?;
        let corrupt = |found| StoreError::Corrupt { what: "a verified key", found };
        let number =
            |index| row.try_get_by_index(index).map_err(StoreError::during("verify a key"));
        let maybe = |index| row.try_get_by_index(index).map_err(StoreError::during("verify a key"));
        Ok(Self {
            id: KeyId(number(3)?),
            key: key_of(columns).map_err(corrupt)?,
            version: number(1)?,
            valid_until: maybe(2)?,
            now: maybe(9)?,
            pepper: pepper_of(row)?,
        })
    }
}

/// What decides whether a secret is good. The rest of the row decides when its owner is told, and
/// every column that is read takes time.
fn columns(row: &QueryResult) -> Result<KeyColumns, DbErr> {
    Ok(KeyColumns {
        state: row.try_get_by_index(4)?,
        kind: row.try_get_by_index(5)?,
        issued_at: 0,
        expires_at: row.try_get_by_index(6)?,
        access_ends_at: row.try_get_by_index(7)?,
        review_at: None,
        window_ends_at: row.try_get_by_index(8)?,
        last_stage: None,
        is_suspended: row.try_get_by_index::<Option<i64>>(11)?.is_some(),
        // A hold keeps a key from its purge, and is nothing to whoever presents a secret.
        is_held: false,
        wish: None,
        uses: None,
    })
}
