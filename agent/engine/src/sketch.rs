//! Mergeable count of distinct series (HyperLogLog, the DataSketches format).

use datasketches::common::NumStdDev;
use datasketches::hll::{HllSketch, HllType, HllUnion};

/// 2^12 registers: a standard error of about 1.6 %, 2 KiB a sketch, exact-like while small.
const LG_K: u8 = 12;

/// A sketch of 128-bit identities. Unites with sketches of other agents that hash with the same
/// fleet seed.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// `None` while empty.
    hll: Option<HllSketch>,
}

impl Sketch {
    /// The serialised sketch (DataSketches HLL), sparse while small; nothing while empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hll
            .as_ref()
            .map(HllSketch::serialize)
            .unwrap_or_default()
    }

    /// Reads a serialised sketch.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Sketch, String> {
        if bytes.is_empty() {
            return Ok(Sketch::default());
        }
        let hll = HllSketch::deserialize(bytes).map_err(|e| e.to_string())?;
        Ok(Sketch { hll: Some(hll) })
    }

    /// Adds one identity.
    pub fn insert(&mut self, identity: u128) {
        if self.hll.is_none() {
            self.hll = HllSketch::new(LG_K, HllType::Hll4).ok();
        }
        if let Some(hll) = &mut self.hll {
            hll.update(identity);
        }
    }

    /// Unites with another.
    pub fn merge(&mut self, other: &Sketch) {
        let Some(theirs) = &other.hll else { return };
        let Some(own) = &mut self.hll else {
            self.hll = Some(theirs.clone());
            return;
        };
        if let Ok(mut union) = HllUnion::new(LG_K) {
            union.update(own);
            union.update(theirs);
            *own = union.to_sketch(HllType::Hll4);
        }
    }

    /// Estimate of the number of distinct identities.
    pub fn estimate(&self) -> f64 {
        self.hll.as_ref().map_or(0.0, HllSketch::estimate)
    }

    /// Lower and upper bound of the estimate at two standard deviations.
    pub fn bounds(&self) -> (f64, f64) {
        self.hll.as_ref().map_or((0.0, 0.0), |hll| {
            (
                hll.lower_bound(NumStdDev::Two),
                hll.upper_bound(NumStdDev::Two),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(identities: std::ops::Range<u128>) -> Sketch {
        let mut sketch = Sketch::default();
        identities.for_each(|n| sketch.insert(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060)));
        sketch
    }

    #[test]
    fn a_union_counts_what_both_saw_once() {
        let mut sketch = of(0..30_000);
        sketch.merge(&of(20_000..40_000));
        let (low, high) = sketch.bounds();
        assert!(low < 40_000.0 && 40_000.0 < high, "{low} {high}");
        let read = Sketch::from_bytes(&sketch.to_bytes()).unwrap();
        assert!((read.estimate() - sketch.estimate()).abs() < 1.0);
        assert!((sketch.estimate() - 40_000.0).abs() < 2_400.0);
    }

    #[test]
    fn an_empty_sketch_takes_no_bytes_and_merges_away() {
        let empty = Sketch::from_bytes(&Sketch::default().to_bytes()).unwrap();
        assert_eq!((empty.to_bytes().len(), empty.estimate()), (0, 0.0));
        let mut sketch = of(0..10);
        sketch.merge(&empty);
        assert_eq!(sketch.estimate().round(), 10.0);
    }

    #[test]
    fn a_few_identities_take_few_bytes_and_broken_bytes_are_told() {
        assert!(of(0..5).to_bytes().len() < 64);
        assert!(of(0..100_000).to_bytes().len() < 4_096);
        assert!(Sketch::from_bytes(&[1, 2, 3]).is_err());
    }
}
