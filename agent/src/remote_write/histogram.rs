//! Exponential histograms as native histograms.

use super::{Buckets, Native, STALE};
use phoenix_engine::aggregate::exponential::{Exponential, Side};
use phoenix_engine::prometheus::{COARSEST, Unfit};

/// Prometheus' finest schema.
const FINEST: i32 = 8;
/// The zero bucket of a histogram that does not say how wide it is (the specification's default).
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets that are written out rather than begin a new run: a run costs more than they do.
const SHORT_GAP: i64 = 2;

/// A histogram point. `stale`: it only says that its series has ended.
///
/// # Errors
/// Coarser than Prometheus' coarsest.
pub fn native(from: &Exponential, times: (i64, i64), stale: bool) -> Result<Native, Unfit> {
    if i64::from(from.scale) < COARSEST {
        return Err(Unfit::TooCoarse);
    }
    let down = (from.scale - FINEST).max(0);
    let (time, start) = times;
    Ok(Native {
        count: if stale { STALE } else { from.count },
        // Without a sum an ordinary NaN: 0 would be a number that nobody measured.
        sum: match from.sum {
            _ if stale => f64::from_bits(STALE),
            sum => sum.unwrap_or(f64::NAN),
        },
        schema: from.scale - down,
        zero_threshold: if from.zero_threshold > 0.0 {
            from.zero_threshold
        } else {
            ZERO_THRESHOLD
        },
        zero_count: from.zero_count,
        positive: buckets(&from.positive, down),
        negative: buckets(&from.negative, down),
        time,
        start,
    })
}

/// The buckets that hold something, at a scale that is `down` lower.
fn buckets(side: &Side, down: i32) -> Buckets {
    let mut out = Buckets::default();
    let mut before = Before::default();
    let mut open: Option<(i64, u64)> = None;
    for (place, count) in side.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        // OTLP's bucket i ends where Prometheus' bucket i + 1 does: one counts lower edges, the
        // other upper ones. A shift beyond 63 leaves only the sign, as it does at 63.
        let index = (side.offset + place as i64) >> down.min(63);
        let index = index.saturating_add(1);
        match &mut open {
            Some((at, sum)) if *at == index => *sum = sum.saturating_add(*count),
            _ => {
                if let Some((at, sum)) = open.replace((index, *count)) {
                    put(&mut out, &mut before, at, sum);
                }
            }
        }
    }
    if let Some((at, sum)) = open {
        put(&mut out, &mut before, at, sum);
    }
    out
}

/// Where the last run ended and what the last bucket held.
#[derive(Default)]
struct Before {
    end: i64,
    count: i64,
}

fn put(out: &mut Buckets, before: &mut Before, index: i64, count: u64) {
    let gap = index - before.end;
    let first = out.spans.is_empty();
    if first || gap > SHORT_GAP {
        let offset = gap.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        out.spans.push((offset as i32, 0));
    } else {
        for _ in 0..gap {
            push(out, before, 0);
        }
    }
    push(out, before, i64::try_from(count).unwrap_or(i64::MAX));
    before.end = index + 1;
}

fn push(out: &mut Buckets, before: &mut Before, count: i64) {
    if let Some((_, length)) = out.spans.last_mut() {
        *length += 1;
    }
    out.deltas.push(count - before.count);
    before.count = count;
}
