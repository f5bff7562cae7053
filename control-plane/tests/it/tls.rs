//! TLS on the one port: API and agents, with and without client certificates.

use crate::support::args;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use phoenix_control_plane::serve::{ServeArgs, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(ca: &Ca) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    (params.signed_by(&key, ca).unwrap(), key)
}

fn settings(dir: &Path, ca: &Ca, mutual: bool) -> ServeArgs {
    let (cert, key) = issue(ca);
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca_file = write("ca.pem", ca.pem());
    ServeArgs {
        tls_cert: Some(write("cert.pem", cert.pem())),
        tls_key: Some(write("key.pem", key.serialize_pem())),
        tls_client_ca: mutual.then_some(ca_file),
        ..args(&dir.join("data"), "0.0.0.0:0")
    }
}

async fn probe(address: SocketAddr, ca: &Ca, show: bool) -> Result<String, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if show {
        let (cert, key) = issue(ca);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        config
            .with_client_auth_cert(vec![cert.der().clone()], key)
            .unwrap()
    } else {
        config.with_no_client_auth()
    };
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_all_versions()
        .build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let uri = format!("https://localhost:{}/healthz", address.port());
    let answer = client.get(uri.parse().unwrap()).await?;
    let version = format!("{:?}", answer.version());
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "ok\n"
    );
    Ok(version)
}

#[tokio::test]
async fn with_a_certificate_the_port_speaks_tls_and_nothing_else() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    let server = Server::bind(&settings(dir.path(), &ca, false))
        .await
        .unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(shutdown.clone()));
    assert_eq!(probe(address, &ca, false).await.unwrap(), "HTTP/2.0");
    assert!(probe(address, &authority(), false).await.is_err());
    let plain: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://localhost:{}/healthz", address.port());
    assert!(plain.get(uri.parse().unwrap()).await.is_err());
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn with_an_authority_of_clients_nobody_comes_in_without_a_certificate() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    let server = Server::bind(&settings(dir.path(), &ca, true))
        .await
        .unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(shutdown.clone()));
    assert!(probe(address, &ca, false).await.is_err());
    assert!(probe(address, &ca, true).await.is_ok());
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    let mut args = settings(dir.path(), &ca, false);
    std::fs::write(dir.path().join("cert.pem"), "nothing").unwrap();
    let error = Server::bind(&args).await.err().unwrap().to_string();
    assert!(error.contains("cert.pem"), "{error}");
    args.tls_cert = None;
    let error = Server::bind(&args).await.err().unwrap().to_string();
    assert!(error.contains("together"), "{error}");
}
