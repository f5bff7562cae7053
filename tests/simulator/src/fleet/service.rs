//! A service instance: HTTP server durations by route, database durations, orders by customer.

use super::build::{gauge, histogram, int, int_point, resource, sum, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const ROUTES: [&str; 6] = [
    "/",
    "/cart",
    "/checkout",
    "/products/{id}",
    "/search",
    "/login",
];
const BOUNDS: [f64; 8] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const QUERIES: [&str; 3] = ["SELECT", "INSERT", "UPDATE"];
/// Durations are multiples of 1/1024 s, which a double holds exactly.
const TICK: f64 = 1.0 / 1024.0;

#[derive(Debug, Clone)]
struct Durations {
    buckets: Vec<u64>,
    ticks: u64,
}

impl Durations {
    fn new() -> Durations {
        Durations {
            buckets: vec![0; BOUNDS.len() + 1],
            ticks: 0,
        }
    }

    fn observe(&mut self, n: u32, rng: &mut ChaCha8Rng) {
        for _ in 0..n {
            let ticks: u64 = rng.random_range(1..200) * rng.random_range(1..20);
            let at = BOUNDS.partition_point(|b| *b < ticks as f64 * TICK);
            self.buckets[at] += 1;
            self.ticks += ticks;
        }
    }

    fn point(
        &self,
        attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>,
        start: u64,
        now: u64,
    ) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: now,
            count: self.buckets.iter().sum(),
            sum: Some(self.ticks as f64 * TICK),
            bucket_counts: self.buckets.clone(),
            explicit_bounds: BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

#[derive(Debug)]
pub struct Service {
    name: String,
    instance: String,
    start: u64,
    customers: usize,
    requests: BTreeMap<(usize, i64), Durations>,
    queries: Vec<Durations>,
    orders: BTreeMap<usize, i64>,
}

impl Service {
    pub fn new(n: usize, customers: usize, now: u64) -> Service {
        Service {
            name: ["shop", "search", "billing"][n % 3].to_owned(),
            instance: format!("instance-{n:04}"),
            start: now,
            customers,
            requests: BTreeMap::new(),
            queries: vec![Durations::new(); QUERIES.len()],
            orders: BTreeMap::new(),
        }
    }

    pub fn round(&mut self, now: u64, rng: &mut ChaCha8Rng) -> ExportMetricsServiceRequest {
        for _ in 0..12 {
            let route = rng.random_range(0..ROUTES.len());
            let status = [200, 200, 200, 404, 500][rng.random_range(0..5)];
            self.requests
                .entry((route, status))
                .or_insert_with(Durations::new)
                .observe(5, rng);
        }
        for query in &mut self.queries {
            query.observe(10, rng);
        }
        for _ in 0..8 {
            *self
                .orders
                .entry(rng.random_range(0..self.customers.max(1)))
                .or_default() += rng.random_range(1..4);
        }
        let start = self.start;
        let requests = self.requests.iter().map(|((route, status), d)| {
            let attributes = vec![
                text("http.request.method", "GET"),
                text("http.route", ROUTES[*route]),
                int("http.response.status_code", *status),
            ];
            d.point(attributes, start, now)
        });
        let queries = QUERIES
            .iter()
            .zip(&self.queries)
            .map(|(name, d)| d.point(vec![text("db.operation.name", name)], start, now));
        let orders = self.orders.iter().map(|(c, n)| {
            int_point(
                vec![text("customer.id", &format!("c{c:05}"))],
                start,
                now,
                *n,
            )
        });
        let metrics = vec![
            histogram("http.server.request.duration", "s", requests.collect()),
            histogram("db.client.operation.duration", "s", queries.collect()),
            sum("shop.orders", "{order}", true, false, orders.collect()),
            gauge(
                "db.client.connection.count",
                "{connection}",
                vec![int_point(vec![], 0, now, rng.random_range(1..20))],
            ),
        ];
        let attributes = vec![
            text("service.name", &self.name),
            text("service.instance.id", &self.instance),
            text("deployment.environment.name", "simulated"),
        ];
        ExportMetricsServiceRequest {
            resource_metrics: vec![resource(attributes, "phoenix-simulator/service", metrics)],
        }
    }
}
