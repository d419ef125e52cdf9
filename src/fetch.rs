//! Requests to a web address of somebody else's: one connection, one request, and what was answered
//! to it in short. No redirect is followed and no proxy asked: it goes where the configuration says.

use std::pin::pin;

use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::tls;

/// Who we say we are.
const AGENT: &str = concat!("lapsed/", env!("CARGO_PKG_VERSION"));

/// Why there was no good answer.
#[derive(Debug, Error)]
pub enum FetchError {
    /// It names nothing that can be fetched.
    #[error("it is no http or https URL")]
    Url,
    /// TLS cannot begin: there is nobody to trust, or the certificate is not good.
    #[error("begin TLS: {0}")]
    Tls(String),
    /// Nobody can be reached there.
    #[error("connect: {0}")]
    Connect(#[from] std::io::Error),
    /// What came is no answer.
    #[error("talk HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// It was answered, and not well.
    #[error("it was answered with {0}")]
    Answer(StatusCode),
}

/// A web address that is fetched again and again.
#[derive(Clone)]
pub struct Fetcher {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fetcher").field(&self.place()).finish()
    }
}

impl Fetcher {
    /// Prepares to fetch `url`.
    ///
    /// # Errors
    /// [`FetchError::Url`], or [`FetchError::Tls`] if this machine trusts no authorities.
    pub fn new(url: &str) -> Result<Self, FetchError> {
        let url: Uri = url.parse().map_err(|_| FetchError::Url)?;
        let authority = url.authority().ok_or(FetchError::Url)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (tls, port) = match url.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(host.clone()).map_err(|_| FetchError::Url)?;
                (Some((tls::connector(None).map_err(FetchError::Tls)?, name)), 443)
            }
            Some("http") => (None, 80),
            _ => return Err(FetchError::Url),
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(port),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|_| FetchError::Url)?,
            path: url.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            host,
            tls,
        })
    }

    /// Where it goes, without what only those who may fetch it should know.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Fetches it.
    ///
    /// The caller sets the limit of time; it may be dropped at any moment.
    ///
    /// # Errors
    /// If the answer is not 2xx, or there is none.
    pub async fn get(&self) -> Result<(), FetchError> {
        self.send(Request::get(&self.path), Bytes::new()).await
    }

    /// Sends `body`, which is JSON. Else as [`Fetcher::get`].
    ///
    /// # Errors
    /// As [`Fetcher::get`].
    pub async fn post_json(&self, body: Vec<u8>) -> Result<(), FetchError> {
        let json = HeaderValue::from_static("application/json");
        self.send(Request::post(&self.path).header(CONTENT_TYPE, json), body.into()).await
    }

    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(), FetchError> {
        let request = request
            .header(HOST, self.authority.clone())
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .body(Full::new(body))
            .map_err(|_| FetchError::Url)?;
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let status = match &self.tls {
            None => ask(tcp, request).await?,
            Some((connector, name)) => {
                let begun = connector.connect(name.clone(), tcp).await;
                ask(begun.map_err(|error| FetchError::Tls(error.to_string()))?, request).await?
            }
        };
        if status.is_success() { Ok(()) } else { Err(FetchError::Answer(status)) }
    }
}

/// Sends one request over `stream`, and reads the head of the answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let (answer, connection) = (pin!(sender.send_request(request)), pin!(connection));
    // The connection may end together with the answer, and then the answer is there.
    let answer = match select(answer, connection).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    };
    Ok(answer?.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_address_is_taken_apart_and_only_its_place_is_shown() {
        for (url, place) in [
            ("http://127.0.0.1:8000/ping/secret", "127.0.0.1:8000"),
            ("http://watch.example/api/push/secret?status=up&msg=OK", "watch.example:80"),
            ("http://[::1]:4318/v1/traces", "::1:4318"),
            ("http://watch.example", "watch.example:80"),
        ] {
            let fetcher = Fetcher::new(url).unwrap();
            assert_eq!(fetcher.place(), place, "{url}");
            assert!(!format!("{fetcher:?}").contains("secret"), "{url}");
        }
        for url in ["", "/ping", "ftp://watch.example/", "watch.example:80", "http://"] {
            assert!(matches!(Fetcher::new(url), Err(FetchError::Url)), "{url}");
        }
    }
}
