//! `keep_original`: an aggregation takes a copy, and the point goes on as if the stage were not there.
//!
//! The way behind the stage is resolved together with the series' route, while it is known what was
//! known of the series, and kept by the series' seat: a point that passes costs no second resolve.

use super::{Arm, Around, Event};
use crate::aggregate::Seat;
use crate::input::{Input, Observation};
use crate::route::{End, Place, Route};
use crate::stage::State;

/// Ways behind one stage, by the number of the seat.
#[derive(Debug, Default)]
pub struct Beside {
    routes: Vec<(Seat, Route)>,
}

impl Beside {
    /// The way of the series that has this seat.
    pub fn get(&self, seat: Seat) -> Option<&Route> {
        let (of, route) = self.routes.get(seat.number())?;
        (*of == seat).then_some(route)
    }

    fn put(&mut self, seat: Seat, route: Route) {
        let at = seat.number();
        if at >= self.routes.len() {
            self.routes.resize(at + 1, (seat, Route::VOID));
        }
        if let Some(slot) = self.routes.get_mut(at) {
            *slot = (seat, route);
        }
    }

    /// An estimate of the bytes.
    pub fn bytes(&self) -> usize {
        self.routes.capacity() * size_of::<(Seat, Route)>()
    }
}

impl Arm {
    /// Resolves the way behind stage `stage`, if its points go on.
    pub(super) fn resolve_beside(
        &mut self,
        route: &Route,
        stage: u16,
        event: &Event<'_>,
        input: Option<&Input>,
        around: &mut Around<'_>,
    ) {
        let Place::Seat(seat) = route.place else {
            return;
        };
        let Some(running) = self.stages.get(usize::from(stage)) else {
            return;
        };
        if !running.keeps_original() {
            return;
        }
        let known = running.beside.get(seat).copied();
        let mut further = known.unwrap_or(Route {
            // Whether it is the series' first in this window, the stages behind know by its output.
            in_stamp: route.out_stamp,
            ..Route::VOID
        });
        let (guise, weight) = self.disguised(event, stage, around);
        let event = Event {
            guise: guise.as_ref(),
            weight,
            ..behind(event, stage)
        };
        self.resolve(&mut further, &event, input, around);
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            running.beside.put(seat, further);
        }
    }

    /// A point of which the stage has a copy goes on.
    pub(super) fn go_beside(
        &mut self,
        route: &mut Route,
        (stage, seat): (u16, Seat),
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let generation = self.generation;
        let known = |arm: &Arm| {
            let running = arm.stages.get(usize::from(stage))?;
            let further = running.beside.get(seat).copied();
            further.filter(|further| further.generation == generation)
        };
        if known(self).is_none() {
            // The seat was given anew; what is known of the series lies in the stages behind.
            self.resolve_beside(route, stage, event, None, around);
        }
        let Some(mut further) = known(self) else {
            return false;
        };
        further.out_stamp = route.out_stamp;
        let event = &Event {
            // What the stages before this one do to name and weight is still to be told.
            entry: event.entry,
            ..behind(event, stage)
        };
        let kept = self.take(&mut further, event, seen, around);
        route.out_stamp = further.out_stamp;
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            running.beside.put(seat, further);
        }
        kept
    }

    /// The way behind the stage where a route ends, if its points go on there.
    pub fn beside(&self, route: &Route) -> Option<&Route> {
        let path = self.path(route)?;
        let (End::Absorb, Place::Seat(seat)) = (path.way.end, route.place) else {
            return None;
        };
        let running = self.stages.get(usize::from(path.way.stage))?;
        let further = running.beside.get(seat)?;
        (further.generation == self.generation).then_some(further)
    }
}

/// The same point as the stages behind `stage` see it.
fn behind<'a>(event: &Event<'a>, stage: u16) -> Event<'a> {
    Event {
        entry: stage + 1,
        origin: event.origin.rewritten(),
        ..*event
    }
}

impl crate::stage::Running {
    /// Whether what it takes also goes on.
    pub fn keeps_original(&self) -> bool {
        matches!(&self.state, State::Aggregate(aggregation) if aggregation.keeps_original())
    }
}
