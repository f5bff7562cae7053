//! One arm: a pipeline, the state of its stages, and its account of points.

use super::aggregate::{Aggregate, Fate, Known};
use super::document::{Document, Stage};
use super::identity::{Kind, Temporality};
use super::matcher;
use super::point::{Data, Point};
use super::progress::Last;
use super::sample::Sample;
use super::{Account, Counts, Settings};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One stage's state.
#[derive(Debug, Clone)]
enum State {
    Filter,
    Aggregate(Box<Aggregate>),
    Sample(Sample),
}

/// A pipeline at work.
#[derive(Debug, Clone)]
pub struct Arm {
    pub document: Document,
    stages: Vec<(Stage, State)>,
    /// Last points of what aggregations wrote.
    derived: Known,
    pub account: Account,
}

impl Arm {
    pub fn new(document: Document, settings: &Rc<Settings>, created: u64) -> Arm {
        let stages = document.spec.stages.clone();
        Arm {
            stages: stages
                .into_iter()
                .map(|stage| {
                    let state = State::new(&stage, settings, created);
                    (stage, state)
                })
                .collect(),
            document,
            derived: Known::new(),
            account: Account::default(),
        }
    }

    /// Another pipeline takes over at `now`. What changed stages held goes out at once.
    pub fn swap(
        &mut self,
        document: Document,
        raw: &Known,
        settings: &Rc<Settings>,
        now: u64,
    ) -> Vec<Point> {
        let mut old = std::mem::take(&mut self.stages);
        for stage in &document.spec.stages {
            let kept = old.iter().position(|(s, _)| s == stage);
            let entry = match kept {
                Some(at) => old.remove(at),
                None => (stage.clone(), State::new(stage, settings, now)),
            };
            self.stages.push(entry);
        }
        let mut known = raw.clone();
        known.extend(self.derived.clone());
        for (_, state) in &mut self.stages {
            if let State::Aggregate(aggregate) = state {
                aggregate.inherit(&known);
            }
        }
        let mut out = Vec::new();
        for (_, state) in &mut old {
            match state {
                State::Filter => {}
                State::Aggregate(aggregate) => {
                    let (points, absorbed) = aggregate.cut(now);
                    self.account.merged += absorbed as i64 - points.len() as i64;
                    for p in &points {
                        self.remember(p, now);
                    }
                    out.extend(points);
                }
                State::Sample(sample) => out.extend(sample.close(now, true)),
            }
        }
        self.account.exported += out.len() as u64;
        self.document = document;
        out
    }

    /// A point that this arm received.
    pub fn receive(&mut self, point: &Point, now: u64) -> Vec<Point> {
        self.account.received += 1;
        let mut out = Vec::new();
        self.run(0, point.clone(), now, false, &mut out);
        self.account.exported += out.len() as u64;
        out
    }

    fn run(&mut self, from: usize, point: Point, now: u64, derived: bool, out: &mut Vec<Point>) {
        if matcher::any(&self.document.spec.protect, &point.identity) {
            out.push(point);
            return;
        }
        for at in from..self.stages.len() {
            let (stage, state) = &mut self.stages[at];
            match state {
                State::Filter => {
                    let filter = stage.filter.as_ref().expect("a filter");
                    let drop = filter.drop.as_ref();
                    let keep = filter.keep.as_ref();
                    if drop.is_some_and(|rules| matcher::any(rules, &point.identity))
                        || keep.is_some_and(|rules| !matcher::any(rules, &point.identity))
                    {
                        self.account.filtered += 1;
                        return;
                    }
                }
                State::Aggregate(aggregate) => match aggregate.take(&point, now, derived) {
                    Fate::Passes => {}
                    Fate::Held => return,
                    Fate::Dropped(reason) => {
                        *self.account.dropped.entry(reason).or_insert(0) += 1;
                        return;
                    }
                },
                State::Sample(sample) => {
                    let mut sampled = sample.take(&point, now, derived);
                    self.account.sampled_out += sampled.sampled_out;
                    if sampled.pass.len() == 1 && sampled.pass[0] == point {
                        continue;
                    }
                    for p in sampled.pass.drain(..) {
                        self.run(at + 1, p, now, derived, out);
                    }
                    return;
                }
            }
        }
        out.push(point);
    }

    /// Closes windows, stage by stage, and lets what they write go on.
    pub fn close(&mut self, now: u64, everything: bool) -> Vec<Point> {
        let mut out = Vec::new();
        for at in 0..self.stages.len() {
            let points = match &mut self.stages[at].1 {
                State::Filter => continue,
                State::Aggregate(aggregate) => {
                    let (points, absorbed) = aggregate.close(now, everything);
                    self.account.merged += absorbed as i64 - points.len() as i64;
                    points
                }
                State::Sample(sample) => {
                    for p in sample.close(now, everything) {
                        self.run(at + 1, p, now, true, &mut out);
                    }
                    continue;
                }
            };
            for p in points {
                self.run(at + 1, p.clone(), now, true, &mut out);
                self.remember(&p, now);
            }
        }
        self.account.exported += out.len() as u64;
        out
    }

    fn remember(&mut self, point: &Point, now: u64) {
        if point.identity.temporality == Temporality::Cumulative && !point.ended() {
            remember(&mut self.derived, point, now);
        }
    }

    /// The account, with what is in open windows now.
    pub fn account(&self) -> Account {
        let held = self.stages.iter().map(|(_, state)| match state {
            State::Filter => 0,
            State::Aggregate(aggregate) => aggregate.held(),
            State::Sample(sample) => sample.held(),
        });
        Account {
            held: held.sum(),
            ..self.account.clone()
        }
    }

    /// Notes by stage id.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        let of = |state: &State| match state {
            State::Filter => Counts::new(),
            State::Aggregate(aggregate) => aggregate.counts.clone(),
            State::Sample(sample) => sample.counts.clone(),
        };
        self.stages
            .iter()
            .map(|(s, state)| (s.id.clone(), of(state)))
            .collect()
    }
}

impl State {
    fn new(stage: &Stage, settings: &Rc<Settings>, created: u64) -> State {
        if let Some(spec) = &stage.aggregate {
            let aggregate = Aggregate::new(spec, settings.clone(), created);
            return State::Aggregate(Box::new(aggregate));
        }
        match &stage.sample {
            Some(spec) => State::Sample(Sample::new(&stage.id, spec)),
            None => State::Filter,
        }
    }
}

/// Makes `point` the last one of its cumulative series, unless it is older.
pub fn remember(known: &mut Known, point: &Point, now: u64) {
    let id = &point.identity;
    let value = !matches!(point.data, Data::Nothing | Data::Misfit(_)) && !point.ended();
    let cumulative = id.temporality == Temporality::Cumulative && id.kind != Kind::Summary;
    if !cumulative {
        return;
    }
    match known.get_mut(id) {
        Some(last) if !value || point.time <= last.time => last.seen = now,
        _ if !value => {}
        _ => {
            let last = Last {
                start: point.start,
                time: point.time,
                data: point.data.clone(),
                seen: now,
            };
            known.insert(id.clone(), last);
        }
    }
}
