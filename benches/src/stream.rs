//! The made stream: cumulative counters (or histograms) of services, about 250 bytes a number point,
//! six attributes a point. A request is encoded once; later rounds only patch its times and values.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// What the points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Monotonic cumulative sums.
    Number,
    /// Cumulative explicit histograms of ten bounds.
    Histogram,
}

/// Metrics of a request; `app.requests.3`, a quarter of the points, is what the filter row drops.
const METRICS: usize = 4;
/// Clients that an aggregation without `client.address` and `customer.id` makes one.
const CLIENTS: usize = 10;
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Stands for the time until a request is sent.
const TIME: u64 = 0x1234_5678_9ABC_DEF0;
/// Stands for the value.
const VALUE: u64 = 0x0FED_CBA9_8765_4321;

/// A request and where its times and values lie.
struct Template {
    bytes: Vec<u8>,
    times: Vec<u32>,
    values: Vec<u32>,
}

/// Requests of `points` points; request `r` is host `r` and has series of its own.
pub struct Stream {
    templates: Vec<Template>,
    requests: usize,
    points: usize,
    kind: Kind,
    start: u64,
    /// Hosts differ in their name only.
    alike: bool,
}

impl Stream {
    /// A stream of `series` series that started at `start`, Unix nanoseconds.
    pub fn new(kind: Kind, series: usize, points: usize, start: u64) -> Stream {
        let mut stream = Stream::lazy(kind, series, points, start);
        stream.templates = (0..stream.requests).map(|r| stream.template(r)).collect();
        stream
    }

    /// As [`Stream::new`], but it keeps nothing in memory: requests are encoded when they are asked for.
    pub fn lazy(kind: Kind, series: usize, points: usize, start: u64) -> Stream {
        let points = points / METRICS * METRICS;
        Stream {
            templates: Vec::new(),
            requests: series / points,
            points,
            kind,
            start,
            alike: false,
        }
    }

    /// As [`Stream::new`], of hosts that differ in their name only: one request stays in memory, whatever
    /// the number of series, so that only the receiver's own memory grows with it.
    pub fn alike(kind: Kind, series: usize, points: usize, start: u64) -> Stream {
        let mut stream = Stream::lazy(kind, series, points, start);
        stream.templates = vec![stream.template(0)];
        stream.alike = true;
        stream
    }

    /// Point `i` of request `host` alone.
    pub fn single(
        kind: Kind,
        host: usize,
        points: usize,
        i: usize,
        start: u64,
        time: u64,
    ) -> Bytes {
        let each = points / METRICS;
        let request = of_metrics(
            host,
            vec![(i / each, data(kind, host, [i].into_iter(), start))],
        );
        Template::of(request.encode_to_vec()).at(0, time, 1)
    }

    /// Request `r` with its metrics and their points in an order of this call's own.
    pub fn shuffled(&self, r: usize, round: u64, time: u64, random: &mut StdRng) -> Bytes {
        let each = self.points / METRICS;
        let mut metrics: Vec<usize> = (0..METRICS).collect();
        metrics.shuffle(random);
        let metrics = metrics.into_iter().map(|m| {
            let mut points: Vec<usize> = (m * each..(m + 1) * each).collect();
            points.shuffle(random);
            (m, data(self.kind, r, points.into_iter(), self.start))
        });
        let request = of_metrics(r, metrics.collect());
        Template::of(request.encode_to_vec()).at(round, time, self.points)
    }

    /// Requests of one round.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Points of one request.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Request `r` of round `round`, at `time`, Unix nanoseconds.
    pub fn request(&self, r: usize, round: u64, time: u64) -> Bytes {
        match self.templates.get(r) {
            _ if self.alike => self.templates[0].of_host(r, round, time, self.points),
            Some(template) => template.at(round, time, self.points),
            None => self.template(r).at(round, time, self.points),
        }
    }

    fn template(&self, host: usize) -> Template {
        Template::of(request(self.kind, host, self.points, self.start).encode_to_vec())
    }
}

impl Template {
    fn at(&self, round: u64, time: u64, points: usize) -> Bytes {
        self.patched(round, time, points).into()
    }

    /// The request of another host than 0, whose name is as long.
    fn of_host(&self, host: usize, round: u64, time: u64, points: usize) -> Bytes {
        let mut bytes = self.patched(round, time, points);
        let (own, other) = (host_name(0), host_name(host));
        let at = bytes.windows(own.len()).position(|w| w == own.as_bytes());
        if let Some(place) = at.and_then(|at| bytes.get_mut(at..at + own.len())) {
            place.copy_from_slice(other.as_bytes());
        }
        bytes.into()
    }

    fn patched(&self, round: u64, time: u64, points: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mut patch = |at: u32, value: u64| {
            if let Some(place) = bytes.get_mut(at as usize..at as usize + 8) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        };
        self.times.iter().for_each(|at| patch(*at, time));
        // A histogram's count and its last bucket are one value.
        let each = (self.values.len() / points).max(1);
        for (number, at) in self.values.iter().enumerate() {
            let drawn = drawn(number / each) as u64;
            patch(*at, drawn % 1_000_000 + (round + 1) * (1 + drawn % 977));
        }
        bytes
    }

    fn of(bytes: Vec<u8>) -> Template {
        let find = |value: u64| {
            let wanted = value.to_le_bytes();
            let mut found = Vec::new();
            let mut at = 0;
            while at + 8 <= bytes.len() {
                if bytes[at] == wanted[0] && bytes[at..at + 8] == wanted {
                    found.push(at as u32);
                    at += 8;
                } else {
                    at += 1;
                }
            }
            found
        };
        Template {
            times: find(TIME),
            values: find(VALUE),
            bytes,
        }
    }
}

/// Numbers that look drawn, the same every time.
fn drawn(n: usize) -> usize {
    let n = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((n ^ (n >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as usize
}

/// `i` counts the points of a host: ten clients share every other attribute.
fn attributes(host: usize, i: usize) -> Vec<KeyValue> {
    let (kept, client) = (i / CLIENTS, drawn(host * 1000 + i));
    vec![
        text("http.request.method", ["GET", "POST", "PUT"][kept % 3]),
        text(
            "http.route",
            &format!("/api/v1/customers/{{id}}/orders/{}", kept % 20),
        ),
        text(
            "server.address",
            &format!("shop-{:03}.internal.example.com", kept % 50),
        ),
        text(
            "client.address",
            &format!("10.{}.{}.{}", i / 250, client % 250, i % 250),
        ),
        text(
            "customer.id",
            &format!("customer-{:06}", client % 1_000_000),
        ),
        text("status", ["200", "404", "500"][kept % 3]),
    ]
}

fn data(kind: Kind, host: usize, points: impl Iterator<Item = usize>, start: u64) -> Data {
    match kind {
        Kind::Number => Data::Sum(Sum {
            data_points: points
                .map(|i| NumberDataPoint {
                    attributes: attributes(host, i),
                    start_time_unix_nano: start,
                    time_unix_nano: TIME,
                    value: Some(number_data_point::Value::AsInt(VALUE.cast_signed())),
                    ..NumberDataPoint::default()
                })
                .collect(),
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: points
                .map(|i| HistogramDataPoint {
                    attributes: attributes(host, i),
                    start_time_unix_nano: start,
                    time_unix_nano: TIME,
                    // Only the last bucket grows.
                    count: VALUE,
                    sum: Some(1.5),
                    bucket_counts: (0..=BOUNDS.len() as u64)
                        .map(|b| if b == BOUNDS.len() as u64 { VALUE } else { 0 })
                        .collect(),
                    explicit_bounds: BOUNDS.to_vec(),
                    ..HistogramDataPoint::default()
                })
                .collect(),
            aggregation_temporality: 2,
        }),
    }
}

fn request(kind: Kind, host: usize, points: usize, start: u64) -> ExportMetricsServiceRequest {
    let each = points / METRICS;
    let metric = |m: usize| (m, data(kind, host, m * each..(m + 1) * each, start));
    of_metrics(host, (0..METRICS).map(metric).collect())
}

fn of_metrics(host: usize, metrics: Vec<(usize, Data)>) -> ExportMetricsServiceRequest {
    let metric = |(m, data)| Metric {
        name: format!("app.requests.{m}"),
        unit: "1".into(),
        data: Some(data),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "shop"),
                    text("host.name", &host_name(host)),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.into_iter().map(metric).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn host_name(host: usize) -> String {
    format!("host-{host:04}")
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}
