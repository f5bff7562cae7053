//! One connection to the next hop: TCP, perhaps through a proxy, perhaps TLS, then HTTP/2 for gRPC
//! or HTTP/1.1.

use super::{proxy, tls};
use crate::settings::{Protocol, Tls};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The answers are small; only what is sent is large.
const WINDOW: u32 = 1024 * 1024;
const FRAME: u32 = 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A body of several buffers, sent without joining them.
#[derive(Debug, Default)]
pub struct Chunks {
    parts: VecDeque<Bytes>,
    len: usize,
}

impl Chunks {
    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.parts.push_back(bytes);
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.pop_front();
        self.len -= part.as_ref().map_or(0, Bytes::len);
        Poll::Ready(part.map(|p| Ok(Frame::data(p))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len as u64)
    }
}

/// An open connection.
pub struct Connection {
    sender: Sender,
    /// Set where a proxy is asked for the whole URL.
    whole_url: bool,
    authorization: Option<HeaderValue>,
}

enum Sender {
    Http2(http2::SendRequest<Chunks>),
    Http1(http1::SendRequest<Chunks>),
}

/// Opens a connection to `target`.
///
/// # Errors
/// Which step failed and why.
pub async fn connect(
    protocol: Protocol,
    tls_settings: &Tls,
    target: &Uri,
) -> Result<Connection, String> {
    let secure = target.scheme_str() == Some("https");
    let host = target.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = target.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let proxy = proxy::of(target)?;
    let (to, to_port) = match &proxy {
        Some(proxy) => (proxy.address.0.as_str(), proxy.address.1),
        None => (bare, port),
    };
    let mut stream = TcpStream::connect((to, to_port))
        .await
        .map_err(|e| format!("cannot connect to {to}:{to_port}: {e}"))?;
    let _nodelay = stream.set_nodelay(true);
    let whole_url = proxy.is_some() && !secure && protocol == Protocol::Http;
    if let Some(proxy) = proxy.as_ref().filter(|_| !whole_url) {
        proxy::tunnel(&mut stream, proxy, host, port).await?;
    }
    let sender = if secure {
        let config = tls::client(tls_settings, protocol)?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|e| format!("TLS: {e}"))?;
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|e| format!("TLS with {host}:{port}: {e}"))?;
        handshake(protocol, stream).await
    } else {
        handshake(protocol, stream).await
    };
    Ok(Connection {
        sender: sender.map_err(|e| format!("HTTP with {host}:{port}: {e}"))?,
        whole_url,
        authorization: proxy.filter(|_| whole_url).and_then(|p| p.authorization),
    })
}

async fn handshake<S>(protocol: Protocol, stream: S) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Grpc => {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_frame_size(FRAME)
                .max_send_buf_size(FRAME as usize)
                .keep_alive_interval(KEEP_ALIVE)
                .handshake(io)
                .await?;
            spawn(connection);
            Ok(Sender::Http2(sender))
        }
        Protocol::Http => {
            let (sender, connection) = http1::handshake(io).await?;
            spawn(connection);
            Ok(Sender::Http1(sender))
        }
    }
}

fn spawn(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the next hop ended");
        }
    });
}

impl Connection {
    /// Whether it cannot be used any more.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http2(sender) => sender.is_closed(),
            Sender::Http1(sender) => sender.is_closed(),
        }
    }

    /// What stands in the request line.
    pub fn target(&self, target: &Uri) -> Uri {
        match &self.sender {
            Sender::Http1(_) if !self.whole_url => target
                .path_and_query()
                .map(|p| Uri::from(p.clone()))
                .unwrap_or_default(),
            _ => target.clone(),
        }
    }

    /// Adds what the proxy wants to see.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.authorization {
            headers.insert(http::header::PROXY_AUTHORIZATION, value.clone());
        }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, request: Request<Chunks>) -> Result<Response<Incoming>, String> {
        let sent = match &mut self.sender {
            Sender::Http2(sender) => {
                sender.ready().await.map_err(|e| e.to_string())?;
                sender.send_request(request).await
            }
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|e| e.to_string())?;
                sender.send_request(request).await
            }
        };
        sent.map_err(|e| match std::error::Error::source(&e) {
            Some(cause) => format!("{e}: {cause}"),
            None => e.to_string(),
        })
    }
}
