//! One arm: a pipeline, the state of its stages, and its account of points.

use super::aggregate::{Aggregate, Fate, expiry};
use super::document::{Document, Stage};
use super::filter::Filter;
use super::fold::{Fold, Took};
use super::folded::Folded;
use super::histogram::Histogram;
use super::identity::{Identity, Kind};
use super::matcher;
use super::point::Point;
use super::quantise::quantise;
use super::sample::Sample;
use super::temporality::{Convert, Turned};
use super::tracker::{Before, Tracker};
use super::transform::Transform;
use super::{Account, Counts, Settings};
use std::collections::BTreeMap;
use std::rc::Rc;

mod swap;

pub use swap::Ended;

/// One stage's state.
#[derive(Debug, Clone)]
enum State {
    Filter(Filter),
    /// And what it has written.
    Aggregate(Box<Aggregate>, Tracker),
    Sample(Sample),
    Quantise(Counts),
    Histogram(Histogram),
    Temporality(Convert),
    /// And what it has written.
    Fold(Box<Fold>, Tracker),
    Transform(Box<Transform>),
}

type Running = (Stage, State);

/// Now, and how long silent series are remembered.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub now: u64,
    pub expiry: u64,
}

/// A point that a stage wrote anew. It goes on behind the others of its request.
#[derive(Debug, Clone)]
struct Anew {
    stage: usize,
    point: Point,
    source: Rc<Identity>,
    before: Before,
    derived: bool,
    weight: f64,
}

/// A pipeline at work.
#[derive(Debug, Clone)]
pub struct Arm {
    pub document: Document,
    stages: Vec<Running>,
    anew: Vec<Anew>,
    pub account: Account,
    /// Stages end, and what they write is the last of its series: nothing holds it back.
    ending: bool,
}

impl Arm {
    pub fn new(document: Document, settings: &Rc<Settings>, created: u64) -> Arm {
        let mut arm = Arm {
            stages: Vec::new(),
            anew: Vec::new(),
            document: document.clone(),
            account: Account::default(),
            ending: false,
        };
        let (nothing, nobody) = (Tracker::default(), Folded::default());
        arm.fill(document, Vec::new(), &nothing, settings, created, &nobody);
        arm
    }

    /// Stages of `document`: kept ones where they are the same, else new ones.
    fn fill(
        &mut self,
        document: Document,
        mut old: Vec<Running>,
        raw: &Tracker,
        settings: &Rc<Settings>,
        created: u64,
        folded: &Folded,
    ) {
        let mut source = raw.clone();
        self.stages.clear();
        for (number, stage) in document.spec.stages.iter().enumerate() {
            let behind = &document.spec.stages[number + 1..];
            let kept = old.iter().position(|(s, _)| s == stage);
            // It has no state, and what it does to gauges hangs on the aggregation behind it.
            let kept = kept.filter(|_| stage.transform.is_none());
            let entry = match kept {
                Some(at) => old.remove(at),
                None => (
                    stage.clone(),
                    State::new(stage, behind, settings, created, &source, folded),
                ),
            };
            source = match &entry.1 {
                State::Sample(sample) => source.behind(|id| sample.decides(id), &sample.released),
                State::Filter(filter) => source.behind(|id| filter.decides(id), &filter.passed),
                State::Fold(fold, written) => source.behind(|id| fold.rewrites(id), written),
                State::Transform(transform) => source.renamed(|id| transform.renames(id)),
                State::Quantise(_) => source,
                State::Aggregate(aggregate, written) => {
                    source.behind(|id| aggregate.absorbs(id) || written.knows(id), written)
                }
                State::Histogram(h) => source.behind(|id| h.decides(id), &h.written).turned(
                    |id| h.renames(id),
                    |id| h.writes(id),
                    &h.written,
                ),
                State::Temporality(t) => {
                    source.turned(|id| t.renames(id), |id| t.writes(id), &t.written)
                }
            };
            self.stages.push(entry);
        }
        self.document = document;
    }

    /// How long silent series are remembered: as long as the most patient aggregation.
    pub fn expiry(&self) -> Option<u64> {
        let aggregates = self.stages.iter().filter_map(|(s, _)| s.aggregate.as_ref());
        let folds = self.stages.iter().filter_map(|(_, state)| match state {
            State::Fold(fold, _) => Some(fold.expiry),
            _ => None,
        });
        aggregates.map(expiry).chain(folds).max()
    }

    /// A point that this arm received.
    pub fn receive(&mut self, point: &Point, before: &Before, at: Clock) -> Vec<Point> {
        self.account.received += 1;
        let mut out = Vec::new();
        self.run(0, point.clone(), before, at, (false, 1.0), &mut out);
        self.account.exported += out.len() as u64;
        out
    }

    /// What stages wrote anew in this call goes on.
    pub fn flush(&mut self, clock: Clock) -> Vec<Point> {
        let mut out = Vec::new();
        for at in 0..self.stages.len() {
            self.release(at, clock, &mut out);
        }
        self.account.exported += out.len() as u64;
        out
    }

    fn release(&mut self, at: usize, clock: Clock, out: &mut Vec<Point>) {
        let all = std::mem::take(&mut self.anew);
        let (mut here, elsewhere): (Vec<_>, Vec<_>) = all.into_iter().partition(|a| a.stage == at);
        self.anew = elsewhere;
        here.sort_by_key(|anew| !anew.derived);
        for anew in here {
            self.go_on(anew, clock, out);
        }
        if let State::Fold(fold, _) = &mut self.stages[at].1 {
            let points = std::mem::take(&mut fold.early);
            self.account.merged -= points.len() as i64;
            for p in points {
                let weight = match &self.stages[at].1 {
                    State::Fold(fold, _) => fold.weight_of(&p.identity),
                    _ => 1.0,
                };
                self.emit(at, p, clock, (false, weight), out);
            }
        }
    }

    /// `derived`: an aggregation wrote it; and for how many series its increments stand.
    fn run(
        &mut self,
        from: usize,
        point: Point,
        before: &Before,
        clock: Clock,
        (derived, weight): (bool, f64),
        out: &mut Vec<Point>,
    ) {
        if matcher::any(&self.document.spec.protect, &point.identity) {
            out.push(point);
            return;
        }
        let anew = Anew {
            stage: from.wrapping_sub(1),
            // An aggregation's inputs are what came, whatever a transform calls them.
            source: point.identity.clone(),
            before: before.clone(),
            point,
            derived,
            weight,
        };
        self.go_on(anew, clock, out);
    }

    /// A point goes through the stages behind the one that it comes from.
    fn go_on(&mut self, from: Anew, clock: Clock, out: &mut Vec<Point>) {
        let now = clock.now;
        let Anew {
            stage,
            mut point,
            mut source,
            // Behind a stage that holds points back, what it let pass is what was there before.
            mut before,
            derived,
            mut weight,
        } = from;
        let stages = self.stages.len();
        for at in stage.wrapping_add(1)..self.stages.len() {
            let (stage, state) = &mut self.stages[at];
            let mut waits = false;
            match state {
                State::Filter(filter) => {
                    if filter.decides(&point.identity) {
                        let at = (clock.now, clock.expiry);
                        filter.passed.meet(&point.identity, &before, at, false);
                    }
                    if filter.drops(&point, &before, clock) {
                        self.account.filtered += 1;
                        return;
                    }
                    if filter.decides(&point.identity) {
                        before = track(&mut filter.passed, &point, clock);
                    }
                }
                State::Aggregate(aggregate, _) => {
                    match aggregate.take(&point, &source, &before, now, derived, weight) {
                        Fate::Passes => {}
                        // A copy was taken (or lost); the point itself goes on.
                        Fate::Held | Fate::Dropped(_) if aggregate.keeps_original() => {}
                        Fate::Held => return,
                        Fate::Dropped(reason) => {
                            *self.account.dropped.entry(reason).or_insert(0) += 1;
                            return;
                        }
                    }
                }
                State::Quantise(counts) => {
                    let spec = stage.quantise.as_ref().expect("a quantise");
                    waits = point.identity.kind == Kind::Gauge
                        && matcher::matches(&spec.matching, &point.identity);
                    point = quantise(spec, &point, counts);
                }
                State::Temporality(_) | State::Histogram(_) => {
                    let turned = match state {
                        State::Temporality(convert) => convert.take(&point, &before, clock),
                        State::Histogram(histogram) => histogram.turn(&point, &before, clock),
                        _ => Turned::Untouched,
                    };
                    match turned {
                        Turned::Untouched => {}
                        Turned::Foreign => continue,
                        Turned::Into(new) => {
                            (point, before) = *new;
                            source = point.identity.clone();
                            // What it is now may be protected, as what an aggregation writes.
                            if matcher::any(&self.document.spec.protect, &point.identity) {
                                out.push(point);
                                return;
                            }
                            waits = true;
                        }
                        Turned::Withheld => {
                            self.account.suppressed += 1;
                            return;
                        }
                        Turned::Dropped(reason) => {
                            *self.account.dropped.entry(reason).or_insert(0) += 1;
                            return;
                        }
                    }
                    if let (State::Histogram(histogram), false) = (state, waits) {
                        waits = histogram.decides(&point.identity);
                        point = histogram.rewrite(point);
                        if waits {
                            let written = &mut histogram.written;
                            before = written.behind_rewrite(&point, &before, now, clock.expiry);
                            before = histogram.behind(before);
                        }
                    }
                }
                State::Fold(fold, _) => {
                    fold.forget(clock);
                    match fold.take(&point, &source, &before, (now, derived, weight)) {
                        Took::Passes => {}
                        Took::Held => return,
                        Took::Rewritten => {
                            self.account.merged += 1;
                            return;
                        }
                        Took::Filtered => {
                            self.account.filtered += 1;
                            return;
                        }
                        Took::Dropped(reason) => {
                            *self.account.dropped.entry(reason).or_insert(0) += 1;
                            return;
                        }
                    }
                }
                State::Transform(transform) => point = transform.take(point),
                State::Sample(sample) => {
                    if sample.quiet.is_some() {
                        if !sample.decides(&point.identity) {
                            continue;
                        }
                        sample.meet(&point.identity, &before, clock);
                        let quiet = sample.quiet.as_mut().expect("asked just now");
                        if quiet.holds_back(&point, &before, clock, (derived, self.ending)) {
                            self.account.suppressed += 1;
                            sample.released.lives(&point.identity, now);
                            return;
                        }
                        before = track(&mut sample.released, &point, clock);
                        continue;
                    }
                    if sample.lets_pass(&point) {
                        weight *= sample.weight(&point.identity);
                        continue;
                    }
                    sample.weigh(&point.identity, weight);
                    sample.meet(&point.identity, &before, clock);
                    let how = (derived, self.ending);
                    let sampled = sample.take(&point, &before, now, how);
                    self.account.sampled_out += sampled.sampled_out;
                    self.account.merged += sample.take_merged();
                    if sampled.as_it_came && sampled.pass.is_empty() {
                        // Nothing waited here that it would end: it goes on as it came.
                        continue;
                    }
                    let last = sampled.as_it_came.then_some(point);
                    for p in sampled.pass.into_iter().chain(last) {
                        self.emit(at, p, clock, (false, weight), out);
                    }
                    return;
                }
            }
            if waits && at + 1 < stages {
                self.anew.push(Anew {
                    stage: at,
                    point,
                    source,
                    before,
                    derived,
                    weight,
                });
                return;
            }
        }
        out.push(point);
    }

    /// Stage `at` writes a point: it goes on to the later stages.
    fn emit(
        &mut self,
        at: usize,
        point: Point,
        clock: Clock,
        how: (bool, f64),
        out: &mut Vec<Point>,
    ) {
        let before = match &mut self.stages[at].1 {
            State::Filter(filter) => track(&mut filter.passed, &point, clock),
            State::Quantise(_)
            | State::Histogram(_)
            | State::Temporality(_)
            | State::Transform(_) => Before::default(),
            State::Aggregate(_, written) | State::Fold(_, written) => track(written, &point, clock),
            State::Sample(sample) => track(&mut sample.released, &point, clock),
        };
        self.run(at + 1, point, &before, clock, how, out);
    }

    /// What stage `at` held goes on to the later stages.
    fn emit_all(&mut self, at: usize, points: Vec<Point>, clock: Clock, out: &mut Vec<Point>) {
        // What an aggregation writes at the end of its window is not from the future for that.
        let derived = matches!(self.stages[at].1, State::Aggregate(..) | State::Fold(..));
        for p in points {
            let weight = match &self.stages[at].1 {
                State::Sample(sample) => sample.weight_of(&p.identity),
                _ => 1.0,
            };
            self.emit(at, p, clock, (derived, weight), out);
        }
    }

    /// Closes windows, stage by stage, and lets what they write go on.
    pub fn close(&mut self, clock: Clock, everything: bool) -> Vec<Point> {
        let mut out = Vec::new();
        for at in 0..self.stages.len() {
            let points = match &mut self.stages[at].1 {
                State::Quantise(_)
                | State::Histogram(_)
                | State::Temporality(_)
                | State::Transform(_) => Vec::new(),
                State::Filter(filter) => {
                    filter.close(clock.now);
                    Vec::new()
                }
                State::Aggregate(aggregate, _) => {
                    let (points, absorbed) = aggregate.close(clock.now, everything);
                    self.account.merged += aggregate.taken(absorbed) - points.len() as i64;
                    points
                }
                State::Sample(sample) => {
                    let points = sample.close(clock.now, everything);
                    self.account.merged += sample.take_merged();
                    points
                }
                State::Fold(fold, _) => {
                    let (points, absorbed) = fold.close(clock.now, everything);
                    self.account.merged += absorbed as i64 - points.len() as i64;
                    points
                }
            };
            self.emit_all(at, points, clock, &mut out);
            if let (State::Fold(fold, _), false) = (&mut self.stages[at].1, everything) {
                fold.edge(clock.now);
            }
            self.release(at, clock, &mut out);
        }
        self.account.exported += out.len() as u64;
        out
    }

    /// The account, with what is in open windows now.
    pub fn account(&self) -> Account {
        let held = self.stages.iter().map(|(_, state)| match state {
            State::Filter(_)
            | State::Quantise(_)
            | State::Histogram(_)
            | State::Temporality(_)
            | State::Transform(_) => 0,
            State::Aggregate(aggregate, _) => aggregate.held(),
            State::Sample(sample) => sample.held(),
            State::Fold(fold, _) => fold.held(),
        });
        Account {
            held: held.sum(),
            ..self.account.clone()
        }
    }

    /// Notes by stage id.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        let of = |state: &State| match state {
            State::Filter(filter) => filter.counts.clone(),
            State::Quantise(counts) => counts.clone(),
            State::Histogram(histogram) => histogram.counts.clone(),
            State::Temporality(convert) => convert.counts.clone(),
            State::Transform(transform) => transform.counts.clone(),
            State::Aggregate(aggregate, _) => aggregate.counts.clone(),
            State::Sample(sample) => sample.counts.clone(),
            State::Fold(fold, _) => fold.counts(),
        };
        self.stages
            .iter()
            .map(|(s, state)| (s.id.clone(), of(state)))
            .collect()
    }
}

impl State {
    fn new(
        stage: &Stage,
        behind: &[Stage],
        settings: &Rc<Settings>,
        created: u64,
        source: &Tracker,
        folded: &Folded,
    ) -> State {
        if let Some(spec) = &stage.transform {
            return State::Transform(Box::new(Transform::new(spec, behind)));
        }
        if let Some(spec) = &stage.aggregate {
            let aggregate = Aggregate::new(spec, settings.clone(), created, stage.patience);
            return State::Aggregate(Box::new(aggregate), Tracker::default());
        }
        if let Some(spec) = &stage.histogram {
            return State::Histogram(Histogram::new(spec, settings, source));
        }
        if let Some(spec) = &stage.temporality {
            return State::Temporality(Convert::new(spec, settings, created));
        }
        if stage.quantise.is_some() {
            return State::Quantise(Counts::new());
        }
        if let Some(fold) = Fold::of(stage, settings, created, folded) {
            return State::Fold(Box::new(fold), Tracker::default());
        }
        if let Some(spec) = &stage.sample {
            return State::Sample(Sample::new(stage, spec, created, source));
        }
        let filter = stage.filter.as_ref().expect("a stage");
        State::Filter(Filter::new(
            filter,
            created,
            settings.began,
            stage.patience,
            source,
        ))
    }
}

/// What was known before the point; it is known from here on.
pub fn track(tracker: &mut Tracker, point: &Point, clock: Clock) -> Before {
    let before = tracker.before(point, clock.now, clock.expiry);
    tracker.remember(point, clock.now);
    before
}
