//! The host receiver against this machine, a folder, and the Collector's capture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::settings::{HostReceiver, ProcessRules};
use phoenix_proto::otlp::common::v1::any_value::Value as Any;
use phoenix_proto::otlp::metrics::v1::metric::Data;
use phoenix_proto::otlp::metrics::v1::number_data_point::Value;
use phoenix_proto::otlp::metrics::v1::{Metric, MetricsData, NumberDataPoint, ResourceMetrics};
use procfs::Current;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn settings() -> HostReceiver {
    HostReceiver {
        every: Duration::from_secs(10),
        root_path: "/".into(),
        include: ProcessRules::default(),
        exclude: ProcessRules::default(),
    }
}

fn scan(scanner: &mut Scanner) -> (Vec<ResourceMetrics>, Scanned) {
    let mut all = Vec::new();
    let scanned = scanner
        .scan(crate::clock::wall, |request| {
            let data = MetricsData::decode(request).unwrap();
            // As compact as the generated types write it.
            assert_eq!(data.encoded_len(), request.len());
            all.extend(data.resource_metrics);
        })
        .unwrap();
    assert_eq!(scanned.processes, all.len() as u64);
    let points: usize = all.iter().flat_map(metrics).map(|m| points(m).len()).sum();
    assert_eq!(scanned.points, points as u64);
    (all, scanned)
}

fn metrics(resource: &ResourceMetrics) -> impl Iterator<Item = &Metric> {
    resource.scope_metrics.iter().flat_map(|s| &s.metrics)
}

fn points(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        _ => panic!("not a number"),
    }
}

fn attribute(resource: &ResourceMetrics, key: &str) -> Option<Any> {
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    attributes
        .iter()
        .find(|a| a.key == key)?
        .value
        .clone()?
        .value
}

fn text(resource: &ResourceMetrics, key: &str) -> Option<String> {
    match attribute(resource, key)? {
        Any::StringValue(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

fn of_pid(all: &[ResourceMetrics], pid: u32) -> Option<&ResourceMetrics> {
    let wanted = Some(Any::IntValue(pid.into()));
    all.iter().find(|r| attribute(r, "process.pid") == wanted)
}

/// The values of a metric by the value of its points' one attribute ("" where they have none).
fn values(resource: &ResourceMetrics, name: &str) -> BTreeMap<String, f64> {
    let metric = metrics(resource).find(|m| m.name == name);
    let points = metric.map(points).unwrap_or_default().iter();
    points
        .map(|p| {
            let key = match p.attributes.first().map(|a| a.value.clone().unwrap().value) {
                Some(Some(Any::StringValue(text))) => text,
                _ => String::new(),
            };
            let value = match p.value.unwrap() {
                Value::AsInt(int) => int as f64,
                Value::AsDouble(double) => double,
            };
            (key, value)
        })
        .collect()
}

struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn spawn(program: &str, arguments: &[&str]) -> Reaped {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Reaped(command.spawn().unwrap())
}

#[test]
fn this_process_and_a_child_read_as_the_procfs_crate_reads_them() {
    let child = spawn("sleep", &["600"]);
    let mut scanner = Scanner::open(&settings(), "node").unwrap();
    // Threads of the test runner come and go: an oracle before and one after enclose the scan.
    let oracle = |pid: u32| {
        let process = procfs::process::Process::new(i32::try_from(pid).unwrap()).unwrap();
        let (stat, status) = (process.stat().unwrap(), process.status().unwrap());
        (process, stat, status)
    };
    for pid in [std::process::id(), child.0.id()] {
        let (process, stat, status) = oracle(pid);
        let (all, _) = scan(&mut scanner);
        let (_, later, _) = oracle(pid);
        let found = of_pid(&all, pid).expect("the process is there");
        let between = |name: &str, key: &str, low: f64, high: f64| {
            let value = values(found, name)[key];
            assert!(
                low <= value && value <= high,
                "{name} {key}: {low} <= {value} <= {high}"
            );
        };
        let ticks = procfs::ticks_per_second() as f64;
        let seconds = |t: u64| t as f64 / ticks;
        between(
            "process.cpu.time",
            "user",
            seconds(stat.utime),
            seconds(later.utime),
        );
        between(
            "process.cpu.time",
            "system",
            seconds(stat.stime),
            seconds(later.stime),
        );
        let (minor, major) = (stat.minflt as f64, stat.majflt as f64);
        between("process.paging.faults", "minor", minor, later.minflt as f64);
        between("process.paging.faults", "major", major, later.majflt as f64);
        let switches = |of: Option<u64>| of.unwrap() as f64;
        between(
            "process.context_switches",
            "voluntary",
            switches(status.voluntary_ctxt_switches),
            1e9,
        );
        between(
            "process.context_switches",
            "involuntary",
            switches(status.nonvoluntary_ctxt_switches),
            1e9,
        );
        let io = process.io().unwrap();
        between("process.disk.io", "read", 0.0, io.rchar as f64 + 1e9);
        assert_eq!(
            text(found, "process.command_line").unwrap(),
            process.cmdline().unwrap().join(" ")
        );
        assert_eq!(
            text(found, "process.command").unwrap(),
            process.cmdline().unwrap()[0]
        );
        let exe = process.exe().unwrap();
        assert_eq!(
            text(found, "process.executable.path").unwrap(),
            exe.to_str().unwrap()
        );
        assert_eq!(
            attribute(found, "process.parent_pid"),
            Some(Any::IntValue(stat.ppid.into()))
        );
        let start = procfs::boot_time_secs().unwrap() * 1000
            + stat.starttime * 1000 / procfs::ticks_per_second();
        let point = points(metrics(found).next().unwrap())[0].start_time_unix_nano;
        assert_eq!(point, start * 1_000_000);
    }
    // The child sleeps, so that its figures stand still and must be equal.
    let (all, _) = scan(&mut scanner);
    let (process, stat, status) = oracle(child.0.id());
    let found = of_pid(&all, child.0.id()).unwrap();
    let one = |name: &str| values(found, name)[""];
    assert_eq!(one("process.memory.virtual"), stat.vsize as f64);
    assert_eq!(
        one("process.memory.usage"),
        (stat.rss * procfs::page_size()) as f64
    );
    assert_eq!(one("process.threads"), status.threads as f64);
    assert_eq!(
        one("process.open_file_descriptors"),
        process.fd_count().unwrap() as f64
    );
    let io = process.io().unwrap();
    assert_eq!(values(found, "process.disk.io")["read"], io.rchar as f64);
    assert_eq!(
        values(found, "process.disk.operations")["write"],
        io.syscw as f64
    );
    let total = procfs::Meminfo::current().unwrap().mem_total as f32;
    let percent = 100.0 * (stat.rss * procfs::page_size()) as f32 / total;
    assert_eq!(one("process.memory.utilization"), f64::from(percent));
    assert_eq!(text(found, "process.executable.name").unwrap(), "sleep");
}

#[test]
fn a_child_that_burns_cpu_and_writes_is_seen_to_do_so_and_gone_when_it_is() {
    let mut child = spawn("sh", &["-c", "echo 123456789; while :; do :; done"]);
    let mut scanner = Scanner::open(&settings(), "node").unwrap();
    let (all, _) = scan(&mut scanner);
    let first = of_pid(&all, child.0.id()).unwrap().clone();
    assert!(
        values(&first, "process.cpu.utilization").is_empty(),
        "none at first sight"
    );
    let begin = Instant::now();
    let second = loop {
        let (all, _) = scan(&mut scanner);
        let now = of_pid(&all, child.0.id()).unwrap().clone();
        let spent = |r: &ResourceMetrics| values(r, "process.cpu.time").values().sum::<f64>();
        if spent(&now) > spent(&first) + 0.05 {
            break now;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "a busy loop takes CPU time"
        );
    };
    let written = &values(&second, "process.disk.io")["write"];
    assert!(*written >= 10.0, "{written}");
    let share: f64 = values(&second, "process.cpu.utilization").values().sum();
    assert!((0.0..=1.01).contains(&share), "{share}");
    let pid = child.0.id();
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let (all, _) = scan(&mut scanner);
    assert!(of_pid(&all, pid).is_none());
}

/// Everything about a metric and its points that is not a value.
type Form = (
    String,
    String,
    String,
    &'static str,
    i32,
    bool,
    Vec<(Vec<(String, String)>, bool, bool)>,
);

fn forms(resources: &[ResourceMetrics]) -> BTreeMap<String, Form> {
    let mut forms = BTreeMap::new();
    for metric in resources.iter().flat_map(metrics) {
        let (kind, temporality, monotonic) = match metric.data.as_ref().unwrap() {
            Data::Sum(s) => ("sum", s.aggregation_temporality, s.is_monotonic),
            _ => ("gauge", 0, false),
        };
        let shape = |p: &NumberDataPoint| {
            let attributes = p.attributes.iter().map(|a| {
                let Some(Any::StringValue(text)) = a.value.clone().unwrap().value else {
                    panic!()
                };
                (a.key.clone(), text)
            });
            let double = matches!(p.value, Some(Value::AsDouble(_)));
            (attributes.collect(), double, p.start_time_unix_nano > 0)
        };
        let form = (
            metric.name.clone(),
            metric.unit.clone(),
            metric.description.clone(),
            kind,
            temporality,
            monotonic,
            points(metric).iter().map(shape).collect(),
        );
        forms.insert(metric.name.clone(), form);
    }
    forms
}

#[test]
fn names_units_types_and_attributes_are_those_of_a_capture_of_the_collector() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let folder = std::env::var("PHOENIX_CAPTURES").map_or(folder, Into::into);
    let Ok(file) = std::fs::File::open(folder.join("node-a-host.binpb.zst")) else {
        eprintln!(
            "skipped: no capture in {} (PHOENIX_CAPTURES)",
            folder.display()
        );
        return;
    };
    let bytes = zstd::decode_all(file).unwrap();
    let mut theirs = Vec::new();
    let mut rest = bytes.as_slice();
    // The later messages: a first scrape has no utilization.
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (message, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        let data = MetricsData::decode(message).unwrap();
        let of_process = |r: &ResourceMetrics| attribute(r, "process.pid").is_some();
        theirs.extend(data.resource_metrics.into_iter().filter(of_process));
        rest = tail;
    }
    let mut scanner = Scanner::open(&settings(), "node").unwrap();
    scan(&mut scanner);
    let (ours, _) = scan(&mut scanner);
    assert_eq!(forms(&ours), forms(&theirs));
    let own = of_pid(&ours, std::process::id()).unwrap();
    let whole = theirs
        .iter()
        .find(|r| metrics(r).count() == metrics(own).count())
        .unwrap();
    assert_eq!(own.schema_url, whole.schema_url);
    assert_eq!(own.scope_metrics[0].scope, whole.scope_metrics[0].scope);
    let order = |r: &ResourceMetrics| metrics(r).map(|m| m.name.clone()).collect::<Vec<_>>();
    assert_eq!(order(own), order(whole));
    let keys = |r: &ResourceMetrics| -> Vec<String> {
        let attributes = r.resource.as_ref().unwrap().attributes.iter();
        attributes
            .map(|a| a.key.clone())
            .filter(|k| k != "os.type")
            .collect()
    };
    assert_eq!(
        keys(own),
        keys(whole),
        "os.type came from another processor of that Collector"
    );
}

fn file(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A mounted host of two processes: a whole one and one of which little may be read.
fn mounted() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    file(&at("etc/passwd"), "shop:x:1001:1001::/:/bin/sh\n");
    file(&at("etc/hostname"), "host-7\n");
    file(
        &at("proc/stat"),
        "cpu  1\ncpu0 1\ncpu1 1\nbtime 1700000000\n",
    );
    file(&at("proc/meminfo"), "MemTotal: 1000 kB\n");
    file(&at("proc/uptime"), "1.0 1.0\n");
    let stat = |comm: &str| {
        format!(
            "7 ({comm}) S 1 7 7 0 -1 0 100 0 3 0 250 50 0 0 20 0 4 0 12345 1048576 25 0{} 7 0 0",
            " 0".repeat(16)
        )
    };
    file(&at("proc/7/stat"), &stat("a-very-long-nam"));
    file(
        &at("proc/7/status"),
        "Uid:\t1001\t0\t0\t0\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n",
    );
    file(
        &at("proc/7/cmdline"),
        "/usr/bin/a-very-long-name\0--flag\0two words\0",
    );
    file(&at("proc/7/io"), "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\n");
    file(&at("proc/7/fd/0"), "");
    file(&at("proc/7/fd/1"), "");
    std::os::unix::fs::symlink("/usr/bin/a-very-long-name", at("proc/7/exe")).unwrap();
    file(
        &at("proc/8/stat"),
        &stat("kworker/0:1").replace("7 (", "8 ("),
    );
    file(&at("proc/8/status"), "Uid:\t0\t0\t0\t0\n");
    file(&at("proc/8/cmdline"), "");
    // A file where a folder should be, and a folder where a file should be: they cannot be read.
    file(&at("proc/8/fd"), "");
    std::fs::create_dir(at("proc/8/io")).unwrap();
    // Vanished after it was listed.
    std::fs::create_dir(at("proc/9")).unwrap();
    root
}

#[test]
fn a_mounted_host_is_read_under_its_root_and_what_may_not_be_read_is_absent() {
    let root = mounted();
    let mut settings = settings();
    settings.root_path = root.path().to_owned();
    let mut scanner = Scanner::open(&settings, "node").unwrap();
    let (all, scanned) = scan(&mut scanner);
    assert_eq!((scanned.processes, scanned.skipped), (2, 1));
    let (whole, part) = (of_pid(&all, 7).unwrap(), of_pid(&all, 8).unwrap());
    assert_eq!(
        text(whole, "process.executable.name").unwrap(),
        "a-very-long-name"
    );
    assert_eq!(
        text(whole, "process.executable.path").unwrap(),
        "/usr/bin/a-very-long-name"
    );
    assert_eq!(
        text(whole, "process.command_line").unwrap(),
        "/usr/bin/a-very-long-name --flag two words"
    );
    assert_eq!(text(whole, "process.owner").unwrap(), "shop");
    assert_eq!(text(whole, "host.name").unwrap(), "host-7");
    assert_eq!(values(whole, "process.open_file_descriptors")[""], 2.0);
    assert_eq!(values(whole, "process.cpu.time")["wait"], 0.07);
    let start = points(metrics(whole).next().unwrap())[0].start_time_unix_nano;
    assert_eq!(start, 1_700_000_123_450_000_000);
    assert_eq!(text(part, "process.owner"), None);
    assert_eq!(text(part, "process.executable.path").unwrap(), "");
    for absent in [
        "process.open_file_descriptors",
        "process.disk.io",
        "process.disk.operations",
        "process.context_switches",
    ] {
        assert!(values(part, absent).is_empty(), "{absent}");
    }
    assert_eq!(values(part, "process.threads")[""], 4.0);
    settings.exclude.command_lines = vec!["*--flag*".into()];
    let mut scanner = Scanner::open(&settings, "node").unwrap();
    let (all, _) = scan(&mut scanner);
    assert_eq!(all.len(), 1);
    assert!(of_pid(&all, 8).is_some());
}

#[test]
fn a_root_without_a_proc_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.root_path = root.path().to_owned();
    let error = Scanner::open(&settings, "node").err().unwrap().to_string();
    assert!(
        error.contains("/proc: ") && error.contains("root_path"),
        "{error}"
    );
}

/// Not a limit, a print: what a process costs here.
#[test]
fn a_scan_prints_what_a_process_costs() {
    let mut scanner = Scanner::open(&settings(), "node").unwrap();
    scan(&mut scanner);
    let (begin, cpu) = (Instant::now(), crate::limits::thread_cpu());
    let (mut processes, mut points, mut bytes) = (0, 0, 0);
    for _ in 0..20 {
        let scanned = scanner
            .scan(crate::clock::wall, |r| bytes += r.len())
            .unwrap();
        processes += scanned.processes;
        points += scanned.points;
    }
    let (wall, cpu) = (begin.elapsed(), crate::limits::thread_cpu() - cpu);
    println!(
        "host scan: {:.1} us a process ({:.1} us CPU), {:.0} points and {:.0} bytes a process",
        wall.as_secs_f64() * 1e6 / processes as f64,
        cpu * 1e6 / processes as f64,
        points as f64 / processes as f64,
        bytes as f64 / processes as f64,
    );
    assert!(processes > 0 && points > processes);
}
