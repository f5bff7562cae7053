//! The own series of a counter that was folded before: it counts anew.

use super::aggregate::unusable;
use super::point::{Data, Point};
use super::progress::{Amount, Step, step};
use super::tracker::Before;

/// What a counter has gained since its epoch began.
#[derive(Debug, Clone)]
pub struct Epoch {
    start: u64,
    /// When the node began to observe.
    began: u64,
    gained: Option<Amount>,
    wrote: bool,
}

/// What became of a point.
pub enum Wrote {
    Point(Box<Point>),
    Nothing,
    Lost(&'static str),
}

impl Epoch {
    pub fn new(start: u64, began: u64) -> Epoch {
        Epoch {
            start,
            began,
            gained: None,
            wrote: false,
        }
    }

    /// The point as the epoch writes it. `told`: time of the point before.
    pub fn write(&mut self, point: &Point, before: &Before, told: u64) -> Wrote {
        if point.ended() {
            let newer = before
                .last
                .as_ref()
                .is_none_or(|last| point.time > last.time);
            return if newer {
                self.point(point)
            } else {
                Wrote::Nothing
            };
        }
        if unusable(point) {
            return Wrote::Lost("nan");
        }
        if matches!(point.data, Data::Nothing | Data::Misfit(_)) {
            return Wrote::Lost("not_foldable");
        }
        match step(before.last.as_ref(), point, self.began, before.returned) {
            Step::Ignored(_) => Wrote::Nothing,
            Step::Incomparable => Wrote::Lost("not_foldable"),
            Step::Adds(amount, _) => {
                self.add(amount, told);
                self.point(point)
            }
        }
    }

    /// Integers that overflow, and other bounds, begin another epoch.
    fn add(&mut self, amount: Amount, told: u64) {
        let sum = match (&self.gained, &amount) {
            (None, _) => Some(amount.fitted()),
            (Some(Amount::Explicit(have)), Amount::Explicit(more))
                if have.bounds != more.bounds =>
            {
                None
            }
            (Some(have), more) => have.plus(more),
        };
        let fits = |sum: &Amount| !matches!(sum, Amount::Number(n) if n.overflows());
        match sum {
            Some(sum) if fits(&sum) || !self.wrote => self.gained = Some(sum),
            _ => {
                if self.wrote {
                    self.start = self.start.max(told);
                }
                self.gained = Some(amount.fitted());
            }
        }
    }

    fn point(&mut self, point: &Point) -> Wrote {
        self.start = self.start.min(point.time.saturating_sub(1));
        self.wrote = true;
        let mut point = point.clone();
        point.start = self.start;
        if !point.ended()
            && let Some(gained) = &self.gained
        {
            point.data = gained.data();
        }
        Wrote::Point(Box::new(point))
    }
}
