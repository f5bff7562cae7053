//! The same door behind mutual TLS, with certificates made here.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

struct Secure(TlsStream<TcpStream>);

impl Connected for Secure {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A certificate for `name` by the issuer, and its key, as PEM.
fn certificate(issuer: &CertifiedIssuer<'_, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let signed = params.signed_by(&key, issuer).unwrap();
    (signed.pem(), key.serialize_pem())
}

fn acceptor(ca: &str, certificate: &str, key: &str) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(der(ca)).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![der(certificate)],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_stream_goes_over_mutual_tls_and_not_without_the_client_certificate() {
    let mut site = Site::start().await;
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let (server_certificate, server_key) = certificate(&issuer, "localhost");
    let acceptor = acceptor(&issuer.pem(), &server_certificate, &server_key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, incoming) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                sender
                    .send(Ok::<_, std::io::Error>(Secure(stream)))
                    .await
                    .unwrap();
            }
        }
    });
    let router = tonic::transport::Server::builder()
        .add_service(EnrolmentServer::new(site.server.clone()))
        .add_service(ControlServer::new(site.server.clone()));
    tokio::spawn(router.serve_with_incoming(ReceiverStream::new(incoming)));

    let file = |name: &str, content: &str| {
        let path = site.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Some(path)
    };
    let (certificate, key) = certificate(&issuer, "n1");
    let mut options = site.options();
    options.endpoint = format!("https://localhost:{port}").parse().unwrap();
    options.tls.ca_file = file("ca.pem", &issuer.pem());
    let bare = agent(options.clone());
    let mut view = bare.client.view.clone();
    let refused = view.wait_for(|v| v.problem.is_some());
    tokio::time::timeout(PATIENCE, refused)
        .await
        .unwrap()
        .unwrap();
    bare.client.task.abort();
    options.tls.cert_file = file("cert.pem", &certificate);
    options.tls.key_file = file("key.pem", &key);
    let agent = agent(options);
    let mut stream = site.stream().await;
    stream.send(FromServer::Desired(desired(1))).await;
    assert_eq!(
        stream.until(PlanState::Active).await.hash,
        pipeline("a").hash
    );
    assert!(agent.client.view.borrow().connected);
}
