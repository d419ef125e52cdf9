//! The handshake with the relay.

use std::path::Path;

use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use crate::tls;

/// What it takes to begin TLS with the relay.
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the operating system's certificates and those in `ca_file`.
    pub(super) fn new(host: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name a certificate could be for"))?;
        Ok(Self { connector: tls::connector(ca_file)?, name })
    }

    /// Shakes hands. After this the relay is who it says it is.
    pub(super) async fn begin(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let handshake = self.connector.connect(self.name.clone(), stream).await;
        handshake.map_err(|err| format!("begin TLS: {err}"))
    }
}
