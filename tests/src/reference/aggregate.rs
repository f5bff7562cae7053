//! The aggregate stage: inputs feed outputs, outputs write once a window.

use super::document::{self, Function, duration};
use super::identity::{Identity, Kind, Temporality, Val, sort};
use super::matcher;
use super::point::{Company, Data, Point};
use super::progress::{Last, Step, step, whole};
use super::window::{Counted, Output, Window};
use super::{Counts, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Last points of cumulative series, by identity.
pub type Known = BTreeMap<Rc<Identity>, Last>;

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
    /// End of the window in which it said "no value any more".
    pub ended: Option<u64>,
    pub last: Option<Last>,
    /// Non-monotonic sums: window, time and value of every accepted point.
    pub history: Vec<(u64, u64, super::number::Num)>,
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
    inherited: Known,
    inputs: BTreeMap<Rc<Identity>, Input>,
    gone: BTreeSet<Rc<Identity>>,
    outputs: BTreeMap<Rc<Identity>, Output>,
    written: BTreeMap<Rc<Identity>, u64>,
    pub counts: Counts,
    arrivals: u64,
}

impl Aggregate {
    pub fn new(spec: &document::Aggregate, settings: Rc<Settings>, created: u64) -> Aggregate {
        let time = |text: &Option<String>, default| text.as_deref().map_or(default, duration);
        Aggregate {
            interval: time(&spec.interval, 60_000_000_000),
            lateness: time(&spec.lateness, 5_000_000_000),
            expiry: time(&spec.expiry, 300_000_000_000),
            spec: spec.clone(),
            settings,
            created,
            closed: 0,
            inherited: Known::new(),
            inputs: BTreeMap::new(),
            gone: BTreeSet::new(),
            outputs: BTreeMap::new(),
            written: BTreeMap::new(),
            counts: Counts::new(),
            arrivals: 0,
        }
    }

    /// What node or arm knew at a swap; asked for series this stage does not know.
    pub fn inherit(&mut self, known: &Known) {
        self.inherited = known.clone();
    }

    fn end_of(&self, time: u64) -> u64 {
        time.div_ceil(self.interval) * self.interval
    }

    fn due(&self, now: u64) -> u64 {
        now.saturating_sub(self.lateness) / self.interval * self.interval
    }

    fn is_closed(&self, end: u64) -> bool {
        end <= self.closed || end < self.created
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// Takes one point that reached this stage. `derived`: an earlier stage wrote it.
    pub fn take(&mut self, point: &Point, now: u64, derived: bool) -> Fate {
        if !matcher::matches(&self.spec.matching, &point.identity) {
            return Fate::Passes;
        }
        let Some(way) = Counted::of(point, self.spec.function) else {
            self.note("not_aggregated");
            return Fate::Passes;
        };
        if !point.ended() && unusable(point, way) {
            return Fate::Dropped("nan");
        }
        let mut end = self.end_of(point.time);
        let mut timely = None;
        if !derived && point.time > now + self.lateness {
            end = self.end_of(now);
            timely = Some("future");
        } else if self.is_closed(end) {
            if matches!(way, Counted::Gauge(_)) {
                return Fate::Dropped("late");
            }
            end = self.end_of(now);
            timely = Some("late");
        }
        let output = Rc::new(self.output_of(&point.identity));
        let before = self.before(point, now);
        let returned = self.gone.contains(&point.identity);
        let mut seen = None;
        let mut accepted = true;
        let mut added = None;
        let mut note = None;
        if !point.ended() {
            match way {
                Counted::Cumulative => {
                    match step(before.as_ref(), point, self.settings.began, returned) {
                        Step::Ignored(why) => (accepted, note) = (false, Some(why)),
                        Step::Adds(amount, why) => (added, note) = (Some(amount), why),
                        Step::Incomparable => {
                            self.note("not_aggregated");
                            self.remember(point, &output, now);
                            return Fate::Passes;
                        }
                    }
                }
                Counted::Latest => {
                    let last = before.as_ref().map(|l| l.time);
                    note = match last {
                        Some(t) if point.time < t => Some("out_of_order"),
                        Some(t) if point.time == t => Some("duplicate"),
                        _ => None,
                    };
                    accepted = note.is_none();
                }
                Counted::Delta => added = whole(&point.data),
                Counted::Gauge(_) => seen = Some(point.time),
            }
        }
        if let Some(amount) = &added
            && let Some(existing) = self.outputs.get(&output)
            && !existing.can_add(end, amount)
        {
            self.note("not_aggregated");
            if matches!(way, Counted::Cumulative) {
                self.remember(point, &output, now);
            }
            return Fate::Passes;
        }
        for what in [timely, note].into_iter().flatten() {
            self.note(what);
        }
        let start = self.due(now).max(self.created);
        let start = start.max(self.written.get(&output).copied().unwrap_or(0));
        let company = self.company_of(point);
        let entry = self
            .outputs
            .entry(output.clone())
            .or_insert_with(|| Output::new(output.clone(), way, company.clone(), start));
        entry.meet(&company);
        self.arrivals += 1;
        let window = entry.windows.entry(end).or_insert_with(Window::default);
        window.absorbed += 1;
        window.exemplars.extend(point.exemplars.iter().cloned());
        let input = self
            .inputs
            .entry(point.identity.clone())
            .or_insert_with(|| Input {
                output,
                seen: now,
                ended: None,
                last: before.clone(),
                history: Vec::new(),
            });
        input.seen = now;
        if point.ended() {
            input.ended = Some(end);
            return Fate::Held;
        }
        input.ended = None;
        if let Some(amount) = added {
            window.add(&amount);
        }
        if seen.is_some()
            && let Data::Number(n) = point.data
        {
            window.observe(&point.identity, point.time, self.arrivals, n);
        }
        if accepted {
            if let (Counted::Latest, Data::Number(n)) = (way, &point.data) {
                input.history.push((end, point.time, *n));
            }
            input.last = Some(Last {
                start: point.start,
                time: point.time,
                data: point.data.clone(),
                seen: now,
            });
        }
        self.gone.remove(&point.identity);
        Fate::Held
    }

    fn before(&self, point: &Point, now: u64) -> Option<Last> {
        if let Some(input) = self.inputs.get(&point.identity) {
            return input.last.clone();
        }
        let inherited = self.inherited.get(&point.identity)?;
        let fresh = now - inherited.seen <= self.expiry && !self.gone.contains(&point.identity);
        fresh.then(|| inherited.clone())
    }

    /// A point that passes on its own still is the last one of its series.
    fn remember(&mut self, point: &Point, output: &Rc<Identity>, now: u64) {
        let last = Last {
            start: point.start,
            time: point.time,
            data: point.data.clone(),
            seen: now,
        };
        let input = self
            .inputs
            .entry(point.identity.clone())
            .or_insert_with(|| Input {
                output: output.clone(),
                seen: now,
                ended: None,
                last: None,
                history: Vec::new(),
            });
        input.seen = now;
        input.last = Some(last);
    }

    /// Closes the windows that are due (all of them with `everything`), in order of their ends.
    pub fn close(&mut self, now: u64, everything: bool) -> (Vec<Point>, u64) {
        let mark = if everything { u64::MAX } else { self.due(now) };
        let mut ends: BTreeSet<u64> = BTreeSet::new();
        for output in self.outputs.values() {
            ends.extend(output.windows.keys().copied().filter(|end| *end <= mark));
        }
        let mut all = Vec::new();
        let mut absorbed = 0;
        for end in ends {
            let (points, taken) = self.write(end, end);
            all.extend(points);
            absorbed += taken;
        }
        if !everything {
            self.closed = self.closed.max(mark);
            self.expire(now);
        }
        (all, absorbed)
    }

    /// The last words of a stage that a swap removes or changes.
    pub fn cut(&mut self, now: u64) -> (Vec<Point>, u64) {
        let ends: BTreeSet<u64> = self
            .outputs
            .values()
            .flat_map(|o| o.windows.keys().copied())
            .filter(|end| *end <= now)
            .collect();
        let mut all = Vec::new();
        let mut absorbed = 0;
        for end in ends {
            let (points, taken) = self.write(end, end);
            all.extend(points);
            absorbed += taken;
        }
        for output in self.outputs.values_mut() {
            output.fold();
        }
        let (points, taken) = self.write(u64::MAX, now);
        all.extend(points);
        (all, absorbed + taken)
    }

    /// Writes window `end` of every output that has one, stamped `stamp`.
    fn write(&mut self, end: u64, stamp: u64) -> (Vec<Point>, u64) {
        let mut points = Vec::new();
        let mut absorbed = 0;
        let bounds = (
            stamp.saturating_sub(1) / self.interval * self.interval,
            self.created,
        );
        for output in self.outputs.values_mut() {
            let Some(mut window) = output.windows.remove(&end) else {
                continue;
            };
            absorbed += window.absorbed;
            let inputs: Vec<&Input> = self
                .inputs
                .values()
                .filter(|i| i.output == output.identity)
                .collect();
            let surplus = window.exemplars.len().saturating_sub(4);
            window.exemplars.drain(..surplus);
            if surplus > 0 {
                *self.counts.entry("exemplars_dropped").or_insert(0) += surplus as u64;
            }
            let seed = self.settings.fleet_seed;
            if let Some(point) = output.write(window, end, stamp, bounds, &inputs, seed) {
                self.written.insert(output.identity.clone(), stamp);
                points.push(point);
            }
        }
        (points, absorbed)
    }

    fn expire(&mut self, now: u64) {
        let expiry = self.expiry;
        let gone: Vec<Rc<Identity>> = self
            .inputs
            .iter()
            .filter(|(_, i)| now - i.seen > expiry)
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.inputs.remove(&id);
            self.gone.insert(id);
        }
        let inputs = &self.inputs;
        self.outputs.retain(|id, output| {
            !output.windows.is_empty() || inputs.values().any(|i| i.output == *id)
        });
    }

    /// Points in open windows.
    pub fn held(&self) -> u64 {
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

    fn output_of(&self, input: &Identity) -> Identity {
        let mut output = input.clone();
        for level in [
            &mut output.attributes,
            &mut output.scope_attributes,
            &mut output.resource,
        ] {
            level.retain(|(key, _)| self.keeps(key));
        }
        if let Some(rename) = &self.spec.rename {
            output.name = rename.replace("{name}", &input.name);
        }
        if input.kind == Kind::Gauge && self.spec.function == Some(Function::Count) {
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

/// Values that cannot be added (or compared) end here.
fn unusable(point: &Point, way: Counted) -> bool {
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
        if matches!(point.data, Data::Misfit(_)) {
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
