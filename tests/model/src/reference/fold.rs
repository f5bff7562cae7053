//! The stages `topk` and `limit`: some series stay as they are, all others are folded together.

use super::aggregate::{Aggregate, Fate, unusable};
use super::arm::Clock;
use super::document::{self, Function, LATENESS, Stage, duration};
use super::epoch::{Epoch, Wrote};
use super::folded::Folded;
use super::identity::{Identity, Kind, Temporality, Val};
use super::matcher;
use super::point::{Company, Data, Point};
use super::ranking::Ranking;
use super::tracker::Before;
use super::{Counts, Settings};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What became of a point.
pub enum Took {
    /// None of the stage's business, or it stays untouched.
    Passes,
    /// Folded.
    Held,
    /// Written anew, or no newer than what was.
    Rewritten,
    Filtered,
    Dropped(&'static str),
}

/// Who stays.
#[derive(Debug, Clone)]
enum Decide {
    Topk(document::Topk, Ranking),
    Limit(document::Limit),
}

/// One series.
#[derive(Debug, Clone)]
struct Place {
    /// The series as it came.
    source: Rc<Identity>,
    seen: u64,
    /// Up to here it is counted and written.
    told: u64,
    unit: Unit,
    order: u64,
    /// For how many series its increments stand.
    weight: f64,
    own: Option<Own>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// Bits of the entity's place: larger is larger.
    Entity(u64),
    Budget(String),
    /// Only tells how loaded the node is.
    Exempt,
}

/// A series that stays.
#[derive(Debug, Clone, Default)]
struct Own {
    epoch: Option<Epoch>,
    company: Option<Rc<Company>>,
    ended: bool,
}

/// One stage with its state.
#[derive(Debug, Clone)]
pub struct Fold {
    id: String,
    decide: Decide,
    interval: u64,
    lateness: u64,
    pub expiry: u64,
    closed: u64,
    /// The swap that made it; 0 at the start.
    created: u64,
    /// No epoch starts before.
    began: u64,
    node_began: u64,
    places: BTreeMap<Rc<Identity>, Place>,
    pub other: Option<Aggregate>,
    /// Points that go on at the end of the call.
    pub early: Vec<Point>,
    counts: Counts,
    arrived: u64,
    new: u64,
    /// Places taken, by budget.
    taken: BTreeMap<Unit, u64>,
    /// What stages of the plan before folded or counted anew.
    folded_before: Folded,
}

impl Fold {
    /// Nothing where the stage is another.
    pub fn of(
        stage: &Stage,
        settings: &Rc<Settings>,
        created: u64,
        folded: &Folded,
    ) -> Option<Fold> {
        let time = |text: &Option<String>, default| text.as_deref().map_or(default, duration);
        let (decide, times, other) = match (&stage.topk, &stage.limit) {
            (Some(topk), _) => {
                let times = (&topk.interval, &topk.lateness, &topk.expiry);
                let mut other = topk.merged().map(|(gauges, without)| {
                    let mut keys = topk.entity.clone();
                    keys.extend(without);
                    let spec = spec(times, gauges, None, Some(keys));
                    Aggregate::new(&spec, settings.clone(), created, stage.patience)
                });
                if let Some(other) = &mut other {
                    other.mark = Some(("phoenix.other".into(), Val::Str(stage.id.clone())));
                }
                let decide = Decide::Topk(topk.clone(), Ranking::new(topk, &stage.id));
                (decide, times, other)
            }
            (None, Some(limit)) => {
                let times = (&limit.interval, &limit.lateness, &limit.expiry);
                let keep = limit.overflow.clone().unwrap_or_default().keep;
                let spec = spec(times, Function::Sum, Some(keep), None);
                let mut other = Aggregate::new(&spec, settings.clone(), created, stage.patience);
                other.mark = Some(("otel.metric.overflow".into(), Val::Bool(true)));
                (Decide::Limit(limit.clone()), times, Some(other))
            }
            (None, None) => return None,
        };
        let interval = time(times.0, 60_000_000_000);
        Some(Fold {
            id: stage.id.clone(),
            decide,
            interval,
            lateness: time(times.1, LATENESS).max(stage.patience),
            expiry: time(times.2, 300_000_000_000),
            closed: created / interval * interval,
            created,
            began: created.max(settings.began),
            node_began: settings.began,
            places: BTreeMap::new(),
            other,
            early: Vec::new(),
            counts: Counts::new(),
            arrived: 0,
            new: 0,
            taken: BTreeMap::new(),
            folded_before: folded.clone(),
        })
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// Whether the series is written by this stage alone: folded, or counted anew.
    pub fn rewrites(&self, id: &Identity) -> bool {
        self.places
            .get(id)
            .is_some_and(|place| place.own.as_ref().is_none_or(|own| own.epoch.is_some()))
    }

    /// Counters that it folded or counted anew, or stages before it did.
    pub fn put_folded(&self, all: &mut Folded, clock: Clock) {
        let counters = self.places.iter().filter(|(id, _)| is_counter(id));
        for (id, place) in counters.filter(|(id, _)| self.rewrites(id)) {
            all.note(id, place.told);
        }
        if self.remembers(clock) {
            all.unite(&self.folded_before);
        }
    }

    fn remembers(&self, clock: Clock) -> bool {
        clock.now - self.created.min(clock.now) <= clock.expiry
    }

    /// What was silent since the stage was made begins anew once that is longer than the expiry.
    pub fn forget(&mut self, clock: Clock) {
        if !self.remembers(clock) {
            self.folded_before = Folded::default();
        }
    }

    /// Its entity or budget; nothing where the stage has no business with it.
    fn unit(&mut self, id: &Identity) -> Option<Unit> {
        match &self.decide {
            Decide::Topk(topk, ranking) => {
                let matches = matcher::matches(&topk.matching, id);
                let entity = id.place(&topk.entity, &self.id).filter(|_| matches);
                let load = ranking.is_load(id);
                if matches && entity.is_none() {
                    self.note("no_entity");
                }
                match entity {
                    Some(place) => Some(Unit::Entity(place.to_bits())),
                    None => load.then_some(Unit::Exempt),
                }
            }
            Decide::Limit(limit) => {
                if !matcher::matches(&limit.matching, id) {
                    return None;
                }
                Some(Unit::Budget(match &limit.per {
                    None => String::new(),
                    Some(document::Per::Word(word)) if word == "plan" => String::new(),
                    Some(document::Per::Word(_)) => id.name.clone(),
                    Some(document::Per::Attribute { attribute }) => {
                        format!("{:?}", id.lookup(attribute))
                    }
                }))
            }
        }
    }

    /// For how many series the increments of a series stand.
    pub fn weight_of(&self, id: &Rc<Identity>) -> f64 {
        self.places.get(id).map_or(1.0, |place| place.weight)
    }

    /// Takes one point, of the series that came as `source`. `derived`: an aggregation wrote it. `weight`: for how many series its
    /// increments stand.
    pub fn take(
        &mut self,
        point: &Point,
        source: &Rc<Identity>,
        before: &Before,
        (now, derived, weight): (u64, bool, f64),
    ) -> Took {
        let id = &point.identity;
        let Some(unit) = self.unit(id) else {
            return Took::Passes;
        };
        if !self.places.contains_key(id) {
            self.join(point, source, before, now, unit);
        }
        let (closed, interval, lateness) = (self.closed, self.interval, self.lateness);
        if let Decide::Topk(_, ranking) = &mut self.decide {
            let place = &self.places[id];
            let entity = match place.unit {
                Unit::Entity(bits) => Some(bits),
                _ => None,
            };
            let late = point.time <= closed;
            let ahead = !derived && point.time > now + lateness;
            let end = if late || ahead {
                now.max(closed.saturating_add(1))
                    .div_ceil(interval)
                    .saturating_mul(interval)
            } else {
                point.time.div_ceil(interval).saturating_mul(interval)
            };
            ranking.hear(entity, point, before, (end, late), self.node_began);
        }
        let place = self.places.get_mut(id).expect("joined");
        place.seen = now;
        place.weight = weight;
        let counter = is_counter(id);
        let tells = !counter || tells(point, before);
        let Some(own) = &mut place.own else {
            if tells {
                place.told = place.told.max(point.time);
            }
            // It is the input that it was when it came here first, also where a stage before writes its end.
            let source = place.source.clone();
            if let Decide::Limit(_) = self.decide {
                self.note("over_budget");
            }
            let Some(other) = &mut self.other else {
                return Took::Filtered;
            };
            return match other.take(point, &source, before, now, derived, weight) {
                Fate::Held => Took::Held,
                Fate::Dropped(reason) => Took::Dropped(reason),
                Fate::Passes => Took::Dropped("not_foldable"),
            };
        };
        own.ended = point.ended();
        own.company = Some(point.company.clone());
        let Some(epoch) = &mut own.epoch else {
            place.told = place.told.max(point.time);
            return Took::Passes;
        };
        let wrote = epoch.write(point, before, place.told);
        if tells {
            place.told = place.told.max(point.time);
        }
        match wrote {
            Wrote::Point(point) => {
                self.early.push(*point);
                Took::Rewritten
            }
            Wrote::Nothing => Took::Rewritten,
            Wrote::Lost(reason) => Took::Dropped(reason),
        }
    }

    fn join(
        &mut self,
        point: &Point,
        source: &Rc<Identity>,
        before: &Before,
        now: u64,
        unit: Unit,
    ) {
        let id = &point.identity;
        // Nothing of it was folded: a stage before tells it from a beginning of its own, or it spoke last
        // before this stage was made, and no stage of the plan before folded it. Else it may have been, and
        // lost its place.
        let total = before.last.as_ref().is_some_and(|last| last.time == 0);
        let folded = self.folded_before.take(id);
        let earlier = |seen| seen <= self.created && folded.is_none();
        let earlier = before.seen.is_none_or(earlier);
        let said = before.last.as_ref().map_or(0, |last| last.time);
        let told = folded.unwrap_or(0).max(said);
        let fresh = !before.returned && (total || earlier);
        self.arrived += 1;
        let stays = match (&self.decide, &unit) {
            (_, Unit::Exempt) => true,
            (Decide::Topk(_, ranking), Unit::Entity(bits)) => ranking.members.contains(bits),
            (Decide::Limit(_), unit) => {
                let free = self.is_free(unit);
                self.new += 1;
                self.note("new_series");
                free
            }
            _ => false,
        };
        if stays {
            *self.taken.entry(unit.clone()).or_insert(0) += 1;
        }
        let again = is_counter(id) && !fresh && unit != Unit::Exempt;
        let start = self.closed.max(self.began).max(told);
        let own = stays.then(|| Own {
            epoch: again.then(|| Epoch::new(start, self.node_began)),
            ..Own::default()
        });
        let place = Place {
            source: source.clone(),
            seen: now,
            told,
            unit,
            order: self.arrived,
            weight: 1.0,
            own,
        };
        self.places.insert(id.clone(), place);
    }

    fn is_free(&self, unit: &Unit) -> bool {
        let Decide::Limit(limit) = &self.decide else {
            return false;
        };
        self.taken.get(unit).copied().unwrap_or(0) < limit.series
    }

    /// Closes windows of what is folded.
    pub fn close(&mut self, now: u64, everything: bool) -> (Vec<Point>, u64) {
        match &mut self.other {
            Some(other) => other.close(now, everything),
            None => (Vec::new(), 0),
        }
    }

    /// Where a window has ended: who stays from here on.
    pub fn edge(&mut self, now: u64) {
        let due = now.saturating_sub(self.lateness) / self.interval * self.interval;
        if due <= self.closed {
            return;
        }
        self.closed = due;
        if let Decide::Topk(_, ranking) = &mut self.decide
            && ranking.close(due, self.interval)
        {
            let members = ranking.members.clone();
            let ids: Vec<Rc<Identity>> = self.places.keys().cloned().collect();
            for id in ids {
                let place = self.places.get_mut(&id).expect("known");
                let Unit::Entity(bits) = place.unit else {
                    continue;
                };
                match (members.contains(&bits), place.own.is_some()) {
                    (true, false) => self.enter(&id),
                    (false, true) => self.leave(&id),
                    _ => {}
                }
            }
        }
        let expiry = self.expiry;
        self.places.retain(|_, place| now - place.seen <= expiry);
        self.taken.clear();
        for place in self.places.values().filter(|p| p.own.is_some()) {
            *self.taken.entry(place.unit.clone()).or_insert(0) += 1;
        }
        if let Decide::Limit(limit) = &self.decide {
            let alarm = limit.alarm.as_ref().map(|alarm| alarm.new_series);
            if alarm.is_some_and(|most| self.new > most) {
                self.note("growth");
            }
            self.new = 0;
            let mut waiting: Vec<(u64, Rc<Identity>)> = self
                .places
                .iter()
                .filter(|(_, place)| place.own.is_none())
                .map(|(id, place)| (place.order, id.clone()))
                .collect();
            waiting.sort();
            for (_, id) in waiting {
                let unit = self.places[&id].unit.clone();
                if self.is_free(&unit) {
                    self.note("admitted");
                    *self.taken.entry(unit).or_insert(0) += 1;
                    self.enter(&id);
                }
            }
        }
    }

    fn enter(&mut self, id: &Rc<Identity>) {
        let (closed, began) = (self.closed, self.began);
        let node = self.node_began;
        let place = self.places.get_mut(id).expect("known");
        let start = match place.told {
            0 => closed,
            told => told,
        }
        .max(began);
        place.own = Some(Own {
            epoch: is_counter(id).then(|| Epoch::new(start, node)),
            ..Own::default()
        });
        if let Some(other) = &mut self.other {
            other.leave(&place.source);
        }
    }

    fn leave(&mut self, id: &Rc<Identity>) {
        let closed = self.closed;
        let place = self.places.get_mut(id).expect("known");
        let own = place.own.take().expect("it stayed");
        let Some(company) = own.company.filter(|_| !own.ended) else {
            return;
        };
        let time = closed.max(place.told.saturating_add(1));
        place.told = time;
        self.early.push(Point {
            identity: id.clone(),
            company,
            start: 0,
            time,
            flags: 1,
            data: Data::Nothing,
            exemplars: Vec::new(),
        });
    }

    /// Points in open windows.
    pub fn held(&self) -> u64 {
        self.other.as_ref().map_or(0, Aggregate::held)
    }

    /// Notes of the stage and of what it folds.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        for (what, n) in self.other.iter().flat_map(|other| &other.counts) {
            *counts.entry(what).or_insert(0) += n;
        }
        counts
    }
}

fn spec(
    (interval, lateness, expiry): (&Option<String>, &Option<String>, &Option<String>),
    gauges: Function,
    by: Option<Vec<String>>,
    without: Option<Vec<String>>,
) -> document::Aggregate {
    document::Aggregate {
        matching: document::Match::default(),
        by,
        without,
        interval: interval.clone(),
        function: Some(gauges),
        functions: Vec::new(),
        summary: None,
        keep_original: false,
        rename: None,
        lateness: lateness.clone(),
        expiry: expiry.clone(),
        merged_later: false,
        weighted: None,
    }
}

/// Whether its points add increments to what came before.
fn is_counter(id: &Identity) -> bool {
    let kind = match id.kind {
        Kind::Sum => id.monotonic,
        Kind::Histogram | Kind::Exponential => true,
        Kind::Gauge | Kind::Summary => false,
    };
    kind && id.temporality == Temporality::Cumulative
}

/// Whether a point of a counter is newer than what was, and can be counted.
fn tells(point: &Point, before: &Before) -> bool {
    let newer = before
        .last
        .as_ref()
        .is_none_or(|last| point.time > last.time);
    let counts = matches!(
        point.data,
        Data::Number(_) | Data::Explicit(_) | Data::Exponential(_)
    );
    newer && (point.ended() || (counts && !unusable(point)))
}
