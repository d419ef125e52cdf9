//! Files with secrets: named in the configuration, read when they are needed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use secrecy::{SecretString, zeroize::Zeroize};
use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

use crate::config::Config;

/// The beginning of the name of a credential.
const CREDENTIAL: &str = "credential:";

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFile {
    /// In this file.
    Path(PathBuf),
    /// In the credential of this name, which systemd passes.
    Credential(String),
}

/// Why a secret cannot be had. Says the option and the path, never the content.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Nobody passes credentials.
    #[error("{option} names a credential, but CREDENTIALS_DIRECTORY is not set")]
    NoCredentials {
        /// The option that names it.
        option: &'static str,
    },
    /// The file is not there, or not for us.
    #[error("{option} is \"{}\", which cannot be read", path.display())]
    Unreadable {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{option} is \"{}\", which is empty", path.display())]
    Empty {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
}

impl SecretFile {
    /// The file to read. `credentials` is the folder that systemd passes in
    /// `CREDENTIALS_DIRECTORY`; `option` is for the error.
    ///
    /// # Errors
    /// [`SecretError::NoCredentials`] for a credential where there is no such folder.
    pub fn path(
        &self,
        option: &'static str,
        credentials: Option<&Path>,
    ) -> Result<PathBuf, SecretError> {
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Credential(name) => credentials
                .map(|folder| folder.join(name))
                .ok_or(SecretError::NoCredentials { option }),
        }
    }

    /// Reads a secret that is a text, without the one newline at its end that editors put there.
    /// A secret that is not UTF-8 counts as unreadable.
    ///
    /// # Errors
    /// Says which option names the file, and why it cannot be read.
    pub fn read(
        &self,
        option: &'static str,
        credentials: Option<&Path>,
    ) -> Result<SecretString, SecretError> {
        let path = self.path(option, credentials)?;
        let mut text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(SecretError::Unreadable { option, path, source }),
        };
        let trimmed =
            text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
        let secret = SecretString::from(trimmed);
        let is_empty = trimmed.is_empty();
        text.zeroize();
        if is_empty { Err(SecretError::Empty { option, path }) } else { Ok(secret) }
    }
}

impl Config {
    /// The password of the database, if there is one. `credentials` as in [`SecretFile::path`].
    ///
    /// # Errors
    /// As [`SecretFile::read`].
    pub fn database_password(
        &self,
        credentials: Option<&Path>,
    ) -> Result<Option<SecretString>, SecretError> {
        let file = self.database.password_file.as_ref();
        file.map(|file| file.read("database.password_file", credentials)).transpose()
    }

    /// The password of the mail server, if there is one. `credentials` as in
    /// [`SecretFile::path`].
    ///
    /// # Errors
    /// As [`SecretFile::read`].
    pub fn smtp_password(
        &self,
        credentials: Option<&Path>,
    ) -> Result<Option<SecretString>, SecretError> {
        let file = self.smtp.password_file.as_ref();
        file.map(|file| file.read("smtp.password_file", credentials)).transpose()
    }
}

/// A text that names neither a file nor a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected the path of a file, or `credential:NAME`")]
pub struct NotASecretFile;

impl FromStr for SecretFile {
    type Err = NotASecretFile;

    fn from_str(text: &str) -> Result<Self, NotASecretFile> {
        match text.strip_prefix(CREDENTIAL) {
            // A name with a slash would lead out of the folder.
            Some("" | "." | "..") => Err(NotASecretFile),
            Some(name) if name.contains('/') => Err(NotASecretFile),
            Some(name) => Ok(Self::Credential(name.to_owned())),
            None if text.is_empty() => Err(NotASecretFile),
            None => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Credential(name) => write!(f, "{CREDENTIAL}{name}"),
        }
    }
}

/// Reads where a secret is kept; an empty text is nowhere.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretFile>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(content: &[u8]) -> Result<String, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("smtp"), content).unwrap();
        let file: SecretFile = "credential:smtp".parse().unwrap();
        file.read("smtp.password_file", Some(folder.path()))
            .map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn one_newline_at_the_end_is_not_the_secret() {
        assert_eq!(read(b"hunter2").unwrap(), "hunter2");
        assert_eq!(read(b"hunter2\n").unwrap(), "hunter2");
        assert_eq!(read(b"hunter2\r\n").unwrap(), "hunter2");
        assert_eq!(read(b" hunter2 \n\n").unwrap(), " hunter2 \n");
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_shown() {
        assert!(matches!(read(b""), Err(SecretError::Empty { .. })));
        assert!(matches!(read(b"\n"), Err(SecretError::Empty { .. })));
        assert!(matches!(read(b"\xff\xfe"), Err(SecretError::Unreadable { .. })));
        let gone = SecretFile::Path("/nowhere/secret".into());
        assert_eq!(
            gone.read("smtp.password_file", None).unwrap_err().to_string(),
            "smtp.password_file is \"/nowhere/secret\", which cannot be read"
        );
    }

    #[test]
    fn a_credential_needs_its_folder_and_stays_in_it() {
        let file: SecretFile = "credential:smtp".parse().unwrap();
        assert_eq!(
            file.path("smtp.password_file", None).unwrap_err().to_string(),
            "smtp.password_file names a credential, but CREDENTIALS_DIRECTORY is not set"
        );
        for wrong in ["", "credential:", "credential:..", "credential:../etc/shadow"] {
            assert_eq!(wrong.parse::<SecretFile>(), Err(NotASecretFile), "{wrong}");
        }
    }
}
