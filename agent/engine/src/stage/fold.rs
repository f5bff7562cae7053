//! `topk` and `limit`: some series stay as they are, all others are folded together.
//!
//! Who stays changes only when a window closes ([`edge`]). An increment is never counted twice:
//! what was folded once and stays from now on is written anew, in an epoch of its own that starts where
//! the folded part ends ([`epoch`]); what stays no longer ends with a no-recorded-value point, and its
//! next increment goes to the folded ones. Only a series that was never folded passes untouched.

pub mod edge;
pub mod epoch;
pub mod folded;
pub mod limit;
pub mod slot;
pub mod slots;
pub mod topk;

use super::Tally;
use super::entity::Part;
use crate::Nanos;
use crate::aggregate::{
    Added, Aggregation, Joined, Seat, TABLE_FULL, Written, overflow_attribute, string_attribute,
};
use crate::arm::Event;
use crate::compile::{self, Mark, Rename};
use crate::engine::Settings;
use crate::input::Observation;
use crate::route::Route;
use crate::splice::assemble::{Shared, Surroundings, assemble};
use crate::view::{SeriesView, Temporality};
use crate::wire::attributes::raw_attributes;
use crate::wire::write;
use edge::Decided;
use epoch::{Epoch, Wrote};
use folded::Folded;
use hashbrown::HashMap;
use limit::Budgets;
use slot::{Own, Slot, Way, is_counter};
use slots::Slots;
pub use slots::Ticket;
use std::sync::Arc;
use topk::Ranking;

/// Key of the attribute that marks what a `topk` has folded together.
const OTHER: &str = "phoenix.other";

/// Reason of points that cannot be merged with others: summaries, or of unspecified temporality.
pub const NOT_FOLDABLE: &str = "not_foldable";

/// Who stays.
#[derive(Debug)]
pub enum Decide {
    /// Series of the entities that rank first.
    Topk(Box<Ranking>),
    /// Series that have a place in the budget.
    Limit(Box<Budgets>),
}

/// State of one `topk` or `limit`.
#[derive(Debug)]
pub struct Fold {
    decide: Decide,
    interval: Nanos,
    lateness: Nanos,
    expiry: Nanos,
    /// Windows that end here or before are closed.
    closed_to: Nanos,
    /// The engine's now when the last of them closed.
    edge: Nanos,
    /// Worker 0 of several: what it decided then, until the others are told.
    decided: Option<Decided>,
    shared: bool,
    /// The swap that made it; 0 at the start of an engine.
    created: Nanos,
    /// What starts before is not of this stage.
    began: Nanos,
    limit: usize,
    /// Where the others go; `None`: they are filtered.
    other: Option<Box<Aggregation>>,
    slots: Slots,
    around: HashMap<u128, Arc<Surroundings>>,
    pool: Shared,
    /// Points written anew, and ends of series, on their way to the later stages.
    early: Vec<(Arc<Surroundings>, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    /// Counters that a stage of the plan before folded or wrote anew, and that have not come here yet.
    folded_before: Folded,
}

/// A series that meets the stage.
#[derive(Debug)]
pub struct Meets<'a> {
    /// Its view.
    pub series: &'a SeriesView<'a>,
    /// The identity that it has here.
    pub identity: u128,
    /// The one that it came with.
    pub source: u128,
    /// Its entity or budget; `None`: it only tells how loaded the node is.
    pub unit: Option<u64>,
    /// Its part in what entities are ranked by.
    pub part: Part,
    /// Whether it tells how loaded the node is.
    pub load: bool,
    /// Whether nothing of it can have been folded before.
    pub fresh: bool,
    /// Time of the newest of its points so far; 0: none is remembered.
    pub said: Nanos,
    /// For how many series its increments stand.
    pub weight: f64,
    /// The engine's now.
    pub now: Nanos,
}

/// Answer to [`Fold::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It has a place.
    Ticket(Ticket),
    /// There is no room for its state; its points can still be added.
    Seat(Seat),
    /// There is no room: its points are lost.
    Full,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It goes on as it is.
    Passes,
    /// It is folded, or was written anew.
    Absorbed,
    /// Its entity does not stay, and the others are filtered.
    Filtered,
    /// It is lost, for this reason.
    Dropped(&'static str),
    /// The place has expired.
    Stale,
}

impl Fold {
    /// A stage without state. Windows that end at or before `created` are closed.
    pub fn new(stage: &compile::Fold, settings: &Settings, created: Nanos) -> Fold {
        let limit = settings.stage_series();
        let windows = (stage.interval, stage.lateness);
        let decide = match &stage.decide {
            compile::Decide::Topk(topk) => {
                Decide::Topk(Box::new(Ranking::new(topk, windows, created, limit)))
            }
            compile::Decide::Limit(limit) => {
                Decide::Limit(Box::new(Budgets::new(limit, settings.place)))
            }
        };
        let other = stage.merge.as_ref().map(|merge| {
            let mark = match &merge.mark {
                Mark::Other(id) => string_attribute(OTHER, id),
                Mark::Overflow => overflow_attribute(),
            };
            let gauges = merge.means.then(|| Rename::parse("{name}.mean"));
            Box::new(Aggregation::new(&merge.aggregate, settings, created).marked(mark, gauges))
        });
        Fold {
            decide,
            interval: stage.interval.max(1),
            lateness: stage.lateness,
            expiry: stage.expiry,
            closed_to: created - created % stage.interval.max(1),
            edge: created,
            decided: None,
            shared: settings.is_shared(),
            created,
            began: created.max(settings.began),
            limit,
            other,
            slots: Slots::default(),
            around: HashMap::new(),
            pool: Shared::default(),
            early: Vec::new(),
            spare: Vec::new(),
            folded_before: Folded::default(),
        }
    }

    /// Tells a new stage what stages of the plan before have folded or written anew.
    pub fn follow_on(&mut self, folded: &Folded) {
        self.folded_before.clone_from(folded);
    }

    /// Adds what it has folded or writes anew, or stages of the plan before did.
    pub fn put_folded(&self, all: &mut Folded, (now, expiry): (Nanos, Nanos)) {
        if self.remembers(now, expiry) {
            all.unite(&self.folded_before);
        }
        let anew = |slot: &&Slot| match &slot.own {
            Some(own) => matches!(own.way, Way::Anew(_)),
            None => true,
        };
        let counters = self.slots.iter().filter(|slot| slot.counter).filter(anew);
        counters.for_each(|slot| all.note(slot.identity, slot.told));
    }

    /// Whether a stage of the plan before has folded a counter that has not come here yet.
    pub fn is_folded(&self, identity: u128) -> bool {
        self.folded_before.contains(identity)
    }

    /// What was silent since the stage was made begins anew once that is longer than `expiry`.
    fn remembers(&self, now: Nanos, expiry: Nanos) -> bool {
        now.saturating_sub(self.created) <= expiry
    }

    /// Forgets what no longer matters of the plan before.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos) {
        if !self.remembers(now, expiry) {
            self.folded_before = Folded::default();
        }
    }

    /// The swap that made it; 0 at the start of an engine.
    pub fn created(&self) -> Nanos {
        self.created
    }

    /// A place for a series; the one that it has, if it has one.
    pub fn join(&mut self, meets: &Meets<'_>, tracked: bool, tally: &mut Tally) -> Met {
        if let Some(ticket) = self.slots.find(meets.identity) {
            return Met::Ticket(ticket);
        }
        // Before what it has said no epoch begins: a clock that ran ahead has told that part already.
        let folded = self.folded_before.take(meets.identity);
        let told = folded.unwrap_or(0).max(meets.said);
        let metric = &meets.series.metric;
        if !tracked || self.slots.len() >= self.limit {
            let delta = metric.temporality == Temporality::Delta && meets.unit.is_some();
            let seat = self.other.as_mut().filter(|_| delta);
            let seat =
                seat.and_then(|other| other.join_shared(meets.series, meets.weight, meets.now));
            return seat.map_or(Met::Full, Met::Seat);
        }
        let mut slot = Slot {
            identity: meets.identity,
            seen: meets.now.max(1),
            told,
            unit: meets.unit.unwrap_or(0),
            order: 0,
            counter: is_counter(metric),
            delta: metric.temporality == Temporality::Delta,
            exempt: meets.unit.is_none(),
            seat: None,
            measured: None,
            load: None,
            weight: 1.0,
            own: None,
        };
        let stays = slot.exempt
            || match &mut self.decide {
                Decide::Topk(ranking) => ranking.stays(slot.unit),
                Decide::Limit(budgets) => {
                    *tally.counts.entry("new_series").or_default() += 1;
                    slot.order = budgets.arrives(meets.now);
                    budgets.take_place(slot.unit)
                }
            };
        if let Decide::Topk(ranking) = &mut self.decide {
            let id = meets.identity as u64;
            (slot.measured, slot.load) = ranking.join(slot.unit, id, meets.part, meets.load);
        }
        if stays {
            let again = slot.counter && !meets.fresh && !slot.exempt;
            slot.own =
                Some(Own::new(again.then(|| {
                    Epoch::new(self.closed_to.max(self.began).max(told))
                })));
        }
        Met::Ticket(self.slots.add(slot))
    }

    /// Notes for how many series the increments of a series stand; true where that has changed.
    pub fn weigh(&mut self, ticket: Ticket, meets: &Meets<'_>) -> bool {
        let Some(slot) = self.slots.get_mut(ticket) else {
            return false;
        };
        if slot.weight == meets.weight {
            return false;
        }
        slot.weight = meets.weight;
        if let (Some(seat), Some(other)) = (&mut slot.seat, &mut self.other)
            && let Joined::Seat(place) =
                other.join(meets.series, meets.source, meets.weight, meets.now)
        {
            *seat = place;
        }
        if let Some(own) = &mut slot.own {
            own.way.ask_again();
        }
        true
    }

    /// For how many series the increments of a series stand.
    pub fn weight(&self, identity: u128) -> f64 {
        let ticket = self.slots.find(identity);
        ticket.map_or(1.0, |ticket| self.weight_at(ticket))
    }

    /// The same of a series that has a place.
    pub fn weight_at(&self, ticket: Ticket) -> f64 {
        self.slots.get(ticket).map_or(1.0, |slot| slot.weight)
    }

    /// Where the way through the later stages is kept, of a series that passes untouched.
    pub fn further(&mut self, ticket: Ticket) -> Option<&mut Route> {
        match &mut self.slots.get_mut(ticket)?.own.as_mut()?.way {
            Way::Untouched(further) => Some(further),
            Way::Anew(_) => None,
        }
    }

    /// Whether the place has expired.
    pub fn is_gone(&self, ticket: Ticket) -> bool {
        self.slots.get(ticket).is_none()
    }

    /// The same, only to be looked at.
    pub fn way_behind(&self, ticket: Ticket) -> Option<&Route> {
        match &self.slots.get(ticket)?.own.as_ref()?.way {
            Way::Untouched(further) => Some(further),
            Way::Anew(_) => None,
        }
    }

    /// Takes a point of a series that has a place. `buffer`: where its body is made, if it is another
    /// than it came with.
    pub fn take(
        &mut self,
        ticket: Ticket,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        buffer: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Took {
        let Some(slot) = self.slots.get_mut(ticket) else {
            return Took::Stale;
        };
        let view = event.view();
        slot.seen = event.now.max(1);
        if let Decide::Topk(ranking) = &mut self.decide {
            let places = (slot.measured, slot.load);
            ranking.take(places, &view, slot.delta, seen, event.now);
        }
        let Some(own) = &mut slot.own else {
            if matches!(self.decide, Decide::Limit(_)) {
                *tally.counts.entry("over_budget").or_default() += 1;
            }
            let Some(other) = &mut self.other else {
                slot.hears(event.point.time, seen);
                return Took::Filtered;
            };
            let took = folded(other, (&mut slot.seat, slot.weight), event, seen, tally);
            slot.hears(event.point.time, seen);
            return took;
        };
        own.ended = view.no_recorded_value();
        let key = event.surroundings_key();
        if own.around.as_ref().is_none_or(|around| around.key() != key) {
            own.around = intern(&mut self.around, &mut self.pool, key, event);
            // They are for the point that ends it: what has a place in a budget keeps it while it speaks.
            if matches!(self.decide, Decide::Topk(_)) && !slot.exempt {
                let field = view.kind.attributes_field();
                let mut attributes = self.spare.pop().unwrap_or_default();
                attributes.clear();
                for raw in raw_attributes(event.written_view(buffer).body, field) {
                    write::put_bytes(&mut attributes, field, raw);
                }
                // As long as it is, and no longer: there is one a series.
                own.attributes = attributes.as_slice().into();
                self.spare.push(attributes);
            }
        }
        let Way::Anew(epoch) = &mut own.way else {
            slot.told = slot.told.max(event.point.time);
            return Took::Passes;
        };
        let Some(seen) = seen else {
            return Took::Dropped(TABLE_FULL);
        };
        let mut body = self.spare.pop().unwrap_or_default();
        body.clear();
        let view = event.written_view(buffer);
        let wrote = epoch.write(&view, seen, slot.told, &mut body);
        let around = own.around.clone();
        slot.hears(event.point.time, Some(seen));
        match wrote {
            Wrote::Point => {
                if let Some(around) = around {
                    self.early.push((around, body));
                }
            }
            Wrote::Nothing => self.spare.push(body),
            Wrote::Lost(reason) => {
                self.spare.push(body);
                return Took::Dropped(reason);
            }
        }
        tally.closed += 1;
        Took::Absorbed
    }

    /// Takes a point of a series that has no place of its own.
    pub fn take_without(
        &mut self,
        seat: Seat,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        tally: &mut Tally,
    ) -> Took {
        let Some(other) = &mut self.other else {
            return Took::Filtered;
        };
        if event.view().no_recorded_value() {
            // It would end the others that share the seat.
            return Took::Dropped(TABLE_FULL);
        }
        match other.add(seat, &event.view(), seen, event.now) {
            Added::Absorbed => {
                *tally.counts.entry(TABLE_FULL).or_default() += 1;
                Took::Absorbed
            }
            Added::Dropped(reason) => Took::Dropped(reason),
            Added::Passes(_) => Took::Dropped(NOT_FOLDABLE),
            Added::Stale => Took::Stale,
        }
    }

    /// Whether points wait to go on.
    pub fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Writes what waits to go on, in runs of one resource.
    pub fn release(&mut self, written: &mut Written, tally: &mut Tally) {
        let resource = |around: &Surroundings| around.keys()[0];
        for run in self
            .early
            .chunk_by(|(a, _), (b, _)| resource(a) == resource(b))
        {
            assemble(
                run.iter().map(|(around, body)| (&**around, &body[..])),
                &mut written.request,
            );
        }
        written.points += self.early.len() as u64;
        tally.emitted += self.early.len() as u64;
        self.spare
            .extend(self.early.drain(..).map(|(_, body)| body));
        self.spare.truncate(64);
    }

    /// What is folded, for counts.
    pub fn other(&self) -> Option<&Aggregation> {
        self.other.as_deref()
    }

    /// What is folded, for counts.
    pub fn other_mut(&mut self) -> Option<&mut Aggregation> {
        self.other.as_deref_mut()
    }

    /// Whether the series stays, and if so whether its points are written anew.
    pub fn standing(&self, ticket: Ticket) -> Option<bool> {
        let slot = self.slots.get(ticket)?;
        let own = slot.own.as_ref();
        own.map(|own| matches!(own.way, Way::Anew(_)))
    }

    /// At most how many points its open windows will write.
    pub fn to_write(&self) -> usize {
        self.other.as_ref().map_or(0, |other| other.to_write()) + self.early.len()
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let decide = match &self.decide {
            Decide::Topk(ranking) => ranking.bytes(),
            Decide::Limit(budgets) => budgets.bytes(),
        };
        decide
            + self.slots.bytes()
            + self.other.as_ref().map_or(0, |other| other.size().2)
            + self.around.values().map(|s| s.bytes()).sum::<usize>()
            + self.pool.bytes()
            + self.folded_before.bytes()
    }
}

/// Adds a point to what is folded.
fn folded(
    other: &mut Aggregation,
    (seat, weight): (&mut Option<Seat>, f64),
    event: &Event<'_>,
    seen: Option<&Observation<'_>>,
    tally: &mut Tally,
) -> Took {
    for _ in 0..2 {
        let place = match *seat {
            Some(place) => place,
            None => {
                let Some(series) = event.series_view() else {
                    return Took::Dropped(NOT_FOLDABLE);
                };
                match other.join(&series, event.identity, weight, event.now) {
                    Joined::Seat(place) => place,
                    Joined::Passes(TABLE_FULL) => return Took::Dropped(TABLE_FULL),
                    Joined::Passes(reason) => {
                        *tally.counts.entry(reason).or_default() += 1;
                        return Took::Dropped(NOT_FOLDABLE);
                    }
                }
            }
        };
        *seat = Some(place);
        match other.add(place, &event.view(), seen, event.now) {
            Added::Absorbed => return Took::Absorbed,
            Added::Dropped(reason) => return Took::Dropped(reason),
            Added::Passes(_) => return Took::Dropped(NOT_FOLDABLE),
            Added::Stale => *seat = None,
        }
    }
    Took::Dropped(NOT_FOLDABLE)
}

fn intern(
    known: &mut HashMap<u128, Arc<Surroundings>>,
    shared: &mut Shared,
    key: u128,
    event: &Event<'_>,
) -> Option<Arc<Surroundings>> {
    if let Some(known) = known.get(&key) {
        return Some(known.clone());
    }
    let new = Arc::new(event.surroundings(shared)?);
    known.insert(key, new.clone());
    Some(new)
}
