//! Opens the connection: plain text or TLS with system roots, `ca_file` and a client certificate.

use super::Options;
use crate::exporters::tls;
use crate::settings::Protocol;
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

const CONNECT: Duration = Duration::from_secs(5);
/// A peer that is silent for longer than both together is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("control_plane.{0}")]
    Tls(String),
    #[error("control_plane.endpoint: {0}")]
    Endpoint(String),
    #[error("cannot reach the control plane: {}", chain(.0))]
    Connect(#[from] tonic::transport::Error),
}

/// A transport error hides its cause some levels down.
fn chain(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

pub(super) async fn connect(options: &Options) -> Result<Channel, DialError> {
    if options.endpoint.scheme_str() != Some("https") {
        let endpoint = configure(Endpoint::from(options.endpoint.clone()), options)?;
        return Ok(endpoint.connect().await?);
    }
    // Read anew for each connection, so that a renewed certificate is taken up.
    let config = tls::client(&options.tls, Protocol::Grpc).map_err(DialError::Tls)?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let mut connector = HttpsConnector::from((tcp, config));
    // tonic refuses https where another crate of the build turns its own TLS on: it is told of http
    // and the connector of https. Requests still name the real origin.
    let secure = options.endpoint.clone();
    let plain = Endpoint::from(with_scheme(&secure, Scheme::HTTP)?);
    let endpoint = configure(plain, options)?.origin(secure.clone());
    let connect = tower::service_fn(move |_| connector.call(secure.clone()));
    Ok(endpoint.connect_with_connector(connect).await?)
}

fn configure(endpoint: Endpoint, options: &Options) -> Result<Endpoint, DialError> {
    Ok(endpoint
        .user_agent(format!("phoenix-agent/{}", options.version))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .keep_alive_while_idle(true))
}

fn with_scheme(uri: &Uri, scheme: Scheme) -> Result<Uri, DialError> {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(scheme);
    parts
        .path_and_query
        .get_or_insert_with(|| PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map_err(|e| DialError::Endpoint(e.to_string()))
}
