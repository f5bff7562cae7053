//! A sink that counts: every point, byte and series that arrives over OTLP, exactly.
//!
//! It keeps the order of arrival, so that "what lies between the points number a and b of the stream"
//! can be asked, and can divide what arrives between the arms of a split by the published hash.

mod count;
mod rest;
mod wire;

pub use count::{Division, Kept, Sink, Totals};

use anyhow::Context;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Where a sink listens. Port 0 picks a free one.
#[derive(Debug, Clone)]
pub struct Options {
    /// OTLP/gRPC and OTLP/HTTP (one port serves both).
    pub otlp: SocketAddr,
    /// The REST side.
    pub rest: SocketAddr,
    /// Keep every point for `GET /points`.
    pub keep: bool,
}

/// A running sink.
#[derive(Debug)]
pub struct Running {
    /// Where OTLP is taken.
    pub otlp: SocketAddr,
    /// Where questions are answered.
    pub rest: SocketAddr,
    /// What has been counted.
    pub sink: Arc<Mutex<Sink>>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Ends it.
    pub fn stop(self) {
        self.task.abort();
    }

    /// Runs until it fails.
    pub async fn join(self) {
        let _ = self.task.await;
    }
}

/// Starts a sink on the current runtime.
///
/// # Errors
/// An address that cannot be bound.
pub async fn start(options: &Options) -> anyhow::Result<Running> {
    let sink = Arc::new(Mutex::new(Sink::new(options.keep)));
    let otlp = TcpListener::bind(options.otlp)
        .await
        .with_context(|| format!("bind {}", options.otlp))?;
    let rest = TcpListener::bind(options.rest)
        .await
        .with_context(|| format!("bind {}", options.rest))?;
    let (otlp_at, rest_at) = (otlp.local_addr()?, rest.local_addr()?);
    let wire = wire::router(sink.clone());
    let questions = rest::router(sink.clone());
    let task = tokio::spawn(async move {
        let wire = async { axum::serve(otlp, wire).await };
        let questions = async { axum::serve(rest, questions).await };
        if let Err(error) = tokio::try_join!(wire, questions) {
            tracing::error!(%error, "sink stopped");
        }
    });
    Ok(Running {
        otlp: otlp_at,
        rest: rest_at,
        sink,
        task,
    })
}
