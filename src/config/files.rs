//! The files that a configuration names: whether they are there, and for whom.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::config::{ConfigErrors, Loaded, Problem, SecretFile, rule::Rule, schema};

impl Loaded {
    /// Looks whether the files and folders that the options name are there and can be read, as
    /// the user who runs this. Notes a warning for every secret that everybody can read.
    /// `credentials` is the folder that systemd passes in `CREDENTIALS_DIRECTORY`.
    ///
    /// This is apart from loading, because an operator may look at a configuration as somebody
    /// who cannot, and should not, see its secrets.
    ///
    /// # Errors
    /// All files that are missing, cannot be read, or are folders, and the other way round.
    pub fn check_files(&mut self, credentials: Option<&Path>) -> Result<(), ConfigErrors> {
        let mut problems = Vec::new();
        for (option, rule) in schema::options() {
            let Some(text) = self.values.get(option).and_then(toml::Value::as_str) else {
                continue;
            };
            if text.is_empty() {
                continue;
            }
            let checked = match rule {
                Rule::Secret => secret(option, text, credentials),
                Rule::File => readable(option, Path::new(text)).map(|()| None),
                Rule::Folder => folder(option, Path::new(text)).map(|()| None),
                _ => continue,
            };
            let place = |(message, hint)| Problem {
                origin: self.origins.of(option),
                option: Some(option),
                message,
                hint,
            };
            match checked.map(|warning| warning.map(place)) {
                Ok(Some(warning)) if !self.warnings.contains(&warning) => {
                    self.warnings.push(warning);
                }
                Ok(_) => {}
                Err(finding) => problems.push(place(finding)),
            }
        }
        ConfigErrors::unless_empty(problems)
    }
}

/// What is wrong, and what to do about it.
type Finding = (String, Option<String>);

/// Fails if the secret cannot be read; gives a warning if everybody can.
fn secret(
    option: &'static str,
    text: &str,
    credentials: Option<&Path>,
) -> Result<Option<Finding>, Finding> {
    // The rule of the option has admitted the text.
    let Ok(file) = text.parse::<SecretFile>() else { return Ok(None) };
    let path = file.path(option, credentials).map_err(|error| {
        let hint = match &file {
            SecretFile::Credential(name) => {
                Some(format!("systemd sets it for a service with `LoadCredential={name}:PATH`"))
            }
            SecretFile::Path(_) => None,
        };
        (error.to_string(), hint)
    })?;
    readable(option, &path)?;
    let mode = fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode());
    Ok((mode & 0o007 != 0).then(|| {
        let message = format!("{option} is {path:?}, which every user of this machine can open");
        (message, Some(format!("chmod o= {}", path.display())))
    }))
}

fn readable(option: &str, path: &Path) -> Result<(), Finding> {
    match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => Err(misses(option, path, "is a folder")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(misses(option, path, "does not exist"))
        }
        Err(error) => Err(misses(option, path, &format!("cannot be read: {error}"))),
    }
}

fn folder(option: &str, path: &Path) -> Result<(), Finding> {
    match fs::read_dir(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(misses(option, path, "does not exist"))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(misses(option, path, "is not a folder"))
        }
        Err(error) => Err(misses(option, path, &format!("cannot be read: {error}"))),
    }
}

fn misses(option: &str, path: &Path, how: &str) -> Finding {
    let hint = "a relative path starts at the working directory of lapsed";
    let hint = path.is_relative().then(|| hint.to_owned());
    (format!("{option} is {path:?}, which {how}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::load;

    /// Loads `text`, in which `@` stands for `folder`, and checks its files.
    fn check(folder: &Path, text: &str) -> (String, Vec<String>) {
        let here = folder.display().to_string();
        let mut loaded = load(&text.replace('@', &here)).unwrap();
        let errors =
            loaded.check_files(None).map_or_else(|errors| errors.to_string(), |()| String::new());
        loaded.check_files(None).ok();
        let warnings =
            loaded.warnings.iter().map(|warning| warning.to_string().replace(&here, "@"));
        (errors.replace(&here, "@"), warnings.collect())
    }

    #[test]
    fn a_missing_file_is_told_for_each_option() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let (errors, warnings) = check(
            folder.path(),
            "keys.master_key_file = '@/key'\nmail.templates = '@/file'\nsmtp.ca_file = '@'\n\
             smtp.username = 'u'\nsmtp.password_file = 'credential:smtp'\n",
        );
        let expected = [
            r#"lapsed.toml:1:24: keys.master_key_file is "@/key", which does not exist"#,
            r#"lapsed.toml:2:18: mail.templates is "@/file", which is not a folder"#,
            r#"lapsed.toml:3:16: smtp.ca_file is "@", which is a folder"#,
            "lapsed.toml:5:22: smtp.password_file names a credential, \
             but CREDENTIALS_DIRECTORY is not set",
            "  hint: systemd sets it for a service with `LoadCredential=smtp:PATH`",
        ];
        assert_eq!(errors, expected.join("\n"));
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn a_secret_that_everybody_can_read_is_a_warning_once() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let (errors, warnings) = check(folder.path(), "keys.master_key_file = '@/key'");
        assert_eq!(errors, "");
        assert_eq!(
            warnings,
            ["lapsed.toml:1:24: keys.master_key_file is \"@/key\", which every user of this \
              machine can open\n  hint: chmod o= @/key"]
        );
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(check(folder.path(), "keys.master_key_file = '@/key'").1, [""; 0]);
    }
}
