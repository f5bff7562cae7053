//! Bytes inside the comparison, where a plan compares a part of what comes (a split, a scope): those of a
//! request that holds nothing but points inside it. What surrounds points that are inside and points that are
//! not counts as if there were only the former, so that two arms that do the same have the same bytes,
//! whatever one of them has beside. It is measured as it is sent: a resource that comes again and again counts as often, in
//! what came and in what is written point by point, so that nobody saves what is sent all the same. Only the pieces in
//! which a stage writes count as one.

use super::Arm;
use crate::engine::Incoming;
use crate::route::Route;
use crate::splice::ruler::{Frame, Ruler};
use crate::splice::runs::Runs;
use crate::splice::{Kept, Lengths, length};
use crate::wire::index::Index;

/// Which points of a request are whose, and the bytes since the last cut.
#[derive(Debug, Default)]
pub struct Inside {
    /// Of the request at hand, the arm's own points.
    came: Kept,
    /// Of these, those outside the comparison.
    outside: Kept,
    /// Memory of those inside.
    inside: [Kept; 2],
    /// Of what stages wrote and no later one changed, and of points written anew: where a piece ends depends on
    /// what else is in it, so neither must part the other.
    rulers: [Ruler; 2],
    /// Bytes that came in and that were written.
    pub bytes: (u64, u64),
}

impl Inside {
    /// A request of so many points comes.
    pub fn begin(&mut self, points: usize) {
        self.came.clear(points);
        self.outside.clear(points);
    }

    /// Points written anew are about to leave the arm.
    pub fn add_runs(&mut self, runs: &Runs) {
        runs.measure(&mut self.rulers[1]);
    }

    /// All that is written at a time is. It counts as one request: how it is divided is not the same in an arm
    /// that writes more.
    pub fn all_written(&mut self) {
        let written: usize = self.rulers.iter_mut().map(Ruler::take).sum();
        self.bytes.1 += written as u64;
    }

    /// The request has been written in `written` bytes: how many came of it.
    fn weigh(
        &mut self,
        (index, from): (&Index, Incoming<'_>),
        (kept, written): (&Kept, usize),
        lengths: &mut Lengths,
    ) -> usize {
        let mut long = |points: &Kept| match points.count {
            count if count == index.points.len() && index.rejected == 0 => from.request.len(),
            0 => 0,
            _ => length(index, from.data.len(), points, lengths),
        };
        let same = *kept == self.came;
        let came = if same { written } else { long(&self.came) };
        let mut inside = (came, written);
        if self.outside.count > 0 {
            let [all, left] = &mut self.inside;
            all.set_without(&self.came, &self.outside);
            inside.0 = long(all);
            inside.1 = inside.0;
            if !same {
                left.set_without(kept, &self.outside);
                inside.1 = long(left);
            }
        }
        self.bytes.0 += inside.0 as u64;
        self.bytes.1 += inside.1 as u64;
        came
    }
}

impl Arm {
    /// Whether the series of a route is outside the comparison.
    #[inline]
    pub fn is_outside(&self, route: &Route) -> bool {
        let path = self.paths.get(route.path);
        path.is_some_and(|path| path.way.unassigned)
    }

    /// A point of the request at hand is the arm's own.
    #[inline]
    pub fn own(&mut self, number: usize, route: &Route) {
        if self.inside.is_none() {
            return;
        }
        let outside = self.is_outside(route);
        if let Some(inside) = &mut self.inside {
            inside.came.keep(number);
            if outside {
                inside.outside.keep(number);
            }
        }
    }

    /// What stays of the request at hand has been written in `written` bytes.
    pub fn weigh_request(&mut self, index: &Index, from: Incoming<'_>, written: usize) {
        if let Some(inside) = &mut self.inside {
            let left = (&self.kept, written);
            self.bytes_in += inside.weigh((index, from), left, &mut self.lengths) as u64;
        }
    }

    /// These points of what a stage wrote leave the arm, and are inside the comparison.
    pub(super) fn weigh_piece(&mut self, index: &Index, leave: &Kept) {
        let Some(inside) = &mut self.inside else {
            return;
        };
        let mut known = None;
        for (number, point) in index.points.iter().enumerate() {
            if !leave.has(number) {
                continue;
            }
            let frame = match known {
                Some((metric, frame)) if metric == point.metric => Some(frame),
                _ => Frame::of(index, point),
            };
            known = frame.map(|frame| (point.metric, frame));
            if let Some(frame) = frame {
                inside.rulers[0].add(&frame, point.at.field.len());
            }
        }
    }
}
