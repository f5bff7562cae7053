//! `histogram`: fewer buckets, every count exact. Without a state: a cumulative histogram's filled
//! buckets only spread, so that its scale here only goes down within an epoch.

use super::{Scratch, Verdict};
use crate::aggregate::encode::put_side;
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::read::{read_explicit, read_exponential};
use crate::view::{MetricType, PointView};
use crate::wire::otlp::{exponential_point, histogram_point};
use crate::wire::{fields, write};

/// What the stage does.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Highest scale.
    pub max_scale: Option<i32>,
    /// Most buckets between the first and the last filled one of a side.
    pub max_buckets: Option<u32>,
    /// Bounds that stay, increasing.
    pub bounds: Vec<f64>,
    /// Exponential histograms become explicit ones of these bounds.
    pub to_explicit: bool,
}

/// Reason of a point that has none of the declared bounds.
pub const BOUNDS_UNKNOWN: &str = "bounds_unknown";
/// Note of a point that had several bounds and has one of several declared ones: hardly meant.
pub const ONE_BOUND: &str = "one_bound";
/// Reason of a point whose buckets do not fit its bounds.
pub const UNFIT: &str = "unfit";

impl Buckets {
    /// Whether it has to do with histograms of this type.
    pub fn treats(&self, kind: MetricType) -> bool {
        match kind {
            MetricType::Histogram => !self.bounds.is_empty(),
            MetricType::ExponentialHistogram => {
                self.to_explicit || self.max_scale.is_some() || self.max_buckets.is_some()
            }
            _ => false,
        }
    }

    /// Whether histograms of this type become others.
    pub fn turns(&self, kind: MetricType) -> bool {
        self.to_explicit && kind == MetricType::ExponentialHistogram
    }

    /// Appends the body of a histogram's point with fewer buckets.
    pub(super) fn put(
        &self,
        point: &PointView<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Verdict {
        let done = match point.kind {
            _ if point.no_recorded_value() => Err(Verdict::Written),
            MetricType::Histogram => self.put_explicit(point.body, &mut scratch.explicit, out),
            _ => self.put_exponential(point.body, &mut scratch.exponential, out),
        };
        match done {
            Ok(verdict) => verdict,
            Err(verdict) => {
                out.extend_from_slice(point.body);
                verdict
            }
        }
    }

    /// An error: nothing was written, since there is nothing to change.
    fn put_explicit(
        &self,
        body: &[u8],
        h: &mut Explicit,
        out: &mut Vec<u8>,
    ) -> Result<Verdict, Verdict> {
        read_explicit(body, h);
        if !h.is_well_formed() {
            return Err(Verdict::Noted(UNFIT));
        }
        let before = h.bounds.len();
        let stays = |bound: &f64| self.bounds.contains(bound);
        if !h.bounds.iter().any(stays) {
            return Err(Verdict::Noted(BOUNDS_UNKNOWN));
        }
        h.reduce_to(&self.bounds);
        if h.bounds.len() == before {
            return Err(Verdict::Written);
        }
        let changed = [
            histogram_point::BUCKET_COUNTS,
            histogram_point::EXPLICIT_BOUNDS,
        ];
        put_others(body, &changed, out);
        let counts = h.counts.iter().copied();
        write::put_packed_fixed64(out, histogram_point::BUCKET_COUNTS, counts);
        let bounds = h.bounds.iter().map(|b| b.to_bits());
        write::put_packed_fixed64(out, histogram_point::EXPLICIT_BOUNDS, bounds);
        if h.bounds.len() == 1 && self.bounds.len() > 1 {
            return Ok(Verdict::Noted(ONE_BOUND));
        }
        Ok(Verdict::Written)
    }

    fn put_exponential(
        &self,
        body: &[u8],
        h: &mut Exponential,
        out: &mut Vec<u8>,
    ) -> Result<Verdict, Verdict> {
        read_exponential(body, h);
        let before = h.scale;
        if let Some(most) = self.max_scale.filter(|most| *most < h.scale) {
            h.scale_down_to(most);
        }
        if let Some(most) = self.max_buckets {
            // Every step down halves the span; from 2^33 buckets apart it takes 34 at most.
            while h.widest() > i64::from(most) && h.scale > i32::MIN {
                let halves = 1 + (h.widest() / (i64::from(most) * 4)).max(1).ilog2();
                h.scale_down_to(h.scale.saturating_sub_unsigned(halves));
            }
        }
        if h.scale == before {
            return Err(Verdict::Written);
        }
        let changed = [
            exponential_point::SCALE,
            exponential_point::POSITIVE,
            exponential_point::NEGATIVE,
        ];
        put_others(body, &changed, out);
        if h.scale != 0 {
            write::put_sint(out, exponential_point::SCALE, i64::from(h.scale));
        }
        put_side(out, exponential_point::POSITIVE, &h.positive);
        put_side(out, exponential_point::NEGATIVE, &h.negative);
        Ok(Verdict::Written)
    }
}

/// Everything but some fields, as it came.
pub(super) fn put_others(body: &[u8], changed: &[u32], out: &mut Vec<u8>) {
    for field in fields(body).filter(|field| !changed.contains(&field.number)) {
        out.extend_from_slice(body.get(field.start..field.end).unwrap_or_default());
    }
}
