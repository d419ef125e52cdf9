//! The columns of an import.

/// A column, by its place in [`COLUMNS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Tenant,
    Environment,
    Owner,
    OwnerKind,
    OwnerName,
    Name,
    Kind,
    Created,
    Expires,
    SecretSha256,
    ExternalId,
    AccessEnds,
}

/// How many columns there are.
pub(super) const N_COLUMNS: usize = 12;

/// The names of the columns, in the order of [`Column`].
const COLUMNS: [&str; N_COLUMNS] = [
    "tenant",
    "environment",
    "owner",
    "owner_kind",
    "owner_name",
    "name",
    "kind",
    "created",
    "expires",
    "secret_sha256",
    "external_id",
    "access_ends",
];

/// Columns that a file of rejects or an export has too, and that are passed over.
const IGNORED: [&str; 7] = ["line", "reason", "id", "state", "window_ends", "last_used", "source"];

/// Columns without which nothing can be taken over.
const NEEDED: [Column; 5] =
    [Column::Tenant, Column::Environment, Column::Owner, Column::Name, Column::Expires];

impl Column {
    pub(super) fn name(self) -> &'static str {
        COLUMNS[self as usize]
    }
}

/// Where the cell called `name` goes; `Ok(None)` if it is passed over.
///
/// # Errors
/// What is wrong with the name.
pub(super) fn place(name: &str) -> Result<Option<usize>, String> {
    let name = name.trim();
    if let Some(place) = COLUMNS.iter().position(|known| *known == name) {
        return Ok(Some(place));
    }
    if IGNORED.contains(&name) {
        return Ok(None);
    }
    let nearest = COLUMNS.iter().min_by_key(|known| strsim::levenshtein(known, name));
    let near = nearest.filter(|known| strsim::levenshtein(known, name) <= 3);
    Err(match near {
        Some(near) => format!("`{name}` is no column; is `{near}` meant?"),
        None => format!("`{name}` is no column; there are {}", COLUMNS.join(", ")),
    })
}

/// Whether a header with these places lets anything be taken over.
///
/// # Errors
/// The first column that is missing.
pub(super) fn check(places: &[Option<usize>]) -> Result<(), String> {
    match NEEDED.iter().find(|column| !places.contains(&Some(**column as usize))) {
        Some(column) => Err(format!("the column `{}` is missing", column.name())),
        None => Ok(()),
    }
}
