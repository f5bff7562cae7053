//! Deals the resources of a request to a node's workers, on the wire.
//!
//! A series must always be met by the same engine, however its resource is encoded: what decides is
//! the hash of the resource's canonical attributes. It is computed once for each way of writing a
//! resource and remembered by a hash of the raw bytes. A request whose resources all belong to one
//! worker goes on as it is. Any other is validated as a whole first, so that it is refused before a
//! part of it has changed anything, and is then divided by copying ranges. What was valid before is not
//! looked into again: the dealer has a memo of its own.

use crate::engine::{Limits, Refusal};
use crate::identity::put_attributes;
use crate::series::memo::Memo;
use crate::wire::attributes;
use crate::wire::cursor::Cursor;
use crate::wire::index::{Index, Reject, UNKNOWN};
use crate::wire::otlp::{request, resource, resource_metrics};
use crate::wire::walk::walk;
use bytes::Bytes;
use hashbrown::HashMap;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Ways of writing a resource that are remembered.
const KNOWN: usize = 1 << 16;

/// Deals for one receiver.
#[derive(Debug)]
pub struct Dealer {
    workers: usize,
    seed: u64,
    limits: Limits,
    /// Workers by hash of the raw bytes of a resource.
    known: HashMap<u128, u32>,
    index: Index,
    /// Keys of what was valid; its series mean nothing here.
    valid: Memo,
    canonical: Vec<u8>,
    /// Worker and range of each top-level field.
    pieces: Vec<(usize, usize, usize)>,
}

/// A request by worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dealt {
    /// All of it belongs to one worker, which validates it.
    Whole(usize),
    /// Valid, and divided: by worker, in order.
    Parts(Vec<(usize, Bytes)>),
}

impl Dealer {
    /// A dealer for a node of so many workers. `seed`: of hashes of raw bytes, random per process.
    pub fn new(workers: usize, seed: u64, limits: Limits) -> Dealer {
        Dealer {
            workers: workers.max(1),
            seed,
            valid: Memo::new(limits.series, seed),
            limits,
            known: HashMap::new(),
            index: Index::default(),
            canonical: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// Says to which workers a request belongs.
    ///
    /// # Errors
    /// The request is refused whole. Only what would have been divided is looked at that closely.
    pub fn deal(&mut self, data: &Bytes) -> Result<Dealt, Refusal> {
        self.pieces.clear();
        let mut first = None;
        let mut divided = false;
        let mut cursor = Cursor::new(data);
        loop {
            let field = match cursor.next() {
                Ok(Some(field)) => field,
                Ok(None) => break,
                // The engine finds the same and says what is wrong.
                Err(_) => return Ok(Dealt::Whole(first.unwrap_or(0))),
            };
            let resource = (field.number == request::RESOURCE_METRICS)
                .then(|| field.value.bytes())
                .flatten();
            // What nobody knows goes along with what was before it.
            let worker = match resource {
                Some(body) => self.worker_of(body),
                None => self.pieces.last().map_or(0, |(worker, ..)| *worker),
            };
            divided |= resource.is_some() && first.is_some_and(|first| first != worker);
            if resource.is_some() {
                first = first.or(Some(worker));
            }
            self.pieces.push((worker, field.start, field.end));
        }
        if !divided {
            return Ok(Dealt::Whole(first.unwrap_or(0)));
        }
        walk(data, &self.limits, &mut self.valid, &mut self.index)?;
        for point in &self.index.points {
            if point.series == UNKNOWN && point.reject == Reject::No {
                self.valid.insert(point.key, 0);
            }
        }
        Ok(Dealt::Parts(self.parts(data)))
    }

    fn parts(&self, data: &Bytes) -> Vec<(usize, Bytes)> {
        let mut sizes = vec![0; self.workers];
        for (worker, start, end) in &self.pieces {
            if let Some(size) = sizes.get_mut(*worker) {
                *size += end - start;
            }
        }
        let mut parts: Vec<Vec<u8>> = sizes.into_iter().map(Vec::with_capacity).collect();
        for (worker, start, end) in &self.pieces {
            if let (Some(part), Some(range)) = (parts.get_mut(*worker), data.get(*start..*end)) {
                part.extend_from_slice(range);
            }
        }
        let numbered = parts.into_iter().enumerate();
        let some = numbered.filter(|(_, part)| !part.is_empty());
        some.map(|(worker, part)| (worker, Bytes::from(part)))
            .collect()
    }

    /// The worker of a `ResourceMetrics` body.
    fn worker_of(&mut self, body: &[u8]) -> usize {
        let mut cursor = Cursor::new(body);
        let mut found: Option<&[u8]> = None;
        let mut joined = Vec::new();
        while let Ok(Some(field)) = cursor.next() {
            let part = (field.number == resource_metrics::RESOURCE)
                .then(|| field.value.bytes())
                .flatten();
            let Some(part) = part else {
                continue;
            };
            // A message that came in pieces is what its pieces say one after the other.
            if let Some(before) = found {
                joined.extend_from_slice(before);
            }
            found = Some(part);
        }
        let last = found.unwrap_or_default();
        if joined.is_empty() {
            return self.worker_of_resource(last);
        }
        joined.extend_from_slice(last);
        self.worker_of_resource(&joined)
    }

    fn worker_of_resource(&mut self, raw: &[u8]) -> usize {
        let key = xxh3_128_with_seed(raw, self.seed);
        if let Some(worker) = self.known.get(&key) {
            return *worker as usize;
        }
        let worker = self.canonical_worker(raw);
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(key, worker as u32);
        worker
    }

    #[cold]
    fn canonical_worker(&mut self, raw: &[u8]) -> usize {
        // Through the generated types: they read every way of writing the same attributes alike.
        let Ok(resource) = Resource::decode(raw) else {
            return 0;
        };
        let plain = resource.encode_to_vec();
        self.canonical.clear();
        put_attributes(
            &mut self.canonical,
            attributes(&plain, resource::ATTRIBUTES),
        );
        // Any seed that no sender knows would do; which worker has a series changes no output.
        (xxh3_64_with_seed(&self.canonical, self.seed) % self.workers as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};

    fn text(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value.into())),
            }),
            ..Default::default()
        }
    }

    fn of(attributes: Vec<KeyValue>) -> ResourceMetrics {
        ResourceMetrics {
            resource: Some(Resource {
                attributes,
                ..Default::default()
            }),
            scope_metrics: vec![ScopeMetrics::default()],
            schema_url: "u".into(),
        }
    }

    fn bytes(resource_metrics: Vec<ResourceMetrics>) -> Bytes {
        ExportMetricsServiceRequest { resource_metrics }
            .encode_to_vec()
            .into()
    }

    fn dealer(workers: usize) -> Dealer {
        Dealer::new(workers, 3, Limits::default())
    }

    #[test]
    fn every_resource_comes_to_one_part_and_each_part_to_its_worker() {
        let all: Vec<_> = (0..20)
            .map(|n| of(vec![text("pid", &n.to_string())]))
            .collect();
        let mut dealer = dealer(3);
        let Dealt::Parts(parts) = dealer.deal(&bytes(all.clone())).unwrap() else {
            panic!("20 resources of one worker");
        };
        let mut seen = 0;
        for (worker, part) in parts {
            assert_eq!(dealer.deal(&part), Ok(Dealt::Whole(worker)));
            seen += ExportMetricsServiceRequest::decode(part)
                .unwrap()
                .resource_metrics
                .len();
        }
        assert_eq!(seen, all.len());
    }

    #[test]
    fn the_way_a_resource_is_written_does_not_matter() {
        for n in 0..50 {
            let (a, b) = (text("a", &n.to_string()), text("b", "1"));
            let mut dealer = dealer(4);
            let whole = dealer.deal(&bytes(vec![of(vec![a.clone(), b.clone()])]));
            let turned = bytes(vec![of(vec![b.clone(), a.clone()])]);
            assert_eq!(dealer.deal(&turned), whole);
            // The same resource in two messages, the second after the scopes.
            let mut body = of(vec![b]).encode_to_vec();
            let rest = ResourceMetrics {
                schema_url: String::new(),
                scope_metrics: Vec::new(),
                ..of(vec![a])
            };
            body.extend_from_slice(&rest.encode_to_vec());
            let mut split = Vec::new();
            crate::wire::write::put_bytes(&mut split, request::RESOURCE_METRICS, &body);
            assert_eq!(dealer.deal(&split.into()), whole);
        }
    }

    #[test]
    fn what_is_malformed_anywhere_is_refused_before_it_is_divided() {
        let all: Vec<_> = (0..20)
            .map(|n| of(vec![text("pid", &n.to_string())]))
            .collect();
        let mut broken = bytes(all).to_vec();
        let whole = broken.len();
        // A scope whose body ends early.
        let mut body = of(vec![text("pid", "x")]).encode_to_vec();
        crate::wire::write::put_bytes(&mut body, resource_metrics::SCOPE_METRICS, &[0x0A, 5, 1]);
        crate::wire::write::put_bytes(&mut broken, request::RESOURCE_METRICS, &body);
        let mut dealer = dealer(2);
        for known in [false, true] {
            let refused = dealer.deal(&Bytes::from(broken.clone()));
            assert!(
                matches!(refused, Err(Refusal::Malformed { .. })),
                "known: {known}: {refused:?}"
            );
            let dealt = dealer.deal(&Bytes::copy_from_slice(&broken[..whole]));
            assert!(matches!(dealt, Ok(Dealt::Parts(_))), "{dealt:?}");
        }
    }

    #[test]
    fn nothing_belongs_to_the_first() {
        assert_eq!(dealer(2).deal(&Bytes::new()), Ok(Dealt::Whole(0)));
    }
}
