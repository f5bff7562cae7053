//! Where points go: one queue, one task and one request in flight for each destination, in order.

pub mod compress;
mod divide;
pub mod file;
pub mod headers;
pub mod otlp;
pub mod proxy;
pub mod queue;
pub mod remote_write;
pub mod tls;
pub mod transport;

use crate::settings::{Batch, Retry};
use file::FileSink;
use otlp::OtlpSink;
use phoenix_engine::prometheus::Unfit;
use queue::{Outgoing, Queue};
use rand::Rng;
use remote_write::RemoteWriteSink;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A next hop that asks for a longer pause than this is asked again after it.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Pauses during a drain, which is itself bounded.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);
/// At most one line about failures in this time.
const QUIET: Duration = Duration::from_secs(10);
/// Most requests that one is divided into to find the points that the next hop refuses.
const MOST_PIECES: usize = 64;

/// A destination.
pub enum Sink {
    /// OTLP over the network.
    Otlp(Box<OtlpSink>),
    /// Prometheus remote write.
    RemoteWrite(Box<RemoteWriteSink>),
    /// Into a file.
    File(FileSink),
}

/// What became of one try.
#[derive(Debug)]
pub enum Outcome {
    /// Taken, but for `rejected` points.
    Accepted {
        /// Points that the next hop did not take (partial success).
        rejected: u64,
        /// Its reason.
        message: String,
        /// Bytes sent, compressed.
        sent: usize,
    },
    /// It will never be taken.
    Refused {
        /// Its reason.
        reason: String,
        /// Parts of it may be taken.
        divide: bool,
        /// For what is in it, not for who sends it, or how.
        content: bool,
    },
    /// Worth another try, not before `after` if the next hop said so.
    Retry {
        /// What went wrong.
        reason: String,
        /// Pause that the next hop asked for.
        after: Option<Duration>,
    },
}

impl Outcome {
    /// Refused, and no part of it would fare better. `content`: for what is in it.
    pub fn refused(reason: String, content: bool) -> Outcome {
        Outcome::Refused {
            reason,
            divide: false,
            content,
        }
    }
}

/// One destination's task.
pub struct Exporter {
    /// Name in logs and metrics: `otlp`, `file`, `shadow`.
    pub name: &'static str,
    /// What it takes from.
    pub queue: Arc<Queue>,
    /// The one lane that it takes from; all of them without.
    pub lane: Option<usize>,
    /// Where it sends to.
    pub sink: Sink,
    /// When a request is full.
    pub batch: Batch,
    /// Pauses.
    pub retry: Retry,
    last_complaint: Option<Instant>,
}

impl Exporter {
    /// A task that is to be run.
    pub fn new(
        name: &'static str,
        queue: Arc<Queue>,
        sink: Sink,
        batch: Batch,
        retry: Retry,
    ) -> Exporter {
        Exporter {
            name,
            queue,
            lane: None,
            sink,
            batch,
            retry,
            last_complaint: None,
        }
    }

    /// Sends until the queue is closed and empty.
    pub async fn run(mut self) {
        while let Some(request) = self.next().await {
            let mut left = VecDeque::from(divide::divide(request, self.batch.bytes));
            let mut pieces = MOST_PIECES;
            while let Some(piece) = left.pop_front() {
                let halves = self.deliver(&piece, pieces).await;
                pieces -= halves.len();
                halves.into_iter().rev().for_each(|h| left.push_front(h));
            }
        }
        if let Sink::File(file) = &mut self.sink
            && let Err(error) = file.sync()
        {
            tracing::error!(exporter = self.name, %error, "the file could not be synced");
        }
    }

    async fn next(&self) -> Option<Outgoing> {
        match self.lane {
            Some(lane) => self.queue.next_of(lane, &self.batch).await,
            None => self.queue.next(&self.batch).await,
        }
    }

    /// Tries until the request is taken, refused or given up. Gives what is to be delivered in its
    /// place, at most `pieces`: its halves, where parts of it may be taken.
    async fn deliver(&mut self, request: &Outgoing, pieces: usize) -> Vec<Outgoing> {
        let began = Instant::now();
        let unfit = match &mut self.sink {
            Sink::RemoteWrite(remote) => remote.take(request),
            Sink::Otlp(_) | Sink::File(_) => [0; Unfit::ALL.len()],
        };
        let mut bound = self.retry.initial;
        loop {
            let outcome = match &mut self.sink {
                Sink::Otlp(otlp) => otlp.send(request).await,
                Sink::RemoteWrite(remote) => remote.send(request).await,
                Sink::File(file) => file.write(request),
            };
            let (reason, after) = match outcome {
                Outcome::Accepted {
                    rejected,
                    message,
                    sent,
                } => {
                    if rejected > 0 {
                        self.complain(&format!("{rejected} points rejected: {message}"));
                    } else if !message.is_empty() {
                        self.complain(&message);
                    }
                    self.queue.resolve(request, rejected, sent);
                    self.queue.count_unwanted(request.lane, rejected);
                    self.queue.count_unfit(request.lane, unfit);
                    return Vec::new();
                }
                Outcome::Refused {
                    reason,
                    divide,
                    content,
                } => {
                    self.queue.count_error(request.lane);
                    let halves = divide.then(|| divide::halve(request)).flatten();
                    if let Some(halves) = halves.filter(|h| h.len() <= pieces) {
                        return halves;
                    }
                    self.complain(&format!("{} points refused: {reason}", request.points));
                    self.queue.resolve(request, request.points, 0);
                    let unwanted = if content { request.points } else { 0 };
                    self.queue.count_unwanted(request.lane, unwanted);
                    self.queue.count_unfit(request.lane, unfit);
                    return Vec::new();
                }
                Outcome::Retry { reason, after } => (reason, after),
            };
            self.queue.count_error(request.lane);
            if self.retry.give_up.is_some_and(|t| began.elapsed() >= t) {
                self.complain(&format!("{} points given up: {reason}", request.points));
                self.queue.resolve(request, request.points, 0);
                self.queue.count_unfit(request.lane, unfit);
                return Vec::new();
            }
            let pause = pause(bound, after);
            self.complain(&format!(
                "will try again in {} ms: {reason}",
                pause.as_millis()
            ));
            self.wait(pause).await;
            bound = (bound * 2).min(self.retry.max);
        }
    }

    /// Sleeps; a drain that begins meanwhile shortens it.
    async fn wait(&self, pause: Duration) {
        let end = Instant::now() + pause;
        let drain_end = Instant::now() + DRAIN_PAUSE;
        loop {
            let now = Instant::now();
            if now >= end || (self.queue.is_closed() && now >= drain_end) {
                return;
            }
            tokio::time::sleep((end - now).min(Duration::from_millis(100))).await;
        }
    }

    fn complain(&mut self, what: &str) {
        let now = Instant::now();
        if self.last_complaint.is_none_or(|t| now - t >= QUIET) {
            self.last_complaint = Some(now);
            tracing::warn!(exporter = self.name, "{what}");
        }
    }
}

/// Full jitter: anything up to the bound, but not before the next hop asked for.
fn pause(bound: Duration, after: Option<Duration>) -> Duration {
    let jitter = bound.mul_f64(rand::rng().random::<f64>());
    match after {
        // Spread out: everybody behind this hop was told the same.
        Some(after) => after.min(LONGEST_PAUSE) + jitter / 4,
        None => jitter,
    }
}
