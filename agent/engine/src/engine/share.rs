//! Several workers: what one of them gives to worker 0 at an edge, and what comes back.
//!
//! Whole resources are dealt to workers, so that a series is always met by the same engine. Per-series
//! stages close there. Windows of aggregations are handed to worker 0 as partials; it merges them with
//! its own, writes, and takes what it wrote through its later stages, stage after stage, so that an
//! output reaches the same window of the next. An edge has one time for all: a worker's own now may
//! be past it, windows and stamps follow the edge.

use super::{Emitted, Engine, Outs};
use crate::Nanos;
use crate::arm::close::Moment;
use crate::compile::Plan;
use crate::stage::Closing;
use crate::stage::partial::{Decision, Hand, Partial};
use std::sync::Arc;

/// What another worker gives to worker 0 at an edge: of both arms, by stage.
#[derive(Debug, Default)]
pub struct Share {
    due: [Vec<Partial>; 2],
    /// Of stages that a swap ends.
    ending: [Vec<Partial>; 2],
}

/// What worker 0 decided at an edge: of both arms, with the number of the stage in the plan that runs
/// now. Every other worker hears of it before its next edge.
#[derive(Debug, Clone, Default)]
pub struct Decisions([Vec<(usize, Decision)>; 2]);

impl Decisions {
    /// Whether there is nothing to be followed.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }
}

/// What becomes of the windows of both arms' aggregations.
#[derive(Debug, Default)]
pub(super) struct Hands {
    pub due: [Hand; 2],
    pub ending: [Hand; 2],
}

impl Hands {
    fn give() -> Hands {
        let give = || [Hand::Give(Vec::new()), Hand::Give(Vec::new())];
        Hands {
            due: give(),
            ending: give(),
        }
    }

    fn take(shares: Vec<Share>) -> Hands {
        let mut due: [Vec<_>; 2] = Default::default();
        let mut ending: [Vec<_>; 2] = Default::default();
        for share in shares {
            for (all, one) in due.iter_mut().zip(share.due) {
                all.push(one);
            }
            for (all, one) in ending.iter_mut().zip(share.ending) {
                all.push(one);
            }
        }
        Hands {
            due: due.map(Hand::Take),
            ending: ending.map(Hand::Take),
        }
    }

    fn given(self) -> Share {
        let given = |hand| match hand {
            Hand::Give(list) => list,
            Hand::Alone | Hand::Take(_) => Vec::new(),
        };
        Share {
            due: self.due.map(given),
            ending: self.ending.map(given),
        }
    }

    /// Points of a candidate that nobody took.
    fn left(&self) -> u64 {
        self.due[1].left() + self.ending[1].left()
    }
}

impl Engine {
    /// Another worker than 0: closes what is due at the edge `at`. What its own stages wrote leaves
    /// at once; what is merged goes to worker 0.
    pub fn tick_share(&mut self, at: Nanos) -> (Emitted, Share) {
        self.close_share(Closing::Due, at)
    }

    /// As `tick_share`, for every window, whatever its end.
    pub fn finish_share(&mut self, at: Nanos) -> (Emitted, Share) {
        self.close_share(Closing::All, at)
    }

    fn close_share(&mut self, how: Closing, at: Nanos) -> (Emitted, Share) {
        self.advance(at);
        let mut hands = Hands::give();
        let outs = self.close(how, at, &mut hands);
        self.sweep();
        (self.emitted(outs), hands.given())
    }

    /// Another worker than 0: runs another plan from here on, as of the instant that worker 0 named
    /// ([`Engine::swap_instant`]).
    pub fn swap_share(&mut self, plan: Arc<Plan>, at: Nanos) -> (Emitted, Share) {
        self.advance(at);
        let mut hands = Hands::give();
        let emitted = self.swap_by(plan, at, &mut hands);
        (emitted, hands.given())
    }

    /// Worker 0: closes what is due at the edge `at`, together with what every other worker gave at
    /// it. Each of them follows the decisions before its next edge.
    pub fn tick_merge(&mut self, shares: Vec<Share>, at: Nanos) -> (Emitted, Decisions) {
        self.close_merge(Closing::Due, shares, at)
    }

    /// As `tick_merge`, for every window, whatever its end.
    pub fn finish_merge(&mut self, shares: Vec<Share>, at: Nanos) -> (Emitted, Decisions) {
        self.close_merge(Closing::All, shares, at)
    }

    fn close_merge(&mut self, how: Closing, shares: Vec<Share>, at: Nanos) -> (Emitted, Decisions) {
        self.advance(at);
        let mut hands = Hands::take(shares);
        let outs = self.close(how, at, &mut hands);
        if let Some(candidate) = &mut self.candidate {
            candidate.lose(hands.left());
        }
        self.sweep();
        (self.emitted(outs), self.decisions())
    }

    /// Worker 0: runs another plan from here on, as of the same instant as every other worker, whose
    /// shares these are.
    pub fn swap_merge(
        &mut self,
        plan: Arc<Plan>,
        shares: Vec<Share>,
        at: Nanos,
    ) -> (Emitted, Decisions) {
        self.advance(at);
        let mut hands = Hands::take(shares);
        let emitted = self.swap_by(plan, at, &mut hands);
        let left = hands.left();
        match (self.ended.last_mut(), &mut self.candidate) {
            (Some(ended), _) => crate::arm::decide::lose(&mut ended.ledger, left),
            (None, Some(candidate)) => candidate.lose(left),
            (None, None) => {}
        }
        (emitted, self.decisions())
    }

    /// Worker 0: the first instant, at or after `now`, at which every worker can swap alike, whatever
    /// its windows hold.
    pub fn swap_instant(&self, now: Nanos) -> Nanos {
        let arms = || std::iter::once(&self.baseline).chain(&self.candidate);
        let mut at = now;
        loop {
            let next = arms().fold(at, |at, arm| arm.swap_instant(at));
            if next == at {
                return at;
            }
            at = next;
        }
    }

    /// Points that both arms wrote since the last cut.
    pub fn written(&self) -> (u64, u64) {
        let of = |arm: &crate::arm::Arm| arm.ledger().exported;
        (of(&self.baseline), self.candidate.as_ref().map_or(0, of))
    }

    /// Panics of the candidate since the last cut.
    pub fn candidate_panics(&self) -> u64 {
        self.candidate.as_ref().map_or(0, crate::arm::Arm::panics)
    }

    /// Another worker than 0: follows what worker 0 decided at the last edge. What its stages wrote for
    /// that leaves at once.
    pub fn decide(&mut self, decisions: &Decisions) -> Emitted {
        let mut outs = Outs::default();
        let at = Moment {
            now: self.now,
            window: self.window,
        };
        self.both(&mut outs, |arm, node, around, out| {
            if let Some(decided) = decisions.0.get(arm.side) {
                arm.decide(decided, at, node, around, out);
            }
        });
        self.emitted(outs)
    }

    fn decisions(&mut self) -> Decisions {
        let mut decisions = Decisions::default();
        let arms = std::iter::once(&mut self.baseline).chain(&mut self.candidate);
        for (arm, decided) in arms.zip(&mut decisions.0) {
            *decided = arm.decisions();
        }
        decisions
    }
}
