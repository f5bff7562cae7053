//! Series at a `topk` or `limit`: where they go when their route is found, and each of their points.

use super::close::{Moment, Out};
use super::weight::ask_again;
use super::{Arm, Around, Event, Origin};
use crate::aggregate::{TABLE_FULL, Written};
use crate::compile::{self, Action, Decide};
use crate::document::Per;
use crate::input::{Input, Observation};
use crate::route::{End, Place, Route, Rule, Way};
use crate::series::Table;
use crate::stage::State;
use crate::stage::entity::Part;
use crate::stage::fold::{Fold, Meets, Met, Ticket, Took};
use crate::view::SeriesView;
use xxhash_rust::xxh3::xxh3_64;

/// Reason of a series that a `topk` lets pass: it lacks a key of the entity.
pub const NO_ENTITY: &str = "no_entity";

impl Arm {
    /// What the stage does with a series: a place, or `None`: it goes on.
    pub(super) fn fold(
        &mut self,
        number: u16,
        series: &SeriesView<'_>,
        (event, input): (&Event<'_>, Option<&Input>),
        around: &mut Around<'_>,
        way: &mut Way,
    ) -> Option<Place> {
        let pipeline = self.pipeline.clone();
        let Action::Fold(stage) = &pipeline.stages.get(usize::from(number))?.action else {
            return None;
        };
        let (unit, part, load) = unit(stage, series, around);
        if unit.is_none() && stage.matcher.matches(series) {
            way.notes.push((number, NO_ENTITY));
        }
        if unit.is_none() && !(load && event.tracked) {
            return None;
        }
        let weight = event.weight;
        let running = self.stages.get_mut(usize::from(number))?;
        let State::Fold(fold) = &mut running.state else {
            return None;
        };
        fold.sweep(event.clock, around.expiry);
        let (created, identity) = (fold.created(), event.written().0);
        // What never spoke, or before the stage was made, cannot have been folded by it.
        let fresh = |input: &Input| {
            let silent = input.is_returning() || input.expired(event.clock, around.expiry);
            let untold = || input.seen() <= created && !fold.is_folded(identity);
            !silent && (input.begins() || untold())
        };
        let said = |input: &Input| {
            let expired = input.expired(event.clock, around.expiry);
            if expired { 0 } else { input.time() }
        };
        let meets = Meets {
            series,
            identity,
            source: event.identity,
            unit,
            part,
            load,
            fresh: input.is_some_and(fresh),
            said: input.map_or(0, said),
            weight,
            now: event.now,
        };
        let place = match fold.join(&meets, event.tracked, &mut running.tally) {
            Met::Ticket(ticket) => {
                if fold.weigh(ticket, &meets) {
                    ask_again(&mut running.outputs, event.written().0);
                }
                let times = (event.clock, around.expiry);
                if let Some(mut further) = fold.way_behind(ticket).copied() {
                    // What returns is new to the stages behind, too: they are asked again.
                    if input.is_some_and(Input::is_returning)
                        || self.lacks_way(&further)
                        || self.has_forgotten(&further, event.written().0, times)
                    {
                        if further.generation == self.generation {
                            self.guises.free(std::mem::take(&mut further.guise));
                        }
                        further.generation = 0;
                        if let Some(place) = self.fold_of(number)?.further(ticket) {
                            *place = further;
                        }
                    }
                    self.find_further(number, ticket, event, input, around);
                }
                Place::Fold(ticket)
            }
            Met::Seat(seat) => Place::Seat(seat),
            Met::Full if unit.is_none() => return None,
            Met::Full => Place::None,
        };
        way.end = End::Fold;
        Some(place)
    }

    /// Whether the series stays from now on, or has lost its place, and has no way through the later stages
    /// yet. It is found before the point at hand is looked at: they start from what was known before it.
    #[inline]
    pub(super) fn lacks_way(&self, route: &Route) -> bool {
        let ticket = match route.place {
            Place::Fold(ticket) => ticket,
            Place::Seat(_) => return self.beside(route).is_some_and(|way| self.lacks_way(way)),
            _ => return false,
        };
        let stage = self.path(route).map(|path| usize::from(path.way.stage));
        match stage
            .and_then(|stage| self.stages.get(stage))
            .map(|s| &s.state)
        {
            Some(State::Fold(fold)) if fold.is_gone(ticket) => true,
            Some(State::Fold(fold)) => fold
                .way_behind(ticket)
                .is_some_and(|further| !self.knows(further)),
            _ => false,
        }
    }

    /// Finds the way through the later stages of a series that passes untouched.
    fn find_further(
        &mut self,
        number: u16,
        ticket: Ticket,
        event: &Event<'_>,
        input: Option<&Input>,
        around: &mut Around<'_>,
    ) -> Option<Route> {
        let mut further = *self.fold_of(number)?.further(ticket)?;
        if further.generation != self.generation {
            let inner = Event {
                entry: number + 1,
                weight: self.fold_of(number)?.weight_at(ticket),
                ..*event
            };
            self.resolve(&mut further, &inner, input, around);
            *self.fold_of(number)?.further(ticket)? = further;
        }
        Some(further)
    }

    fn fold_of(&mut self, number: u16) -> Option<&mut Fold> {
        match &mut self.stages.get_mut(usize::from(number))?.state {
            State::Fold(fold) => Some(fold),
            _ => None,
        }
    }

    /// A point at the stage. True if it goes to the output as it is.
    pub(super) fn folded(
        &mut self,
        route: &mut Route,
        number: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let guise = self.guise_of(route, event, around);
        if !event.tracked {
            // Nothing keeps such a route.
            self.guises.free(std::mem::take(&mut route.guise));
            route.generation = 0;
        }
        let came = event;
        let event = &came.called(guise.as_ref());
        for again in [false, true] {
            if again {
                self.seat_again(route, number, came, around);
            }
            let Some(running) = self.stages.get_mut(usize::from(number)) else {
                return false;
            };
            let State::Fold(fold) = &mut running.state else {
                return false;
            };
            let tally = &mut running.tally;
            let took = match route.place {
                Place::Fold(ticket) => fold.take(ticket, event, seen, &mut self.body, tally),
                Place::Seat(seat) => fold.take_without(seat, event, seen, tally),
                _ => Took::Dropped(TABLE_FULL),
            };
            match took {
                Took::Stale if !again => {}
                Took::Passes => {
                    tally.passed += 1;
                    return self.pass_further(route, number, event, seen, around);
                }
                Took::Absorbed => return false,
                Took::Filtered => {
                    tally.filter(Rule::Others);
                    return false;
                }
                Took::Dropped(reason) => {
                    *tally.dropped.entry(reason).or_default() += 1;
                    return false;
                }
                Took::Stale => {
                    *tally.dropped.entry(TABLE_FULL).or_default() += 1;
                    return false;
                }
            }
        }
        false
    }

    /// A point goes on untouched, by the way that the stage keeps.
    fn pass_further(
        &mut self,
        route: &mut Route,
        number: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let Place::Fold(ticket) = route.place else {
            return false;
        };
        let weight = self.fold_of(number).map_or(1.0, |f| f.weight_at(ticket));
        let Some(mut further) = self.find_further(number, ticket, event, None, around) else {
            return false;
        };
        let inner = Event {
            entry: number + 1,
            origin: event.origin.rewritten(),
            weight,
            ..*event
        };
        let kept = self.take(&mut further, &inner, seen, around);
        route.out_stamp = further.out_stamp;
        if let Some(place) = self.fold_of(number).and_then(|fold| fold.further(ticket)) {
            *place = further;
        }
        kept
    }

    /// What a stage wrote anew goes on.
    pub(super) fn release_folded(
        &mut self,
        number: usize,
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        let Some(running) = self.stages.get_mut(number) else {
            return;
        };
        let State::Fold(fold) = &mut running.state else {
            return;
        };
        if fold.has_early() {
            let mut written = Written::default();
            fold.release(&mut written, &mut running.tally);
            let (pieces, origin) = (written.pieces(), Origin::Released);
            self.take_in(number, pieces, origin, at, node, around, out);
        }
    }

    /// Whether a stage folds the series of this route: `None` if it does.
    pub fn stands(&self, route: &Route) -> Option<bool> {
        let (Place::Fold(ticket), Some(path)) = (route.place, self.path(route)) else {
            return None;
        };
        match &self.stages.get(usize::from(path.way.stage))?.state {
            State::Fold(fold) => fold.standing(ticket),
            _ => None,
        }
    }
}

/// The entity or budget of a series, its part in the ranking, and whether it tells how loaded the
/// node is.
fn unit(
    stage: &compile::Fold,
    series: &SeriesView<'_>,
    around: &mut Around<'_>,
) -> (Option<u64>, Part, bool) {
    let matches = stage.matcher.matches(series);
    match &stage.decide {
        Decide::Topk(topk) => {
            let unit = if matches {
                around
                    .canonical
                    .entity_hash(series, &topk.entity, topk.seed)
            } else {
                None
            };
            let part = match unit {
                Some(_) => Part::of(&topk.terms, series),
                None => Part::default(),
            };
            let load = topk.load.as_ref();
            let load = load.is_some_and(|(term, _)| term.matcher.matches(series));
            (unit, part, load)
        }
        Decide::Limit(limit) => {
            let unit = match &limit.per {
                _ if !matches => None,
                Per::Plan => Some(0),
                // The same on every worker.
                Per::Metric => Some(xxh3_64(series.metric.name.as_bytes())),
                Per::Attribute(key) => {
                    let keys = std::slice::from_ref(key);
                    let hash = around.canonical.entity_hash(series, keys, 0);
                    Some(hash.map_or(0, |hash| hash | 1))
                }
            };
            (unit, Part::default(), false)
        }
    }
}
