//! `histogram: { to: explicit }`: exponential histograms at declared bounds.
//!
//! A bucket goes whole into the one that holds its upper edge: what lies below a bound is never said to
//! be more than it was. Of a cumulative series the increments go there, each at the scale that it has: a
//! bucket that was told apart once stays so when the sender scales down, and no bucket falls.

use super::histogram::UNFIT;
use super::{Fate, Said, Scratch};
use crate::Nanos;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::read::read_exponential;
use crate::input::{Increment, Input, Observation};
use crate::view::{MetricType, PointView};
use crate::wire::otlp::{exponential_point as from, histogram_point as to, point as common};
use crate::wire::{fields, write};

/// A series' observations, by explicit bucket.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    /// Of the last point of a cumulative series; 0 before the first.
    time: Nanos,
    counts: Vec<u64>,
}

impl Spread {
    /// Takes a point: what it becomes is written from here. `seen`: of a cumulative series.
    pub fn take(
        &mut self,
        point: &PointView<'_>,
        seen: Option<&Observation<'_>>,
        bounds: &[f64],
        scratch: &mut Scratch,
    ) -> Fate {
        if point.no_recorded_value() {
            return Fate::Write(Said::default());
        }
        let mut said = Said::default();
        if let Some(seen) = seen {
            said.notes = seen.notes;
            let before = point.time.saturating_sub(seen.gap);
            let goes_on = seen.gap > 0 && self.time == before && !seen.new_epoch;
            match seen.increment {
                Increment::NotANumber => return Fate::Drop(super::temporality::NAN),
                Increment::Unfit => return Fate::Pass(UNFIT),
                _ if !seen.advanced => return Fate::Withhold(said),
                Increment::Exponential(grown) if goes_on => {
                    self.time = point.time;
                    add(&mut self.counts, grown, bounds);
                    return Fate::Write(said);
                }
                _ => {}
            }
        }
        read_exponential(point.body, &mut scratch.exponential);
        self.begin(point.time, &scratch.exponential, bounds);
        Fate::Write(said)
    }

    fn begin(&mut self, time: Nanos, content: &Exponential, bounds: &[f64]) {
        self.time = time;
        self.counts.clear();
        self.counts.resize(bounds.len() + 1, 0);
        add(&mut self.counts, content, bounds);
    }

    /// Starts from what is known of the cumulative series before the point at hand. What later stages
    /// know of it then.
    pub fn seed(&mut self, input: &Input, bounds: &[f64], scratch: &mut Scratch) -> Input {
        if input.is_zero() {
            return input.clone();
        }
        let mut behind = Input::new(true, input.is_returning());
        let Some((start, content)) = input.content() else {
            return behind;
        };
        read_exponential(content, &mut scratch.exponential);
        if self.time != input.time() {
            self.begin(input.time(), &scratch.exponential, bounds);
        }
        let mut body = Vec::new();
        write::put_fixed64(&mut body, common::START, start);
        write::put_fixed64(&mut body, common::TIME, self.time);
        write::put_fixed64(&mut body, to::COUNT, scratch.exponential.count);
        if let Some(sum) = scratch.exponential.sum {
            write::put_double(&mut body, to::SUM, sum);
        }
        self.put_buckets(bounds, &mut body);
        behind.follow(&PointView::of(MetricType::Histogram, &body), input.seen());
        behind
    }

    /// Appends the body of the point that was just taken, as an explicit histogram's.
    pub fn put(&self, point: &PointView<'_>, bounds: &[f64], out: &mut Vec<u8>) {
        put_rest(point.body, out);
        if !point.no_recorded_value() {
            self.put_buckets(bounds, out);
        }
    }

    fn put_buckets(&self, bounds: &[f64], out: &mut Vec<u8>) {
        write::put_packed_fixed64(out, to::BUCKET_COUNTS, self.counts.iter().copied());
        let bounds = bounds.iter().map(|b| b.to_bits());
        write::put_packed_fixed64(out, to::EXPLICIT_BOUNDS, bounds);
    }

    /// Bytes beyond the struct itself.
    pub fn heap_size(&self) -> usize {
        self.counts.capacity() * 8
    }
}

/// Adds all observations, each bucket to the one that holds its upper edge.
fn add(counts: &mut [u64], h: &Exponential, bounds: &[f64]) {
    let mut put = |edge: f64, n: u64| {
        let at = bounds.partition_point(|bound| *bound < edge);
        if let Some(slot) = counts.get_mut(at) {
            *slot = slot.saturating_add(n);
        }
    };
    if h.zero_count > 0 {
        put(h.zero_threshold, h.zero_count);
    }
    for (upper, n) in h.positive.uppers(h.scale) {
        put(upper, n);
    }
    for (lower, n) in h.negative.lowers(h.scale) {
        put(-lower, n);
    }
}

/// All that both kinds have, under the numbers of an explicit histogram's point; what neither of them
/// knows, as it came.
pub fn put_rest(body: &[u8], out: &mut Vec<u8>) {
    for field in fields(body) {
        let number = match field.number {
            from::SCALE | from::ZERO_COUNT | from::POSITIVE | from::NEGATIVE => continue,
            from::ZERO_THRESHOLD => continue,
            from::ATTRIBUTES => to::ATTRIBUTES,
            from::EXEMPLARS => to::EXEMPLARS,
            from::MIN => to::MIN,
            from::MAX => to::MAX,
            _ => {
                out.extend_from_slice(body.get(field.start..field.end).unwrap_or_default());
                continue;
            }
        };
        match field.value.bytes() {
            Some(bytes) => write::put_bytes(out, number, bytes),
            None => write::put_double(out, number, field.value.double()),
        }
    }
}
