//! The journal of systemd, which takes a line with its fields.

use std::{fs::File, io, os::fd::AsFd, os::unix::fs::MetadataExt as _};

use tracing_journald::{Layer, Priority, PriorityMappings};

/// What the names of our fields begin with in the journal: `job.name` is `LAPSED_JOB_NAME` there.
const PREFIX: &str = "LAPSED";

/// Whether what is written to stderr goes to the journal, as systemd says (`JOURNAL_STREAM` in
/// systemd.exec(5)). A stderr that was led elsewhere since is another one.
pub(super) fn is_stderr() -> bool {
    let said = std::env::var_os("JOURNAL_STREAM");
    let found = identity(io::stderr());
    said.is_some_and(|said| found.is_ok_and(|found| said == *found))
}

/// What systemd calls a stream by.
fn identity(stream: impl AsFd) -> io::Result<String> {
    let about = File::from(stream.as_fd().try_clone_to_owned()?).metadata()?;
    Ok(format!("{}:{}", about.dev(), about.ino()))
}

/// Lines for the journal.
///
/// # Errors
/// If no journal listens on this machine.
pub(super) fn lines() -> io::Result<Layer> {
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    let layer = Layer::new()?.with_field_prefix(Some(PREFIX.to_owned()));
    Ok(layer.with_syslog_identifier("lapsed".to_owned()).with_priority_mappings(priorities))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_name_and_another_stream_another() {
        let (one, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let name = identity(&one).unwrap();
        assert_eq!(identity(one.try_clone().unwrap()).unwrap(), name);
        assert_ne!(identity(&other).unwrap(), name);
        let (device, inode) = name.split_once(':').unwrap();
        assert!(device.parse::<u64>().is_ok() && inode.parse::<u64>().is_ok(), "{name}");
    }
}
