//! Mails as `.eml` files in a folder: the default without a relay, and what `lapsed demo` shows.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    outcome::{Outcome, SmtpStage},
    transport::Outgoing,
};

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The folder. Made if it is not there.
    pub folder: PathBuf,
}

/// Longest file name, without its ending.
const MAX_STEM: usize = 120;

/// Writes a mail. When this says [`Outcome::Accepted`], the file is on the disk, whole.
pub(super) async fn write(settings: &FileSettings, mail: Outgoing) -> Outcome {
    let folder = settings.folder.clone();
    let stem = stem(&mail);
    let file = format!("{stem}.eml");
    match in_background(move || write_atomically(&folder, &stem, &mail.bytes)).await {
        Ok(()) => {
            Outcome::Accepted { reply: format!("250 written to `{file}`"), refused: Vec::new() }
        }
        Err(err) => failed(settings, &err),
    }
}

/// Makes the folder, and tries whether a file can be written into it.
pub(super) async fn check(settings: &FileSettings) -> Result<String, Outcome> {
    let folder = settings.folder.clone();
    let tried = in_background(move || {
        write_atomically(&folder, ".check", b"")?;
        fs::remove_file(folder.join(".check.eml"))
    });
    match tried.await {
        Ok(()) => Ok(format!("writes mails to the folder `{}`", settings.folder.display())),
        Err(err) => Err(failed(settings, &err)),
    }
}

/// A folder that cannot be written to is no fault of the mail.
fn failed(settings: &FileSettings, err: &io::Error) -> Outcome {
    let why = format!("write to the folder `{}`: {err}", settings.folder.display());
    Outcome::NotSent { stage: SmtpStage::Connect, why }
}

async fn in_background(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Nobody ever sees half a mail under the final name, not even after a power cut.
fn write_atomically(folder: &Path, stem: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!(".{stem}.tmp"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(format!("{stem}.eml")))?;
    File::open(folder)?.sync_all()
}

/// The file's name without its ending: the local part of the Message-ID, so that a mail sent
/// twice is one file. Without a usable Message-ID it is the caller's id.
fn stem(mail: &Outgoing) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let local = message_id(&mail.bytes).and_then(|id| id.split('@').next());
    let stem: String = local.unwrap_or_default().chars().map(plain).take(MAX_STEM).collect();
    match stem.trim_start_matches('.') {
        "" => mail.id.to_string(),
        stem => stem.to_owned(),
    }
}

/// What stands between the angle brackets of the Message-ID header.
fn message_id(message: &[u8]) -> Option<&str> {
    const NAME: &str = "Message-ID:";
    let lines = message.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let line = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| str::from_utf8(line).ok())
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    Some(line[NAME.len()..].trim().trim_start_matches('<').trim_end_matches('>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(id: i64, head: &str) -> Outgoing {
        let bytes = format!("{head}\r\n\r\nHello\r\n").into_bytes();
        Outgoing {
            id,
            from: "keys@example.com".into(),
            to: vec!["a@example.org".into()],
            bytes,
            not_after: None,
        }
    }

    #[test]
    fn a_file_is_named_after_the_message_id_and_never_leaves_the_folder() {
        let table = [
            ("Message-ID: <7Hk2.1@keys.example.com>", "7Hk2.1"),
            ("Subject: x\r\nmessage-id:<a b>", "a_b"),
            ("Message-ID: <../../etc/passwd@x>", "_.._etc_passwd"),
            ("Message-ID: <..@x>", "5"),
            ("Subject: none\r\n\r\nMessage-ID: <body@x>", "5"),
            ("Subject: none", "5"),
        ];
        for (head, expected) in table {
            assert_eq!(stem(&mail(5, head)), expected, "{head}");
        }
        let long = format!("Message-ID: <{}@x>", "x".repeat(500));
        assert_eq!(stem(&mail(5, &long)).len(), MAX_STEM);
    }

    #[tokio::test]
    async fn a_mail_sent_twice_is_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let settings = FileSettings { folder: dir.path().join("new/mail") };
        for head in ["Message-ID: <1@x>", "Message-ID: <2@x>", "Message-ID: <1@x>"] {
            let outcome = write(&settings, mail(1, head)).await;
            assert!(outcome.is_accepted(), "{outcome}");
        }
        check(&settings).await.unwrap();
        let entries = fs::read_dir(&settings.folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["1.eml", "2.eml"]);
        let written = fs::read(settings.folder.join("1.eml")).unwrap();
        assert_eq!(written, mail(1, "Message-ID: <1@x>").bytes);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_the_channels_fault() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = FileSettings { folder: file.path().join("mail") };
        let outcome = write(&settings, mail(1, "Subject: x")).await;
        assert_eq!(outcome.class(), Some(crate::mail::outcome::Class::Channel), "{outcome}");
        assert!(check(&settings).await.is_err());
    }
}
