//! Postfix's two programs for measuring mail: one that takes every mail, one that sends them.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use crate::measure::wait;

/// A mail server that takes every mail and forgets it. It ends when this is dropped.
pub(crate) struct Sink {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Sink {
    /// Starts one on a free port.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // Taken and given back, so that it is most likely free.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("smtp-sink")
            .args(["-u", "nobody", &address.to_string(), "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start `smtp-sink`; Debian has it in the package postfix")?;
        let mut sink = Self { child, address };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(sink);
            }
            if let Some(status) = sink.child.try_wait()? {
                bail!("`smtp-sink` ended at once: {status}");
            }
            wait(Duration::from_millis(50)).await;
        }
        bail!("`smtp-sink` does not listen on {address}")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends so many mails of so many bytes over so many connections with `smtp-source`, which keeps
/// its connections as a daemon does.
pub(crate) async fn smtp_source(
    to: SocketAddr,
    lanes: usize,
    n_mails: u64,
    bytes: usize,
) -> anyhow::Result<()> {
    let [lanes, n_mails, bytes] = [lanes.to_string(), n_mails.to_string(), bytes.to_string()];
    let mut child = Command::new("smtp-source")
        .args(["-d", "-s", &lanes, "-m", &n_mails, "-l", &bytes])
        .args(["-f", "keys@acme.example", "-t", "owner@example.org", &to.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .context("start `smtp-source`; Debian has it in the package postfix")?;
    let status = tokio::task::spawn_blocking(move || child.wait()).await??;
    ensure!(status.success(), "`smtp-source` failed: {status}");
    Ok(())
}
