//! Gates: stages that decide point by point whether a point goes on.
//!
//! Every series that meets a gate has a slot there. Its number is that of the series in the stage's
//! own table (`Running::outputs`), whose entry holds the way behind the gate and, for a cumulative
//! series, the last point that passed: what stands behind sees increments against that one, so that
//! points held back lose nothing. The slot beside it holds what the gate itself remembers.
//!
//! A new kind of gate is one arm of [`Kind`], one of [`Memory`], and its own file.

use super::Tally;
use super::filter::Values;
use super::filter::entities::{Idle, Member};
use super::quiet::{Quiet, Recall};
use crate::Nanos;
use crate::input::{Observation, Scratch};
use crate::route::Rule;
use crate::slab::Slab;
use crate::view::PointView;

/// What kind of gate.
#[derive(Debug)]
pub enum Kind {
    /// A filter that compares values.
    Values(Values),
    /// A filter of whole entities.
    Entities(Box<Idle>),
    /// A sample that holds back what says nothing new.
    Quiet(Box<Quiet>),
}

/// What a gate remembers of one series.
#[derive(Debug, Clone, Copy)]
pub enum Memory {
    /// The list of rules that its points are compared with.
    Values(u32),
    /// Its place in its entity.
    Entities(Member),
    /// The last point that passed.
    Quiet(Recall),
}

/// What becomes of one point.
#[allow(dead_code)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// A rule of a filter drops it: to the stages behind it never was. A series that is dropped for
    /// longer than the expiry has vanished for them.
    Filtered(Rule),
    /// It says nothing new. The series lives on for the stages behind, and the next point that
    /// passes brings them all that was held back.
    Suppressed,
    /// It is not kept. The series lives on, as above.
    SampledOut,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    memory: Memory,
    last: Verdict,
    /// For how many series the increments of the series stand behind the gate.
    weight: f64,
}

/// State of one gate.
#[derive(Debug)]
pub struct Gate {
    kind: Kind,
    /// By number of the series in the stage's table.
    slots: Slab<Option<Slot>>,
    /// For increments behind the gate; out while a point goes on.
    scratch: Option<Box<Scratch>>,
}

/// One point at a gate.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The point.
    pub view: PointView<'a>,
    /// What it says of its series, where the gate asks for it and the series is cumulative.
    pub seen: Option<&'a Observation<'a>>,
    /// The engine's now; of what is written ahead of it the point's time.
    pub now: Nanos,
    /// The engine's now: silence goes by it.
    pub clock: Nanos,
    /// What is silent for longer has vanished.
    pub expiry: Nanos,
    /// A stage that ends wrote it: nothing of its series need come behind it.
    pub last: bool,
    /// The series was silent for longer than the expiry.
    pub returns: bool,
}

impl Gate {
    /// A gate without slots.
    pub fn new(kind: Kind) -> Gate {
        Gate {
            kind,
            slots: Slab::default(),
            scratch: Some(Box::default()),
        }
    }

    /// Whether it wants to know what a point of the series says against the one before it.
    #[inline]
    pub fn observes(&self, series: u32) -> bool {
        let slot = self.slots.get(series as usize).and_then(Option::as_ref);
        match slot.map(|slot| &slot.memory) {
            Some(Memory::Entities(member)) => Idle::observes(member),
            Some(Memory::Quiet(_)) => match &self.kind {
                Kind::Quiet(quiet) => quiet.observes(),
                Kind::Values(_) | Kind::Entities(_) => false,
            },
            Some(Memory::Values(_)) | None => false,
        }
    }

    /// A series found no slot.
    pub fn is_full(&mut self, now: Nanos) {
        match &mut self.kind {
            Kind::Entities(idle) => idle.is_full(now),
            Kind::Values(_) | Kind::Quiet(_) => {}
        }
    }

    /// The filter of whole entities, if it is one.
    pub fn entities(&mut self) -> Option<&mut Idle> {
        match &mut self.kind {
            Kind::Entities(idle) => Some(idle),
            Kind::Values(_) | Kind::Quiet(_) => None,
        }
    }

    /// For how long at least a slot is kept.
    pub fn patience(&self) -> Nanos {
        match &self.kind {
            Kind::Entities(idle) => idle.patience(),
            Kind::Values(_) | Kind::Quiet(_) => 0,
        }
    }

    /// Frees the slots of series that are not `known` any more.
    pub fn sweep(&mut self, known: impl Fn(u32) -> bool) {
        for (series, place) in self.slots.iter_mut().enumerate() {
            if place.is_none() || known(series as u32) {
                continue;
            }
            if let (Some(slot), Kind::Entities(idle)) = (place.take(), &mut self.kind)
                && let Memory::Entities(member) = slot.memory
            {
                idle.leave(&member);
            }
        }
    }

    /// Gives a series a slot. One that it has already stays, unless it is `new` to the table.
    pub fn seat(
        &mut self,
        series: u32,
        new: bool,
        memory: impl FnOnce(&mut Kind) -> Option<Memory>,
    ) {
        let place = series as usize;
        if place >= self.slots.len() {
            self.slots.grow_to(place + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(place)
            && (new || slot.is_none())
        {
            *slot = memory(&mut self.kind).map(|memory| Slot {
                memory,
                last: Verdict::Pass,
                weight: 1.0,
            });
        }
    }

    /// A series was silent for longer than the expiry.
    pub fn returns(&mut self, series: u32) {
        if let Some(Some(slot)) = self.slots.get_mut(series as usize)
            && let Memory::Quiet(recall) = &mut slot.memory
        {
            recall.forget();
        }
    }

    /// Notes for how many series the increments of a series stand; true where that has changed.
    pub fn weigh(&mut self, series: u32, weight: f64) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(series as usize) else {
            return false;
        };
        std::mem::replace(&mut slot.weight, weight) != weight
    }

    /// For how many series the increments of a series stand.
    pub fn weight(&self, series: u32) -> f64 {
        let slot = self.slots.get(series as usize).and_then(Option::as_ref);
        slot.map_or(1.0, |slot| slot.weight)
    }

    /// Decides about one point of the series and counts what does not pass.
    #[inline]
    pub fn decide(&mut self, series: u32, arrival: &Arrival<'_>, tally: &mut Tally) -> Verdict {
        let Some(Some(slot)) = self.slots.get_mut(series as usize) else {
            return Verdict::Pass;
        };
        let verdict = match (&mut self.kind, &mut slot.memory) {
            (Kind::Values(values), Memory::Values(list)) => values.decide(*list, &arrival.view),
            (Kind::Entities(idle), Memory::Entities(member)) => idle.decide(
                member,
                &arrival.view,
                arrival.seen,
                (arrival.clock, arrival.expiry),
            ),
            (Kind::Quiet(quiet), Memory::Quiet(recall)) => quiet.decide(recall, arrival),
            // A slot is of its gate's kind.
            (Kind::Values(_) | Kind::Entities(_) | Kind::Quiet(_), _) => Verdict::Pass,
        };
        slot.last = verdict;
        match verdict {
            Verdict::Pass => {}
            Verdict::Filtered(rule) => tally.filter(rule),
            Verdict::Suppressed => tally.suppressed += 1,
            Verdict::SampledOut => tally.sampled_out += 1,
        }
        verdict
    }

    /// What became of the series' last point.
    pub fn last(&self, series: u32) -> Option<Verdict> {
        self.slots
            .get(series as usize)?
            .as_ref()
            .map(|slot| slot.last)
    }

    /// The scratch, to be given back.
    pub fn lend(&mut self) -> Box<Scratch> {
        self.scratch.take().unwrap_or_default()
    }

    /// Takes the scratch back.
    pub fn give_back(&mut self, scratch: Box<Scratch>) {
        self.scratch = Some(scratch);
    }

    /// An estimate of the bytes it takes, its table not counted.
    pub fn bytes(&self) -> usize {
        let kind = match &self.kind {
            Kind::Entities(idle) => idle.bytes(),
            Kind::Quiet(quiet) => quiet.bytes(),
            Kind::Values(_) => 0,
        };
        kind + self.slots.capacity() * size_of::<Option<Slot>>()
    }
}
