//! Mails to an SMTP relay, over lanes: each is one task that owns one connection.
//!
//! lettre speaks the protocol on a connection; its pool is not used, because it hands the answers
//! to one mail to the next one after a timeout. Here every step has a time limit of its own, a
//! connection in doubt is never used again, and what became of a mail is known to the stage.
//!
//! A mail goes through these files: `lane` takes it from the `inbox`, gets a connection from
//! `relay` if the `gate` lets it, and holds the `dialogue` about it.

mod connection;
mod dialogue;
mod envelope;
mod gate;
mod hand;
mod inbox;
mod lane;
mod relay;
mod reply;
mod tls;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error};

use self::{gate::Gate, inbox::Inbox, lane::Lane, relay::Relay};
use super::{
    outcome::{Outcome, SmtpStage},
    transport::Outgoing,
};

/// How the connection to the relay is kept private. There is no "if the relay offers it": whoever
/// sits in between would take the offer away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte, usually on port 465.
    ImplicitTls,
    /// `STARTTLS`, usually on port 587. A relay without it gets no mail.
    StartTls,
    /// None at all: for a relay on this very machine.
    Insecure,
}

/// Who we are to the relay.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password. Never shown, not even by `Debug`.
    pub password: SecretString,
}

/// How long to wait for the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection, looking up the name included.
    pub connect: Duration,
    /// For each reply, and for the TLS handshake.
    pub reply: Duration,
    /// For the message to be taken over and accepted.
    pub data: Duration,
    /// For a mail under way to come to its end when the daemon is being stopped.
    pub stop: Duration,
}

impl Default for Timeouts {
    /// RFC 5321 allows minutes, for relays far away. Ours is the organisation's own.
    fn default() -> Self {
        let [connect, reply, data, stop] = [10, 30, 60, 10].map(Duration::from_secs);
        Self { connect, reply, data, stop }
    }
}

/// The relay, and how to speak to it.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// The relay's name or IP address. Its certificate must be for this name.
    pub host: String,
    /// The relay's port.
    pub port: u16,
    /// How the connection is kept private.
    pub security: Security,
    /// Certificates (PEM) to trust besides those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// The sign-in, if the relay wants one. Sent in the clear only with [`Security::Insecure`].
    pub credentials: Option<Credentials>,
    /// Our name in `EHLO`. `None` is the machine's host name.
    pub hello: Option<String>,
    /// Connections at the same time, at least 1. Not more than the relay allows one client.
    pub lanes: usize,
    /// Mails after which a connection is replaced by a new one, at least 1.
    pub mails_per_connection: u32,
    /// Rest after which a connection is asked whether it still lives.
    pub idle_timeout: Duration,
    /// How long to wait for the relay.
    pub timeouts: Timeouts,
}

impl SmtpSettings {
    /// Settings with the usual lanes and limits, without a sign-in.
    pub fn new(host: impl Into<String>, port: u16, security: Security) -> Self {
        Self {
            host: host.into(),
            port,
            security,
            ca_file: None,
            credentials: None,
            hello: None,
            lanes: 4,
            mails_per_connection: 100,
            idle_timeout: Duration::from_secs(5),
            timeouts: Timeouts::default(),
        }
    }
}

/// What the lanes of one run share.
struct Shared {
    relay: Relay,
    gate: Gate,
    inbox: Inbox,
    outcomes: mpsc::Sender<(i64, Outcome)>,
    cancel: CancellationToken,
}

/// See [`Transport::run`](super::transport::Transport::run). All lanes have ended when this does,
/// also when it is dropped.
pub(super) async fn run(
    settings: &SmtpSettings,
    mails: mpsc::Receiver<Outgoing>,
    outcomes: mpsc::Sender<(i64, Outcome)>,
    cancel: &CancellationToken,
) {
    let n_lanes = settings.lanes.max(1);
    let inbox = Inbox::new(mails, n_lanes, cancel.clone());
    let relay = match Relay::prepare(settings).await {
        Ok(relay) => relay,
        Err(outcome) => return inbox.turn_away(&outcome, &outcomes).await,
    };
    let shared =
        Arc::new(Shared { relay, gate: Gate::default(), inbox, outcomes, cancel: cancel.clone() });
    let mut lanes = JoinSet::new();
    for _ in 0..n_lanes {
        lanes.spawn(Lane::new(Arc::clone(&shared)).run().in_current_span());
    }
    while let Some(ended) = lanes.join_next().await {
        if let Err(err) = ended {
            error!("A mail lane ended by itself: {err}");
        }
    }
}

/// See [`Transport::check`](super::transport::Transport::check).
pub(super) async fn check(settings: &SmtpSettings) -> Result<String, Outcome> {
    let mut connection = Relay::prepare(settings).await?.connect().await?;
    if !connection.is_alive().await {
        let why = "the relay let us in, but did not answer `NOOP`".to_owned();
        return Err(Outcome::NotSent { stage: SmtpStage::Hello, why });
    }
    let privacy = match settings.security {
        Security::ImplicitTls => "over TLS",
        Security::StartTls => "over TLS (STARTTLS)",
        Security::Insecure => "in the clear",
    };
    let signed_in = if settings.credentials.is_some() { "signed in" } else { "without a sign-in" };
    let pipelining = if connection.is_pipelining() { ", pipelining" } else { "" };
    connection.quit().await;
    Ok(format!("{}:{} {privacy}, {signed_in}{pipelining}", settings.host, settings.port))
}
