//! Points written anew, gathered with what surrounds them, put together once at the end.
//!
//! A run is a row of points under one resource, scope and metric. Points keep the order in which they
//! come, and what they came apart in: a resource that a sender repeats is repeated, whatever lay between and goes
//! another way. Lengths are known when the request is written, so that every byte moves once. Reused.

use super::assemble::Surroundings;
use super::ruler::{Frame, Place, Ruler};
use crate::wire::fields;
use crate::wire::index::{Index, PointEntry, Span};
use crate::wire::otlp::{data, metric, request, resource_metrics, scope_metrics};
use crate::wire::write::{self, field_len};

/// Points and what surrounds them.
#[derive(Debug, Default)]
pub struct Runs {
    /// Whole point fields, one after the other.
    bodies: Vec<u8>,
    /// What surrounds them.
    frames: Vec<u8>,
    runs: Vec<Run>,
    /// Where the last point begins, in `bodies`.
    last: u32,
    /// Points in it.
    pub points: u64,
}

/// What surrounds the points of a run, in `frames`; the points, in `bodies`.
#[derive(Debug, Clone, Copy)]
struct Run {
    place: Place,
    resource: Span,
    scope: Span,
    head: Span,
    /// The data message without its points.
    data: Span,
    tail: Span,
    data_field: u32,
    bodies: Span,
    /// Of these the bytes of points outside the comparison.
    outside: u32,
}

/// A bigger request's memory is given back after it.
const KEEP: usize = 4 << 20;

impl Runs {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bodies.capacity() + self.frames.capacity() + self.runs.capacity() * size_of::<Run>()
    }

    /// A point of a request goes under what it came under: `put` writes its body.
    pub fn add_as_it_came(
        &mut self,
        index: &Index,
        point: &PointEntry,
        bytes: &[u8],
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(of) = index.metrics.get(point.metric as usize) else {
            return;
        };
        let metric = (point.metric, of.key);
        if !self.runs.last().is_some_and(|run| run.place.has(metric)) {
            self.begin_as_it_came(index, point, bytes);
        }
        self.put(put);
    }

    /// A point of a request goes under other surroundings: `put` writes its body.
    pub fn add_under(
        &mut self,
        of: &Surroundings,
        (index, point): (&Index, &PointEntry),
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        let metric = (point.metric, of.key());
        let same = |run: &Run| run.place.has(metric) && run.place.keys == of.keys();
        if !self.runs.last().is_some_and(same) {
            let place = Place::of(index, point, of.keys());
            let run = Run {
                place,
                resource: self.part(0, &place, |out| out.extend_from_slice(of.resource())),
                scope: self.part(1, &place, |out| out.extend_from_slice(of.scope())),
                head: self.frame(|out| out.extend_from_slice(of.head())),
                data: self.frame(|out| out.extend_from_slice(of.data())),
                tail: self.frame(|out| out.extend_from_slice(of.tail())),
                data_field: of.data_field(),
                bodies: self.here(),
                outside: 0,
            };
            self.runs.push(run);
        }
        self.put(put);
    }

    #[inline]
    fn put(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        self.last = self.bodies.len() as u32;
        let open = write::begin(&mut self.bodies, data::DATA_POINTS);
        put(&mut self.bodies);
        write::end(&mut self.bodies, open);
        self.points += 1;
        let end = self.bodies.len() as u32;
        if let Some(run) = self.runs.last_mut() {
            run.bodies.end = end;
        }
    }

    fn begin_as_it_came(&mut self, index: &Index, point: &PointEntry, bytes: &[u8]) {
        let Some((resource, scope, of)) = index.around(point) else {
            return;
        };
        let place = Place::of(index, point, [resource.key, scope.key, of.key]);
        let run = Run {
            place,
            resource: self.part(0, &place, |out| {
                let body = resource.at.body().of(bytes);
                put_without(body, resource_metrics::SCOPE_METRICS, out);
            }),
            scope: self.part(1, &place, |out| {
                put_without(scope.at.body().of(bytes), scope_metrics::METRICS, out);
            }),
            head: self.frame(|out| out.extend_from_slice(of.head().of(bytes))),
            data: self.frame(|out| {
                put_without(of.data.body().of(bytes), data::DATA_POINTS, out);
            }),
            tail: self.frame(|out| out.extend_from_slice(of.tail().of(bytes))),
            data_field: of.kind.map_or(metric::GAUGE, |kind| kind.field()),
            bodies: self.here(),
            outside: 0,
        };
        self.runs.push(run);
    }

    fn here(&self) -> Span {
        let end = self.bodies.len() as u32;
        Span { start: end, end }
    }

    /// The resource (0) or scope (1) of the last run where the place goes on in it, else a new one: one that comes
    /// again can bring other bytes.
    fn part(&mut self, level: usize, place: &Place, put: impl FnOnce(&mut Vec<u8>)) -> Span {
        let goes_on = |run: &&Run| (0..=level).all(|level| place.goes_on(&run.place, level));
        match self.runs.last().filter(goes_on) {
            Some(run) if level == 0 => run.resource,
            Some(run) => run.scope,
            None => self.frame(put),
        }
    }

    fn frame(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.frames.len() as u32;
        put(&mut self.frames);
        let end = self.frames.len() as u32;
        Span { start, end }
    }

    /// The last point is outside the comparison.
    pub fn leave_out(&mut self) {
        let from = self.last;
        if let Some(run) = self.runs.last_mut() {
            run.outside += run.bodies.end.saturating_sub(from);
        }
    }

    /// Measures the points that are inside the comparison.
    pub fn measure(&self, ruler: &mut Ruler) {
        for run in &self.runs {
            let bytes = run.bodies.len() - run.outside as usize;
            if bytes > 0 {
                let frame = Frame {
                    place: run.place,
                    resource: run.resource.len(),
                    scope: run.scope.len(),
                    metric: run.head.len() + run.tail.len(),
                    data: run.data.len(),
                };
                ruler.add(&frame, bytes);
            }
        }
    }

    /// Appends a request of all points and forgets them.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        for of_resource in self.runs.chunk_by(|a, b| b.place.goes_on(&a.place, 0)) {
            let scopes = of_resource.chunk_by(|a, b| b.place.goes_on(&a.place, 1));
            let length: usize = scopes.clone().map(|runs| field_len(scope_len(runs))).sum();
            let Some(first) = of_resource.first() else {
                continue;
            };
            open(
                request::RESOURCE_METRICS,
                first.resource.len() + length,
                out,
            );
            out.extend_from_slice(first.resource.of(&self.frames));
            for runs in scopes {
                self.write_scope(runs, out);
            }
        }
        self.clear();
    }

    fn write_scope(&self, runs: &[Run], out: &mut Vec<u8>) {
        let Some(first) = runs.first() else { return };
        open(resource_metrics::SCOPE_METRICS, scope_len(runs), out);
        out.extend_from_slice(first.scope.of(&self.frames));
        for run in runs {
            open(scope_metrics::METRICS, metric_len(run), out);
            out.extend_from_slice(run.head.of(&self.frames));
            open(run.data_field, run.data.len() + run.bodies.len(), out);
            out.extend_from_slice(run.bodies.of(&self.bodies));
            out.extend_from_slice(run.data.of(&self.frames));
            out.extend_from_slice(run.tail.of(&self.frames));
        }
    }

    fn clear(&mut self) {
        self.points = 0;
        if self.runs.capacity() * size_of::<Run>() > KEEP {
            self.runs = Vec::new();
        }
        self.runs.clear();
        for buffer in [&mut self.bodies, &mut self.frames] {
            if buffer.capacity() > KEEP {
                *buffer = Vec::new();
            }
            buffer.clear();
        }
    }
}

fn metric_len(run: &Run) -> usize {
    run.head.len() + field_len(run.data.len() + run.bodies.len()) + run.tail.len()
}

fn scope_len(runs: &[Run]) -> usize {
    let metrics: usize = runs.iter().map(|run| field_len(metric_len(run))).sum();
    runs.first().map_or(0, |run| run.scope.len()) + metrics
}

fn open(number: u32, body: usize, out: &mut Vec<u8>) {
    write::put_tag(out, number, 2);
    write::put_varint(out, body as u64);
}

fn put_without(body: &[u8], number: u32, out: &mut Vec<u8>) {
    for field in fields(body).filter(|field| field.number != number) {
        out.extend_from_slice(body.get(field.start..field.end).unwrap_or_default());
    }
}
