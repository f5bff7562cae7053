//! Proxies from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
//!
//! TLS and gRPC go through a CONNECT tunnel; plain OTLP/HTTP asks the proxy for the whole URL.
//! As in Go, a loopback address is never asked of a proxy.

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer to CONNECT.
const ANSWER: usize = 8 * 1024;

/// A proxy for one target.
#[derive(Clone)]
pub struct Proxy {
    /// `host:port` to connect to.
    pub address: (String, u16),
    /// `proxy-authorization`.
    pub authorization: Option<HeaderValue>,
}

/// The proxy that the environment names for `target`.
///
/// # Errors
/// A proxy that is not spoken to here.
pub fn of(target: &Uri) -> Result<Option<Proxy>, String> {
    let host = target.host().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost"
        || literal
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
    {
        return Ok(None);
    }
    let Some(found) = Matcher::from_env().intercept(target) else {
        return Ok(None);
    };
    let uri = found.uri();
    if uri.scheme_str().is_some_and(|s| s != "http") {
        return Err(format!(
            "the proxy for {host} must be an http:// proxy (HTTP_PROXY, HTTPS_PROXY)"
        ));
    }
    let name = uri.host().unwrap_or_default().to_owned();
    Ok(Some(Proxy {
        address: (name, uri.port_u16().unwrap_or(80)),
        authorization: found.basic_auth().cloned(),
    }))
}

/// Asks the proxy for a tunnel to `host:port`.
///
/// # Errors
/// It did not agree.
pub async fn tunnel(
    stream: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), String> {
    let mut ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(value) = &proxy.authorization {
        ask.extend_from_slice(b"Proxy-Authorization: ");
        ask.extend_from_slice(value.as_bytes());
        ask.extend_from_slice(b"\r\n");
    }
    ask.extend_from_slice(b"\r\n");
    let failed = |e: std::io::Error| format!("proxy: {e}");
    stream.write_all(&ask).await.map_err(failed)?;
    // Byte by byte: what follows the answer belongs to the tunnel.
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= ANSWER {
            return Err("proxy: the answer to CONNECT is too long".to_owned());
        }
        answer.push(stream.read_u8().await.map_err(failed)?);
    }
    let line = String::from_utf8_lossy(&answer);
    let line = line.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("proxy: it answered CONNECT with {line:?}")),
    }
}
