//! What an arm does at a swap.

use super::{Arm, Clock, Running, State};
use crate::reference::Settings;
use crate::reference::document::{Document, Stage};
use crate::reference::folded::Folded;
use crate::reference::point::Point;
use crate::reference::tracker::Tracker;
use std::rc::Rc;

/// What is left of a pipeline that ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// What it wrote.
    pub points: Vec<Point>,
    /// Latest time that was stamped.
    pub cut_at: u64,
    /// What it folded or counted anew.
    pub folded: Folded,
    kept: Vec<Running>,
}

impl Arm {
    /// Ends the stages that `next` does not share (all of them without one), each in its place: what it held goes
    /// through the later stages, whether they end or not.
    pub fn end(&mut self, next: Option<&Document>, clock: Clock) -> Ended {
        let mut ended = Ended {
            cut_at: clock.now,
            ..Ended::default()
        };
        self.ending = true;
        let ends = |stage: &Stage| next.is_none_or(|next| !next.spec.stages.contains(stage));
        for at in 0..self.stages.len() {
            if ends(&self.stages[at].0) {
                let (points, stamp) = self.cut(at, clock.now);
                ended.cut_at = ended.cut_at.max(stamp);
                self.emit_all(at, points, clock, &mut ended.points);
            }
            self.release(at, clock, &mut ended.points);
        }
        self.ending = false;
        self.account.exported += ended.points.len() as u64;
        for (stage, state) in std::mem::take(&mut self.stages) {
            if !ends(&stage) {
                ended.kept.push((stage, state));
            } else if let State::Fold(fold, _) = &state {
                fold.put_folded(&mut ended.folded, clock);
            }
        }
        ended
    }

    /// What stage `at` held at a swap that ends it, and the time that is stamped.
    fn cut(&mut self, at: usize, now: u64) -> (Vec<Point>, u64) {
        let (points, absorbed, stamp) = match &mut self.stages[at].1 {
            State::Filter(_)
            | State::Quantise(_)
            | State::Histogram(_)
            | State::Temporality(_)
            | State::Transform(_) => return (Vec::new(), now),
            State::Aggregate(aggregate, _) => {
                let (points, absorbed, stamp) = aggregate.cut(now);
                (points, aggregate.taken(absorbed), stamp)
            }
            State::Fold(fold, _) => match &mut fold.other {
                None => return (Vec::new(), now),
                Some(other) => {
                    let (points, absorbed, stamp) = other.cut(now);
                    (points, absorbed as i64, stamp)
                }
            },
            State::Sample(sample) => {
                let (points, sampled_out) = sample.cut(now);
                self.account.sampled_out += sampled_out;
                self.account.merged += sample.take_merged();
                return (points, now);
            }
        };
        self.account.merged += absorbed - points.len() as i64;
        (points, stamp)
    }

    /// Goes on with another pipeline, and what of the one before is the same. `folded`: what stages that ended have
    /// folded in what the arm writes.
    pub fn begin(
        &mut self,
        document: Document,
        ended: Ended,
        raw: &Tracker,
        settings: &Rc<Settings>,
        folded: &Folded,
    ) {
        self.fill(document, ended.kept, raw, settings, ended.cut_at, folded);
    }

    /// Outputs that begin from here on start at `time` or later: until then they were another arm's.
    pub fn begin_outputs_at(&mut self, time: u64) {
        for (_, state) in &mut self.stages {
            let aggregate = match state {
                State::Aggregate(aggregate, _) => Some(&mut **aggregate),
                State::Fold(fold, _) => fold.other.as_mut(),
                _ => None,
            };
            if let Some(aggregate) = aggregate {
                aggregate.floor = aggregate.floor.max(time);
            }
        }
    }
}
