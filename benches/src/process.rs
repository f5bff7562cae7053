//! The whole process: an agent (or a peer) on one core, load and sink on the other.

use crate::{load, requests};
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than a window, its lateness and a batch.
const SETTLE: Duration = Duration::from_secs(4);

/// What one run measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Points sent.
    pub points: u64,
    /// Wall seconds of the load.
    pub seconds: f64,
    /// CPU seconds of the process, user and system.
    pub cpu: f64,
    /// Peak resident set, bytes.
    pub peak_rss: u64,
    /// Requests at the sink.
    pub sink_requests: u64,
    /// Bytes at the sink.
    pub sink_bytes: u64,
}

impl Measured {
    /// CPU seconds of a million points.
    pub fn cpu_per_million(&self) -> f64 {
        self.cpu / (self.points as f64 / 1e6)
    }
}

/// Size of a load.
#[derive(Debug, Clone)]
pub struct Load {
    /// Requests a round; each is a host of its own.
    pub requests: usize,
    /// Points a request.
    pub points: usize,
    /// Rounds; the same series at later times.
    pub rounds: u64,
    /// gzip the requests.
    pub gzip: bool,
}

/// A started process under test; killed when dropped.
#[derive(Debug)]
pub struct Peer(Child);

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

/// Sends the load through the process that listens at `to` and exports to the sink `received` counts.
///
/// # Errors
/// The process refused a request, or nothing came out of it.
pub async fn measure(
    peer: &Peer,
    to: SocketAddr,
    received: &load::Received,
    size: &Load,
) -> anyhow::Result<Measured> {
    connected(to).await?;
    // Rounds are made before the clock starts, and one is sent to warm up.
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let round = |n| requests::round(size.requests, size.points, n, start);
    let rounds: Vec<_> = (0..=size.rounds).map(round).collect();
    let mut rounds = rounds.into_iter();
    load::send(to, rounds.by_ref().take(1), 4, size.gzip).await?;
    tokio::time::sleep(SETTLE).await;
    let before = (
        cpu(peer)?,
        received.requests.load(Ordering::Relaxed),
        received.bytes.load(Ordering::Relaxed),
    );
    let began = Instant::now();
    load::send(to, rounds, 4, size.gzip).await?;
    let seconds = began.elapsed().as_secs_f64();
    // What is batched, held in a window or retried belongs to the cost.
    tokio::time::sleep(SETTLE).await;
    let measured = Measured {
        points: size.rounds * (size.requests * (size.points / 4 * 4)) as u64,
        seconds,
        cpu: cpu(peer)? - before.0,
        peak_rss: peak_rss(peer)?,
        sink_requests: received.requests.load(Ordering::Relaxed) - before.1,
        sink_bytes: received.bytes.load(Ordering::Relaxed) - before.2,
    };
    ensure!(measured.sink_requests > 0, "nothing came out");
    Ok(measured)
}

async fn connected(to: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(to).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("nothing listens at {to}")
}

fn cpu(peer: &Peer) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", peer.0.id()))?;
    let after = stat.rsplit_once(')').context("stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 1/100 s.
    let ticks: f64 = fields.get(11).context("utime")?.parse::<f64>()?
        + fields.get(12).context("stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn peak_rss(peer: &Peer) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.0.id()))?;
    let line = status
        .lines()
        .find(|l| l.starts_with("VmHWM:"))
        .context("VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).context("VmHWM")?.parse()?;
    Ok(kib * 1024)
}
