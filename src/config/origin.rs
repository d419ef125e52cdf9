//! Where values come from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Serialize;

/// Where a value, or a mistake, stands. Its text is `lapsed.toml:12`, `LAPSED_HTTP__LISTEN` or
/// `default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// In a file, at a line and a column, both counted from 1, the column in characters.
    File {
        /// The file as it was named to `lapsed`.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Where in the line the value begins.
        column: usize,
    },
    /// In a variable of the environment.
    Env {
        /// The variable's name.
        name: String,
    },
    /// Nowhere: nobody set it.
    #[default]
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Env { name } => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Where the value of each option comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    /// Where the value of `option`, such as `http.listen`, comes from. A name that is no option
    /// has the origin of what nobody set.
    pub fn of(&self, option: &str) -> Origin {
        self.0.get(option).cloned().unwrap_or_default()
    }

    /// Notes where the value of `option` comes from; the last note counts.
    pub(super) fn note(&mut self, option: &'static str, origin: Origin) {
        self.0.insert(option, origin);
    }
}
