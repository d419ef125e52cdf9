//! Whose certificates we trust when we call others.

use std::{path::Path, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// What begins TLS with those whose certificate comes from an authority that the operating system
/// trusts, or one in `ca_file`.
///
/// # Errors
/// If there are no authorities to trust, or `ca_file` cannot be read; in words.
pub fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())?
        .with_root_certificates(trusted(ca_file)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn trusted(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // One unreadable certificate among the system's hundred is no reason to call nobody.
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
