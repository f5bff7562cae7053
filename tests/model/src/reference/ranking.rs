//! Who ranks first, from everything that was said in a window.

use super::aggregate::unusable;
use super::document::{self, Match};
use super::identity::{Identity, Kind, Temporality};
use super::matcher;
use super::point::{Data, Point};
use super::progress::{Amount, Step, step};
use super::tracker::Before;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// One thing that was said.
#[derive(Debug, Clone)]
struct Said {
    entity: Option<u64>,
    series: Rc<Identity>,
    time: u64,
    value: Option<f64>,
    gain: Option<f64>,
}

/// The ranking of a `topk`.
#[derive(Debug, Clone)]
pub struct Ranking {
    spec: document::Topk,
    said: BTreeMap<u64, Vec<Said>>,
    /// Bits of the entities' places.
    pub members: BTreeSet<u64>,
}

impl Ranking {
    pub fn new(spec: &document::Topk, _: &str) -> Ranking {
        Ranking {
            spec: spec.clone(),
            said: BTreeMap::new(),
            members: BTreeSet::new(),
        }
    }

    /// Whether the series tells how loaded the node is.
    pub fn is_load(&self, id: &Identity) -> bool {
        let bands = self.spec.bands.as_ref();
        bands.is_some_and(|bands| weighs(&bands.load, id))
    }

    /// Hears a point, which belongs to the window that ends at `end`.
    pub fn hear(
        &mut self,
        entity: Option<u64>,
        point: &Point,
        before: &Before,
        (end, late): (u64, bool),
        began: u64,
    ) {
        if point.ended() {
            return;
        }
        let value = match (point.identity.kind, &point.data) {
            (Kind::Gauge | Kind::Sum, Data::Number(n)) if n.as_f64().is_finite() && !late => {
                Some(n.as_f64())
            }
            _ => None,
        };
        let said = Said {
            entity,
            series: point.identity.clone(),
            time: point.time,
            value,
            gain: gain(point, before, began),
        };
        self.said.entry(end).or_default().push(said);
    }

    /// Ranks the windows that end at or before `due`, one after the other. Whether there were any.
    pub fn close(&mut self, due: u64, interval: u64) -> bool {
        let mut any = false;
        while let Some((end, said)) = self.said.pop_first() {
            if end > due {
                self.said.insert(end, said);
                break;
            }
            any |= self.rank(&said, interval as f64 / 1e9);
        }
        any
    }

    fn rank(&mut self, said: &[Said], seconds: f64) -> bool {
        let of = |said: &Said| said.entity;
        let terms: Vec<BTreeMap<u64, f64>> = self
            .spec
            .ranks()
            .iter()
            .map(|rank| measures(rank, said, of, seconds))
            .collect();
        let entities: BTreeSet<u64> = terms.iter().flat_map(|t| t.keys().copied()).collect();
        if entities.is_empty() {
            return false;
        }
        let score = |entity: u64| {
            if let [one] = &terms[..] {
                return one[&entity];
            }
            let mut score = 0.0;
            for (rank, term) in self.spec.ranks().iter().zip(&terms) {
                let total: f64 = term.values().map(|v| v.abs()).sum();
                if let (Some(value), true) = (term.get(&entity), total > 0.0) {
                    score += rank.weight.unwrap_or(1.0) * value / total;
                }
            }
            score
        };
        let mut ranked: Vec<(f64, u64)> = entities.iter().map(|e| (short(score(*e)), *e)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let k = self.k(said, seconds);
        let hysteresis = self.spec.hysteresis.unwrap_or(0) as usize;
        let mut members = BTreeSet::new();
        for (at, (_, entity)) in ranked.iter().enumerate() {
            let rank = at + 1;
            if rank <= k || (rank <= k + hysteresis && self.members.contains(entity)) {
                members.insert(*entity);
            }
        }
        self.members = members;
        true
    }

    fn k(&self, said: &[Said], seconds: f64) -> usize {
        let Some(bands) = &self.spec.bands else {
            return self.spec.k.expect("k or bands") as usize;
        };
        let mut numbers: BTreeMap<&Rc<Identity>, u64> = BTreeMap::new();
        for said in said {
            let next = numbers.len() as u64;
            numbers.entry(&said.series).or_insert(next);
        }
        let of = |said: &Said| Some(numbers[&said.series]);
        let values: Vec<f64> = measures(&bands.load, said, of, seconds)
            .into_values()
            .collect();
        let load = match bands.load.function.as_deref() {
            _ if values.is_empty() => None,
            None | Some("max") => values.iter().copied().reduce(f64::max),
            Some("sum") => Some(values.iter().sum()),
            Some(_) => Some(values.iter().sum::<f64>() / values.len() as f64),
        };
        let mut k = bands.steps[0].k;
        for step in &bands.steps {
            if load.is_some_and(|load| short(load) > step.above) {
                k = step.k;
            }
        }
        k as usize
    }
}

fn weighs(rank: &document::Rank, id: &Identity) -> bool {
    let rule = Match {
        metric: Some(rank.metric.clone()),
        attributes: rank.attributes.clone(),
        ..Match::default()
    };
    matcher::matches(&rule, id)
}

/// What each of something has of a metric; nothing where it said nothing of it.
fn measures(
    rank: &document::Rank,
    said: &[Said],
    of: impl Fn(&Said) -> Option<u64>,
    seconds: f64,
) -> BTreeMap<u64, f64> {
    let mut measures = BTreeMap::new();
    let mut lasts: BTreeMap<&Rc<Identity>, (u64, u64, f64)> = BTreeMap::new();
    for said in said.iter().filter(|said| weighs(rank, &said.series)) {
        let Some(of) = of(said) else { continue };
        if rank.by == "rate" {
            if let Some(gain) = said.gain {
                *measures.entry(of).or_insert(0.0) += gain / seconds;
            }
        } else if let Some(value) = said.value {
            let last = lasts.entry(&said.series).or_insert((of, said.time, value));
            if said.time >= last.1 {
                *last = (of, said.time, value);
            }
        }
    }
    for (of, _, value) in lasts.into_values() {
        *measures.entry(of).or_insert(0.0) += value;
    }
    measures
}

/// What a point adds to its series, where that is known.
fn gain(point: &Point, before: &Before, began: u64) -> Option<f64> {
    let id = &point.identity;
    let size = |amount: &Amount| match amount {
        Amount::Number(n) => n.number_as_f64(),
        Amount::Explicit(e) => e.count as f64,
        Amount::Exponential(e) => e.count as f64,
    };
    let gain = match (id.temporality, &point.data) {
        _ if matches!(id.kind, Kind::Gauge | Kind::Summary) => return None,
        (Temporality::Unspecified, _) | (_, Data::Nothing) => return None,
        (Temporality::Delta, Data::Number(n)) => n.as_f64(),
        (Temporality::Delta, Data::Explicit(e)) => e.count as f64,
        (Temporality::Delta, Data::Exponential(e)) => e.count as f64,
        (Temporality::Delta, Data::Misfit(point)) => point.count as f64,
        (_, Data::Misfit(_)) => return None,
        _ if unusable(point) => return None,
        _ if id.kind == Kind::Sum && !id.monotonic => 0.0,
        _ => match step(before.last.as_ref(), point, began, before.returned) {
            Step::Ignored(_) => 0.0,
            Step::Incomparable => return None,
            Step::Adds(amount, _) => size(&amount),
        },
    };
    gain.is_finite().then_some(gain)
}

/// The number to 32 binary digits behind the first.
fn short(n: f64) -> f64 {
    if n == 0.0 || !n.is_finite() {
        return n.abs();
    }
    let unit = 2f64.powi(n.abs().log2().floor() as i32 - 32);
    (n / unit).round() * unit
}
