//! Requests put together from single points that were kept with their surroundings.

use crate::view::MetricType;
use crate::wire::index::{Index, PointEntry, Span};
use crate::wire::otlp::{data, metric, request, resource_metrics, scope_metrics};
use crate::wire::{fields, write};
use hashbrown::HashMap;
use std::sync::Arc;

/// Everything around a point: resource, scope and metric as they came, unknown fields included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    keys: [u128; 3],
    /// `ResourceMetrics` without its scopes; shared by all its metrics.
    resource: Arc<[u8]>,
    /// `ScopeMetrics` without its metrics; shared likewise.
    scope: Arc<[u8]>,
    /// `Metric` before and after its data message.
    head: Box<[u8]>,
    tail: Box<[u8]>,
    /// Field number of the data message.
    data_field: u32,
    /// The data message without its points.
    data: Box<[u8]>,
}

/// Resources and scopes that are kept once for all their metrics, by memo key.
#[derive(Debug, Default)]
pub struct Shared {
    parts: HashMap<u128, Arc<[u8]>>,
}

impl Shared {
    fn part(&mut self, key: u128, body: &[u8], without: u32) -> Arc<[u8]> {
        let make = || self::without(body, without).into();
        self.parts.entry(key).or_insert_with(make).clone()
    }

    /// These bytes, shared by all that have the key.
    pub fn intern(&mut self, key: u128, bytes: &[u8]) -> Arc<[u8]> {
        self.parts
            .entry(key)
            .or_insert_with(|| bytes.into())
            .clone()
    }

    /// Forgets what nothing refers to any more.
    pub fn sweep(&mut self) {
        self.parts.retain(|_, part| Arc::strong_count(part) > 1);
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.parts.values().map(|part| part.len() + 64).sum()
    }
}

impl Surroundings {
    /// What surrounds a point of a request; `None` if it is none of this index.
    pub fn of(
        index: &Index,
        point: &PointEntry,
        bytes: &[u8],
        shared: &mut Shared,
    ) -> Option<Surroundings> {
        let of = index.metrics.get(point.metric as usize)?;
        let scope = index.scopes.get(of.scope as usize)?;
        let resource = index.resources.get(scope.resource as usize)?;
        let without = |at: Span, number| without(at.of(bytes), number);
        Some(Surroundings {
            keys: [resource.key, scope.key, of.key],
            resource: shared.part(
                resource.key,
                resource.at.body().of(bytes),
                resource_metrics::SCOPE_METRICS,
            ),
            scope: shared.part(scope.key, scope.at.body().of(bytes), scope_metrics::METRICS),
            head: of.head().of(bytes).into(),
            tail: of.tail().of(bytes).into(),
            data_field: of.kind.map_or(metric::GAUGE, |kind| kind.field()),
            data: without(of.data.body(), data::DATA_POINTS),
        })
    }

    /// The metric's type.
    pub fn data_kind(&self) -> MetricType {
        MetricType::of_field(self.data_field).unwrap_or(MetricType::Gauge)
    }

    /// Surroundings made of their parts: resource and scope; metric before and after its data;
    /// number and content of its data message.
    pub fn new(
        keys: [u128; 3],
        resource: Arc<[u8]>,
        scope: Arc<[u8]>,
        (head, tail): (Box<[u8]>, Box<[u8]>),
        (data_field, data): (u32, Box<[u8]>),
    ) -> Surroundings {
        Surroundings {
            keys,
            resource,
            scope,
            head,
            tail,
            data_field,
            data,
        }
    }

    /// The same around points of another type.
    pub fn of_kind(self, data_field: u32) -> Surroundings {
        Surroundings { data_field, ..self }.keyed()
    }

    /// The same with this field in its data message, instead of those of its number.
    pub fn with_data(self, number: u32, field: &[u8]) -> Surroundings {
        let mut data = without(&self.data, number).into_vec();
        data.extend_from_slice(field);
        Surroundings {
            data: data.into(),
            ..self
        }
        .keyed()
    }

    /// Under a key of its own.
    fn keyed(mut self) -> Surroundings {
        let mut bytes = self.keys[2].to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.data_field.to_le_bytes());
        bytes.extend_from_slice(&self.data);
        self.keys[2] = xxhash_rust::xxh3::xxh3_128(&bytes);
        self
    }

    /// The memo key of resource, scope and metric.
    pub fn key(&self) -> u128 {
        self.keys[2]
    }

    /// The memo keys of resource, scope and metric.
    pub fn keys(&self) -> [u128; 3] {
        self.keys
    }

    /// `ResourceMetrics` without its scopes.
    pub fn resource(&self) -> &[u8] {
        &self.resource
    }

    /// `ScopeMetrics` without its metrics.
    pub fn scope(&self) -> &[u8] {
        &self.scope
    }

    /// `Metric` before its data message.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// `Metric` after its data message.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The data message without its points.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Field number of the data message.
    pub fn data_field(&self) -> u32 {
        self.data_field
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Surroundings>() + self.head.len() + self.tail.len() + self.data.len()
    }
}

fn without(body: &[u8], number: u32) -> Box<[u8]> {
    let mut kept = Vec::new();
    for field in fields(body).filter(|field| field.number != number) {
        kept.extend_from_slice(body.get(field.start..field.end).unwrap_or_default());
    }
    kept.into_boxed_slice()
}

/// A group and its children in order of appearance.
struct Group<'a, T> {
    of: &'a Surroundings,
    children: Vec<T>,
}

/// Appends a request that holds these points, grouped by resource, scope and metric in order of
/// appearance.
pub fn assemble<'a>(points: impl Iterator<Item = (&'a Surroundings, &'a [u8])>, out: &mut Vec<u8>) {
    let mut resources: Vec<Group<'a, usize>> = Vec::new();
    let mut scopes: Vec<Group<'a, usize>> = Vec::new();
    let mut metrics: Vec<Group<'a, &'a [u8]>> = Vec::new();
    let mut known: [HashMap<u128, usize>; 3] = Default::default();
    let [by_resource, by_scope, by_metric] = &mut known;
    for (of, point) in points {
        let metric = *by_metric.entry(of.keys[2]).or_insert_with(|| {
            let scope = *by_scope.entry(of.keys[1]).or_insert_with(|| {
                let resource = *by_resource.entry(of.keys[0]).or_insert_with(|| {
                    resources.push(Group {
                        of,
                        children: Vec::new(),
                    });
                    resources.len() - 1
                });
                scopes.push(Group {
                    of,
                    children: Vec::new(),
                });
                if let Some(group) = resources.get_mut(resource) {
                    group.children.push(scopes.len() - 1);
                }
                scopes.len() - 1
            });
            metrics.push(Group {
                of,
                children: Vec::new(),
            });
            if let Some(group) = scopes.get_mut(scope) {
                group.children.push(metrics.len() - 1);
            }
            metrics.len() - 1
        });
        if let Some(group) = metrics.get_mut(metric) {
            group.children.push(point);
        }
    }
    for resource in &resources {
        let open = write::begin(out, request::RESOURCE_METRICS);
        out.extend_from_slice(&resource.of.resource);
        for scope in resource.children.iter().filter_map(|i| scopes.get(*i)) {
            let open = write::begin(out, resource_metrics::SCOPE_METRICS);
            out.extend_from_slice(&scope.of.scope);
            for metric in scope.children.iter().filter_map(|i| metrics.get(*i)) {
                put_metric(metric, out);
            }
            write::end(out, open);
        }
        write::end(out, open);
    }
}

fn put_metric(group: &Group<'_, &[u8]>, out: &mut Vec<u8>) {
    let open = write::begin(out, scope_metrics::METRICS);
    out.extend_from_slice(&group.of.head);
    let inner = write::begin(out, group.of.data_field);
    for point in &group.children {
        write::put_bytes(out, data::DATA_POINTS, point);
    }
    out.extend_from_slice(&group.of.data);
    write::end(out, inner);
    out.extend_from_slice(&group.of.tail);
    write::end(out, open);
}
