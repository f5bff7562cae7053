//! Real receivers: Prometheus and VictoriaMetrics store what is sent and answer queries with it.
//! `scripts/prepare` installs both; where one is missing, its test says so and passes.

use super::delivery::{now, settings};
use super::*;
use crate::delivery::balanced;
use crate::support::{agent, client, http_request};
use phoenix_agent::process::Agent;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;

struct Server {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

impl Server {
    async fn prometheus() -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), "").unwrap();
        let address = free_address();
        let data = folder.path().join("data");
        let arguments = [
            format!("--config.file={}/prometheus.yml", folder.path().display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={address}"),
            "--web.enable-remote-write-receiver".to_owned(),
            "--enable-feature=native-histograms,exemplar-storage".to_owned(),
        ];
        Server::start("prometheus", &arguments, "/-/ready", address, folder).await
    }

    async fn victoria_metrics() -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let arguments = [
            format!("-storageDataPath={}", folder.path().display()),
            format!("-httpListenAddr={address}"),
            "-search.latencyOffset=1ms".to_owned(),
            "-search.disableCache".to_owned(),
        ];
        Server::start("victoria-metrics", &arguments, "/health", address, folder).await
    }

    async fn start(
        program: &str,
        arguments: &[String],
        ready: &str,
        address: SocketAddr,
        folder: tempfile::TempDir,
    ) -> Option<Server> {
        let started = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            eprintln!("SKIPPED: no {program} on this machine (scripts/prepare)");
            return None;
        };
        let server = Server {
            child,
            address,
            _folder: folder,
        };
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let up = tokio::net::TcpStream::connect(address).await.is_ok();
            if up && http_request(address, "GET", ready, &[], b"").await.0 == 200 {
                return Some(server);
            }
            assert!(Instant::now() < end, "{program} does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An agent that writes here.
    async fn agent(&self) -> Agent {
        let endpoint = format!("http://{}/api/v1/write", self.address);
        agent(&settings(&endpoint, "    scope_labels: false")).await
    }

    async fn get(&self, path: &str) -> Json {
        let (status, body, _) = http_request(self.address, "GET", path, &[], b"").await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// An instant query: `(labels, value or histogram)` of every result.
    async fn query(&self, query: &str, time: u64) -> Vec<(Json, Json)> {
        let path = format!(
            "/api/v1/query?query={}&time={}",
            escaped(query),
            time / SECOND
        );
        let all = self.get(&path).await;
        let result = all["data"]["result"].as_array().unwrap().clone();
        let value = |row: &Json| match &row["histogram"] {
            Json::Null => row["value"][1].clone(),
            histogram => histogram[1].clone(),
        };
        result
            .iter()
            .map(|row| (row["metric"].clone(), value(row)))
            .collect()
    }

    /// The one value of a query, once it is as expected; a rate may lie a rounding beside it.
    async fn expect(&self, query: &str, time: u64, expected: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.query(query, time).await;
            let expected: f64 = expected.parse().unwrap();
            let value = |row: &(Json, Json)| row.1.as_str()?.parse::<f64>().ok();
            if let [row] = found.as_slice()
                && value(row).is_some_and(|v| (v - expected).abs() <= 1e-12 * expected.abs())
            {
                return;
            }
            assert!(Instant::now() < end, "{query}: {found:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn escaped(query: &str) -> String {
    let keep = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let one = |b: u8| match keep(&b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    query.bytes().map(one).collect()
}

/// A minute of a counter and a gauge every 15 s, a histogram and a summary.
async fn send_a_minute(agent: &Agent, begin: u64) -> u64 {
    let mut client = client(agent).await;
    for round in 0..5 {
        let time = begin + round * 15 * SECOND;
        let counted = number(round as f64 * 30.0, time, &[("http.method", "GET")]);
        client
            .export(request(vec![
                metric("http.requests", "{request}", sum(vec![counted], CUMULATIVE)),
                metric("cpu.utilization", "1", gauge(vec![number(0.25, time, &[])])),
                metric("http.duration", "s", explicit(time)),
                metric("gc", "ms", summary(time)),
            ]))
            .await
            .unwrap();
    }
    begin + 60 * SECOND
}

/// What every receiver stores alike.
async fn stores_what_was_sent(server: &Server) -> (Agent, u64) {
    let agent = server.agent().await;
    let time = send_a_minute(&agent, now() / SECOND * SECOND - 120 * SECOND).await;
    server.expect("http_requests_total", time, "120").await;
    server
        .expect("rate(http_requests_total[1m])", time, "2")
        .await;
    server.expect("cpu_utilization_ratio", time, "0.25").await;
    server
        .expect("http_duration_seconds_bucket{le=\"1\"}", time, "3")
        .await;
    server
        .expect("http_duration_seconds_bucket{le=\"+Inf\"}", time, "4")
        .await;
    server
        .expect("http_duration_seconds_sum", time, "2.75")
        .await;
    server
        .expect("gc_milliseconds{quantile=\"0.99\"}", time, "9")
        .await;
    server.expect("gc_milliseconds_count", time, "8").await;
    let quantile = "histogram_quantile(0.5, http_duration_seconds_bucket)";
    server.expect(quantile, time, "0.75").await;
    let joined = "http_requests_total * on(job, instance) group_left(host_name) target_info";
    server.expect(joined, time, "120").await;
    let (labels, _) = server.query(joined, time).await.remove(0);
    assert_eq!(labels["host_name"], "h1");
    assert_eq!(labels["job"], "shop/checkout");
    assert_eq!(labels["instance"], "i-1");
    assert_eq!(labels["http_method"], "GET");
    let ledger = balanced(&agent).await;
    assert_eq!(ledger["exported"], 20, "{ledger}");
    assert!(
        ledger["dropped"].as_object().unwrap().is_empty(),
        "{ledger}"
    );
    (agent, time)
}

/// A point without a recorded value ends its series at once, not after five minutes: all that a histogram has.
async fn ends_a_series(server: &Server, agent: &Agent, time: u64) {
    let mut ended = number(0.0, time + 15 * SECOND, &[]);
    ended.value = None;
    ended.flags = 1;
    let mut histogram = explicit(time + 15 * SECOND);
    if let Data::Histogram(h) = &mut histogram {
        h.data_points[0].flags = 1;
        h.data_points[0].sum = None;
    }
    let end = request(vec![
        metric("cpu.utilization", "1", gauge(vec![ended])),
        metric("http.duration", "s", histogram),
    ]);
    client(agent).await.export(end).await.unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let query = "{__name__=~\"cpu_utilization_ratio|http_duration_seconds_.*\"}";
    loop {
        let left = server.query(query, time + 20 * SECOND).await;
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let buckets = server.query("http_duration_seconds_bucket", time).await;
    assert!(!buckets.is_empty());
    server
        .expect("cpu_utilization_ratio", time + 10 * SECOND, "0.25")
        .await;
}

#[tokio::test]
async fn prometheus_stores_every_kind_native_histograms_exemplars_and_ends() {
    let Some(server) = Server::prometheus().await else {
        return;
    };
    let (agent, time) = stores_what_was_sent(&server).await;
    ends_a_series(&server, &agent, time).await;

    let native = request(vec![metric("size", "By", exponential(time, 3))]);
    client(&agent).await.export(native).await.unwrap();
    server
        .expect("histogram_count(size_bytes)", time, "10")
        .await;
    server
        .expect("histogram_sum(size_bytes)", time, "12.5")
        .await;
    let (_, histogram) = server.query("size_bytes", time).await.remove(0);
    let buckets: Vec<(f64, f64, f64)> = histogram["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| {
            let number = |at: usize| b[at].as_str().unwrap().parse().unwrap();
            (number(1), number(2), number(3))
        })
        .collect();
    // The edges of OTLP's buckets: index i at scale 3 ends at 2^((i + 1) / 8).
    let edge = |index: i32| (f64::from(index) / 8.0).exp2();
    let expected = [
        (-edge(3), -edge(2), 1.0),
        (-1e-128, 1e-128, 1.0),
        (edge(-1), edge(0), 2.0),
        (edge(0), edge(1), 3.0),
        (edge(5), edge(6), 3.0),
    ];
    assert_eq!(buckets.len(), expected.len(), "{histogram}");
    for (found, expected) in buckets.iter().zip(expected) {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs();
        assert!(
            near(found.0, expected.0) && near(found.1, expected.1) && found.2 == expected.2,
            "{buckets:?}"
        );
    }

    let (start, end) = (time / SECOND - 120, time / SECOND + 60);
    let path = format!(
        "/api/v1/query_exemplars?query=http_duration_seconds_bucket&start={start}&end={end}"
    );
    let exemplars = server.get(&path).await;
    let exemplar = &exemplars["data"][0]["exemplars"][0];
    assert_eq!(exemplar["value"], "0.75", "{exemplars}");
    assert_eq!(exemplar["labels"]["trace_id"], "ab".repeat(16));
}

#[tokio::test]
async fn of_a_request_with_a_late_sample_prometheus_gets_all_the_others() {
    let Some(server) = Server::prometheus().await else {
        return;
    };
    let agent = server.agent().await;
    let mut client = client(&agent).await;
    let time = now() / SECOND * SECOND - 60 * SECOND;
    let at = |label: &str, value: f64, time: u64| number(value, time, &[("n", label)]);
    let first = vec![at("late", 1.0, time)];
    client
        .export(request(vec![metric("g", "", gauge(first))]))
        .await
        .unwrap();
    server.expect("g{n=\"late\"}", time, "1").await;
    let mut points: Vec<_> = (0..99).map(|n| at(&n.to_string(), 2.0, time)).collect();
    points.insert(50, at("late", 3.0, time - 30 * SECOND));
    client
        .export(request(vec![metric("g", "", gauge(points))]))
        .await
        .unwrap();
    server.expect("count(g == 2)", time, "99").await;
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let ledger = balanced(&agent).await;
        if ledger["dropped"]["next_hop"] == 1 && ledger["exported"] == 100 {
            break;
        }
        assert!(Instant::now() < end, "{ledger}");
    }
    server.expect("g{n=\"late\"}", time, "1").await;
}

#[tokio::test]
async fn victoria_metrics_stores_what_it_knows_and_ends() {
    let Some(server) = Server::victoria_metrics().await else {
        return;
    };
    let (agent, time) = stores_what_was_sent(&server).await;
    ends_a_series(&server, &agent, time).await;
}
