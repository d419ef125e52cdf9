//! The one read: a key's newest secrets, and what decides whether they are good.

use std::sync::OnceLock;

use sea_orm::{DbErr, QueryResult};

use crate::{
    domain::{
        identity::PublicId,
        key::{Key, KeyId},
        token::Mac,
    },
    store::{
        Db, Engine, StoreError,
        row::{KeyColumns, key_of},
        sql::{Batch, Sql},
    },
};

const OP: &str = "verify a key";
/// After the columns of [`secrets`]: whose row it is, in an answer about several keys.
const WHOSE: usize = 12;

/// What is stored of one key: a row for each secret, the newest first; or one without any.
pub(super) type Answer = Result<Vec<QueryResult>, StoreError>;

/// The read as far as its values: it is asked for so often that putting it into words would show.
#[derive(Debug, Default)]
pub(super) struct Question(OnceLock<Sql>);

impl Question {
    fn about(&self, db: &Db, id: PublicId) -> Sql {
        let begin = || secrets(db, Sql::new(db.conn(), OP));
        newest(self.0.get_or_init(begin).clone().bind(id.as_str()))
    }

    /// What is stored of the key called `id`.
    pub(super) async fn one(&self, db: &Db, id: PublicId) -> Answer {
        self.about(db, id).all(db.conn()).await
    }

    /// What is stored of each of these keys, in the order of `ids`; where [`most_reads`]
    /// says a number.
    pub(super) async fn many(&self, db: &Db, ids: &[PublicId]) -> Vec<Answer> {
        if let [id] = ids {
            return vec![self.one(db, *id).await];
        }
        let rows = match of_many(db, ids).all(db.conn()).await {
            Ok(rows) => rows,
            Err(error) => return ids.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut answers: Vec<Answer> = ids.iter().map(|_| Ok(Vec::new())).collect();
        for row in rows {
            let whose = row.try_get_by_index::<i64>(WHOSE).ok();
            let whose = whose.and_then(|n| usize::try_from(n).ok());
            if let Some(Ok(rows)) = whose.and_then(|n| answers.get_mut(n)) {
                rows.push(row);
            }
        }
        answers
    }
}

/// How many statements are worth having under way at a time, where one can read several keys; on
/// MariaDB it cannot, for want of a `LATERAL`. SQLite's has no way to go, but another thread to
/// wake.
pub(super) fn most_reads(db: &Db) -> Option<usize> {
    match db.engine() {
        Engine::Sqlite => Some(1),
        Engine::Postgres => Some(2),
        Engine::MariaDb => None,
    }
}

/// The one read, for those who want to see its plan or do the same. Its text is always the same.
pub fn of_one(db: &Db, id: PublicId) -> Sql {
    Question::default().about(db, id)
}

/// The one read for several keys at once, for those who want to see its plan. SQLite and PostgreSQL
/// understand it.
pub fn of_many(db: &Db, ids: &[PublicId]) -> Sql {
    if db.engine() == Engine::Sqlite {
        return of_many_by_json(db, ids);
    }
    let batch = Batch::new()
        .numbers("n", (0_i64..).take(ids.len()))
        .texts("public_id", ids.iter().map(|id| id.as_str().to_owned()));
    let sql = Sql::new(db.conn(), OP).push("SELECT x.*, v.n FROM ").batch(&batch);
    newest(secrets(db, sql.push(" LEFT JOIN LATERAL (")).push("v.public_id")).push(") x ON TRUE")
}

/// SQLite looks each key up in turn, as it does for one. `CROSS` keeps it from any other order.
fn of_many_by_json(db: &Db, ids: &[PublicId]) -> Sql {
    let ids: Vec<_> = ids.iter().map(PublicId::as_str).collect();
    columns_of(db, Sql::new(db.conn(), OP))
        .push(", v.key FROM json_each(")
        .bind(serde_json::Value::from(ids).to_string())
        .push(
            ") v CROSS JOIN api_keys k ON k.public_id = v.value \
             CROSS JOIN key_secrets s ON s.key_id = k.id AND s.algorithm = 1 \
             WHERE s.version >= COALESCE((SELECT x.version FROM key_secrets x \
             WHERE x.key_id = k.id AND x.algorithm = 1 \
             ORDER BY x.version DESC LIMIT 1 OFFSET 1), 0) ORDER BY v.key, s.version DESC",
        )
}

fn secrets(db: &Db, sql: Sql) -> Sql {
    columns_of(db, sql)
        .push(" FROM api_keys k JOIN key_secrets s ON s.key_id = k.id WHERE k.public_id = ")
}

fn columns_of(db: &Db, sql: Sql) -> Sql {
    sql.push(
        "SELECT s.mac, s.version, s.valid_until, k.id, k.state, k.kind, \
         k.expires_at, k.access_ends_at, k.window_ends_at, ",
    )
    .push(db.now_column())
    .push(" AS now, s.pepper_id, k.suspended_at")
}

fn newest(sql: Sql) -> Sql {
    sql.push(" AND s.algorithm = 1 ORDER BY s.version DESC LIMIT 2")
}

/// What is remembered of the secret of `row`; `None` if it has none.
pub(super) fn mac_of(row: &QueryResult) -> Result<Option<Mac>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get_by_index(0).map_err(StoreError::during(OP))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let corrupt = |_| StoreError::Corrupt { what: "a secret's MAC", found: "too short".to_owned() };
    Ok(Some(Mac { bytes: bytes.try_into().map_err(corrupt)?, pepper: pepper_of(row)? }))
}

fn pepper_of(row: &QueryResult) -> Result<i16, StoreError> {
    row.try_get_by_index(10).map_err(StoreError::during(OP))
}

/// What a row brings of a key, once its secret has been proved.
pub(super) struct Found {
    pub(super) id: KeyId,
    pub(super) key: Key,
    pub(super) version: i64,
    pub(super) valid_until: Option<i64>,
    pub(super) now: Option<i64>,
    pub(super) pepper: i16,
}

impl Found {
    pub(super) fn read(row: &QueryResult) -> Result<Self, StoreError> {
        let columns = columns(row).map_err(StoreError::during(OP))?;
        let corrupt = |found| StoreError::Corrupt { what: "a verified key", found };
        let number = |index| row.try_get_by_index(index).map_err(StoreError::during(OP));
        let maybe = |index| row.try_get_by_index(index).map_err(StoreError::during(OP));
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
