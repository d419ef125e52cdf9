//! An SMTP server that makes every mistake it is told to, and writes down what it saw.
//!
//! Without a script it is a well-behaved relay. A script is asked at every step, and may have the
//! server say something else, nothing, nonsense, or go away.

pub mod sending;
mod session;

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// The one account of a server that wants a sign-in.
pub const USER: &str = "lapsed";
pub const PASSWORD: &str = "open sesame";

/// Where in a dialogue the server is asked for its next mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Connect,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// After the dot.
    Body,
}

/// What the server does at a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// What a good server does.
    Default,
    /// Says this instead; lines without the last line end. A code that means yes counts as yes.
    Reply(String),
    /// Says nothing ever again, and keeps the connection.
    Stall,
    /// Waits until this is true, and then does what a good server does.
    Wait(watch::Receiver<bool>),
    Close,
    ReplyThenClose(String),
    /// Takes the mail, and goes away without a word. At `Body` only.
    AcceptThenClose,
    /// Says something that is no reply.
    Garbage,
}

impl Action {
    pub fn reply(text: &str) -> Self {
        Self::Reply(text.to_owned())
    }
}

/// Asked with the connection's number (from 0), the step, and the command. At `Data` and `Body`
/// the "command" is the last `RCPT` of the mail, so that a script can tell whose turn it is.
pub type Script = Box<dyn Fn(usize, Step, &str) -> Action + Send + Sync>;

/// A mail the server has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub connection: usize,
    pub from: String,
    pub to: Vec<String>,
    /// As it was before the dots were doubled.
    pub bytes: Vec<u8>,
}

/// What the server saw, in the order it saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub n_connections: usize,
    /// With the connection's number.
    pub commands: Vec<(usize, String)>,
    /// What each single read gave, decrypted.
    pub chunks: Vec<(usize, Vec<u8>)>,
    pub mails: Vec<Mail>,
}

/// A self-signed certificate, and a file with it for the client to trust.
pub struct TestCert {
    pub file: tempfile::NamedTempFile,
    /// What a server begins TLS with.
    pub acceptor: TlsAcceptor,
}

impl TestCert {
    pub fn for_name(name: &str) -> Self {
        Self::new(CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub fn expired() -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        Self::new(params)
    }

    fn new(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cert.pem()).unwrap();
        Self { file, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// How a server is to be; [`start`](Self::start) makes it so.
pub struct Plan {
    script: Script,
    has_pipelining: bool,
    auth: Option<&'static str>,
    starttls: Option<TlsAcceptor>,
    implicit_tls: Option<TlsAcceptor>,
}

impl Plan {
    pub fn new() -> Self {
        Self::scripted(|_, _, _| Action::Default)
    }

    pub fn scripted(script: impl Fn(usize, Step, &str) -> Action + Send + Sync + 'static) -> Self {
        let script = Box::new(script);
        Self { script, has_pipelining: true, auth: None, starttls: None, implicit_tls: None }
    }

    pub fn without_pipelining(self) -> Self {
        Self { has_pipelining: false, ..self }
    }

    /// Offers these mechanisms, like `PLAIN LOGIN`.
    pub fn auth(self, mechanisms: &'static str) -> Self {
        Self { auth: Some(mechanisms), ..self }
    }

    pub fn starttls(self, cert: &TestCert) -> Self {
        Self { starttls: Some(cert.acceptor.clone()), ..self }
    }

    pub fn implicit_tls(self, cert: &TestCert) -> Self {
        Self { implicit_tls: Some(cert.acceptor.clone()), ..self }
    }

    pub async fn start(self) -> SmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(self), Arc::clone(&seen)));
        SmtpServer { port, seen, _tasks: tasks }
    }
}

/// A running server. It ends when this is dropped.
pub struct SmtpServer {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl SmtpServer {
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Mails taken so far.
    pub fn n_mails(&self) -> usize {
        self.seen.lock().unwrap().mails.len()
    }
}

async fn accept(listener: TcpListener, plan: Arc<Plan>, seen: Arc<Mutex<Seen>>) {
    let mut sessions = JoinSet::new();
    for number in 0.. {
        let Ok((tcp, _)) = listener.accept().await else { return };
        tcp.set_nodelay(true).unwrap();
        seen.lock().unwrap().n_connections += 1;
        let (plan, seen) = (Arc::clone(&plan), Arc::clone(&seen));
        sessions.spawn(async move {
            // An error is a client that went away, which is its right.
            let _gone = session::hold(tcp, number, &plan, &seen).await;
        });
    }
}
