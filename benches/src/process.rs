//! The whole process: an agent (or a peer) on one core, load and sink on the other.

use crate::load::{Encoding, Sender};
use crate::sink::Received;
use crate::stream::{Kind, Stream};
use anyhow::{Context, ensure};
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Requests in flight.
const FLIGHT: usize = 4;
/// Points a request.
const POINTS: usize = 1000;

/// What one run measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Points sent.
    pub points: u64,
    /// Wall seconds of the load.
    pub seconds: f64,
    /// CPU seconds of the process, user and system.
    pub cpu: f64,
    /// Peak resident set, bytes.
    pub peak_rss: u64,
    /// Requests that the process refused for a moment.
    pub refused: u64,
    /// Points at the sink.
    pub sink_points: u64,
    /// Bytes at the sink, as they came.
    pub sink_bytes: u64,
}

impl Measured {
    /// CPU seconds of a million points.
    pub fn cpu_per_million(&self) -> f64 {
        self.cpu / (self.points as f64 / 1e6)
    }
}

/// Size and shape of a load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Live series.
    pub series: usize,
    /// Points to be measured.
    pub points: u64,
    /// How requests are compressed.
    pub encoding: Encoding,
    /// Bytes of a sender's HTTP/2 frame.
    pub frame: usize,
    /// What the points are.
    pub kind: Kind,
    /// Hosts differ in their name only, so that the load itself takes no memory a series.
    pub alike: bool,
    /// Until everything that is held has left: longer than a window, its lateness and a batch.
    pub settle: Duration,
}

/// A started process under test; killed when dropped.
#[derive(Debug)]
pub struct Peer(Child);

impl Peer {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `program` on core 0.
///
/// # Errors
/// taskset or the program is missing.
pub fn start(program: &Path, args: &[&str]) -> anyhow::Result<Peer> {
    let child = Command::new("taskset")
        .args(["-c", "0"])
        .arg(program)
        .args(args)
        .env("GOMAXPROCS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("taskset {}", program.display()))?;
    Ok(Peer(child))
}

fn now() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64)
}

/// Messages as they go out: patched when they are sent, or compressed beforehand.
struct Messages {
    stream: Stream,
    ready: Vec<Bytes>,
    encoding: Encoding,
}

impl Messages {
    fn new(load: &Load, count: usize) -> anyhow::Result<Messages> {
        let make = if load.alike {
            Stream::alike
        } else {
            Stream::new
        };
        let stream = make(load.kind, load.series, POINTS, now()?);
        ensure!(
            stream.requests() > 0,
            "fewer series than points in a request"
        );
        let mut messages = Messages {
            stream,
            ready: Vec::new(),
            encoding: load.encoding,
        };
        if load.encoding != Encoding::None {
            messages.ready = (0..count)
                .map(|n| messages.make(n))
                .collect::<anyhow::Result<_>>()?;
        }
        Ok(messages)
    }

    fn get(&self, number: usize) -> anyhow::Result<Bytes> {
        match self.ready.get(number) {
            Some(ready) => Ok(ready.clone()),
            None => self.make(number),
        }
    }

    fn make(&self, number: usize) -> anyhow::Result<Bytes> {
        let (round, r) = (
            number / self.stream.requests(),
            number % self.stream.requests(),
        );
        let request = self.stream.request(r, round as u64, now()?);
        self.encoding.message(&request)
    }
}

/// Sends messages `range`, a few at a time. How many were refused for a moment.
async fn send(
    sender: &Sender,
    messages: &Messages,
    range: std::ops::Range<usize>,
) -> anyhow::Result<u64> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut refused = 0;
    for number in range {
        if tasks.len() >= FLIGHT
            && let Some(sent) = tasks.join_next().await
        {
            refused += sent??;
        }
        let (mut sender, message) = (sender.clone(), messages.get(number)?);
        tasks.spawn(async move { sender.send(message).await });
    }
    while let Some(sent) = tasks.join_next().await {
        refused += sent??;
    }
    Ok(refused)
}

/// Sends the load through the process that listens at `to` and exports to the sink that `received`
/// counts.
///
/// # Errors
/// The process refused a request, or nothing came out of it.
pub async fn measure(
    peer: &Peer,
    to: SocketAddr,
    received: &Received,
    load: &Load,
) -> anyhow::Result<Measured> {
    connected(to).await?;
    let each = POINTS as u64;
    let round = load.series / POINTS;
    // At least two rounds, and one more that is not measured: every series is known.
    let count = (load.points / each).max(2 * round as u64) as usize;
    let messages = Messages::new(load, round + count)?;
    let sender = Sender::connect(to, load.encoding, load.frame).await?;
    send(&sender, &messages, 0..round).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let before = (cpu(peer)?, read(&received.bytes), read(&received.points));
    let began = Instant::now();
    let refused = send(&sender, &messages, round..round + count).await?;
    let seconds = began.elapsed().as_secs_f64();
    // What is batched, held in a window or retried belongs to the cost.
    tokio::time::sleep(load.settle).await;
    let measured = Measured {
        points: count as u64 * messages.stream.points() as u64,
        seconds,
        cpu: cpu(peer)? - before.0,
        peak_rss: memory(peer, "VmHWM:")?,
        refused,
        sink_points: read(&received.points) - before.2,
        sink_bytes: read(&received.bytes) - before.1,
    };
    ensure!(measured.sink_points > 0, "nothing came out");
    Ok(measured)
}

/// Resident bytes of a process that has just started and does nothing.
///
/// # Errors
/// It does not listen.
pub async fn at_rest(peer: &Peer, listens: SocketAddr) -> anyhow::Result<u64> {
    connected(listens).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    memory(peer, "VmRSS:")
}

async fn connected(to: SocketAddr) -> anyhow::Result<()> {
    // A minute: a busy machine starts a Collector slowly.
    for _ in 0..1200 {
        if tokio::net::TcpStream::connect(to).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("nothing listens at {to}")
}

/// CPU seconds of all threads. `schedstat` has nanoseconds; where it is missing, ticks do.
fn cpu(peer: &Peer) -> anyhow::Result<f64> {
    let mut nanos = 0.0;
    for task in std::fs::read_dir(format!("/proc/{}/task", peer.id()))? {
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            let first = text.split_whitespace().next().context("schedstat")?;
            nanos += first.parse::<f64>()?;
        }
    }
    if nanos > 0.0 {
        return Ok(nanos / 1e9);
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", peer.id()))?;
    let after = stat.rsplit_once(')').context("stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 1/100 s.
    let ticks: f64 = fields.get(11).context("utime")?.parse::<f64>()?
        + fields.get(12).context("stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn memory(peer: &Peer, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.id()))?;
    let line = status
        .lines()
        .find(|l| l.starts_with(name))
        .with_context(|| name.to_owned())?;
    let kib: u64 = line.split_whitespace().nth(1).context("kB")?.parse()?;
    Ok(kib * 1024)
}
