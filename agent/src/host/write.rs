//! Writes one process as one OTLP resource. All that is the same for every process is encoded once.

use crate::json::wire;
use phoenix_engine::Nanos;

/// Names of the Collector's scraper: the series keep their identity when one replaces the other.
const SCOPE: &str = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver/internal/scraper/processscraper";
const SCOPE_VERSION: &str = "0.145.0";
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.9.0";

/// `metric.data`: its field and what comes after the points.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    /// Cumulative and not monotonic.
    UpDown,
    /// Cumulative and monotonic.
    Counter,
}

impl Kind {
    fn field(self) -> u32 {
        match self {
            Kind::Gauge => 5,
            Kind::UpDown | Kind::Counter => 7,
        }
    }

    /// aggregation_temporality = cumulative, is_monotonic = true.
    fn tail(self) -> &'static [u8] {
        match self {
            Kind::Gauge => &[],
            Kind::UpDown => &[0x10, 2],
            Kind::Counter => &[0x10, 2, 0x18, 1],
        }
    }
}

/// A value of a point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Int(u64),
    Double(f64),
}

/// A metric's head and the attributes of its points, encoded.
#[derive(Debug)]
pub(super) struct Shape {
    head: Vec<u8>,
    kind: Kind,
    points: Vec<Vec<u8>>,
}

impl Shape {
    fn new(
        (name, unit, description): (&str, &str, &str),
        kind: Kind,
        key: &str,
        values: &[&str],
    ) -> Shape {
        let mut head = Vec::new();
        wire::bytes(&mut head, 1, name.as_bytes());
        wire::bytes(&mut head, 2, description.as_bytes());
        wire::bytes(&mut head, 3, unit.as_bytes());
        let attribute = |value: &&str| {
            let mut out = Vec::new();
            text_attribute(&mut out, 7, key, value);
            out
        };
        let mut points: Vec<Vec<u8>> = values.iter().map(attribute).collect();
        if points.is_empty() {
            points.push(Vec::new());
        }
        Shape { head, kind, points }
    }

    /// Appends the metric, one value for each of its points; returns how many.
    fn write(&self, out: &mut Vec<u8>, times: (Nanos, Nanos), values: &[Value]) -> u64 {
        let metric = wire::open(out, 2);
        out.extend_from_slice(&self.head);
        let data = wire::open(out, self.kind.field());
        for (attributes, value) in self.points.iter().zip(values) {
            let point = wire::open(out, 1);
            out.extend_from_slice(attributes);
            wire::fixed64(out, 2, times.0);
            wire::fixed64(out, 3, times.1);
            match value {
                Value::Int(value) => wire::fixed64(out, 6, *value),
                Value::Double(value) => wire::fixed64(out, 4, value.to_bits()),
            }
            wire::close(out, point);
        }
        out.extend_from_slice(self.kind.tail());
        wire::close(out, data);
        wire::close(out, metric);
        values.len() as u64
    }
}

fn text_attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    let pair = wire::open(out, field);
    wire::bytes(out, 1, key.as_bytes());
    let any = wire::open(out, 2);
    wire::bytes(out, 1, value.as_bytes());
    wire::close(out, any);
    wire::close(out, pair);
}

fn int_attribute(out: &mut Vec<u8>, field: u32, key: &str, value: i64) {
    let pair = wire::open(out, field);
    wire::bytes(out, 1, key.as_bytes());
    let any = wire::open(out, 2);
    wire::number(out, 3, value as u64);
    wire::close(out, any);
    wire::close(out, pair);
}

/// One process, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Process<'a> {
    pub pid: i64,
    pub parent: i64,
    pub name: &'a str,
    pub path: &'a str,
    /// First word and whole line.
    pub command: Option<(&'a str, &'a str)>,
    pub owner: Option<&'a str>,
    pub start: Nanos,
    pub time: Nanos,
    /// Voluntary and involuntary are written in the Collector's order: involuntary first.
    pub switches: Option<[u64; 2]>,
    /// Seconds in user, system, wait.
    pub cpu: [f64; 3],
    /// Share of all CPUs since the last scan; none at first sight.
    pub cpu_share: Option<[f64; 3]>,
    /// Bytes read and written, operations read and written.
    pub disk: Option<[u64; 4]>,
    pub resident: u64,
    pub memory_percent: f64,
    pub virtual_bytes: u64,
    pub files: Option<u64>,
    /// Major and minor.
    pub faults: [u64; 2],
    pub threads: u64,
}

/// The encoded shapes, in the order in which the Collector writes them.
#[derive(Debug)]
pub(super) struct Writer {
    host_name: String,
    scope: Vec<u8>,
    schema: Vec<u8>,
    switches: Shape,
    cpu_time: Shape,
    cpu_share: Shape,
    disk_bytes: Shape,
    disk_operations: Shape,
    resident: Shape,
    memory_percent: Shape,
    virtual_bytes: Shape,
    files: Shape,
    faults: Shape,
    threads: Shape,
}

impl Writer {
    pub(super) fn new(host_name: String) -> Writer {
        let mut scope = Vec::new();
        let body = wire::open(&mut scope, 1);
        wire::bytes(&mut scope, 1, SCOPE.as_bytes());
        wire::bytes(&mut scope, 2, SCOPE_VERSION.as_bytes());
        wire::close(&mut scope, body);
        let mut schema = Vec::new();
        wire::bytes(&mut schema, 3, SCHEMA.as_bytes());
        let states = ["user", "system", "wait"];
        let directions = ["read", "write"];
        Writer {
            host_name,
            scope,
            schema,
            switches: Shape::new(
                (
                    "process.context_switches",
                    "{count}",
                    "Number of times the process has been context switched.",
                ),
                Kind::Counter,
                "type",
                &["involuntary", "voluntary"],
            ),
            cpu_time: Shape::new(
                (
                    "process.cpu.time",
                    "s",
                    "Total CPU seconds broken down by different states.",
                ),
                Kind::Counter,
                "state",
                &states,
            ),
            cpu_share: Shape::new(
                (
                    "process.cpu.utilization",
                    "1",
                    "Percentage of total CPU time used by the process since last scrape, expressed as a value between 0 and 1. On the first scrape, no data point is emitted for this metric.",
                ),
                Kind::Gauge,
                "state",
                &states,
            ),
            disk_bytes: Shape::new(
                ("process.disk.io", "By", "Disk bytes transferred."),
                Kind::Counter,
                "direction",
                &directions,
            ),
            disk_operations: Shape::new(
                (
                    "process.disk.operations",
                    "{operations}",
                    "Number of disk operations performed by the process.",
                ),
                Kind::Counter,
                "direction",
                &directions,
            ),
            resident: Shape::new(
                (
                    "process.memory.usage",
                    "By",
                    "The amount of physical memory in use.",
                ),
                Kind::UpDown,
                "",
                &[],
            ),
            memory_percent: Shape::new(
                (
                    "process.memory.utilization",
                    "1",
                    "Percentage of total physical memory that is used by the process.",
                ),
                Kind::Gauge,
                "",
                &[],
            ),
            virtual_bytes: Shape::new(
                ("process.memory.virtual", "By", "Virtual memory size."),
                Kind::UpDown,
                "",
                &[],
            ),
            files: Shape::new(
                (
                    "process.open_file_descriptors",
                    "{count}",
                    "Number of file descriptors in use by the process.",
                ),
                Kind::UpDown,
                "",
                &[],
            ),
            faults: Shape::new(
                (
                    "process.paging.faults",
                    "{faults}",
                    "Number of page faults the process has made.",
                ),
                Kind::Counter,
                "type",
                &["major", "minor"],
            ),
            threads: Shape::new(
                ("process.threads", "{threads}", "Process threads count."),
                Kind::UpDown,
                "",
                &[],
            ),
        }
    }

    /// Appends one `ResourceMetrics` of a request; returns its points.
    pub(super) fn write(&self, out: &mut Vec<u8>, process: &Process<'_>) -> u64 {
        let body = wire::open(out, 1);
        self.resource(out, process);
        let scope = wire::open(out, 2);
        out.extend_from_slice(&self.scope);
        let points = self.metrics(out, process);
        wire::close(out, scope);
        out.extend_from_slice(&self.schema);
        wire::close(out, body);
        points
    }

    fn resource(&self, out: &mut Vec<u8>, process: &Process<'_>) {
        let body = wire::open(out, 1);
        int_attribute(out, 1, "process.pid", process.pid);
        int_attribute(out, 1, "process.parent_pid", process.parent);
        text_attribute(out, 1, "process.executable.name", process.name);
        text_attribute(out, 1, "process.executable.path", process.path);
        if let Some((command, line)) = process.command {
            text_attribute(out, 1, "process.command", command);
            text_attribute(out, 1, "process.command_line", line);
        }
        if let Some(owner) = process.owner {
            text_attribute(out, 1, "process.owner", owner);
        }
        text_attribute(out, 1, "host.name", &self.host_name);
        wire::close(out, body);
    }

    fn metrics(&self, out: &mut Vec<u8>, process: &Process<'_>) -> u64 {
        use Value::{Double, Int};
        let times = (process.start, process.time);
        let mut points = 0;
        let mut write = |shape: &Shape, values: &[Value]| {
            points += shape.write(out, times, values);
        };
        if let Some(switches) = process.switches {
            write(&self.switches, &switches.map(Int));
        }
        write(&self.cpu_time, &process.cpu.map(Double));
        if let Some(share) = process.cpu_share {
            write(&self.cpu_share, &share.map(Double));
        }
        if let Some([read, written, reads, writes]) = process.disk {
            write(&self.disk_bytes, &[read, written].map(Int));
            write(&self.disk_operations, &[reads, writes].map(Int));
        }
        write(&self.resident, &[Int(process.resident)]);
        write(&self.memory_percent, &[Double(process.memory_percent)]);
        write(&self.virtual_bytes, &[Int(process.virtual_bytes)]);
        if let Some(files) = process.files {
            write(&self.files, &[Int(files)]);
        }
        write(&self.faults, &process.faults.map(Int));
        write(&self.threads, &[Int(process.threads)]);
        points
    }
}
