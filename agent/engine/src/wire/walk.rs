//! Pass 1: one walk over a whole request into the flat index; everything is validated here.
//!
//! What was seen before is not looked into again: a series key that the memo knows means that these
//! very bytes of resource, scope, metric and attributes were checked when it was put there. Nothing
//! but the memo's order changes, so that a refused request leaves no trace.

mod lazy;
mod points;
mod usual;

use super::check::{self, Bounds};
use super::cursor::{Cursor, Field, WireError};
use super::index::{
    Index, MetricEntry, Nested, PointEntry, Reject, ResourceEntry, ScopeEntry, Span, UNKNOWN,
};
use super::otlp::{data, metric, request, resource, resource_metrics, scope_metrics};
use crate::engine::{Limits, Refusal};
use crate::view::MetricType;

/// Gives keys to byte ranges and series to keys.
pub trait Memo {
    /// A key for bytes at a level, under the key of what encloses them. The same bytes at another
    /// level have another key.
    fn key(&self, level: u8, under: u128, bytes: &[u8]) -> u128;
    /// The series of a key, or [`UNKNOWN`].
    fn find(&mut self, key: u128) -> u32;
}

/// Knows nothing: for callers that only look at a request.
#[derive(Debug)]
pub struct NoMemo;

impl Memo for NoMemo {
    fn key(&self, _level: u8, _under: u128, _bytes: &[u8]) -> u128 {
        0
    }
    fn find(&mut self, _key: u128) -> u32 {
        UNKNOWN
    }
}

/// Walks `data` into `index`, which is cleared first.
///
/// # Errors
/// The request is refused whole.
pub fn walk(
    data: &[u8],
    limits: &Limits,
    memo: &mut impl Memo,
    index: &mut Index,
) -> Result<(), Refusal> {
    index.clear();
    if u32::try_from(data.len()).is_err() {
        return Err(Refusal::Malformed {
            offset: 0,
            what: "a request below 4 GiB",
        });
    }
    let bounds = Bounds {
        attributes: limits.attributes,
        value_bytes: limits.value_bytes,
        depth: limits.depth,
    };
    let mut walk = Walk {
        data,
        bounds,
        limit: limits.elements,
        memo,
        index,
    };
    walk.request()
}

/// Why a walk stopped.
enum Stop {
    Wire(WireError),
    Elements,
}

impl From<WireError> for Stop {
    fn from(e: WireError) -> Stop {
        Stop::Wire(e)
    }
}

struct Walk<'a, M> {
    data: &'a [u8],
    bounds: Bounds,
    limit: usize,
    memo: &'a mut M,
    index: &'a mut Index,
}

#[inline]
fn span(start: usize, end: usize) -> Span {
    // The length of the request was checked to fit.
    Span {
        start: start as u32,
        end: end as u32,
    }
}

#[inline]
fn nested(field: &Field<'_>) -> Nested {
    Nested {
        field: span(field.start, field.end),
        body: field.body as u32,
    }
}

impl<M: Memo> Walk<'_, M> {
    fn request(&mut self) -> Result<(), Refusal> {
        self.resources().map_err(|stop| match stop {
            Stop::Wire(WireError { offset, what }) => Refusal::Malformed { offset, what },
            Stop::Elements => Refusal::TooManyElements { limit: self.limit },
        })
    }

    #[inline]
    fn count(&mut self, elements: usize) -> Result<(), Stop> {
        self.index.elements += elements;
        if self.index.elements > self.limit {
            Err(Stop::Elements)
        } else {
            Ok(())
        }
    }

    fn resources(&mut self) -> Result<(), Stop> {
        let mut cursor = Cursor::new(self.data);
        while let Some(field) = cursor.next()? {
            if field.number == request::RESOURCE_METRICS {
                check::bytes(&field)?;
                self.count(1)?;
                self.resource(&field)?;
            }
        }
        Ok(())
    }

    /// Scans the fields of a `ResourceMetrics` (a resource may come after its scopes), then each scope.
    fn resource(&mut self, field: &Field<'_>) -> Result<(), Stop> {
        let number = self.index.resources.len() as u32;
        let first = self.index.scopes.len();
        let mut entry = ResourceEntry {
            at: nested(field),
            ..ResourceEntry::default()
        };
        let (mut resources, mut urls, mut attributes) = (0, 0, 0);
        let mut cursor = Cursor::within(self.data, field.body, field.end);
        while let Some(inner) = cursor.next()? {
            match inner.number {
                resource_metrics::RESOURCE => {
                    check::bytes(&inner)?;
                    resources += 1;
                    entry.resource = nested(&inner).body();
                    attributes += self.count_attributes(entry.resource, resource::ATTRIBUTES)?;
                }
                resource_metrics::SCOPE_METRICS => {
                    check::bytes(&inner)?;
                    self.count(1)?;
                    self.index.scopes.push(ScopeEntry {
                        at: nested(&inner),
                        resource: number,
                        ..ScopeEntry::default()
                    });
                }
                resource_metrics::SCHEMA_URL => {
                    check::bytes(&inner)?;
                    urls += 1;
                    entry.schema_url = nested(&inner).body();
                }
                _ => {}
            }
        }
        self.count(attributes)?;
        entry.scopes = (first as u32, self.index.scopes.len() as u32);
        entry.key = self.memo.key(0, 0, entry.resource.of(self.data));
        if !entry.schema_url.is_empty() {
            entry.key = self.memo.key(1, entry.key, entry.schema_url.of(self.data));
        }
        self.index.resources.push(entry);
        if resources > 1 || urls > 1 {
            self.rare(number);
        }
        if entry.scopes.0 == entry.scopes.1 {
            self.check_resource(number)?;
        }
        for scope in entry.scopes.0..entry.scopes.1 {
            self.scope(scope as usize, entry.key)?;
        }
        Ok(())
    }

    fn count_attributes(&self, at: Span, number: u32) -> Result<usize, Stop> {
        let mut cursor = Cursor::within(self.data, at.start as usize, at.end as usize);
        let mut count = 0;
        while let Some(field) = cursor.next()? {
            count += usize::from(field.number == number);
        }
        Ok(count)
    }

    fn scope(&mut self, number: usize, under: u128) -> Result<(), Stop> {
        let Some(mut entry) = self.index.scopes.get(number).copied() else {
            return Ok(());
        };
        let first = self.index.metrics.len();
        let (mut scopes, mut urls) = (0, 0);
        let body = entry.at.body();
        let mut cursor = Cursor::within(self.data, body.start as usize, body.end as usize);
        while let Some(inner) = cursor.next()? {
            match inner.number {
                scope_metrics::SCOPE => {
                    check::bytes(&inner)?;
                    scopes += 1;
                    entry.scope = nested(&inner).body();
                    let attributes =
                        self.count_attributes(entry.scope, super::otlp::scope::ATTRIBUTES)?;
                    self.count(attributes)?;
                }
                scope_metrics::METRICS => {
                    check::bytes(&inner)?;
                    self.count(1)?;
                    self.index.metrics.push(MetricEntry {
                        at: nested(&inner),
                        scope: number as u32,
                        ..MetricEntry::default()
                    });
                }
                scope_metrics::SCHEMA_URL => {
                    check::bytes(&inner)?;
                    urls += 1;
                    entry.schema_url = nested(&inner).body();
                }
                _ => {}
            }
        }
        entry.metrics = (first as u32, self.index.metrics.len() as u32);
        entry.key = self.memo.key(2, under, entry.scope.of(self.data));
        if !entry.schema_url.is_empty() {
            entry.key = self.memo.key(3, entry.key, entry.schema_url.of(self.data));
        }
        if let Some(slot) = self.index.scopes.get_mut(number) {
            *slot = entry;
        }
        if scopes > 1 || urls > 1 {
            self.rare(entry.resource);
        }
        if entry.metrics.0 == entry.metrics.1 {
            self.check_scope(number as u32)?;
        }
        for metric in entry.metrics.0..entry.metrics.1 {
            self.metric(metric as usize, entry.key)?;
        }
        Ok(())
    }

    fn metric(&mut self, number: usize, under: u128) -> Result<(), Stop> {
        let Some(mut entry) = self.index.metrics.get(number).copied() else {
            return Ok(());
        };
        let body = entry.at.body();
        entry.data = Nested {
            field: span(body.end as usize, body.end as usize),
            body: body.end,
        };
        let mut datas = 0;
        let mut cursor = Cursor::within(self.data, body.start as usize, body.end as usize);
        while let Some(inner) = cursor.next()? {
            if let Some(kind) = MetricType::of_field(inner.number) {
                check::bytes(&inner)?;
                datas += 1;
                (entry.kind, entry.data) = (Some(kind), nested(&inner));
            } else if inner.number == metric::METADATA {
                self.count(1)?;
            }
        }
        if datas > 1 {
            self.rare_metric(&entry);
            entry.kind = None;
        }
        self.data_message(&mut entry)?;
        let first = self.index.points.len();
        entry.points = (first as u32, (first + self.index.placed.len()) as u32);
        let shape = [
            entry.kind.map_or(0, |kind| kind as u8),
            entry.temporality,
            u8::from(entry.monotonic),
        ]
        .into_iter()
        .fold(0, |shape, part| shape << 8 | u128::from(part));
        let under = under.wrapping_add(shape << 64);
        entry.key = self.memo.key(4, under, entry.head().of(self.data));
        if !entry.tail().is_empty() {
            entry.key = self.memo.key(5, entry.key, entry.tail().of(self.data));
        }
        if let Some(slot) = self.index.metrics.get_mut(number) {
            *slot = entry;
        }
        let Some(kind) = entry.kind else {
            self.check_metric(number as u32)?;
            if datas == 0 {
                self.reject(Reject::NoData, &entry);
            }
            return Ok(());
        };
        let placed = std::mem::take(&mut self.index.placed);
        if placed.is_empty() {
            self.check_metric(number as u32)?;
        }
        for at in &placed {
            self.point(PointEntry::placed(*at, number as u32), kind, &entry)?;
        }
        self.index.placed = placed;
        Ok(())
    }

    /// Finds the points, temporality and monotonicity in the data message.
    fn data_message(&mut self, entry: &mut MetricEntry) -> Result<(), Stop> {
        self.index.placed.clear();
        let Some(kind) = entry.kind else {
            return Ok(());
        };
        let body = entry.data.body();
        let mut cursor = Cursor::within(self.data, body.start as usize, body.end as usize);
        while let Some(inner) = cursor.next()? {
            match inner.number {
                data::DATA_POINTS => {
                    check::bytes(&inner)?;
                    self.count(1)?;
                    self.index.placed.push(nested(&inner));
                }
                data::TEMPORALITY if !matches!(kind, MetricType::Gauge | MetricType::Summary) => {
                    entry.temporality = match check::varint(&inner)? {
                        n @ (1 | 2) => n as u8,
                        _ => 0,
                    };
                }
                data::MONOTONIC if kind == MetricType::Sum => {
                    entry.monotonic = check::varint(&inner)? != 0;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
