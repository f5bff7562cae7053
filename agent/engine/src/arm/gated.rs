//! Points at a gate: decided one by one; what passes takes the way that its series' slot caches.

use super::resolve::{is_cumulative, outputs};
use super::weight::ask_again;
use super::{Arm, Around, Event};
use crate::Nanos;
use crate::aggregate::TABLE_FULL;
use crate::input::{Input, Observation};
use crate::route::{End, Place, Route, Way};
use crate::series::{Entry, Found, Table};
use crate::stage::State;
use crate::stage::gate::{Arrival, Kind, Memory, Verdict};

/// A series at a gate, for explanations.
#[derive(Debug, Clone, Copy)]
pub struct AtGate {
    /// What became of its last point.
    pub last: Verdict,
    /// The way of the points that pass.
    pub further: Route,
}

/// What the stages behind one that holds points back start from: what is known of a series that is
/// `new` to the stage, or that it returns. The rest the stage has seen itself.
pub(super) fn known(input: Option<&Input>, new: bool) -> Option<&Input> {
    input.filter(|input| (new && input.seen() != 0) || input.is_returning())
}

impl Arm {
    /// Whether a series is new to the stage that keeps its points, though the stages before know it: they
    /// held its points back for longer than the expiry. Whether its place was freed since says nothing.
    pub(super) fn has_forgotten(
        &self,
        route: &Route,
        identity: u128,
        (now, expiry): (Nanos, Nanos),
    ) -> bool {
        // A way of another plan says nothing: its stages are others, and it is found anew.
        let path = self.path(route);
        let running = path.and_then(|path| self.stages.get(usize::from(path.way.stage)));
        let Some(running) = running else {
            return false;
        };
        let called = self.guises.peek(route.guise).map(|guise| guise.identity);
        let identity = called.unwrap_or(identity);
        match (&running.state, route.place) {
            (State::Every(every), Place::Held(ticket)) => every.is_silent(ticket, now, expiry),
            (State::Gate(_), Place::Slot(slot)) => {
                let entry = running.outputs.as_ref().and_then(|table| table.get(slot));
                let lives = |entry: &Entry| now.saturating_sub(entry.seen) <= expiry;
                !entry.is_some_and(|entry| entry.identity == identity && lives(entry))
            }
            (State::Rewrite(rewriter), Place::Turned(ticket)) => {
                rewriter.slots.has_forgotten(ticket, now, expiry)
            }
            (State::Fold(fold), Place::Fold(ticket)) => fold
                .way_behind(ticket)
                .is_some_and(|further| self.has_forgotten(further, identity, (now, expiry))),
            (State::Aggregate(_), Place::Seat(_)) => self
                .beside(route)
                .is_some_and(|further| self.has_forgotten(further, identity, (now, expiry))),
            _ => false,
        }
    }

    /// A slot at the gate of stage `number`; without one the series passes.
    pub(super) fn slot(
        &mut self,
        number: u16,
        (event, input): (&Event<'_>, Option<&Input>),
        around: &mut Around<'_>,
        way: &mut Way,
        memory: impl FnOnce(&mut Kind) -> Option<Memory>,
    ) -> Option<Place> {
        let series = event.series_view()?;
        let running = self.stages.get_mut(usize::from(number))?;
        let cumulative = is_cumulative(&series.metric);
        let (identity, metric) = event.written();
        let table = outputs(running, around);
        // One that was silent for long is as good as swept.
        let silent = |entry: &Entry| event.clock.saturating_sub(entry.seen) > around.expiry;
        let met = table.find(identity).and_then(|slot| table.get(slot));
        let (forgotten, unmet) = (met.is_some_and(silent), met.is_none());
        let input = known(input, forgotten || unmet).cloned();
        let returning = input.as_ref().is_some_and(Input::is_returning);
        let start = |returning: bool| {
            let blank = || Input::new(event.monotonic(), returning);
            cumulative.then(|| input.clone().unwrap_or_else(blank))
        };
        let found = if event.tracked {
            table.find_or_add(identity, |returning| {
                Entry::new(identity, metric, start(returning))
            })
        } else {
            Found::Full
        };
        let (slot, new) = match found {
            Found::Known(slot) => (slot, false),
            Found::New { series, .. } => (series, true),
            Found::Full => {
                way.notes.push((number, TABLE_FULL));
                if let State::Gate(gate) = &mut running.state {
                    gate.is_full(event.clock);
                }
                return None;
            }
        };
        if let Some(entry) = table.get_mut(slot) {
            entry.seen = event.clock.max(1);
            if forgotten {
                entry.input = start(true);
                // It is new to every stage behind, too: they are asked again.
                entry.routes.baseline.generation = 0;
            }
            // One of which no point has passed returns to the stages behind, too.
            if let Some(blank) = entry.input.as_mut().filter(|i| returning && i.seen() == 0) {
                *blank = Input::new(event.monotonic(), true);
            }
        }
        let State::Gate(gate) = &mut running.state else {
            return None;
        };
        gate.seat(slot, new, memory);
        if forgotten {
            gate.returns(slot);
        }
        if gate.weigh(slot, event.weight) {
            ask_again(&mut running.outputs, identity);
        }
        way.end = End::Gate;
        Some(Place::Slot(slot))
    }

    /// One point at the gate of stage `number`. True if it goes to the output as it is.
    pub(super) fn gated(
        &mut self,
        route: &mut Route,
        number: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let guise = self.guise_of(route, event, around);
        let came = event;
        let event = &came.called(guise.as_ref());
        let (identity, _) = event.written();
        // A slot can expire while the series lives: it is given anew, once.
        for again in [false, true] {
            if again {
                self.seat_again(route, number, came, around);
            }
            let Some(running) = self.stages.get_mut(usize::from(number)) else {
                return false;
            };
            let (State::Gate(gate), Place::Slot(slot)) = (&mut running.state, route.place) else {
                break;
            };
            let Some(entry) = running
                .outputs
                .as_mut()
                .and_then(|table| table.get_mut(slot))
                .filter(|entry| entry.identity == identity)
            else {
                continue;
            };
            let arrival = Arrival {
                view: event.view(),
                seen,
                now: event.now,
                clock: event.clock,
                expiry: around.expiry,
                last: self.ending,
                returns: event.clock.saturating_sub(entry.seen) > around.expiry,
            };
            entry.seen = event.clock.max(1);
            return match gate.decide(slot, &arrival, &mut running.tally) {
                Verdict::Pass => {
                    let weight = gate.weight(slot);
                    let event = Event { weight, ..*event };
                    self.let_through(slot, number, &event, around)
                }
                Verdict::Filtered(_) => false,
                Verdict::Suppressed | Verdict::SampledOut => {
                    if let Some(input) = &mut entry.input {
                        input.lives(event.clock);
                    }
                    false
                }
            };
        }
        // There is no room for a slot.
        self.pass_on(route, number, came, seen, around)
    }

    /// A point that passed goes on, behind the last one that did.
    fn let_through(
        &mut self,
        slot: u32,
        number: u16,
        event: &Event<'_>,
        around: &mut Around<'_>,
    ) -> bool {
        // Stage and table apart: the stages behind are of the same arm.
        let Some((mut table, mut scratch)) = self.take_out(number) else {
            return false;
        };
        let behind = Event {
            entry: number + 1,
            origin: event.origin.rewritten(),
            ..*event
        };
        let kept = match table.get_mut(slot) {
            Some(entry) => self.take_output(entry, &behind, event.clock, &mut scratch, around),
            None => false,
        };
        if let Some(running) = self.stages.get_mut(usize::from(number)) {
            running.outputs = Some(table);
            if let State::Gate(gate) = &mut running.state {
                gate.give_back(scratch);
            }
        }
        kept
    }

    fn take_out(&mut self, number: u16) -> Option<(Box<Table>, Box<crate::input::Scratch>)> {
        let running = self.stages.get_mut(usize::from(number))?;
        let State::Gate(gate) = &mut running.state else {
            return None;
        };
        Some((running.outputs.take()?, gate.lend()))
    }

    /// A series at the gate where its route ends.
    pub fn at_gate(&self, route: &Route) -> Option<AtGate> {
        let Place::Slot(slot) = route.place else {
            return None;
        };
        let running = self.stages.get(usize::from(self.path(route)?.way.stage))?;
        let State::Gate(gate) = &running.state else {
            return None;
        };
        Some(AtGate {
            last: gate.last(slot)?,
            further: running.outputs.as_ref()?.get(slot)?.routes.baseline,
        })
    }

    /// Whether points of a route can go to the output, if need be through gates; and the identity that
    /// transforms give them there, if they do.
    pub(super) fn outlet(&self, route: &Route) -> Option<Option<u128>> {
        let (mut route, mut named) = (*route, None);
        let gate = |route: &Route| self.at_gate(route).map(|at| at.further);
        loop {
            if let Some(further) = gate(&route).or_else(|| self.beside(&route).copied()) {
                route = further;
                continue;
            }
            let way = &self.path(&route)?.way;
            let guise = self.guises.peek(route.guise).map(|guise| guise.identity);
            named = guise.or(named);
            if way.end != End::Rewrite {
                return (way.end == End::Emit).then_some(named);
            }
            named = self.becomes(&route).or(named);
            if let Some(then) = way.then.and_then(|number| self.paths.get(number)) {
                return (then.way.end == End::Emit).then_some(named);
            }
            route = self.further(way.stage, named?)?;
        }
    }
}
