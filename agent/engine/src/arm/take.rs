//! A point follows its series' route.

use super::{Arm, Around, Event, Origin};
use crate::aggregate::Added;
use crate::input::{Input, Observation};
use crate::route::{End, Place, Route};
use crate::stage::State;
use crate::stage::every::{Arrival, Took};
use crate::wire::index::MetricEntry;

impl Arm {
    /// Follows the route with one point. True if the point goes to the output as it is; one that goes
    /// there under another identity waits among the arm's leaving points.
    #[inline]
    pub fn take(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let samples = self.samples_of(event);
        let Some(path) = self.paths.get_mut(route.path) else {
            return false;
        };
        #[cfg(test)]
        assert_ne!(
            self.panics_at,
            Some(event.point.time),
            "asked for by a test"
        );
        let (end, stage, then) = (path.way.end, path.way.stage, path.way.then);
        let outside = path.way.unassigned;
        if end == End::Other {
            return false;
        }
        path.points += 1;
        let first = route.in_stamp != event.window;
        if first {
            route.in_stamp = event.window;
            path.series += 1;
        }
        if outside {
            path.samples += samples;
        }
        if event.origin == Origin::Received {
            self.came_in(event, first, samples, outside);
            if first && self.entities.is_some() {
                self.entity(event, around);
            }
        }
        match end {
            End::Emit if route.guise != 0 || event.guise.is_some() => {
                self.leaves(route, event, outside, around)
            }
            End::Emit => {
                self.goes_out(route, event, samples, outside);
                true
            }
            End::Hold | End::Absorb => self.stateful(route, stage, event, seen, around),
            End::Gate => self.gated(route, stage, event, seen, around),
            End::Rewrite => self.rewrite(route, (stage, then), event, seen, around),
            End::Fold => self.folded(route, stage, event, seen, around),
            End::Filtered | End::SampledOut | End::Other => false,
        }
    }

    /// A point whose path ends in a stage's state.
    fn stateful(
        &mut self,
        route: &mut Route,
        stage: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let guise = self.guise_of(route, event, around);
        let (came, called) = (event, guise.as_ref().map(|of| event.called(Some(of))));
        let event = called.as_ref().unwrap_or(came);
        // A place can expire while the series lives: it is given anew, once.
        for again in [false, true] {
            if again {
                self.seat_again(route, stage, came, around);
            }
            let Some(running) = self.stages.get_mut(usize::from(stage)) else {
                return false;
            };
            match (&mut running.state, route.place) {
                (State::Aggregate(aggregation), Place::Seat(seat)) => {
                    let keeps = aggregation.keeps_original();
                    match aggregation.add(seat, &event.view(), seen, event.now) {
                        Added::Stale => continue,
                        added if keeps => {
                            running.tally.copied(added);
                            return self.go_beside(route, (stage, seat), came, seen, around);
                        }
                        Added::Absorbed => return false,
                        Added::Dropped(reason) => {
                            *running.tally.dropped.entry(reason).or_default() += 1;
                            return false;
                        }
                        Added::Passes(_) => break,
                    }
                }
                (State::Every(every), Place::Held(ticket)) => {
                    let of = event.index.metrics.get(event.point.metric as usize);
                    let key = event.surroundings_key();
                    every.surround(ticket, key, |shared| event.surroundings(shared));
                    let arrival = Arrival {
                        point: event.written_view(&mut self.body),
                        delta: of.is_some_and(MetricEntry::is_delta),
                        new_epoch: seen.is_some_and(|seen| seen.new_epoch),
                        last: self.ending,
                    };
                    match every.take(ticket, &arrival, event.now, &mut running.tally) {
                        Took::Held => return false,
                        Took::SampledOut => {
                            running.tally.sampled_out += 1;
                            return false;
                        }
                        Took::Passes => break,
                        Took::Stale => {}
                    }
                }
                _ => break,
            }
        }
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            running.tally.passed += 1;
        }
        self.pass_on(route, stage, came, seen, around)
    }

    /// One point goes on from a stage whose state its series usually ends in. Rare: its further way
    /// is found each time.
    pub(super) fn pass_on(
        &mut self,
        route: &mut Route,
        stage: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let (guise, weight) = self.disguised(event, stage, around);
        let event = Event {
            entry: stage + 1,
            guise: guise.as_ref(),
            weight,
            ..*event
        };
        let mut further = Route {
            // Whether it is the series' first in this window, the stages behind know by its output.
            in_stamp: route.out_stamp,
            out_stamp: route.out_stamp,
            ..Route::VOID
        };
        let input = self.released(stage, event.written().0);
        self.resolve(&mut further, &event, input.as_ref(), around);
        let inner = Event {
            origin: Origin::Released,
            ..event
        };
        let kept = self.take(&mut further, &inner, seen, around);
        self.guises.free(further.guise);
        route.out_stamp = further.out_stamp;
        kept
    }

    /// What is known of a series behind the `sample every` of this stage.
    fn released(&self, stage: u16, identity: u128) -> Option<Input> {
        let running = self.stages.get(usize::from(stage))?;
        let State::Every(_) = &running.state else {
            return None;
        };
        let table = running.outputs.as_ref()?;
        table.get(table.find(identity)?)?.input.clone()
    }
}
