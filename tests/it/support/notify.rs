//! The part of systemd that a service talks to: a socket that takes its words.

use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::support::daemon::until;

/// A socket for `NOTIFY_SOCKET`, and all that was said to it.
pub struct Notify {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
    heard: Mutex<Vec<String>>,
}

impl Notify {
    /// A socket that nobody has spoken to.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        Self { socket, folder, heard: Mutex::default() }
    }

    /// The socket's path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Everything said so far, a datagram each.
    pub fn heard(&self) -> Vec<String> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut datagram = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut datagram) {
            heard.push(String::from_utf8(datagram[..n].to_vec()).unwrap());
        }
        heard.clone()
    }

    /// How many datagrams say `words`.
    pub fn n_heard(&self, words: &str) -> usize {
        self.heard().iter().filter(|said| said.contains(words)).count()
    }

    /// Listens until `words` have been said so many times.
    pub async fn hears(&self, words: &str, n: usize) {
        until(words, async || (n <= self.n_heard(words)).then_some(())).await;
    }
}
