//! https towards the next hop, with a certificate authority and a client certificate of our own,
//! and OTLP/HTTP through a proxy.

use crate::support::{Sink, agent, client, request, to, values};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// PEM of a certificate for `name` and of its key, and their DER.
    fn issue(&self, name: &str) -> (String, KeyPair, rustls::pki_types::CertificateDer<'static>) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key, cert.der().clone())
    }
}

/// An OTLP/HTTP sink over TLS that asks for a client certificate.
async fn https_sink(authority: &Authority) -> (Arc<Mutex<Vec<i64>>>, SocketAddr) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider.clone(),
    )
    .build()
    .unwrap();
    let (_, key, der) = authority.issue("localhost");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![der],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            tokio::spawn(serve(hyper_util::rt::TokioIo::new(stream), all.clone()));
        }
    });
    (seen, address)
}

async fn serve<I: hyper::rt::Read + hyper::rt::Write + Unpin>(io: I, all: Arc<Mutex<Vec<i64>>>) {
    let service =
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let all = all.clone();
            async move {
                assert!(request.uri().path().ends_with("/v1/metrics"));
                let body = request.into_body().collect().await?.to_bytes();
                let request = ExportMetricsServiceRequest::decode(body).unwrap();
                all.lock().unwrap().extend(values(&request));
                Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::new())))
            }
        });
    let _ended = hyper::server::conn::http1::Builder::new()
        .serve_connection(io, service)
        .await;
}

fn settings(address: SocketAddr, dir: &Path) -> String {
    let path = |name: &str| dir.join(name).display().to_string();
    to(address, "    protocol: http").replace(
        &format!("http://{address}\""),
        &format!(
            "https://localhost:{}\"\n    tls: {{ ca_file: {}, cert_file: {}, key_file: {} }}",
            address.port(),
            path("ca.pem"),
            path("cert.pem"),
            path("key.pem")
        ),
    )
}

#[tokio::test]
async fn https_with_own_roots_and_a_client_certificate() {
    let authority = Authority::new();
    let (seen, address) = https_sink(&authority).await;
    let dir = tempfile::tempdir().unwrap();
    let (cert, key, _) = authority.issue("agent");
    std::fs::write(dir.path().join("ca.pem"), authority.issuer.pem()).unwrap();
    std::fs::write(dir.path().join("cert.pem"), cert).unwrap();
    std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
    let agent = agent(&settings(address, dir.path())).await;
    client(&agent).await.export(request(0..10)).await.unwrap();
    assert_eq!(agent.drain().await.lost, 0);
    assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_gets_nothing() {
    let authority = Authority::new();
    let (seen, address) = https_sink(&authority).await;
    let dir = tempfile::tempdir().unwrap();
    let (cert, key, _) = authority.issue("agent");
    std::fs::write(dir.path().join("ca.pem"), Authority::new().issuer.pem()).unwrap();
    std::fs::write(dir.path().join("cert.pem"), cert).unwrap();
    std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
    let settings = settings(address, dir.path()).replace("drain: 5s", "drain: 1s");
    let agent = agent(&settings).await;
    client(&agent).await.export(request(0..10)).await.unwrap();
    assert_eq!(agent.drain().await.lost, 10);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_certificate_file_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings("127.0.0.1:1".parse().unwrap(), dir.path());
    let error = crate::support::try_agent(&settings).await.err().unwrap();
    assert!(error.contains("tls.ca_file"), "{error}");
}

#[tokio::test]
async fn otlp_over_plain_http_reaches_a_plain_sink() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(hyper_util::rt::TokioIo::new(stream), all.clone()));
        }
    });
    let agent = agent(&to(address, "    protocol: http")).await;
    client(&agent).await.export(request(0..10)).await.unwrap();
    assert_eq!(agent.drain().await.lost, 0);
    assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
    let (_unused, _) = Sink::start().await;
}
