//! A point that waits for its window to close; of a delta series all of its points, added together.

use crate::Nanos;
use crate::aggregate::encode::{Value, put_value};
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::{Total, is_finite};
use crate::aggregate::read::{read_explicit, read_exponential};
use crate::aggregate::window::{Cell, Content, exemplars_field};
use crate::splice::assemble::Surroundings;
use crate::view::{MetricType, PointView};
use crate::wire::otlp::{exponential_point, histogram_point, number_point, point};
use crate::wire::{fields, write};
use std::sync::Arc;

/// What waits in one window of one series.
#[derive(Debug)]
pub struct Held {
    /// Resource, scope and metric of its newest point.
    pub around: Arc<Surroundings>,
    /// End of its window.
    pub end: Nanos,
    /// Time of its newest point.
    pub time: Nanos,
    /// Its newest point, as it came.
    pub body: Vec<u8>,
    /// Points in it: more than one only where they are added together.
    pub points: u64,
    /// The sum of these points; nothing stands in it while there is one.
    pub sum: Option<Box<Sum>>,
}

/// Delta points, added together.
#[derive(Debug)]
pub struct Sum {
    kind: MetricType,
    /// Earliest start that any of them knew; 0 where none did.
    start: Nanos,
    /// Content and exemplars.
    cell: Cell,
}

/// Reused buffers for what is read of a point.
#[derive(Debug, Default)]
pub struct Scratch {
    explicit: Explicit,
    exponential: Exponential,
    body: Vec<u8>,
}

/// What a delta point holds.
#[derive(Debug, Clone, Copy)]
pub enum Read<'a> {
    /// Of a sum.
    Number(Total),
    /// Of a histogram.
    Explicit(&'a Explicit),
    /// Of an exponential histogram.
    Exponential(&'a Exponential),
}

impl Scratch {
    /// What a delta point holds; `None` where it can be added to nothing: NaN, infinity, buckets that
    /// do not fit their bounds, no number.
    pub fn read(&mut self, point: &PointView<'_>) -> Option<Read<'_>> {
        let finite = |sum: Option<f64>| sum.is_none_or(f64::is_finite);
        match point.kind {
            MetricType::Histogram => {
                read_explicit(point.body, &mut self.explicit);
                let fits = finite(self.explicit.sum) && self.explicit.is_well_formed();
                fits.then_some(Read::Explicit(&self.explicit))
            }
            MetricType::ExponentialHistogram => {
                read_exponential(point.body, &mut self.exponential);
                finite(self.exponential.sum).then_some(Read::Exponential(&self.exponential))
            }
            _ => {
                let number = point.number.filter(|n| is_finite(*n))?;
                Some(Read::Number(number.into()))
            }
        }
    }
}

impl Held {
    /// Adds another point of the same delta series; false, and nothing has changed, where it cannot be
    /// added to what waits.
    pub fn add(&mut self, point: &PointView<'_>, scratch: &mut Scratch) -> bool {
        if self.sum.is_none() {
            let first = PointView::of(point.kind, &self.body);
            let mut sum = Box::new(Sum::new(point.kind));
            let read = scratch.read(&first);
            if !read.is_some_and(|read| sum.cell.content.take(read)) {
                return false;
            }
            sum.note(&first);
            self.sum = Some(sum);
        }
        let (Some(sum), Some(read)) = (&mut self.sum, scratch.read(point)) else {
            return false;
        };
        if !sum.cell.content.take(read) {
            return false;
        }
        sum.note(point);
        self.points += 1;
        true
    }

    /// Writes the sum in place of the point that stands for it. Gives the number of exemplars that
    /// found no room.
    pub fn finish(&mut self, scratch: &mut Scratch) -> u64 {
        // One point alone leaves as it came.
        let Some(sum) = self.sum.take().filter(|_| self.points > 1) else {
            return 0;
        };
        scratch.body.clear();
        sum.write(self.time, &self.body, &mut scratch.body);
        std::mem::swap(&mut self.body, &mut scratch.body);
        sum.cell.exemplars_dropped
    }
}

impl Sum {
    fn new(kind: MetricType) -> Sum {
        Sum {
            kind,
            start: 0,
            cell: Cell::default(),
        }
    }

    fn note(&mut self, point: &PointView<'_>) {
        if point.start != 0 && (self.start == 0 || point.start < self.start) {
            self.start = point.start;
        }
        self.cell.keep_exemplars(point);
    }

    /// The body of the point: everything that is not added comes from `last`.
    fn write(&self, time: Nanos, last: &[u8], out: &mut Vec<u8>) {
        let kind = self.kind;
        if self.start != 0 {
            write::put_fixed64(out, point::START, self.start);
        }
        write::put_fixed64(out, point::TIME, time);
        match &self.cell.content {
            Content::Total(total) => put_value(out, kind, Value::Number(total.saturated())),
            Content::Explicit(h) => put_value(out, kind, Value::Explicit(h, true)),
            Content::Exponential(h) => put_value(out, kind, Value::Exponential(h, true)),
            Content::Empty | Content::Gauges(_) => {}
        }
        for exemplar in &self.cell.exemplars {
            write::put_bytes(out, exemplars_field(kind), exemplar);
        }
        for field in fields(last).filter(|field| !is_added(kind, field.number)) {
            out.extend_from_slice(last.get(field.start..field.end).unwrap_or_default());
        }
    }
}

impl Content {
    /// Adds what a delta point holds; false where that is not possible, or would not fit.
    fn take(&mut self, read: Read<'_>) -> bool {
        match (self, read) {
            (content @ Content::Empty, Read::Number(number)) => *content = Content::Total(number),
            (Content::Total(total), Read::Number(number)) => {
                let mut both = *total;
                both.add(number);
                if both.overflows() {
                    return false;
                }
                *total = both;
            }
            (content @ Content::Empty, Read::Explicit(h)) => {
                *content = Content::Explicit(Box::new(h.clone()));
            }
            (Content::Explicit(sum), Read::Explicit(h)) => {
                if sum.bounds != h.bounds {
                    return false;
                }
                sum.add(h);
            }
            (content @ Content::Empty, Read::Exponential(h)) => {
                let mut first = Box::new(h.clone());
                first.bound();
                *content = Content::Exponential(first);
            }
            (Content::Exponential(sum), Read::Exponential(h)) => sum.add(h),
            _ => return false,
        }
        true
    }
}

/// Whether a field of a point is written from the sum: times, values, exemplars.
fn is_added(kind: MetricType, field: u32) -> bool {
    let common = matches!(field, point::START | point::TIME) || field == exemplars_field(kind);
    common
        || match kind {
            MetricType::Histogram => matches!(
                field,
                histogram_point::COUNT
                    | histogram_point::SUM
                    | histogram_point::BUCKET_COUNTS
                    | histogram_point::EXPLICIT_BOUNDS
                    | histogram_point::MIN
                    | histogram_point::MAX
            ),
            MetricType::ExponentialHistogram => matches!(
                field,
                exponential_point::COUNT
                    | exponential_point::SUM
                    | exponential_point::SCALE
                    | exponential_point::ZERO_COUNT
                    | exponential_point::POSITIVE
                    | exponential_point::NEGATIVE
                    | exponential_point::MIN
                    | exponential_point::MAX
                    | exponential_point::ZERO_THRESHOLD
            ),
            _ => matches!(field, number_point::AS_DOUBLE | number_point::AS_INT),
        }
}
