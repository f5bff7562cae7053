//! What a point of a cumulative series adds to what was there before it.

use super::explicit::Explicit;
use super::exponential::Exponential;
use super::number::Total;
use super::point::{Data, Point};
use std::cmp::Ordering;

/// The point before.
#[derive(Debug, Clone)]
pub struct Last {
    pub start: u64,
    pub time: u64,
    /// Time since the point before it; 0 where there was none.
    pub gap: u64,
    pub data: Data,
}

/// Something that can be added up.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    Number(Total),
    Explicit(Explicit),
    Exponential(Exponential),
}

/// What a point does to its series.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Adds nothing and changes nothing.
    Ignored(&'static str),
    /// Becomes the last point, and adds this.
    Adds(Amount, Option<&'static str>),
    /// Becomes the last point; has no bounds in common with the one before.
    Incomparable,
}

/// What a point holds.
pub fn amount(data: &Data) -> Option<Amount> {
    match data {
        Data::Number(n) => Some(Amount::Number(Total::of(*n))),
        Data::Explicit(e) => Some(Amount::Explicit(e.clone())),
        Data::Exponential(e) => Some(Amount::Exponential(e.clone())),
        Data::Nothing | Data::Misfit(_) | Data::Summary { .. } => None,
    }
}

/// The whole value of a cumulative point. Its least and largest value say nothing of a window.
fn whole(data: &Data) -> Amount {
    let mut whole = amount(data).expect("a value");
    match &mut whole {
        Amount::Number(_) => {}
        Amount::Explicit(e) => (e.min, e.max) = (None, None),
        Amount::Exponential(e) => (e.min, e.max) = (None, None),
    }
    whole
}

fn nothing(data: &Data) -> Amount {
    match data {
        Data::Number(n) => Amount::Number(Total::zero_like(*n)),
        Data::Explicit(e) => Amount::Explicit(e.emptied()),
        Data::Exponential(e) => Amount::Exponential(e.emptied()),
        other => unreachable!("{other:?} is never added"),
    }
}

fn fell(now: &Data, before: &Data) -> bool {
    match (now, before) {
        (Data::Number(n), Data::Number(b)) => n.compare(*b) == Ordering::Less,
        (Data::Explicit(n), Data::Explicit(b)) => n.fell_since(b),
        (Data::Exponential(n), Data::Exponential(b)) => n.fell_since(b),
        (
            Data::Summary { count, sum, .. },
            Data::Summary {
                count: c, sum: s, ..
            },
        ) => count < c || sum < s,
        _ => false,
    }
}

fn since(now: &Data, before: &Data) -> Option<Amount> {
    match (now, before) {
        (Data::Number(n), Data::Number(b)) => Some(Amount::Number(Total::difference(*n, *b))),
        (Data::Explicit(n), Data::Explicit(b)) => n.since(b).map(Amount::Explicit),
        (Data::Exponential(n), Data::Exponential(b)) => Some(Amount::Exponential(n.since(b))),
        _ => None,
    }
}

/// A monotonic cumulative point after `before`. `began`: when this node began to observe.
/// `returned`: the series was known once and has expired since.
pub fn step(before: Option<&Last>, point: &Point, began: u64, returned: bool) -> Step {
    // A counter that begins below 0 adds nothing: what it adds to would fall.
    let whole = |note| match &point.data {
        Data::Number(n) if n.as_f64() < 0.0 => Step::Adds(nothing(&point.data), Some("negative")),
        data => Step::Adds(whole(data), note),
    };
    let Some(last) = before else {
        if point.start_known() && point.start >= began && !returned {
            return whole(None);
        }
        return Step::Adds(nothing(&point.data), Some("baselined"));
    };
    if point.time < last.time {
        return Step::Ignored("out_of_order");
    }
    if point.time == last.time {
        return Step::Ignored("duplicate");
    }
    if point.start != last.start && point.start >= last.time {
        if point.start_known() {
            return whole(None);
        }
        return Step::Adds(nothing(&point.data), Some("baselined"));
    }
    if fell(&point.data, &last.data) {
        let anomaly = point.start_known() && point.start == last.start;
        let note = if anomaly { "reset_anomaly" } else { "reset" };
        return whole(Some(note));
    }
    match since(&point.data, &last.data) {
        Some(amount) => {
            let moved = point.start != last.start;
            Step::Adds(amount, moved.then_some("start_drift"))
        }
        None => Step::Incomparable,
    }
}

/// Whether a point begins a new count: what came before it must not be sampled out.
pub fn restarts(before: &Last, point: &Point) -> bool {
    if point.time <= before.time {
        return false;
    }
    let epoch = point.start != before.start && point.start >= before.time;
    epoch || fell(&point.data, &before.data)
}

impl Amount {
    /// As an output holds it.
    pub fn fitted(&self) -> Amount {
        let mut amount = self.clone();
        if let Amount::Exponential(e) = &mut amount {
            e.fit();
        }
        amount
    }

    /// Both together; nothing when bounds have nothing in common.
    pub fn plus(&self, other: &Amount) -> Option<Amount> {
        match (self, other) {
            (Amount::Number(a), Amount::Number(b)) => Some(Amount::Number(a.plus(*b))),
            (Amount::Explicit(a), Amount::Explicit(b)) => a.plus(b).map(Amount::Explicit),
            (Amount::Exponential(a), Amount::Exponential(b)) => {
                Some(Amount::Exponential(a.plus(b)))
            }
            _ => None,
        }
    }

    /// As the data of a point.
    pub fn data(&self) -> Data {
        match self {
            Amount::Number(n) => Data::Number(n.number()),
            Amount::Explicit(e) => Data::Explicit(e.clone()),
            Amount::Exponential(e) => Data::Exponential(e.clone()),
        }
    }
}
