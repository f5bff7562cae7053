//! The stage that gives histograms fewer buckets.

use super::Counts;
use super::document;
use super::identity::{Identity, Kind};
use super::matcher;
use super::point::{Data, Point};
use super::tracker::Tracker;

/// One stage with its state.
#[derive(Debug, Clone)]
pub struct Histogram {
    spec: document::Histogram,
    pub counts: Counts,
    /// What it has written.
    pub written: Tracker,
}

impl Histogram {
    pub fn new(spec: &document::Histogram, source: &Tracker) -> Histogram {
        Histogram {
            spec: spec.clone(),
            counts: Counts::new(),
            written: source.clone(),
        }
    }

    /// Whether the stage writes the series anew.
    pub fn decides(&self, id: &Identity) -> bool {
        let exponential = self.spec.max_scale.is_some() || self.spec.max_buckets.is_some();
        matcher::matches(&self.spec.matching, id)
            && match id.kind {
                Kind::Histogram => self.spec.bounds.is_some(),
                Kind::Exponential => exponential,
                _ => false,
            }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// The point as the stage writes it.
    pub fn rewrite(&mut self, mut point: Point) -> Point {
        if !self.decides(&point.identity) {
            if matcher::matches(&self.spec.matching, &point.identity) {
                self.note("other_type");
            }
            return point;
        }
        if point.ended() {
            return point;
        }
        match &mut point.data {
            Data::Explicit(h) => {
                let growing = h.bounds.windows(2).all(|w| w[0] < w[1]);
                if !growing {
                    self.note("unfit");
                    return point;
                }
                let declared = self.spec.bounds.clone().unwrap_or_default();
                let kept: Vec<f64> = h
                    .bounds
                    .iter()
                    .copied()
                    .filter(|b| declared.contains(b))
                    .collect();
                if kept.is_empty() {
                    self.note("bounds_unknown");
                } else {
                    *h = h.rebucket(&kept);
                }
            }
            Data::Misfit(_) => self.note("unfit"),
            Data::Exponential(h) => {
                if let Some(most) = self.spec.max_scale {
                    h.downscale(h.scale.min(most));
                }
                if let Some(most) = self.spec.max_buckets {
                    while h.width() > most {
                        h.downscale(h.scale - 1);
                    }
                }
            }
            _ => {}
        }
        point
    }
}
