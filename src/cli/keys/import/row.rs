//! From the texts of a row to a row that means something.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::{
    cli::{
        args,
        keys::import::columns::{Column, N_COLUMNS},
        when,
    },
    domain::{
        identity::{KeyKind, OwnerKind},
        name::{Label, Slug},
    },
    random,
    store::import::ImportRow,
};

/// The most characters of an external id.
const MAX_EXTERNAL_ID: usize = 200;

/// A row as it was read.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    /// Where it stands, counted from 1.
    pub(super) line: u64,
    /// Its cells by column, or why there are none.
    pub(super) cells: Result<[String; N_COLUMNS], String>,
    /// What stood there, for the file of rejects.
    pub(super) original: Original,
}

/// What stood in the file.
#[derive(Clone, Debug)]
pub(super) enum Original {
    Csv(csv::ByteRecord),
    Json(String),
}

/// Reads the cells of a row.
///
/// # Errors
/// What is wrong with it, beginning with the column's name.
pub(super) fn parse(raw: &Raw, now: DateTime<Utc>) -> Result<ImportRow, String> {
    let cells = raw.cells.as_ref().map_err(Clone::clone)?;
    let row = Cells { cells };
    let owner = row.needed(Column::Owner, args::email)?;
    let owner_name = match row.maybe(Column::OwnerName, str::parse::<Label>)? {
        Some(name) => name,
        None => row.read(Column::Owner, local_part(&owner), str::parse)?,
    };
    let kind = row.maybe(Column::Kind, str::parse)?.unwrap_or(KeyKind::User);
    if kind == KeyKind::Service {
        return Err("kind is `service`: tokens for lapsed itself are made here".to_owned());
    }
    let created_at = row.maybe(Column::Created, when::instant)?;
    let expires_at = row.needed(Column::Expires, when::end)?.at();
    check_times(created_at, expires_at, now)?;
    let tenant: Slug = row.needed(Column::Tenant, str::parse)?;
    let environment: Slug = row.needed(Column::Environment, str::parse)?;
    let name: Label = row.needed(Column::Name, str::parse)?;
    let external_id = row.maybe(Column::ExternalId, external_id)?;
    let is_derived = external_id.is_none();
    let external_id = external_id.unwrap_or_else(|| {
        derived_id([tenant.as_str(), environment.as_str(), &owner, name.as_str(), kind.as_str()])
    });
    let draw = || random::public_id().map_err(|error| error.to_string());
    Ok(ImportRow {
        public_id: draw()?,
        owner_id: draw()?,
        tenant,
        environment,
        owner_kind: row.maybe(Column::OwnerKind, str::parse)?.unwrap_or(OwnerKind::Employee),
        owner_name,
        access_ends_at: row.maybe(Column::AccessEnds, when::instant)?,
        owner,
        name,
        kind,
        created_at,
        expires_at,
        secret: row.maybe(Column::SecretSha256, sha_256)?,
        external_id,
        is_derived,
    })
}

/// The cells of one row.
struct Cells<'a> {
    cells: &'a [String; N_COLUMNS],
}

impl Cells<'_> {
    fn text(&self, column: Column) -> &str {
        self.cells[column as usize].trim()
    }

    fn read<T, E: ToString>(
        &self,
        column: Column,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, String> {
        parse(text).map_err(|error| {
            let shown: String = text.chars().take(40).collect();
            format!("{} is `{shown}`: {}", column.name(), error.to_string())
        })
    }

    fn needed<T, E: ToString>(
        &self,
        column: Column,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, String> {
        match self.text(column) {
            "" => Err(format!("{} is empty", column.name())),
            text => self.read(column, text, parse),
        }
    }

    fn maybe<T, E: ToString>(
        &self,
        column: Column,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, String> {
        match self.text(column) {
            "" => Ok(None),
            text => self.read(column, text, parse).map(Some),
        }
    }
}

fn check_times(
    created_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    // Another system's clock may go a little before ours.
    let is_future = |at: &DateTime<Utc>| *at > now + TimeDelta::days(1);
    match (created_at, expires_at) {
        (Some(created_at), _) if is_future(&created_at) => {
            Err("created is in the future".to_owned())
        }
        (Some(created_at), Some(expires_at)) if expires_at <= created_at => {
            Err("expires is not after created".to_owned())
        }
        _ => Ok(()),
    }
}

fn local_part(email: &str) -> &str {
    email.rsplit_once('@').map_or(email, |(local, _)| local)
}

fn external_id(text: &str) -> Result<String, String> {
    if text.chars().count() <= MAX_EXTERNAL_ID && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("it has at most {MAX_EXTERNAL_ID} characters, and no control characters"))
    }
}

/// What tells a key from all others if nothing else does. Part of the stored format.
fn derived_id(names: [&str; 5]) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update(name.as_bytes());
        // No name contains it, so that no two lists of names make the same text.
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha_256(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "a SHA-256 has 64 hexadecimal digits".to_owned();
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        when::instant("2026-11-23T12:00:00Z").unwrap()
    }

    fn raw(change: impl FnOnce(&mut dyn FnMut(Column, &str))) -> Raw {
        let mut cells: [String; N_COLUMNS] = Default::default();
        let mut set = |column: Column, text: &str| cells[column as usize] = text.to_owned();
        set(Column::Tenant, "acme");
        set(Column::Environment, "production");
        set(Column::Owner, "Ada@ACME.example");
        set(Column::Name, "deploy");
        set(Column::Expires, "2027-01-01");
        change(&mut set);
        Raw { line: 2, cells: Ok(cells), original: Original::Json(String::new()) }
    }

    fn reason(column: Column, text: &str) -> String {
        parse(&raw(|set| set(column, text)), now()).unwrap_err()
    }

    #[test]
    fn what_is_not_said_has_a_usual_value() {
        let row = parse(&raw(|_| ()), now()).unwrap();
        assert_eq!((row.owner.as_str(), row.owner_name.as_str()), ("Ada@acme.example", "Ada"));
        assert_eq!((row.kind, row.owner_kind), (KeyKind::User, OwnerKind::Employee));
        assert_eq!(row.expires_at, Some(when::instant("2027-01-01T00:00:00Z").unwrap()));
        assert_eq!((row.created_at, row.secret, row.is_derived), (None, None, true));
        let never = parse(&raw(|set| set(Column::Expires, "never")), now()).unwrap();
        assert_eq!(never.expires_at, None);
    }

    #[test]
    fn a_derived_id_is_for_ever() {
        let row = parse(&raw(|_| ()), now()).unwrap();
        assert_eq!(row.external_id, "c04ad283759e340da08e49279fc7da4ec004ffed");
        let same = parse(&raw(|set| set(Column::Expires, "never")), now()).unwrap();
        assert_eq!(row.external_id, same.external_id, "the expiry is no part of it");
        let other = parse(&raw(|set| set(Column::Kind, "application")), now()).unwrap();
        assert_ne!(row.external_id, other.external_id);
    }

    #[test]
    fn a_reason_begins_with_the_column() {
        assert_eq!(reason(Column::Tenant, ""), "tenant is empty");
        assert_eq!(reason(Column::Expires, " "), "expires is empty");
        assert!(reason(Column::Owner, "ada").starts_with("owner is `ada`: a mail address has"));
        assert!(reason(Column::Created, "23.11.").starts_with("created is `23.11.`: a date"));
        assert_eq!(reason(Column::Created, "2026-11-25"), "created is in the future");
        let backwards = raw(|set| {
            set(Column::Created, "2026-11-02");
            set(Column::Expires, "2026-11-02");
        });
        assert_eq!(parse(&backwards, now()).unwrap_err(), "expires is not after created");
        assert_eq!(
            reason(Column::SecretSha256, "abc"),
            "secret_sha256 is `abc`: a SHA-256 has 64 hexadecimal digits"
        );
        assert!(reason(Column::Kind, "robot").starts_with("kind is `robot`: `robot` is not one"));
        assert!(reason(Column::Kind, "service").starts_with("kind is `service`"));
    }

    #[test]
    fn a_hash_is_read_digit_by_digit() {
        assert_eq!(sha_256(&"0aF".repeat(22)[..64]).unwrap()[..3], [0x0a, 0xf0, 0xaf]);
        assert!(sha_256(&"é".repeat(32)).is_err());
    }

    proptest! {
        /// Whatever stands in the cells: what is taken over is what was checked, and nothing else.
        #[test]
        fn any_cells_are_taken_over_or_refused(
            column in 0..N_COLUMNS, text in "\\PC{0,300}|[\\x00-\\x7f]{0,80}|[0-9T:.Z+-]{0,30}",
        ) {
            let mut raw = raw(|_| ());
            if let Ok(cells) = &mut raw.cells {
                cells[column] = text;
            }
            if let Ok(row) = parse(&raw, now()) {
                let texts = [row.name.as_str(), row.owner_name.as_str(), &row.owner, &row.external_id];
                for text in texts {
                    prop_assert!(!text.contains(char::is_control), "{:?}", text);
                    prop_assert!((1..=320).contains(&text.chars().count()), "{:?}", text);
                }
                prop_assert!(row.created_at.is_none_or(|at| row.expires_at.is_none_or(|end| at < end)));
            }
        }
    }
}
