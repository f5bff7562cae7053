//! Compares what an engine wrote with what the model says: order-free, floats within 1e-9.

use super::explicit::{Explicit, common};
use super::exponential::Exponential;
use super::number::Num;
use super::point::{Data, Point};
use std::collections::BTreeMap;

/// How closely points are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Everything must be the same.
    Closely,
    /// A stage reads what another one wrote: in which order the points of one window come is open
    /// there. With it which exemplars were the last seen, and where histograms of different bounds,
    /// scales or zero thresholds meet, how coarse their sum is: they are compared where both are alike.
    InARow,
    /// As `InARow`, and several workers: which input of an output was the first is open as well, and
    /// with it what it brings along.
    Dealt,
}

/// How the two differ, one line each; empty when they are the same points.
pub fn differences(expected: &[Point], got: &[Point], look: Look) -> Vec<String> {
    let mut lines = Vec::new();
    let (expected, got) = (by_place(expected), by_place(got));
    let mut places: Vec<_> = expected.keys().chain(got.keys()).collect();
    places.sort();
    places.dedup();
    for place in places {
        let none = Vec::new();
        let mut left: Vec<&Point> = got.get(place).unwrap_or(&none).clone();
        for point in expected.get(place).unwrap_or(&none) {
            match left.iter().position(|other| same(point, other, look)) {
                Some(at) => drop(left.remove(at)),
                None => lines.push(format!("model  {}", row(point))),
            }
        }
        lines.extend(left.iter().map(|p| format!("engine {}", row(p))));
    }
    lines
}

type Place<'a> = (&'a super::identity::Identity, u64);

fn by_place(points: &[Point]) -> BTreeMap<Place<'_>, Vec<&Point>> {
    let mut places: BTreeMap<Place<'_>, Vec<&Point>> = BTreeMap::new();
    for p in points {
        places.entry((&p.identity, p.time)).or_default().push(p);
    }
    places
}

/// The same point: identity, start, time, flags, value, exemplars and what goes along.
pub fn same(a: &Point, b: &Point, look: Look) -> bool {
    let of = |p: &Point| {
        let mut all: Vec<_> = p
            .exemplars
            .iter()
            .map(prost::Message::encode_to_vec)
            .collect();
        all.sort();
        all
    };
    a.identity == b.identity
        && (a.start, a.time, a.flags) == (b.start, b.time, b.flags)
        // Without a recorded value there is nothing to compare.
        && (a.ended() || same_data(&a.data, &b.data, look))
        && (look == Look::Dealt || a.company == b.company)
        && a.exemplars.len() == b.exemplars.len()
        && (look != Look::Closely || of(a) == of(b))
}

fn same_data(a: &Data, b: &Data, look: Look) -> bool {
    match (a, b) {
        (Data::Explicit(x), Data::Explicit(y)) if look != Look::Closely => {
            let bounds = common(&x.bounds, &y.bounds).unwrap_or_default();
            same_explicit(&x.rebucket(&bounds), &y.rebucket(&bounds))
        }
        (Data::Exponential(x), Data::Exponential(y)) if look != Look::Closely => {
            let (x, y) = x.alike(y);
            same_exponential(&x, &y)
        }
        (Data::Number(Num::Int(x)), Data::Number(Num::Int(y))) => x == y,
        (Data::Number(Num::Double(x)), Data::Number(Num::Double(y))) => near(*x, *y),
        (Data::Explicit(x), Data::Explicit(y)) => same_explicit(x, y),
        (Data::Exponential(x), Data::Exponential(y)) => same_exponential(x, y),
        (
            Data::Summary {
                count,
                sum,
                quantiles,
            },
            Data::Summary {
                count: c,
                sum: s,
                quantiles: q,
            },
        ) => {
            let pairs = quantiles.iter().zip(q);
            count == c
                && near(*sum, *s)
                && quantiles.len() == q.len()
                && pairs
                    .into_iter()
                    .all(|(x, y)| near(x.0, y.0) && near(x.1, y.1))
        }
        // A NaN in a bound makes a misfit unequal to itself.
        (Data::Misfit(x), Data::Misfit(y)) => format!("{x:?}") == format!("{y:?}"),
        _ => a == b,
    }
}

fn same_explicit(a: &Explicit, b: &Explicit) -> bool {
    let bounds = a.bounds.iter().zip(&b.bounds).all(|(x, y)| near(*x, *y));
    a.bounds.len() == b.bounds.len()
        && bounds
        && (a.count, &a.counts) == (b.count, &b.counts)
        && near_option(a.sum, b.sum)
        && near_option(a.min, b.min)
        && near_option(a.max, b.max)
}

fn same_exponential(a: &Exponential, b: &Exponential) -> bool {
    (a.scale, a.zero_count, a.count) == (b.scale, b.zero_count, b.count)
        && (&a.positive, &a.negative) == (&b.positive, &b.negative)
        && near(a.zero_threshold, b.zero_threshold)
        && near_option(a.sum, b.sum)
        && near_option(a.min, b.min)
        && near_option(a.max, b.max)
}

fn near_option(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => near(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn near(a: f64, b: f64) -> bool {
    // The absolute part is for sums whose terms cancel out.
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

/// One point as a line for a person.
pub fn row(p: &Point) -> String {
    let mut line = format!("{}..{} {} = ", clock(p.start), clock(p.time), p.identity);
    line += &match &p.data {
        Data::Nothing => "nothing".to_string(),
        Data::Number(n) => format!("{n:?}"),
        Data::Explicit(e) => format!(
            "count {} sum {:?} min {:?} max {:?} {:?} at {:?}",
            e.count, e.sum, e.min, e.max, e.counts, e.bounds
        ),
        Data::Exponential(e) => format!(
            "count {} sum {:?} min {:?} max {:?} scale {} zero {} to {} + {:?} - {:?}",
            e.count,
            e.sum,
            e.min,
            e.max,
            e.scale,
            e.zero_count,
            e.zero_threshold,
            e.positive,
            e.negative
        ),
        other => format!("{other:?}"),
    };
    if p.flags != 0 {
        line += &format!(" flags {}", p.flags);
    }
    if !p.exemplars.is_empty() {
        line += &format!(
            " exemplars {:?}",
            p.exemplars
                .iter()
                .map(|e| e.time_unix_nano)
                .collect::<Vec<_>>()
        );
    }
    let c = &p.company;
    if **c != Default::default() {
        line += &format!(
            " ({:?} {:?} scope {:?} resource {:?} refs {:?})",
            c.description,
            c.metadata,
            c.scope_schema_url,
            c.resource_schema_url,
            c.entity_refs.iter().map(|r| &r.id_keys).collect::<Vec<_>>()
        );
    }
    line
}

/// Nanoseconds as seconds, short for times of generated traffic.
pub fn clock(nanos: u64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
