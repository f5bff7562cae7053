//! State of one stage of one arm. Filters of names and entity samples have none: they are routes only.

pub mod entity;
pub mod every;
pub mod filter;
pub mod fold;
pub mod gate;
pub mod partial;
pub mod quiet;
pub mod rewrite;
pub mod transform;

use crate::Nanos;
use crate::aggregate::{Added, Aggregation, Written};
use crate::arm::beside::Beside;
use crate::compile::{Action, Filter, Method, Stage};
use crate::engine::Settings;
use crate::route::Rule;
use crate::series::Table;
use every::Every;
use filter::Values;
use filter::entities::Idle;
use gate::{Gate, Kind};
use hashbrown::HashMap;
use partial::Abroad;
use quiet::Quiet;
use rewrite::Rewriter;
use std::collections::BTreeMap;

/// State of a stage.
#[derive(Debug)]
pub enum State {
    /// Decides by identity alone.
    None,
    /// Holds the last point of each window.
    Every(Box<Every>),
    /// Merges.
    Aggregate(Box<Aggregation>),
    /// Decides point by point.
    Gate(Box<Gate>),
    /// Writes points anew.
    Rewrite(Box<Rewriter>),
    /// Lets some series stay, folds the others.
    Fold(Box<fold::Fold>),
}

impl State {
    /// What the stage merges, if it merges anything.
    pub fn aggregation(&self) -> Option<&Aggregation> {
        match self {
            State::Aggregate(aggregation) => Some(aggregation),
            State::Fold(fold) => fold.other(),
            State::None | State::Every(_) | State::Gate(_) | State::Rewrite(_) => None,
        }
    }

    /// What the stage merges, if it merges anything.
    pub fn aggregation_mut(&mut self) -> Option<&mut Aggregation> {
        match self {
            State::Aggregate(aggregation) => Some(aggregation),
            State::Fold(fold) => fold.other_mut(),
            State::None | State::Every(_) | State::Gate(_) | State::Rewrite(_) => None,
        }
    }

    /// Forgets what was counted since the last cut.
    pub fn take_counts(&mut self) {
        if let Some(aggregation) = self.aggregation_mut() {
            aggregation.take_counts();
        }
    }
}

/// What a stage counted beside its paths, since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Points that a stage dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Points that met a stage's state and went on from it as they are.
    pub passed: u64,
    /// Of a `sample every`: points that a later one of their window replaced, and late ones.
    pub sampled_out: u64,
    /// Of a gate: points that a rule dropped, by rule.
    pub filtered: Vec<(Rule, u64)>,
    /// Points held back because they said nothing new.
    pub suppressed: u64,
    /// Points that left the state: taken into closed windows, or released.
    pub closed: u64,
    /// Points written from state.
    pub emitted: u64,
    /// By reason.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts a point that a rule dropped.
    #[inline]
    pub fn filter(&mut self, rule: Rule) {
        match self.filtered.iter_mut().find(|(of, _)| *of == rule) {
            Some((_, points)) => *points += 1,
            None => self.filtered.push((rule, 1)),
        }
    }

    /// What became of the copy of a point that goes on itself: nothing of it is lost.
    pub fn copied(&mut self, added: Added) {
        match added {
            Added::Absorbed | Added::Stale => return,
            Added::Dropped(reason) => *self.counts.entry(reason).or_default() += 1,
            Added::Passes(_) => {}
        }
        self.passed += 1;
    }
}

/// One stage of one arm.
#[derive(Debug)]
pub struct Running {
    /// Its state.
    pub state: State,
    /// Its counts.
    pub tally: Tally,
    /// The series it has written, with their way through the later stages.
    pub outputs: Option<Box<Table>>,
    /// The ways of series that go on though the stage takes them in.
    pub beside: Beside,
    /// Of a stage that rewrites: for how many series the increments of these stand, where that is not 1.
    weights: HashMap<u128, f64>,
    /// Of several workers: outputs that concern the others.
    pub abroad: Box<Abroad>,
}

impl Running {
    /// A stage without history.
    pub fn new(stage: &Stage, settings: &Settings, created: Nanos) -> Running {
        let state = match &stage.action {
            Action::Transform(_) => State::None,
            Action::Filter(filter) => {
                let kind = match filter {
                    Filter::Rules(rules) => Values::of(rules).map(Kind::Values),
                    Filter::Entities(entities) => {
                        let idle = Idle::new(entities, created, settings);
                        Some(Kind::Entities(Box::new(idle)))
                    }
                };
                kind.map_or(State::None, |kind| State::Gate(Box::new(Gate::new(kind))))
            }
            Action::Rewrite(rewrite) => {
                State::Rewrite(Box::new(Rewriter::new(&rewrite.op, settings, created)))
            }
            Action::Aggregate(aggregate) => {
                State::Aggregate(Box::new(Aggregation::new(aggregate, settings, created)))
            }
            Action::Fold(stage) => State::Fold(Box::new(fold::Fold::new(stage, settings, created))),
            Action::Sample(sample) => match &sample.method {
                Method::Fraction { .. } => State::None,
                Method::Quiet { band, heartbeat } => {
                    let quiet = Kind::Quiet(Box::new(Quiet::new(*band, *heartbeat)));
                    State::Gate(Box::new(Gate::new(quiet)))
                }
                Method::Every { interval, lateness } => {
                    State::Every(Box::new(Every::new(*interval, *lateness, created)))
                }
            },
        };
        Running {
            state,
            tally: Tally::default(),
            outputs: None,
            beside: Beside::default(),
            weights: HashMap::new(),
            abroad: Box::default(),
        }
    }

    /// Tells a new stage which counters stages of the plan before have folded or written anew.
    pub fn follow_on(&mut self, folded: &fold::folded::Folded) {
        if let State::Fold(fold) = &mut self.state {
            fold.follow_on(folded);
        }
    }

    /// Notes for how many series the increments of one that the stage writes stand.
    pub fn weigh(&mut self, identity: u128, weight: f64) {
        if weight == 1.0 {
            self.weights.remove(&identity);
            return;
        }
        self.weights.insert(identity, weight);
        let table = self.outputs.as_ref();
        if self.weights.len() > 2 * table.map_or(0, |table| table.len()) + 64 {
            let known = |identity: u128| table.is_some_and(|t| t.find(identity).is_some());
            self.weights.retain(|identity, _| known(*identity));
        }
    }

    /// For how many series the increments of one stand, behind a stage that lets points go later.
    pub fn weight(&self, identity: u128) -> f64 {
        match &self.state {
            State::Every(every) => every.weight(identity),
            State::Fold(fold) => fold.weight(identity),
            _ => self.weights.get(&identity).copied().unwrap_or(1.0),
        }
    }

    /// Closes windows: those due at `now`, or all. What it writes is appended to `written`.
    pub fn close(&mut self, now: Nanos, how: Closing, written: &mut Written) -> Nanos {
        match (&mut self.state, how) {
            (State::None | State::Rewrite(_), _) => now,
            (State::Gate(gate), _) => {
                if let Some(idle) = gate.entities() {
                    idle.close(now);
                }
                now
            }
            (State::Every(every), how) => {
                every.close(now, how, written, &mut self.tally);
                now
            }
            (State::Fold(fold), how) => fold.close(now, how, Vec::new(), written, &mut self.tally),
            (State::Aggregate(aggregation), Closing::Due) => {
                aggregation.close(now, written);
                now
            }
            (State::Aggregate(aggregation), Closing::All) => {
                aggregation.close_all(now, written);
                now
            }
            (State::Aggregate(aggregation), Closing::Swap) => {
                aggregation.close_for_swap(now, written)
            }
        }
    }
}

/// Which windows close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Those whose end + lateness has come.
    Due,
    /// Every one, stamped with its own end.
    All,
    /// Every one: the stage ends with its plan.
    Swap,
}
