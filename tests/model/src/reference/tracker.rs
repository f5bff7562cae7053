//! The last point of every cumulative series of one source: what the node received, what a sample
//! stage released, what an aggregation wrote. It belongs to the source, whatever reads it, so that
//! a swap or a new arm never starts blind.

use super::identity::{Identity, Kind, Temporality};
use super::point::{Data, Point};
use super::progress::Last;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Last points, and who has expired.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    known: BTreeMap<Rc<Identity>, Known>,
    gone: BTreeSet<Rc<Identity>>,
    /// When each series came to the stage whose points this follows.
    met: BTreeMap<Rc<Identity>, u64>,
}

#[derive(Debug, Clone)]
struct Known {
    /// The clock when it last spoke, whatever it said.
    seen: u64,
    last: Option<Last>,
}

/// What was known of a series when a point of it came.
#[derive(Debug, Clone, Default)]
pub struct Before {
    pub last: Option<Last>,
    /// It was known once and has expired since.
    pub returned: bool,
    /// The clock when it last spoke.
    pub seen: Option<u64>,
}

impl Tracker {
    /// What is known before `point`; silence for longer than `expiry` ends it.
    pub fn before(&mut self, point: &Point, now: u64, expiry: u64) -> Before {
        let id = &point.identity;
        if self
            .known
            .get(id)
            .is_some_and(|known| now - known.seen > expiry)
        {
            self.known.remove(id);
            self.gone.insert(id.clone());
        }
        Before {
            last: self.known.get(id).and_then(|known| known.last.clone()),
            returned: self.gone.contains(id),
            seen: self.known.get(id).map(|known| known.seen),
        }
    }

    /// What is known behind a stage that writes each point anew: what it wrote last, or what there was
    /// before it where that is newer (then points went past the stage under another plan).
    pub fn behind_rewrite(
        &mut self,
        point: &Point,
        source: &Before,
        now: u64,
        expiry: u64,
    ) -> Before {
        let own = self.before(point, now, expiry);
        self.remember(point, now);
        let time = |before: &Before| before.last.as_ref().map(|last| last.time);
        if time(source) > time(&own) || own.last.is_none() {
            source.clone()
        } else {
            own
        }
    }

    /// What a reader behind a stage knows: of the series that the stage decides about what it let
    /// go (`released`), of all others what there was before it.
    pub fn behind(&self, decides: impl Fn(&Identity) -> bool, released: &Tracker) -> Tracker {
        let mut all = self.clone();
        all.known.retain(|id, _| !decides(id));
        all.gone.retain(|id| !decides(id));
        let known = released.known.iter().filter(|(id, _)| decides(id));
        all.known
            .extend(known.map(|(id, k)| (id.clone(), k.clone())));
        let gone = released.gone.iter().filter(|id| decides(id));
        all.gone.extend(gone.cloned());
        all.met.clear();
        all
    }

    /// What a reader behind a stage knows that makes other series of some: of those what it wrote, of
    /// the others what there was before it.
    pub fn turned(
        &self,
        turns: impl Fn(&Rc<Identity>) -> Rc<Identity>,
        writes: impl Fn(&Identity) -> bool,
        written: &Tracker,
    ) -> Tracker {
        let mut all = self.clone();
        all.known.retain(|id, _| turns(id) == *id);
        all.gone.retain(|id| turns(id) == *id);
        let known = written.known.iter().filter(|(id, _)| writes(id));
        all.known
            .extend(known.map(|(id, k)| (id.clone(), k.clone())));
        let gone = written.gone.iter().filter(|id| writes(id));
        all.gone.extend(gone.cloned());
        all.met.clear();
        all
    }

    /// Whether anything is known of a series.
    pub fn knows(&self, id: &Identity) -> bool {
        self.known.contains_key(id) || self.gone.contains(id)
    }

    /// A series comes to a stage that holds points back. Whoever reads what the stage lets go starts
    /// from what was known of the series when it first came (or came again after its expiry).
    /// `waits`: points of it wait in the stage.
    pub fn meet(&mut self, id: &Rc<Identity>, before: &Before, at: (u64, u64), waits: bool) {
        let (now, expiry) = at;
        let silent = |seen: &u64| now - *seen > expiry;
        let forgotten = self.met.get(id).is_some_and(silent);
        let new = !waits && (forgotten || !self.met.contains_key(id));
        self.met.insert(id.clone(), now);
        if new {
            self.known.remove(id);
            self.gone.remove(id);
            if let Some(seen) = before.seen {
                let last = before.last.clone();
                self.known.insert(id.clone(), Known { seen, last });
            }
        }
        // One that the stage knew and forgot returns, also where before it nobody had a value of it.
        let returns = before.returned || new && forgotten;
        if returns && self.known.get(id).is_none_or(|known| known.last.is_none()) {
            self.gone.insert(id.clone());
        }
    }

    /// A point of the series was held back: it lives, and says nothing.
    pub fn lives(&mut self, id: &Identity, now: u64) {
        if let Some(known) = self.known.get_mut(id) {
            known.seen = now;
        }
    }

    /// A point of a series was held back by a stage that would have made this of it.
    pub fn lives_as(&mut self, point: &Point, now: u64, expiry: u64) {
        self.before(point, now, expiry);
        self.lives(&point.identity, now);
    }

    /// What a reader behind a transform knows: the same under other names.
    pub fn renamed(&self, renames: impl Fn(&Rc<Identity>) -> Rc<Identity>) -> Tracker {
        let known = self.known.iter().map(|(id, k)| (renames(id), k.clone()));
        Tracker {
            known: known.collect(),
            gone: self.gone.iter().map(&renames).collect(),
            met: Default::default(),
        }
    }

    /// Makes `point` the last one of its series, unless it is not newer or says nothing.
    pub fn remember(&mut self, point: &Point, now: u64) {
        let id = &point.identity;
        let counts = match id.kind {
            Kind::Gauge => false,
            // Sum and count of a summary count up like any counter.
            Kind::Summary => true,
            _ => id.temporality == Temporality::Cumulative,
        };
        if !counts {
            return;
        }
        let known = self.known.entry(id.clone()).or_insert(Known {
            seen: now,
            last: None,
        });
        known.seen = now;
        let last = known.last.as_ref();
        let newer = last.is_none_or(|last| point.time > last.time);
        if point.ended() || !finite(point) || !newer {
            return;
        }
        let gap = last.map_or(0, |last| point.time - last.time);
        known.last = Some(Last {
            start: point.start,
            time: point.time,
            gap,
            data: point.data.clone(),
        });
        self.gone.remove(id);
    }
}

/// Whether the point has a value that can be added.
pub fn finite(point: &Point) -> bool {
    let finite = |sum: Option<f64>| sum.is_none_or(f64::is_finite);
    match &point.data {
        Data::Number(n) => n.as_f64().is_finite(),
        Data::Explicit(e) => finite(e.sum),
        Data::Exponential(e) => finite(e.sum),
        Data::Summary { sum, .. } => sum.is_finite(),
        _ => false,
    }
}
