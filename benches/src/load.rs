//! Load that costs little: encoded requests go out over one gRPC connection as they are.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Path of the one method.
pub const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// How a request is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    None,
    /// gzip level 1.
    Gzip,
    /// zstd level 1.
    Zstd,
}

impl Encoding {
    /// The name in headers and settings.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::None => "none",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
        }
    }

    /// The gRPC message: prefix and, compressed or not, the request.
    ///
    /// # Errors
    /// None that memory does not give.
    pub fn message(self, request: &Bytes) -> anyhow::Result<Bytes> {
        let compressed = match self {
            Encoding::None => None,
            Encoding::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
                encoder.write_all(request)?;
                Some(encoder.finish()?)
            }
            Encoding::Zstd => Some(zstd::bulk::compress(request, 1)?),
        };
        let body = compressed.as_deref().unwrap_or(request);
        let mut message = BytesMut::with_capacity(body.len() + 5);
        message.put_u8(u8::from(compressed.is_some()));
        message.put_u32(body.len() as u32);
        message.put_slice(body);
        Ok(message.freeze())
    }
}

/// A body in pieces: each becomes an HTTP/2 frame of its own, if the peer's limit lets it.
#[derive(Debug, Default)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// `message` in frames of at most `frame` bytes.
    pub fn of(mut message: Bytes, frame: usize) -> Pieces {
        let mut pieces = VecDeque::with_capacity(message.len() / frame + 1);
        while message.len() > frame {
            pieces.push_back(message.split_to(frame));
        }
        pieces.push_back(message);
        Pieces(pieces)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// One connection of a sender.
#[derive(Clone)]
pub struct Sender {
    connection: http2::SendRequest<Pieces>,
    encoding: Encoding,
    frame: usize,
}

impl Sender {
    /// Connects; messages are in `encoding` and go out in frames of at most `frame` bytes.
    ///
    /// # Errors
    /// Nobody listens, or not HTTP/2.
    pub async fn connect(
        to: SocketAddr,
        encoding: Encoding,
        frame: usize,
    ) -> anyhow::Result<Sender> {
        let stream = tokio::net::TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20)
            .max_send_buf_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Sender {
            connection: sender,
            encoding,
            frame,
        })
    }

    /// Sends one message until it is taken; where the receiver is full it waits and sends again, as
    /// any client would. How often it was refused.
    ///
    /// # Errors
    /// It was refused for good, or the connection broke.
    pub async fn send(&mut self, message: Bytes) -> anyhow::Result<u64> {
        let mut refused = 0;
        loop {
            self.connection.ready().await?;
            let answer = self
                .connection
                .send_request(self.request(message.clone()))
                .await?;
            match status(answer).await?.as_str() {
                "0" => return Ok(refused),
                "8" | "14" => refused += 1,
                other => anyhow::bail!("refused with gRPC status {other}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn request(&self, message: Bytes) -> Request<Pieces> {
        let mut request = Request::new(Pieces::of(message, self.frame));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(
            "http://localhost/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        );
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        if self.encoding != Encoding::None {
            let name = HeaderValue::from_static(self.encoding.name());
            headers.insert("grpc-encoding", name);
        }
        request
    }
}

/// `grpc-status`, from the trailers or the headers.
async fn status(answer: Response<Incoming>) -> anyhow::Result<String> {
    let (head, body) = answer.into_parts();
    let whole = body.collect().await?;
    let trailers = whole.trailers();
    let status = trailers
        .and_then(|t| t.get("grpc-status"))
        .or_else(|| head.headers.get("grpc-status"))
        .map(|s| s.to_str().map(str::to_owned))
        .transpose()?;
    Ok(status.unwrap_or_default())
}
