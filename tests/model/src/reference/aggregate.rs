//! The aggregate stage: inputs feed outputs, outputs write once a window.

use super::document::{self, Function, LATENESS, duration};
use super::identity::{Identity, Kind, Temporality, Val, sort};
use super::matcher;
use super::number::Num;
use super::point::{Company, Data, Point};
use super::progress::{Amount, Step, amount, step};
use super::tracker::{Before, finite};
use super::window::{Counted, Output};
use super::{Counts, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What became of a point.
pub enum Fate {
    /// Not for this stage, or it cannot be added: goes on as it is.
    Passes,
    /// Taken into a window.
    Held,
    /// Lost, for this reason.
    Dropped(&'static str),
}

/// One series that feeds an output.
#[derive(Debug, Clone)]
pub struct Input {
    pub output: Rc<Identity>,
    pub seen: u64,
    /// Its last word was that it has no value any more.
    pub ended: bool,
    /// Non-monotonic sums: every accepted value.
    pub history: Vec<Spoken>,
}

/// One accepted value of a non-monotonic sum.
#[derive(Debug, Clone, Copy)]
pub struct Spoken {
    /// End of the window in which it counts.
    pub window: u64,
    pub time: u64,
    /// Time since the value before; 0 where there was none.
    pub gap: u64,
    pub value: Num,
}

/// One aggregate stage with its state.
#[derive(Debug, Clone)]
pub struct Aggregate {
    spec: document::Aggregate,
    settings: Rc<Settings>,
    interval: u64,
    lateness: u64,
    expiry: u64,
    created: u64,
    closed: u64,
    /// Outputs that begin from here on start at this time or later.
    pub floor: u64,
    inputs: BTreeMap<Rc<Identity>, Input>,
    outputs: BTreeMap<Rc<Identity>, Output>,
    latest_stamp: u64,
    /// An attribute that every output gets.
    pub mark: Option<(String, Val)>,
    pub counts: Counts,
    arrivals: u64,
    /// For how many series the increments of the point at hand stand.
    weight: f64,
}

impl Aggregate {
    /// `created`: the swap that made it, 0 at the start.
    /// It waits no shorter than `patience`.
    pub fn new(
        spec: &document::Aggregate,
        settings: Rc<Settings>,
        created: u64,
        patience: u64,
    ) -> Aggregate {
        let time = |text: &Option<String>, default| text.as_deref().map_or(default, duration);
        Aggregate {
            interval: time(&spec.interval, 60_000_000_000),
            lateness: time(&spec.lateness, LATENESS).max(patience),
            expiry: expiry(spec),
            spec: spec.clone(),
            settings,
            created,
            closed: created,
            floor: 0,
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            latest_stamp: 0,
            mark: None,
            counts: Counts::new(),
            arrivals: 0,
            weight: 1.0,
        }
    }

    fn end_of(&self, time: u64) -> u64 {
        time.div_ceil(self.interval).saturating_mul(self.interval)
    }

    /// End of the window that is open now.
    fn open_end(&self, now: u64) -> u64 {
        self.end_of(now.max(self.closed.saturating_add(1)))
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// Whether no later stage meets the points of a series that it can add.
    pub fn absorbs(&self, id: &Identity) -> bool {
        matcher::matches(&self.spec.matching, id) && !self.keeps_original()
    }

    /// Takes one point that reached this stage. `source`: its series as it came, before transforms
    /// gave it another name. `derived`: an aggregation wrote it.
    /// `weight`: for how many series its increments stand.
    pub fn take(
        &mut self,
        point: &Point,
        source: &Rc<Identity>,
        before: &Before,
        now: u64,
        derived: bool,
        weight: f64,
    ) -> Fate {
        if !matcher::matches(&self.spec.matching, &point.identity) {
            return Fate::Passes;
        }
        self.weight = if self.spec.weighted == Some(false) {
            1.0
        } else {
            weight
        };
        if self.spec.summary.is_some() && point.identity.kind == Kind::Summary {
            return self.take_summary(point, source, before, now, derived);
        }
        self.take_part(point, source, before, now, derived, Part::Whole)
    }

    /// A summary is two counters that speak together; it is one point, whatever they have to say.
    fn take_summary(
        &mut self,
        point: &Point,
        source: &Rc<Identity>,
        before: &Before,
        now: u64,
        derived: bool,
    ) -> Fate {
        let half_source = |part| {
            let came = Point {
                identity: source.clone(),
                ..point.clone()
            };
            half(&came, part).identity
        };
        if !point.ended() && !finite(point) {
            for part in [Part::Sum, Part::Count] {
                self.join(
                    &half(point, part),
                    &half_source(part),
                    Counted::Cumulative,
                    now,
                    part,
                );
            }
            return Fate::Dropped("nan");
        }
        let zero = std::mem::take(&mut self.counts);
        for part in [Part::Sum, Part::Count] {
            let said = std::mem::take(&mut self.counts);
            let (half, before) = (half(point, part), half_before(before, part));
            self.take_part(&half, &half_source(part), &before, now, derived, part);
            for (what, n) in said {
                let most = self.counts.entry(what).or_insert(0);
                *most = n.max(*most);
            }
        }
        if self.counts.keys().any(|what| what.starts_with("reset")) {
            self.counts.remove("start_drift");
        }
        for (what, n) in zero {
            *self.counts.entry(what).or_insert(0) += n;
        }
        Fate::Held
    }

    fn take_part(
        &mut self,
        point: &Point,
        source: &Rc<Identity>,
        before: &Before,
        now: u64,
        derived: bool,
        part: Part,
    ) -> Fate {
        let Some(way) = Counted::of(point, self.function_of(&point.identity)) else {
            self.note("not_aggregated");
            return Fate::Passes;
        };
        let output = self.join(point, source, way, now, part);
        let mut added: Option<Amount> = None;
        let mut note = None;
        let mut accepted = false;
        if !point.ended() {
            if unfit(point, way) {
                return Fate::Dropped("nan");
            }
            if matches!(point.data, Data::Misfit(_)) {
                self.note("not_aggregated");
                return Fate::Passes;
            }
            match way {
                Counted::Cumulative => {
                    let last = before.last.as_ref();
                    match step(last, point, self.settings.began, before.returned) {
                        Step::Ignored(why) => note = Some(why),
                        Step::Adds(amount, why) => (added, note) = (Some(amount), why),
                        Step::Incomparable => {
                            self.note("not_aggregated");
                            return Fate::Passes;
                        }
                    }
                }
                Counted::Latest => {
                    note = match before.last.as_ref().map(|last| last.time) {
                        Some(t) if point.time < t => Some("out_of_order"),
                        Some(t) if point.time == t => Some("duplicate"),
                        _ => None,
                    };
                    accepted = note.is_none();
                }
                Counted::Delta => added = amount(&point.data),
                Counted::Gauge(_) => accepted = true,
            }
            if let Some(amount) = &added
                && !self.outputs[&output].can_add(amount)
            {
                self.note("not_aggregated");
                return Fate::Passes;
            }
        }
        let mut end = self.end_of(point.time);
        if !derived && point.time > now + self.lateness {
            end = self.open_end(now);
            self.note("future");
        } else if end <= self.closed {
            self.note("late");
            if matches!(way, Counted::Gauge(_)) {
                return Fate::Dropped("late");
            }
            end = self.open_end(now);
        }
        if let Some(note) = note {
            self.note(note);
        }
        let input = self.inputs.get_mut(source).expect("joined");
        input.seen = now;
        self.outputs.get_mut(&output).expect("joined").seen = now;
        input.ended = point.ended();
        let entry = self.outputs.get_mut(&output).expect("joined");
        if let Some(amount) = &added {
            entry.add(end, amount, self.weight);
        }
        self.arrivals += 1;
        let window = entry.windows.entry(end).or_default();
        // The halves of a summary are one point.
        window.absorbed += u64::from(part != Part::Count);
        window.flagged |= point.ended();
        window.keep_exemplars(&point.exemplars);
        if let (true, Data::Number(value)) = (accepted, &point.data) {
            if let Counted::Gauge(_) = way {
                window.observe(source, point.time, self.arrivals, *value);
            } else {
                input.history.push(Spoken {
                    window: end,
                    time: point.time,
                    gap: before
                        .last
                        .as_ref()
                        .map_or(0, |last| point.time - last.time),
                    value: *value,
                });
            }
        }
        Fate::Held
    }

    /// Makes the series an input of its output, both made if need be.
    fn join(
        &mut self,
        point: &Point,
        source: &Rc<Identity>,
        way: Counted,
        now: u64,
        part: Part,
    ) -> Rc<Identity> {
        if let Some(input) = self.inputs.get(source) {
            return input.output.clone();
        }
        let output = Rc::new(self.output_of(&point.identity, part));
        let start = self.closed.max(self.settings.began).max(self.floor);
        let company = self.company_of(point);
        self.outputs
            .entry(output.clone())
            .or_insert_with(|| Output::new(output.clone(), way, company.clone(), start))
            .meet(&company);
        let input = Input {
            output: output.clone(),
            seen: now,
            ended: false,
            history: Vec::new(),
        };
        self.inputs.insert(source.clone(), input);
        output
    }

    /// An input goes on elsewhere: what it added stays, its latest value does not. An output that
    /// nothing was added to yet goes with its last input: the next one begins it later.
    pub fn leave(&mut self, id: &Rc<Identity>) {
        let Some(output) = self.inputs.remove(id).map(|input| input.output) else {
            return;
        };
        let fed = self.inputs.values().any(|input| input.output == output);
        let Some(entry) = self.outputs.get_mut(&output) else {
            return;
        };
        entry.windows.values_mut().for_each(|w| w.forget(id));
        if entry.seen == 0 && !fed {
            self.outputs.remove(&output);
        }
    }

    /// Closes the windows that are due (all of them with `everything`), in order of their ends.
    pub fn close(&mut self, now: u64, everything: bool) -> (Vec<Point>, u64) {
        let due = now.saturating_sub(self.lateness) / self.interval * self.interval;
        let all = self.close_to(if everything { u64::MAX } else { due });
        if !everything {
            self.closed = self.closed.max(due);
            self.expire(now);
        }
        all
    }

    fn close_to(&mut self, last: u64) -> (Vec<Point>, u64) {
        let ends: BTreeSet<u64> = self
            .outputs
            .values()
            .flat_map(|o| o.windows.keys().copied())
            .filter(|end| *end <= last)
            .collect();
        let mut all = Vec::new();
        let mut absorbed = 0;
        for end in ends {
            let (points, taken) = self.write(end, end);
            all.extend(points);
            absorbed += taken;
            self.closed = self.closed.max(end);
        }
        (all, absorbed)
    }

    /// The last words of a stage that a swap removes or changes; and the time from which its
    /// successor counts.
    pub fn cut(&mut self, now: u64) -> (Vec<Point>, u64, u64) {
        let (mut all, mut absorbed) = self.close_to(now - 1);
        let open = self.outputs.values().flat_map(|o| o.windows.keys());
        let Some(first) = open.min().copied() else {
            return (all, absorbed, now.max(self.closed));
        };
        let stamp = now.max(self.latest_stamp.max(self.closed) + 1);
        self.outputs.values_mut().for_each(Output::fold);
        for spoken in self.inputs.values_mut().flat_map(|i| &mut i.history) {
            if spoken.window >= first {
                spoken.window = u64::MAX;
            }
        }
        let (points, taken) = self.write(u64::MAX, stamp);
        all.extend(points);
        absorbed += taken;
        (all, absorbed, stamp)
    }

    /// Writes window `end` of every output that has one, stamped `stamp`.
    fn write(&mut self, end: u64, stamp: u64) -> (Vec<Point>, u64) {
        let mut points = Vec::new();
        let mut absorbed = 0;
        let window_start =
            (stamp.saturating_sub(1) / self.interval * self.interval).max(self.created);
        let mut members: BTreeMap<&Rc<Identity>, Vec<&Input>> = BTreeMap::new();
        for input in self.inputs.values() {
            members.entry(&input.output).or_default().push(input);
        }
        for output in self.outputs.values_mut() {
            let Some(window) = output.windows.remove(&end) else {
                continue;
            };
            absorbed += window.absorbed;
            let inputs = members.get(&output.identity).map_or(&[][..], Vec::as_slice);
            if window.surplus > 0 {
                *self.counts.entry("exemplars_dropped").or_insert(0) += window.surplus;
            }
            let seed = self.settings.fleet_seed;
            // Behind a swap the same output may go on.
            let gap = match end {
                u64::MAX => None,
                _ => Some((self.interval / 2).min(1_000_000)),
            };
            let stamp = (stamp, gap);
            let written = output.write(window, end, stamp, window_start, inputs, seed);
            if let Some(last) = written.last() {
                self.latest_stamp = self.latest_stamp.max(last.time);
            }
            points.extend(written);
        }
        (points, absorbed)
    }

    fn expire(&mut self, now: u64) {
        let expiry = self.expiry;
        self.inputs.retain(|_, input| now - input.seen <= expiry);
        let fed: BTreeSet<&Rc<Identity>> = self.inputs.values().map(|i| &i.output).collect();
        self.outputs.retain(|id, output| {
            !output.windows.is_empty() || fed.contains(id) || now - output.seen <= expiry
        });
    }

    /// Points that closed windows took away from those that were received: copies are none.
    pub fn taken(&self, absorbed: u64) -> i64 {
        if self.spec.keep_original {
            return 0;
        }
        absorbed as i64
    }

    /// Points in open windows; copies wait for nobody.
    pub fn held(&self) -> u64 {
        if self.spec.keep_original {
            return 0;
        }
        let windows = self.outputs.values().flat_map(|o| o.windows.values());
        windows.map(|w| w.absorbed).sum()
    }

    fn keeps(&self, key: &str) -> bool {
        match (&self.spec.by, &self.spec.without) {
            (Some(by), _) => by.iter().any(|k| k == key),
            (None, Some(without)) => !without.iter().any(|k| k == key),
            (None, None) => true,
        }
    }

    /// Whether the inputs also go on.
    pub fn keeps_original(&self) -> bool {
        self.spec.keep_original
    }

    fn function_of(&self, id: &Identity) -> Option<Function> {
        let named =
            |f: &&document::MetricFunction| matcher::fits(&Some(f.metric.clone()), Some(&id.name));
        let entry = self.spec.functions.iter().find(named);
        entry.map(|f| f.function).or(self.spec.function)
    }

    fn output_of(&self, input: &Identity, part: Part) -> Identity {
        let mut output = input.clone();
        for level in [
            &mut output.attributes,
            &mut output.scope_attributes,
            &mut output.resource,
        ] {
            level.retain(|(key, _)| self.keeps(key));
        }
        if part != Part::Whole {
            output.name.pop();
        }
        if let Some(rename) = &self.spec.rename {
            output.name = rename.replace("{name}", &output.name);
        }
        match part {
            Part::Whole => {}
            Part::Sum => output.name += ".sum",
            Part::Count => output.name += ".count",
        }
        if let Some((key, value)) = &self.mark {
            output.attributes.retain(|(k, _)| k != key);
            output.attributes.push((key.clone(), value.clone()));
            sort(&mut output.attributes);
            if input.kind == Kind::Gauge && self.spec.function == Some(Function::Mean) {
                output.name += ".mean";
            }
        }
        let counts = input.kind == Kind::Gauge && self.function_of(input) == Some(Function::Count);
        if counts || part == Part::Count {
            output.unit = "1".into();
        }
        let named = |key: &str| output.resource.iter().any(|(k, _)| k == key);
        let node_key = self.settings.node_keys.iter().any(|key| named(key));
        if !node_key && !named("phoenix.node") && !self.spec.merged_later {
            let node = Val::Str(self.settings.node.clone());
            output.resource.push(("phoenix.node".into(), node));
            sort(&mut output.resource);
        }
        output
    }

    fn company_of(&self, point: &Point) -> Rc<Company> {
        let mut company = (*point.company).clone();
        company.entity_refs.retain(|r| {
            let mut keys = r.id_keys.iter().chain(&r.description_keys);
            keys.all(|key| self.keeps(key))
        });
        Rc::new(company)
    }
}

/// What of a point is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Sum,
    Count,
}

/// No metric has this in its name: the halves of a summary are no series that a sender could have.
const HALVES: [char; 2] = ['\u{1}', '\u{2}'];

fn half_data(data: &Data, part: Part) -> Data {
    match (data, part) {
        (Data::Summary { sum, .. }, Part::Sum) => Data::Number(Num::Double(*sum)),
        (Data::Summary { count, .. }, Part::Count) => Data::Number(Num::Int(*count as i64)),
        (other, _) => other.clone(),
    }
}

/// One of the two counters in a summary.
fn half(point: &Point, part: Part) -> Point {
    let mut identity = (*point.identity).clone();
    identity.kind = Kind::Sum;
    identity.temporality = Temporality::Cumulative;
    identity.monotonic = true;
    identity.name.push(HALVES[usize::from(part == Part::Count)]);
    Point {
        identity: Rc::new(identity),
        data: half_data(&point.data, part),
        ..point.clone()
    }
}

fn half_before(before: &Before, part: Part) -> Before {
    let mut before = before.clone();
    if let Some(last) = &mut before.last {
        last.data = half_data(&last.data, part);
    }
    before
}

/// How long a stage remembers a silent input.
pub fn expiry(spec: &document::Aggregate) -> u64 {
    spec.expiry.as_deref().map_or(300_000_000_000, duration)
}

/// Values that cannot be added.
pub fn unusable(point: &Point) -> bool {
    unfit(point, Counted::Cumulative)
}

/// Values that cannot be added (or compared) end here.
fn unfit(point: &Point, way: Counted) -> bool {
    match &point.data {
        Data::Number(n) => {
            let added = !matches!(
                way,
                Counted::Gauge(Function::Min | Function::Max | Function::Last | Function::Count)
            );
            n.is_nan() || (added && n.is_infinite())
        }
        Data::Explicit(e) => e.sum.is_some_and(|s| !s.is_finite()),
        Data::Exponential(e) => e.sum.is_some_and(|s| !s.is_finite()),
        _ => false,
    }
}

impl Counted {
    /// How this point is counted; nothing when it cannot be.
    fn of(point: &Point, function: Option<Function>) -> Option<Counted> {
        let id = &point.identity;
        if point.data == Data::Nothing && !point.ended() {
            return None;
        }
        match (id.kind, id.temporality) {
            (Kind::Gauge, _) => function.map(Counted::Gauge),
            (Kind::Summary, _) | (_, Temporality::Unspecified) => None,
            (_, Temporality::Delta) => Some(Counted::Delta),
            (Kind::Sum, Temporality::Cumulative) if !id.monotonic => Some(Counted::Latest),
            (_, Temporality::Cumulative) => Some(Counted::Cumulative),
        }
    }
}
