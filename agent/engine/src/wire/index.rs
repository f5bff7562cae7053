//! The flat index of one request: every resource, scope, metric and point as byte ranges.
//!
//! Filled by the walk, reused from request to request, so that a point costs no allocation. Ranges
//! are `u32` offsets into the request (requests of 4 GiB and more are refused).

use super::cursor::fields;
use super::otlp::metric;
use crate::Nanos;
use crate::view::{MetricType, MetricView, Number, PointView, SeriesView, Temporality};

/// A byte range of the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes of a range; empty when it does not lie in `data`.
    #[inline]
    pub fn of(self, data: &[u8]) -> &[u8] {
        data.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// The text of a range that was checked to be UTF-8.
    pub fn text(self, data: &[u8]) -> &str {
        std::str::from_utf8(self.of(data)).unwrap_or("")
    }

    /// Number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A nested message: the whole field (tag included) and its body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nested {
    /// From the tag's first byte to the end.
    pub field: Span,
    /// First byte of the body; it ends where the field ends.
    pub body: u32,
}

impl Nested {
    /// The body.
    #[inline]
    pub fn body(self) -> Span {
        Span {
            start: self.body,
            end: self.field.end,
        }
    }
}

/// Why points are rejected one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Reject {
    /// They are not.
    #[default]
    No,
    /// The metric has no data message.
    NoData,
    /// A number point has neither a value nor the no-recorded-value flag.
    NoValue,
    /// More attributes than the limit.
    Attributes,
    /// An attribute value longer than the limit.
    ValueBytes,
    /// Bounds or counts of a histogram that are longer than a value may be.
    Buckets,
}

/// A `ResourceMetrics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceEntry {
    /// Where it lies.
    pub at: Nested,
    /// Body of its `Resource`.
    pub resource: Span,
    /// Its schema_url.
    pub schema_url: Span,
    /// Its scopes, in `Index::scopes`.
    pub scopes: (u32, u32),
    /// Memo key of resource and schema_url.
    pub key: u128,
    /// Attributes and texts were looked into.
    pub checked: bool,
    /// Its points are rejected.
    pub reject: Reject,
}

/// A `ScopeMetrics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeEntry {
    /// Where it lies.
    pub at: Nested,
    /// Index of its resource.
    pub resource: u32,
    /// Body of its `InstrumentationScope`.
    pub scope: Span,
    /// Its schema_url.
    pub schema_url: Span,
    /// Its metrics, in `Index::metrics`.
    pub metrics: (u32, u32),
    /// Memo key of resource and scope.
    pub key: u128,
    /// Attributes and texts were looked into.
    pub checked: bool,
    /// Its points are rejected.
    pub reject: Reject,
}

/// A `Metric`.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricEntry {
    /// Where it lies.
    pub at: Nested,
    /// Index of its scope.
    pub scope: u32,
    /// The data message; an empty range at the end where there is none.
    pub data: Nested,
    /// Which data message; `None` without data.
    pub kind: Option<MetricType>,
    /// Of sums and histograms.
    pub temporality: u8,
    /// Of sums.
    pub monotonic: bool,
    /// Its points, in `Index::points`.
    pub points: (u32, u32),
    /// Memo key of resource, scope and metric.
    pub key: u128,
    /// Texts and metadata were looked into.
    pub checked: bool,
}

/// One data point.
#[derive(Debug, Clone, Copy)]
pub struct PointEntry {
    /// Where it lies.
    pub at: Nested,
    /// Its attributes: one contiguous run of fields.
    pub attributes: Span,
    /// Index of its metric.
    pub metric: u32,
    /// `start_time_unix_nano`
    pub start: Nanos,
    /// `time_unix_nano`
    pub time: Nanos,
    /// `flags`
    pub flags: u32,
    /// Value of a number point.
    pub number: Option<Number>,
    /// Whether it holds exemplars.
    pub exemplars: bool,
    /// Memo key of the series.
    pub key: u128,
    /// The series, where the memo knew it; else [`UNKNOWN`].
    pub series: u32,
    /// Whether it is rejected.
    pub reject: Reject,
}

/// `PointEntry::series` of a point whose series must be looked up.
pub const UNKNOWN: u32 = u32::MAX;

impl PointEntry {
    /// A point of which only the place is known.
    pub fn placed(at: Nested, metric: u32) -> PointEntry {
        PointEntry {
            at,
            attributes: Span::default(),
            metric,
            start: 0,
            time: 0,
            flags: 0,
            number: None,
            exemplars: false,
            key: 0,
            series: UNKNOWN,
            reject: Reject::No,
        }
    }

    /// The point as stages see it.
    #[inline]
    pub fn view<'a>(&self, kind: MetricType, data: &'a [u8]) -> PointView<'a> {
        PointView {
            kind,
            body: self.at.body().of(data),
            start: self.start,
            time: self.time,
            flags: self.flags,
            number: self.number,
            exemplars: self.exemplars,
        }
    }
}

/// One request, laid out flat.
#[derive(Debug, Default)]
pub struct Index {
    /// In wire order.
    pub resources: Vec<ResourceEntry>,
    /// In wire order.
    pub scopes: Vec<ScopeEntry>,
    /// In wire order.
    pub metrics: Vec<MetricEntry>,
    /// In wire order.
    pub points: Vec<PointEntry>,
    /// Points of the metric at hand, before they are read.
    pub placed: Vec<Nested>,
    /// Messages and attributes counted so far.
    pub elements: usize,
    /// Rejected points (a metric without data counts as one).
    pub rejected: u64,
    /// Why the first of them was.
    pub reason: Option<String>,
    /// Indexes of resources of a rare shape, which need normalising.
    pub rare: Vec<u32>,
}

/// A bigger request's memory is given back after it.
const KEEP_POINTS: usize = 1 << 17;

impl Index {
    /// Forgets the request, keeps the memory.
    pub fn clear(&mut self) {
        self.resources.clear();
        self.scopes.clear();
        self.metrics.clear();
        self.points.clear();
        if self.points.capacity() > KEEP_POINTS {
            self.points = Vec::new();
            self.placed = Vec::new();
            self.metrics = Vec::new();
            self.scopes = Vec::new();
            self.resources = Vec::new();
        }
        self.elements = 0;
        self.rejected = 0;
        self.reason = None;
        self.rare.clear();
    }

    /// Points and metrics without data: what the request counts as received.
    pub fn received(&self) -> u64 {
        self.points.len() as u64 + self.metrics.iter().filter(|m| m.kind.is_none()).count() as u64
    }

    /// What surrounds a point. `None` only if the point is none of this index.
    pub fn around(
        &self,
        point: &PointEntry,
    ) -> Option<(&ResourceEntry, &ScopeEntry, &MetricEntry)> {
        let metric = self.metrics.get(point.metric as usize)?;
        let scope = self.scopes.get(metric.scope as usize)?;
        let resource = self.resources.get(scope.resource as usize)?;
        Some((resource, scope, metric))
    }

    /// The series that a point belongs to. `None` only if the point is none of this index.
    pub fn series<'a>(&self, point: &PointEntry, data: &'a [u8]) -> Option<SeriesView<'a>> {
        let (resource, scope, metric) = self.around(point)?;
        Some(SeriesView {
            resource: resource.resource.of(data),
            resource_schema_url: resource.schema_url.text(data),
            scope: scope.scope.of(data),
            scope_schema_url: scope.schema_url.text(data),
            metric: metric.view(data)?,
            point: point.at.body().of(data),
        })
    }
}

impl MetricEntry {
    /// Whether its points are changes since the one before.
    pub fn is_delta(&self) -> bool {
        let kind = self.kind;
        Temporality::of(u64::from(self.temporality)) == Temporality::Delta
            && kind.is_some_and(|k| !matches!(k, MetricType::Gauge | MetricType::Summary))
    }

    /// The metric as stages see it; `None` without data.
    pub fn view<'a>(&self, data: &'a [u8]) -> Option<MetricView<'a>> {
        let (head, tail) = (self.head().of(data), self.tail().of(data));
        let (mut name, mut description, mut unit) = ("", "", "");
        for field in fields(head).chain(fields(tail)) {
            match field.number {
                metric::NAME => name = field.value.str(),
                metric::DESCRIPTION => description = field.value.str(),
                metric::UNIT => unit = field.value.str(),
                _ => {}
            }
        }
        Some(MetricView {
            name,
            description,
            unit,
            kind: self.kind?,
            temporality: Temporality::of(u64::from(self.temporality)),
            monotonic: self.monotonic,
            head,
            tail,
        })
    }

    /// The body up to the data message.
    pub fn head(&self) -> Span {
        Span {
            start: self.at.body,
            end: self.data.field.start,
        }
    }

    /// The body after the data message.
    pub fn tail(&self) -> Span {
        Span {
            start: self.data.field.end,
            end: self.at.field.end,
        }
    }
}
