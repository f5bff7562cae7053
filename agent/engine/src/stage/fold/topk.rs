//! Which entities rank first.

use crate::Nanos;
use crate::compile::Topk;
use crate::document::{Over, Step};
use crate::input::Observation;
use crate::stage::entity::{Measure, Measured, Part, Ticket};
use crate::view::PointView;
use hashbrown::HashSet;

/// What a window tells: of each entity, and of the node.
#[derive(Debug, Default)]
pub struct Window {
    /// Of the entities.
    pub measured: Measured,
    /// Of the series that tell how loaded the node is, each by itself.
    pub load: Option<Measured>,
}

/// The ranking of a `topk`.
#[derive(Debug)]
pub struct Ranking {
    measure: Measure,
    load: Option<(Measure, Over, Part)>,
    weights: Vec<f64>,
    steps: Vec<Step>,
    hysteresis: u32,
    members: HashSet<u64>,
}

impl Ranking {
    /// A ranking of nothing yet: before the first window closes nobody is a member.
    pub fn new(topk: &Topk, windows: (Nanos, Nanos), created: Nanos, limit: usize) -> Ranking {
        Ranking {
            measure: Measure::new(topk.terms.len(), windows, created, limit),
            load: topk.load.as_ref().map(|(term, over)| {
                let measure = Measure::new(1, windows, created, limit);
                (measure, *over, Part::first(term.by))
            }),
            weights: topk.terms.iter().map(|term| term.weight).collect(),
            steps: topk.steps.clone(),
            hysteresis: topk.hysteresis,
            members: HashSet::new(),
        }
    }

    /// Whether the entity is a member.
    pub fn stays(&self, entity: u64) -> bool {
        self.members.contains(&entity)
    }

    /// Places for a series in what is measured.
    pub fn join(
        &mut self,
        entity: u64,
        identity: u64,
        part: Part,
        load: bool,
    ) -> (Option<Ticket>, Option<Ticket>) {
        let measured = if part.is_empty() {
            None
        } else {
            self.measure.join(entity, part)
        };
        let of_load = self.load.as_mut().filter(|_| load);
        let of_load = of_load.and_then(|(measure, _, part)| measure.join(identity, *part));
        (measured, of_load)
    }

    /// Gives places back.
    pub fn leave(&mut self, measured: Option<Ticket>, load: Option<Ticket>) {
        if let Some(ticket) = measured {
            self.measure.leave(ticket);
        }
        if let (Some(ticket), Some((measure, _, _))) = (load, &mut self.load) {
            measure.leave(ticket);
        }
    }

    /// Measures a point.
    #[inline]
    pub fn take(
        &mut self,
        (measured, load): (Option<Ticket>, Option<Ticket>),
        point: &PointView<'_>,
        delta: bool,
        seen: Option<&Observation<'_>>,
        now: Nanos,
    ) {
        if let Some(ticket) = measured {
            self.measure.take(ticket, point, delta, seen, now);
        }
        if let (Some(ticket), Some((measure, _, _))) = (load, &mut self.load) {
            measure.take(ticket, point, delta, seen, now);
        }
    }

    /// What was measured in the windows that close, oldest first.
    pub fn close(&mut self, now: Nanos) -> Vec<Window> {
        let of_entities = |measured| Window {
            measured,
            load: None,
        };
        let of_load = |load: Measured| Window {
            measured: Measured {
                end: load.end,
                ..Measured::default()
            },
            load: Some(load),
        };
        let mut windows: Vec<Window> = Vec::new();
        let entities = self.measure.close(now).into_iter();
        unite(&mut windows, entities.map(of_entities).collect());
        if let Some((measure, _, _)) = &mut self.load {
            let loads = measure.close(now).into_iter();
            unite(&mut windows, loads.map(of_load).collect());
        }
        windows
    }

    /// Ranks window after window, as all workers measured them: who is a member from here on.
    pub fn decide(&mut self, windows: &[Window]) -> Vec<u64> {
        let speaks = |window: &&Window| !window.measured.entities.is_empty();
        for window in windows.iter().filter(speaks) {
            let k = self.k(window.load.as_ref());
            let stay = k.saturating_add(self.hysteresis as usize);
            let ranked = ranked(&window.measured, &self.weights);
            let members = (1usize..)
                .zip(&ranked)
                .filter(|(rank, (_, entity))| {
                    *rank <= k || (*rank <= stay && self.members.contains(entity))
                })
                .map(|(_, (_, entity))| *entity)
                .collect();
            self.members = members;
        }
        self.members.iter().copied().collect()
    }

    /// These are members from here on.
    pub fn follow(&mut self, members: &[u64]) {
        self.members = members.iter().copied().collect();
    }

    fn k(&self, load: Option<&Measured>) -> usize {
        let load = self
            .load
            .as_ref()
            .zip(load)
            .and_then(|((_, over, _), load)| {
                let values = load.terms.iter().copied();
                match over {
                    Over::Max => values.reduce(f64::max),
                    Over::Sum => values.reduce(|a, b| a + b),
                    Over::Mean => values
                        .reduce(|a, b| a + b)
                        .map(|sum| sum / load.terms.len() as f64),
                }
            });
        let above = |step: &&Step| load.is_some_and(|load| rounded(load) > step.above);
        let step = self.steps.iter().rev().find(above);
        step.or(self.steps.first())
            .map_or(0, |step| step.k as usize)
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.measure.bytes()
            + self
                .load
                .as_ref()
                .map_or(0, |(measure, _, _)| measure.bytes())
            + self.members.capacity() * 9
    }
}

/// Puts more windows to those that there are; what was measured in the same one adds up.
pub fn unite(windows: &mut Vec<Window>, more: Vec<Window>) {
    for window in more {
        let end = window.measured.end;
        let at = windows.partition_point(|w| w.measured.end < end);
        match windows.get_mut(at) {
            Some(same) if same.measured.end == end => {
                same.measured.unite(&window.measured);
                match (&mut same.load, window.load) {
                    (Some(load), Some(more)) => load.unite(&more),
                    (none, more) => *none = none.take().or(more),
                }
            }
            _ => windows.insert(at, window),
        }
    }
}

/// Entities by their score, largest first; equal ones by their hash, smallest first.
fn ranked(measured: &Measured, weights: &[f64]) -> Vec<(f64, u64)> {
    let mut totals = vec![0.0; weights.len()];
    if weights.len() > 1 {
        for (_, row) in measured.rows() {
            for (total, value) in totals.iter_mut().zip(row).filter(|(_, v)| !v.is_nan()) {
                *total += value.abs();
            }
        }
    }
    let score = |row: &[f64]| match row {
        [one] => *one,
        row => row
            .iter()
            .zip(weights)
            .zip(&totals)
            .filter(|((value, _), total)| !value.is_nan() && **total > 0.0)
            .map(|((value, weight), total)| weight * value / total)
            .sum(),
    };
    let mut all: Vec<(f64, u64)> = measured
        .rows()
        .map(|(entity, row)| (rounded(score(row)), entity))
        .collect();
    all.sort_unstable_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
    all
}

/// To 32 binary digits: the order in which doubles were added does not decide who ranks first.
fn rounded(score: f64) -> f64 {
    let half = 1 << 19;
    let bits = score.to_bits().saturating_add(half) & !((1 << 20) - 1);
    let rounded = f64::from_bits(bits);
    // -0 and 0 are equal.
    if rounded.is_finite() {
        rounded + 0.0
    } else {
        score
    }
}
