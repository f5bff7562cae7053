//! How long a request of some points would be, told without writing it: each resource, scope and metric is in
//! it once, in whatever order its points come.

use crate::wire::index::{Index, PointEntry};
use crate::wire::write::field_len;
use hashbrown::HashMap;

/// What surrounds a point: keys of resource, scope and metric, and the bytes of each without what lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Of resource, scope and metric.
    pub keys: [u128; 3],
    /// `ResourceMetrics` without its scopes.
    pub resource: usize,
    /// `ScopeMetrics` without its metrics.
    pub scope: usize,
    /// `Metric` without its data message.
    pub metric: usize,
    /// The data message without its points.
    pub data: usize,
}

impl Frame {
    /// What surrounds a point of a walked request. `None` only if the point is none of this index.
    pub fn of(index: &Index, point: &PointEntry) -> Option<Frame> {
        let (resource, scope, metric) = index.around(point)?;
        let range = |(first, last): (u32, u32)| first as usize..last as usize;
        let points = index.points.get(range(metric.points))?;
        let metrics = index.metrics.get(range(scope.metrics))?;
        let scopes = index.scopes.get(range(resource.scopes))?;
        let points: usize = points.iter().map(|point| point.at.field.len()).sum();
        let metrics: usize = metrics.iter().map(|metric| metric.at.field.len()).sum();
        let scopes: usize = scopes.iter().map(|scope| scope.at.field.len()).sum();
        Some(Frame {
            keys: [resource.key, scope.key, metric.key],
            resource: resource.at.body().len() - scopes,
            scope: scope.at.body().len() - metrics,
            metric: metric.head().len() + metric.tail().len(),
            data: metric.data.body().len() - points,
        })
    }
}

/// Measures one request after the other. Reused.
#[derive(Debug, Default)]
pub struct Ruler {
    /// What surrounds points, with the bytes of those in it so far; one a metric.
    metrics: Vec<Frame>,
    /// Their places, by the metric's key.
    known: HashMap<u128, usize>,
    /// Place of the last point's metric.
    last: usize,
}

impl Ruler {
    /// A point, or some of one metric: the bytes of their fields.
    pub fn add(&mut self, frame: &Frame, bytes: usize) {
        let same = |of: &&mut Frame| of.keys[2] == frame.keys[2];
        if let Some(of) = self.metrics.get_mut(self.last).filter(same) {
            of.data += bytes;
            return;
        }
        let next = self.metrics.len();
        self.last = *self.known.entry(frame.keys[2]).or_insert(next);
        if self.last == next {
            self.metrics.push(*frame);
        }
        if let Some(of) = self.metrics.get_mut(self.last) {
            of.data += bytes;
        }
    }

    /// The length of the request; the next one begins.
    pub fn take(&mut self) -> usize {
        self.known.clear();
        let mut scopes: HashMap<u128, Frame> = HashMap::new();
        for metric in self.metrics.drain(..) {
            let scope = scopes.entry(metric.keys[1]).or_insert(metric);
            scope.scope += field_len(metric.metric + field_len(metric.data));
        }
        let mut resources: HashMap<u128, usize> = HashMap::new();
        for scope in scopes.values() {
            let resource = resources.entry(scope.keys[0]).or_insert(scope.resource);
            *resource += field_len(scope.scope);
        }
        resources.values().map(|body| field_len(*body)).sum()
    }
}
