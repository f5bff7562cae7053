//! TLS towards the next hop: system roots or `ca_file`, and a client certificate.

use crate::settings::{Protocol, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// A client configuration, with the files as they are now: a renewed certificate is taken up with
/// the next connection.
///
/// # Errors
/// What is wrong with which file.
pub fn client(settings: &Tls, protocol: Protocol) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?
        .with_root_certificates(roots(settings.ca_file.as_deref())?);
    let mut config = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => {
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|e| format!("tls.key_file {}: {e}", key.display()))?;
            builder
                .with_client_auth_cert(certificates("cert_file", cert)?, key_der)
                .map_err(|e| format!("tls.cert_file {}: {e}", cert.display()))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![match protocol {
        Protocol::Grpc => b"h2".to_vec(),
        Protocol::Http => b"http/1.1".to_vec(),
    }];
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca_file else {
        let (added, _unreadable) =
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err("TLS: this system has no root certificates; install them or name a file with tls.ca_file".to_owned());
        }
        return Ok(store);
    };
    for certificate in certificates("ca_file", path)? {
        store
            .add(certificate)
            .map_err(|e| format!("tls.ca_file {}: {e}", path.display()))?;
    }
    Ok(store)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |e: rustls::pki_types::pem::Error| format!("tls.{key} {}: {e}", path.display());
    let found = CertificateDer::pem_file_iter(path)
        .map_err(wrong)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    if found.is_empty() {
        return Err(format!(
            "tls.{key} {}: holds no certificate",
            path.display()
        ));
    }
    Ok(found)
}
