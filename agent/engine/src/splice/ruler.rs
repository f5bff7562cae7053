//! How long a request of some points would be, told without writing it: a resource, scope or metric is named as
//! often as where the points came from.

use crate::wire::index::{Index, PointEntry};
use crate::wire::write::field_len;

/// Resource, scope and metric under which a point is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Their memo keys.
    pub keys: [u128; 3],
    /// Numbers of those under which it came.
    came: [u32; 3],
}

impl Place {
    /// Of a point of a walked request that is written under these.
    pub fn of(index: &Index, point: &PointEntry, keys: [u128; 3]) -> Place {
        let metric = index.metrics.get(point.metric as usize);
        let scope = metric.map_or(0, |metric| metric.scope);
        let resource = index.scopes.get(scope as usize);
        let resource = resource.map_or(0, |scope| scope.resource);
        Place {
            keys,
            came: [resource, scope, point.metric],
        }
    }

    /// Whether a point that came in this metric and is written under this key belongs to the same metric.
    #[inline]
    pub fn has(&self, (came, key): (u32, u128)) -> bool {
        self.keys[2] == key && (self.came[2] == came || came == 0)
    }

    /// Whether resource (0), scope (1) or metric (2) is that of the point before: both came in it, or it begins a
    /// piece of what a stage wrote and the piece before ended in it.
    pub fn goes_on(&self, before: &Place, level: usize) -> bool {
        let came = self.came[level];
        self.keys[level] == before.keys[level] && (came == before.came[level] || came == 0)
    }
}

/// What surrounds a point: the bytes of resource, scope and metric without what lies in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Which these are.
    pub place: Place,
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
            place: Place::of(index, point, [resource.key, scope.key, metric.key]),
            resource: resource.at.body().len() - scopes,
            scope: scope.at.body().len() - metrics,
            metric: metric.head().len() + metric.tail().len(),
            data: metric.data.body().len() - points,
        })
    }

    fn scope_len(&self) -> usize {
        self.scope + field_len(self.metric + field_len(self.data))
    }

    fn resource_len(&self) -> usize {
        self.resource + field_len(self.scope_len())
    }
}

/// Measures one request after the other.
#[derive(Debug, Default)]
pub struct Ruler {
    /// What surrounds the last point, with the bytes so far of what lies in it.
    open: Option<Frame>,
    /// Of resources before.
    closed: usize,
}

impl Ruler {
    /// A point, or some of one metric: the bytes of their fields.
    pub fn add(&mut self, frame: &Frame, bytes: usize) {
        let goes_on = |open: &Frame, level| frame.place.goes_on(&open.place, level);
        let next = match self.open {
            Some(open) if !goes_on(&open, 0) => {
                self.closed += field_len(open.resource_len());
                *frame
            }
            Some(open) if !goes_on(&open, 1) => Frame {
                resource: open.resource_len(),
                ..*frame
            },
            Some(open) if !goes_on(&open, 2) => Frame {
                resource: open.resource,
                scope: open.scope_len(),
                ..*frame
            },
            Some(open) => open,
            None => *frame,
        };
        self.open = Some(Frame {
            data: next.data + bytes,
            ..next
        });
    }

    /// The length of the request; the next one begins.
    pub fn take(&mut self) -> usize {
        let last = self.open.take();
        let last = last.map_or(0, |open| field_len(open.resource_len()));
        std::mem::take(&mut self.closed) + last
    }
}
