//! The template for a Kubernetes control plane, over one that is made here with the bounds that upstream has.

use crate::support::{Folder, json};
use serde_json::{Value, json as object};
use std::collections::BTreeMap;
use std::iter::successors;

const TEMPLATE: &str = include_str!("../../../../examples/kubernetes-control-plane.yaml");

/// Stage whose ladder fits: bounds as upstream spells them (`0.001 x2 +0`: the first, and how the next one follows): families.
/// Of each how many of the bounds it has and how many are left; `merged`: API versions become one series; `always`: a point
/// comes at every scrape, still or not; and what the template's comments promise: a service level's bound, both sides of what
/// an alert or an advice asks for. Stage `doubling`: its stages match, no ladder of theirs fits; `none`: no stage is about it.
/// From kubernetes/kubernetes: test/instrumentation/documentation/documentation-list.yaml, pkg/scheduler/metrics/metrics.go and
/// component-base/metrics/prometheus/workqueue (the source has had ladders from 1e-8 and from 1e-6: one family each); from
/// etcd-io/etcd: metrics.go of server/storage/{backend,wal,mvcc} and server/etcdserver/api/{rafthttp,snap}.
const FAMILIES: &str = "
api-requests: 0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60: \
    apiserver_request_duration_seconds 23 13 merged 1 5 30, etcd_request_duration_seconds 23 13 merged, \
    apiserver_watch_cache_read_wait_seconds 13 9
api-requests: 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60: \
    apiserver_request_sli_duration_seconds 21 11 merged 1 5 30, field_validation_request_duration_seconds 21 11 always
api-requests: 0.05 0.1 0.2 0.4 0.6 0.8 1 2 4 6 8 10 15 20 30 45 60: apiserver_watch_list_duration_seconds 17 10
request-bodies: 50000 x1 +100000: apiserver_request_body_size_bytes 31 6
admission: 0.005 0.025 0.1 0.5 1 2.5 10 25: \
    apiserver_admission_controller_admission_duration_seconds 6 4, apiserver_admission_webhook_admission_duration_seconds 8 5
flow-control: 0 0.005 0.02 0.05 0.1 0.2 0.5 1 2 5 10 15 30: \
    apiserver_flowcontrol_request_wait_duration_seconds 13 7, apiserver_flowcontrol_request_execution_seconds 13 7
clients: 0.005 0.025 0.1 0.25 0.5 1 2 4 8 15 30 60: rest_client_request_duration_seconds 12 8, \
    rest_client_rate_limiter_duration_seconds 12 8, rest_client_dns_resolution_duration_seconds 11 7
client-bytes: 64 256 512 1024 4096 16384 65536 262144 1048576 4194304 16777216: \
    rest_client_request_size_bytes 11 5, rest_client_response_size_bytes 11 5
queues: 1e-8 x10 +0: workqueue_queue_duration_seconds 10 6
queues: 1e-6 x10 +0: workqueue_work_duration_seconds 10 6
doubling-from-100us: 0.0001 x2 +0: etcd_network_peer_round_trip_time_seconds 16 9 0.1024 0.2048, \
    scheduler_framework_extension_point_duration_seconds 12 7, node_authorizer_graph_actions_duration_seconds 12 7 always
doubling-from-1ms: 0.001 x2 +0: etcd_disk_wal_fsync_duration_seconds 14 9 0.008 0.016 0.256 0.512 1.024, \
    etcd_disk_backend_commit_duration_seconds 14 9 0.016 0.032 0.128 0.256, etcd_snap_fsync_duration_seconds 14 9, \
    scheduler_scheduling_attempt_duration_seconds 15 10, authentication_duration_seconds 15 10 always, \
    authorization_duration_seconds 15 10 always
doubling-from-10ms: 0.01 x2 +0: scheduler_pod_scheduling_sli_duration_seconds 20 10 5.12, etcd_mvcc_hash_duration_seconds 15 7
doubling: 0.1 x2 +0: etcd_disk_backend_defrag_duration_seconds 13 13, etcd_snap_db_save_total_duration_seconds 10 10
doubling: 1 x2 +0: scheduler_preemption_victims 7 7
plugins: 0.00001 x1.5 +0: scheduler_plugin_execution_duration_seconds 20 6, scheduler_queueing_hint_execution_duration_seconds 20 6
etcd-calls: 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10: grpc_server_handling_seconds 11 6 0.1 0.25
none: 0 1800 3600 7200 21600 43200 86400 172800 345600 604800 2592000 7776000 15552000 31104000: \
    apiserver_client_certificate_expiration_seconds 14 14 86400 604800
for-developers: 1000 x10 +0: apiserver_response_sizes 7 0";

/// Name, kind, for how many scrapes it stands still, how many points leave.
const NUMBERS: [(&str, &str, u64, usize); 7] = [
    ("up", "gauge", 100, 21), // protected, as the next one
    ("apiserver_request_total", "sum", 100, 20),
    ("rest_client_requests_total", "sum", 100, 5),
    ("etcd_mvcc_put_total", "sum", 1, 20),
    ("kubernetes_feature_enabled", "gauge", 100, 3), // every four minutes
    ("watch_cache_capacity", "gauge", 10, 5),        // and at both changes
    ("scheduler_pending_pods", "gauge", 1, 10),
];
/// Series of each family: resource, version, dry run. Only the first stands still.
const SERIES: [&str; 3] = ["leases v1", "pods v1", "pods v2beta1 All"];
/// In ten minutes, behind one that finds nothing but `up`.
const SCRAPES: u64 = 20;
const SECOND: u64 = 1_000_000_000;

/// Of a scrape: about every half a minute.
fn time(scrape: u64) -> u64 {
    (1_699_999_980 + 30 * scrape + scrape * 7 % 5) * SECOND
}

/// Stage, bounds upstream, words of the table.
type Family = (&'static str, Vec<f64>, Vec<&'static str>);

fn families() -> Vec<Family> {
    let mut families = Vec::new();
    for line in FAMILIES.trim().lines() {
        let parts: Vec<&'static str> = line.split(": ").collect();
        let words = parts[1].split(' ').map(|w| w.trim_start_matches('x'));
        let mut bounds: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
        if let [first, times, plus] = bounds[..] {
            let next = |bound: &f64| Some(bound * times + plus);
            bounds = successors(Some(first), next).take(99).collect();
        }
        for family in parts[2].split(',') {
            let words: Vec<&'static str> = family.split_whitespace().collect();
            let has: usize = words[1].parse().unwrap();
            families.push((parts[0], bounds[..has].to_vec(), words));
        }
    }
    families
}

/// Of some series at a scrape, by some of their bounds upstream: how many are in each bucket.
fn buckets(upstream: &[f64], series: &[usize], scrape: u64, bounds: &[f64]) -> Vec<u64> {
    let mut buckets = vec![0; bounds.len() + 1];
    for at in series {
        let grown = if *at == 0 { 1 } else { scrape };
        for n in 0..=upstream.len() {
            let upper = upstream.get(n).unwrap_or(&f64::INFINITY);
            let bucket = bounds.partition_point(|bound| bound < upper);
            buckets[bucket] += grown * (1 + (n + at) as u64 % 3);
        }
    }
    buckets
}

fn histogram(name: &str, bounds: &[f64], scrape: u64) -> Value {
    let point = |at: usize| {
        let buckets = buckets(bounds, &[at], scrape, bounds);
        let count: u64 = buckets.iter().sum();
        let keys = ["resource", "version", "dry_run"].into_iter();
        let pair = |(k, v): (&str, &str)| object!({ "key": k, "value": { "stringValue": v } });
        let attributes: Value = keys.zip(SERIES[at].split(' ')).map(pair).collect();
        object!({
            "attributes": attributes, "startTimeUnixNano": time(0), "timeUnixNano": time(scrape),
            "count": count, "sum": count as f64 / 2.0, "bucketCounts": buckets, "explicitBounds": bounds,
        })
    };
    let points: Value = (0..SERIES.len()).map(point).collect();
    object!({ "name": name, "histogram": { "aggregationTemporality": 2, "dataPoints": points } })
}

/// What a scrape finds, as a line of OTLP/JSON.
fn line(families: &[Family], scrape: u64) -> String {
    let mut metrics = Vec::new();
    for (name, kind, still, _) in NUMBERS {
        let mut number = object!({ "dataPoints": [{
            "startTimeUnixNano": time(0), "timeUnixNano": time(scrape), "asInt": 1 + scrape / still,
        }] });
        if kind == "sum" {
            number["aggregationTemporality"] = object!(2);
            number["isMonotonic"] = object!(true);
        }
        metrics.push(object!({ "name": name, kind: number }));
    }
    for (_, bounds, words) in families {
        metrics.push(histogram(words[0], bounds, scrape));
    }
    metrics.truncate(if scrape == 0 { 1 } else { metrics.len() });
    let scopes = object!([{ "metrics": metrics }]);
    object!({ "resourceMetrics": [{ "scopeMetrics": scopes }] }).to_string() + "\n"
}

/// Of a capture, by name and values of attributes.
fn points(path: &str) -> BTreeMap<String, Vec<Value>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let resources = list(&message["resourceMetrics"]).into_iter();
        let scopes = resources.flat_map(|resource| list(&resource["scopeMetrics"]));
        for metric in scopes.flat_map(|scope| list(&scope["metrics"])) {
            let kinds = ["histogram", "sum", "gauge"].into_iter();
            for point in kinds.flat_map(|kind| list(&metric[kind]["dataPoints"])) {
                let mut key = metric["name"].as_str().unwrap().to_owned();
                for attribute in list(&point["attributes"]) {
                    key = key + " " + attribute["value"]["stringValue"].as_str().unwrap();
                }
                found.entry(key).or_default().push(point);
            }
        }
    }
    found
}

/// At most one point in about two minutes, two in any five.
fn assert_still(name: &str, points: &[Value]) {
    let time = |at: usize| points[at]["timeUnixNano"].as_str().unwrap().parse::<u64>();
    let gap = |at: usize| (time(at).unwrap() - time(at - 1).unwrap()) / SECOND;
    let gaps: Vec<u64> = (1..points.len()).map(gap).collect();
    let fit = gaps.iter().all(|gap| (110..150).contains(gap));
    assert!(fit && gaps.len() == 4, "{name}: {gaps:?}");
}

#[test]
fn the_template_keeps_of_a_control_plane_what_it_says() {
    let (folder, families) = (Folder::new(), families());
    let lines: String = (0..=SCRAPES).map(|n| line(&families, n)).collect();
    let (made, out) = (folder.write("made.json", lines), folder.path("out.json"));
    let template = folder.write("template.yaml", TEMPLATE);
    let found = json(&[
        "replay", "-p", &template, &made, "--write", &out, "-o", "json",
    ]);
    let written = points(&out);
    let document: Value = serde_yaml::from_str(TEMPLATE).unwrap();
    let mut ladders: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let stages = document["spec"]["stages"].as_array().unwrap();
    for (stage, counted) in stages.iter().zip(found["stages"].as_array().unwrap()) {
        let Some(bounds) = stage["histogram"]["bounds"].as_array() else {
            continue;
        };
        let id = stage["id"].as_str().unwrap();
        let ladder: Vec<f64> = bounds.iter().filter_map(Value::as_f64).collect();
        for bound in &ladder {
            let has = |(of, bounds, _): &Family| *of == id && bounds.contains(bound);
            assert!(families.iter().any(has), "{id}: nobody has {bound}");
        }
        ladders.insert(id, ladder);
        // What doubles passes two stages with the ladders of others.
        let mut notes = counted["counts"].as_object().unwrap().keys();
        let others = |note: &String| id.starts_with("doubling") && note == "bounds_unknown";
        assert!(counted["id"] == id && notes.all(others), "{id}: {counted}");
    }
    for (stage, upstream, words) in &families {
        let (merged, prefix) = (words.contains(&"merged"), format!("{} ", words[0]));
        let ours = |(key, _): &(&String, &Vec<Value>)| key.starts_with(&prefix);
        let series: Vec<_> = written.iter().filter(ours).collect();
        let expected = match words[2] {
            "0" => 0,
            _ if merged => 2,
            _ => 3,
        };
        assert_eq!(series.len(), expected, "{prefix}");
        let mut left = upstream.clone();
        left.retain(|bound| ladders.get(stage).unwrap_or(upstream).contains(bound));
        for promised in words[3..].iter().filter_map(|w| w.parse::<f64>().ok()) {
            assert!(left.contains(&promised), "{prefix}: {promised}");
        }
        for (key, points) in series {
            let mut members = vec![0, 1, 2];
            members.retain(|at| SERIES[*at].starts_with(&key[prefix.len()..]));
            if members == [0] && !words.contains(&"always") {
                assert_still(key, points);
            } else if !merged {
                assert_eq!(points.len(), 20, "{key}");
            }
            // Of what is merged the last one, when all windows have closed.
            for point in points.iter().rev().take(if merged { 1 } else { 20 }) {
                let said = point["timeUnixNano"].as_str().unwrap();
                let is = |n: &u64| merged || said.parse() == Ok(time(*n));
                let scrape = (1..=SCRAPES).rev().find(is).unwrap();
                let buckets = buckets(upstream, &members, scrape, &left);
                let count: u64 = buckets.iter().sum();
                let texts: Value = buckets.iter().map(u64::to_string).collect();
                assert_eq!(point["bucketCounts"], texts, "{key}");
                assert_eq!(point["count"], count.to_string(), "{key}");
                assert_eq!(point["sum"].as_f64(), Some(count as f64 / 2.0), "{key}");
                let bounds = point["explicitBounds"].as_array().unwrap();
                let near = |(a, b): (&Value, &f64)| (a.as_f64().unwrap() - b).abs() <= b * 1e-12;
                assert!(bounds.iter().zip(&left).all(near), "{key}: {bounds:?}");
                assert_eq!(bounds.len().to_string(), words[2], "{key}");
            }
        }
    }
    for (name, _, _, left) in NUMBERS {
        assert_eq!(written[name].len(), left, "{name}");
    }
    assert_still("a counter", &written["rest_client_requests_total"]);
    assert_eq!(found["identity_conflicts"], 0);
}
