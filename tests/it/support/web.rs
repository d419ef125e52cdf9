//! Somebody else's web server, who writes down what it is asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// With this status, at once; where that is a redirection, to a place of its own.
    Status(u16),
    /// Not at all.
    Silence,
}

/// A server; it ends when this is dropped.
pub struct WebServer {
    address: SocketAddr,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    manner: Mutex<Manner>,
    asked: Mutex<Vec<String>>,
    tls: Option<TlsAcceptor>,
}

impl WebServer {
    /// A server that answers with 200; under TLS if `tls` has its certificate.
    #[expect(clippy::disallowed_methods, reason = "it belongs to no daemon")]
    pub async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, asked) = (Mutex::new(Manner::Status(200)), Mutex::default());
        let inner = Arc::new(Inner { manner, asked, tls });
        let shared = inner.clone();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    match &shared.tls {
                        None => shared.serve(tcp).await,
                        Some(acceptor) => match acceptor.accept(tcp).await {
                            Ok(stream) => shared.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, inner, task }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it answers so.
    pub fn answers(&self, manner: Manner) {
        *self.inner.manner.lock().unwrap() = manner;
    }

    /// The requests it has read so far: head and body.
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    /// Answers one request. `None` when the client is gone.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut text = String::new();
        let head_end = loop {
            read(&mut stream, &mut text).await?;
            if let Some(end) = text.find("\r\n\r\n") {
                break end + 4;
            }
        };
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        while text.len() < head_end + length.unwrap_or(0) {
            read(&mut stream, &mut text).await?;
        }
        self.asked.lock().unwrap().push(text);
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Status(status) => {
                let to = if status / 100 == 3 { "Location: /elsewhere\r\n" } else { "" };
                let answer = format!("HTTP/1.1 {status} So\r\n{to}Content-Length: 2\r\n\r\nOK");
                stream.write_all(answer.as_bytes()).await.ok()
            }
            // Until the client gives up.
            Manner::Silence => read(&mut stream, &mut String::new()).await,
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), text: &mut String) -> Option<()> {
    let mut bytes = [0; 4096];
    let n = stream.read(&mut bytes).await.ok().filter(|n| *n > 0)?;
    text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
    Some(())
}
