//! Whose certificates we trust, and the handshake.

use std::{path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

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
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|err| err.to_string())?
            .with_root_certificates(trusted(ca_file)?)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands. After this the relay is who it says it is.
    pub(super) async fn begin(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let handshake = self.connector.connect(self.name.clone(), stream).await;
        handshake.map_err(|err| format!("begin TLS: {err}"))
    }
}

fn trusted(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // One unreadable certificate among the system's hundred is no reason to send no mail.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let failed = |err: &dyn std::fmt::Display| {
            format!("read certificates from `{}`: {err}", path.display())
        };
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|err| failed(&err))? {
            let certificate = certificate.map_err(|err| failed(&err))?;
            roots.add(certificate).map_err(|err| failed(&err))?;
        }
        if roots.len() == before {
            return Err(failed(&"there are none in it"));
        }
    }
    if roots.is_empty() {
        return Err("no trusted certificates were found on this system".to_owned());
    }
    Ok(roots)
}
