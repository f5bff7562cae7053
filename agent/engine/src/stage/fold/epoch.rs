//! The own series of something that was folded before: it counts anew from where the folded part ends.

use crate::Nanos;
use crate::aggregate::encode::{Value, put_value};
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::Total;
use crate::aggregate::read::{read_explicit, read_exponential};
use crate::input::{Increment, Observation};
use crate::view::{MetricType, Number, PointView};
use crate::wire::otlp::{exponential_point, histogram_point, number_point, point};
use crate::wire::{fields, write};

/// What a counter has gained since its epoch began.
#[derive(Debug)]
pub struct Epoch {
    start: Nanos,
    /// Time of its last point; 0 before the first.
    written: Nanos,
    gained: Gained,
}

#[derive(Debug)]
enum Gained {
    Nothing,
    Number(Total),
    Explicit(Box<Explicit>),
    Exponential(Box<Exponential>),
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// It was written anew.
    Point,
    /// It says nothing new: it is no newer than the one before.
    Nothing,
    /// It cannot be counted, for this reason.
    Lost(&'static str),
}

impl Epoch {
    /// An epoch that begins at `start`.
    pub fn new(start: Nanos) -> Epoch {
        Epoch {
            start,
            written: 0,
            gained: Gained::Nothing,
        }
    }

    /// Writes the body of a point anew: what was gained since the start, everything else as it came.
    /// `told`: time of the point before.
    pub fn write(
        &mut self,
        view: &PointView<'_>,
        seen: &Observation<'_>,
        told: Nanos,
        out: &mut Vec<u8>,
    ) -> Wrote {
        match seen.increment {
            Increment::NotANumber => return Wrote::Lost("nan"),
            Increment::Unfit => return Wrote::Lost(super::NOT_FOLDABLE),
            _ => {}
        }
        if !seen.advanced {
            return Wrote::Nothing;
        }
        let ended = view.no_recorded_value();
        if !ended {
            self.add(view, seen, told);
        }
        // A late point can be of a time before the edge at which its epoch begins.
        self.start = self.start.min(view.time.saturating_sub(1));
        self.written = view.time;
        write::put_fixed64(out, point::START, self.start);
        for field in fields(view.body) {
            if field.number != point::START && (ended || !is_value(view.kind, field.number)) {
                out.extend_from_slice(view.body.get(field.start..field.end).unwrap_or_default());
            }
        }
        match &self.gained {
            _ if ended => {}
            Gained::Number(total) => put_value(out, view.kind, Value::Number(total.saturated())),
            Gained::Explicit(h) => put_value(out, view.kind, Value::Explicit(h, false)),
            Gained::Exponential(h) => put_value(out, view.kind, Value::Exponential(h, false)),
            Gained::Nothing => {}
        }
        Wrote::Point
    }

    fn add(&mut self, view: &PointView<'_>, seen: &Observation<'_>, told: Nanos) {
        match seen.increment {
            Increment::Number(step) => self.add_number(step, told),
            Increment::Explicit(h) => self.add_explicit(h, told),
            Increment::Exponential(h) => self.add_exponential(h),
            // A baseline adds nothing, but it has a shape.
            _ => match view.kind {
                MetricType::Histogram => {
                    let mut empty = Explicit::default();
                    read_explicit(view.body, &mut empty);
                    empty.zero();
                    self.add_explicit(&empty, told);
                }
                MetricType::ExponentialHistogram => {
                    let mut empty = Exponential::default();
                    read_exponential(view.body, &mut empty);
                    empty.zero();
                    self.add_exponential(&empty);
                }
                _ => {
                    let nothing = match view.number {
                        Some(Number::Double(_)) => Total::Double(0.0),
                        _ => Total::default(),
                    };
                    self.add_number(nothing, told);
                }
            },
        }
    }

    /// A total that does not fit any more ends its epoch: the next goes on with what came since.
    fn add_number(&mut self, step: Total, told: Nanos) {
        let mut total = match self.gained {
            Gained::Number(total) => total,
            _ => Total::default(),
        };
        total.add(step);
        if total.overflows() && self.written != 0 {
            self.start = self.start.max(told);
            total = step;
        }
        self.gained = Gained::Number(total);
    }

    /// Other bounds begin another epoch.
    fn add_explicit(&mut self, h: &Explicit, told: Nanos) {
        match &mut self.gained {
            Gained::Explicit(total) if total.bounds == h.bounds => total.add(h),
            gained => {
                if matches!(gained, Gained::Explicit(_)) {
                    self.start = self.start.max(told);
                }
                *gained = Gained::Explicit(Box::new(h.clone()));
            }
        }
    }

    fn add_exponential(&mut self, h: &Exponential) {
        match &mut self.gained {
            Gained::Exponential(total) => total.add(h),
            gained => {
                let mut first = Box::new(h.clone());
                first.bound();
                *gained = Gained::Exponential(first);
            }
        }
    }
}

/// Appends the body of a point that only says that its series has ended.
pub fn put_end(kind: MetricType, stamp: Nanos, attributes: &[u8], out: &mut Vec<u8>) {
    write::put_fixed64(out, point::TIME, stamp);
    let flags = u64::from(point::NO_RECORDED_VALUE);
    write::put_uint(out, kind.flags_field(), flags);
    out.extend_from_slice(attributes);
}

/// Whether a field of a point is part of its value.
fn is_value(kind: MetricType, number: u32) -> bool {
    use {exponential_point as e, histogram_point as h, number_point as n};
    match kind {
        MetricType::Gauge | MetricType::Sum => matches!(number, n::AS_DOUBLE | n::AS_INT),
        MetricType::Histogram => matches!(
            number,
            h::COUNT | h::SUM | h::BUCKET_COUNTS | h::EXPLICIT_BOUNDS | h::MIN | h::MAX
        ),
        MetricType::ExponentialHistogram => matches!(
            number,
            e::COUNT
                | e::SUM
                | e::SCALE
                | e::ZERO_COUNT
                | e::POSITIVE
                | e::NEGATIVE
                | e::MIN
                | e::MAX
                | e::ZERO_THRESHOLD
        ),
        MetricType::Summary => false,
    }
}
