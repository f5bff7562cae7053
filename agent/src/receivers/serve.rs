//! Accepts connections and runs them until the drain: then requests under way are finished and no
//! new ones begin.

use super::ahead::ReadAhead;
use super::{Intake, grpc, http};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Largest HTTP/2 frame; clients that can use it save system calls.
const FRAME: u32 = 1024 * 1024;
/// Connections of one receiver at a time; more wait to be accepted.
const CONNECTIONS: usize = 1024;
/// Requests at a time on one connection.
const STREAMS: u32 = 256;
const HEADERS: u32 = 16 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a drain waits for requests under way.
const FINISH: Duration = Duration::from_secs(10);

/// Which protocol a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OTLP/gRPC over HTTP/2.
    Grpc,
    /// OTLP/HTTP over HTTP/1 or HTTP/2.
    Http,
}

/// HTTP/2 windows: what a connection can park here unread. Senders are near, so that more would only
/// take memory: what has arrived lies in frames of 16 KiB until its request is read.
#[derive(Debug, Clone, Copy)]
struct Windows {
    stream: u32,
    connection: u32,
}

impl Windows {
    fn of(in_flight: usize) -> Windows {
        let connection = (in_flight / 2).clamp(256 * 1024, 512 * 1024) as u32;
        Windows {
            stream: 256 * 1024,
            connection,
        }
    }
}

/// A thread that serves connections.
#[derive(Clone)]
pub struct Desk {
    /// Its runtime.
    pub runtime: Handle,
    /// Where its requests go.
    pub intake: Intake,
}

/// Serves `listener` until `stop`; returns when its requests are finished. Connections are dealt to
/// the desks in turn.
pub async fn run(listener: TcpListener, kind: Kind, desks: Vec<Desk>, stop: CancellationToken) {
    let Some(first) = desks.first() else { return };
    let windows = Windows::of(first.intake.budget.limit());
    let mut turn = desks.iter().cycle();
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, (stream, _peer)) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let _nodelay = stream.set_nodelay(true);
        let Some(desk) = turn.next() else { break };
        let (intake, watcher) = (desk.intake.clone(), graceful.watcher());
        let serving = move |stream| async move {
            connection(stream, kind, windows, intake, watcher).await;
            drop(place);
        };
        if desks.len() == 1 {
            tokio::spawn(serving(stream));
            continue;
        }
        // Its events are to come to the thread that serves it.
        match stream.into_std() {
            Ok(stream) => drop(desk.runtime.spawn(async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => serving(stream).await,
                    Err(error) => tracing::warn!(%error, "a connection was lost"),
                }
            })),
            Err(error) => tracing::warn!(%error, "a connection was lost"),
        }
    }
    drop(listener);
    if tokio::time::timeout(FINISH, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            "connections were cut after {} s of draining",
            FINISH.as_secs()
        );
    }
}

async fn connection(
    stream: TcpStream,
    kind: Kind,
    windows: Windows,
    intake: Intake,
    watcher: Watcher,
) {
    match kind {
        Kind::Grpc => {
            let connection = grpc_server(windows).serve_connection(
                TokioIo::new(ReadAhead::new(stream)),
                service_fn(move |request| grpc::serve(intake.clone(), request)),
            );
            log(watcher.watch(connection).await);
        }
        Kind::Http => {
            let service = service_fn(move |request| http::serve(intake.clone(), request));
            let server = http_server(windows);
            let connection = server.serve_connection(TokioIo::new(ReadAhead::new(stream)), service);
            log(watcher.watch(connection).await.map_err(|e| e.to_string()));
        }
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of file descriptors, most likely: try again when some were closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn grpc_server(windows: Windows) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(FRAME)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

fn http_server(windows: Windows) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(256 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(FRAME)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

fn log<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
