//! A host: a few services that stay, a long tail of jobs that come and go.

use super::build::{double_point, int, int_point, resource, sum, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Executables that stay; the first are the busy ones.
const SERVICES: [&str; 8] = [
    "nginx",
    "postgres",
    "java",
    "redis-server",
    "node",
    "containerd",
    "sshd",
    "cron",
];
/// Executables of short jobs.
const JOBS: [&str; 6] = ["sh", "git", "python3", "cc1", "curl", "logrotate"];
/// CPU time moves by 1/64 s, which a double holds exactly.
const TICK: f64 = 1.0 / 64.0;

#[derive(Debug)]
struct Process {
    pid: i64,
    name: &'static str,
    start: u64,
    /// Rounds to live; `None` = stays.
    left: Option<u32>,
    /// Mean ticks a round.
    busy: u32,
    user: u64,
    system: u64,
    memory: i64,
    read: i64,
    written: i64,
    threads: i64,
}

#[derive(Debug)]
pub struct Host {
    name: String,
    next_pid: i64,
    processes: Vec<Process>,
    jobs: usize,
}

impl Host {
    pub fn new(n: usize, processes: usize, now: u64, rng: &mut ChaCha8Rng) -> Host {
        let mut host = Host {
            name: format!("host-{n:04}"),
            next_pid: 100,
            processes: Vec::new(),
            jobs: processes / 4,
        };
        for slot in 0..processes {
            let name = SERVICES[slot % SERVICES.len()];
            let busy = 64 >> (slot.min(5));
            host.start(name, None, busy, now, rng);
        }
        host
    }

    fn start(
        &mut self,
        name: &'static str,
        left: Option<u32>,
        busy: u32,
        now: u64,
        rng: &mut ChaCha8Rng,
    ) {
        self.next_pid += rng.random_range(1..9);
        self.processes.push(Process {
            pid: self.next_pid,
            name,
            start: now,
            left,
            busy,
            user: 0,
            system: 0,
            memory: rng.random_range(1_000_000..400_000_000),
            read: 0,
            written: 0,
            threads: rng.random_range(1..32),
        });
    }

    pub fn round(&mut self, now: u64, rng: &mut ChaCha8Rng) -> ExportMetricsServiceRequest {
        self.processes.retain_mut(|p| match &mut p.left {
            None => true,
            Some(left) => {
                *left = left.saturating_sub(1);
                *left > 0
            }
        });
        let living = self.processes.iter().filter(|p| p.left.is_some()).count();
        for _ in living..self.jobs {
            let name = JOBS[rng.random_range(0..JOBS.len())];
            let left = rng.random_range(2..12);
            self.start(name, Some(left), 4, now, rng);
        }
        let host = self.name.clone();
        let each = self.processes.iter_mut().map(|p| p.round(&host, now, rng));
        ExportMetricsServiceRequest {
            resource_metrics: each.collect(),
        }
    }
}

impl Process {
    fn round(&mut self, host: &str, now: u64, rng: &mut ChaCha8Rng) -> ResourceMetrics {
        self.user += u64::from(rng.random_range(0..=2 * self.busy));
        self.system += u64::from(rng.random_range(0..=self.busy / 2));
        self.memory = (self.memory + rng.random_range(-4096..=4096) * 16).max(4096);
        self.read += rng.random_range(0..=i64::from(self.busy)) * 512;
        self.written += rng.random_range(0..=i64::from(self.busy)) * 512;
        let (start, name) = (self.start, self.name);
        let state = |state: &str, ticks: u64| {
            double_point(vec![text("state", state)], start, now, ticks as f64 * TICK)
        };
        let direction = |direction: &str, bytes: i64| {
            int_point(vec![text("direction", direction)], start, now, bytes)
        };
        let metrics = vec![
            sum(
                "process.cpu.time",
                "s",
                true,
                false,
                vec![
                    state("user", self.user),
                    state("system", self.system),
                    state("wait", 0),
                ],
            ),
            sum(
                "process.memory.usage",
                "By",
                false,
                false,
                vec![int_point(vec![], start, now, self.memory)],
            ),
            sum(
                "process.memory.virtual",
                "By",
                false,
                false,
                vec![int_point(vec![], start, now, self.memory * 3)],
            ),
            sum(
                "process.disk.io",
                "By",
                true,
                false,
                vec![
                    direction("read", self.read),
                    direction("write", self.written),
                ],
            ),
            sum(
                "process.threads",
                "{threads}",
                false,
                false,
                vec![int_point(vec![], start, now, self.threads)],
            ),
        ];
        resource(
            vec![
                text("host.name", host),
                int("process.pid", self.pid),
                int("process.parent_pid", 1),
                text("process.executable.name", name),
                text("process.executable.path", &format!("/usr/bin/{name}")),
                text("process.command", name),
                text("process.command_line", &format!("{name} --id {}", self.pid)),
                text("process.owner", "root"),
            ],
            "phoenix-simulator/process",
            metrics,
        )
    }
}
