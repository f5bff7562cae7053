//! Worker 0's side of the edges that several workers share.

use super::team::{Edge, Reply, What};
use super::{Desired, Worker, pass_through};
use crate::exporters::queue::Account as QueueAccount;
use phoenix_engine::Nanos;
use phoenix_engine::engine::Share;
use phoenix_engine::report::Report;
use std::sync::Arc;

impl Worker {
    /// Windows are to be looked at, now or when the edge under way is over.
    pub(super) fn want_tick(&mut self) {
        if let Some(team) = &mut self.team {
            team.tick = true;
        }
        self.begin_next();
    }

    /// Begins what is wanted next, unless an edge is under way.
    pub(super) fn begin_next(&mut self) {
        if self.team.as_ref().is_none_or(|team| team.pending.is_some()) {
            return;
        }
        let Some(edge) = self.next_edge() else { return };
        if let Some(team) = &mut self.team {
            team.begin(edge);
        }
    }

    fn next_edge(&mut self) -> Option<Edge> {
        let now = self.core.clock.now();
        let drains = self.team.as_ref().is_some_and(|t| t.draining.is_some());
        let mut desired = self.core.shared.desired.load_full();
        if drains && desired.generation == self.running.generation {
            self.want_nothing();
            desired = self.core.shared.desired.load_full();
            let sync = self.team.as_mut()?.next_sync();
            let at = self.core.engine.swap_instant(now);
            let what = What::Drain { desired, sync };
            return Some(Edge { at, what });
        }
        if desired.generation != self.running.generation {
            let sync = self.team.as_mut()?.next_sync();
            let at = self.core.engine.swap_instant(now);
            let what = What::Swap { desired, sync };
            return Some(Edge { at, what });
        }
        let (cut, split) = (self.cuts.is_due(now), self.is_split());
        let marks = self.running.experiment.is_some();
        let team = self.team.as_mut()?;
        if !team.questions.is_empty() {
            let what = What::Figures;
            return Some(Edge { at: now, what });
        }
        if !std::mem::take(&mut team.tick) {
            return None;
        }
        let before = (cut && marks).then(|| team.next_sync());
        let after = split.then(|| team.next_sync());
        let what = What::Tick {
            cut,
            syncs: [before, after],
        };
        Some(Edge { at: now, what })
    }

    /// Takes a worker's reply; true once the drain is over.
    pub(super) fn replied(&mut self, reply: Reply) -> bool {
        self.account.reject(reply.rejected);
        let complete = self.team.as_mut().and_then(|team| team.replied(reply));
        let Some((edge, replies)) = complete else {
            return false;
        };
        match edge.what {
            What::Tick { cut, syncs } => self.complete_tick(edge.at, cut, syncs, replies),
            What::Swap { desired, sync } => self.complete_swap(edge.at, desired, sync, replies),
            What::Drain { desired, sync } => {
                self.complete_drain(edge.at, desired, sync, replies);
                return true;
            }
            What::Figures => self.complete_figures(replies),
        }
        self.begin_next();
        false
    }

    fn complete_tick(
        &mut self,
        at: Nanos,
        cut: bool,
        syncs: [Option<u64>; 2],
        replies: Vec<Reply>,
    ) {
        let mut all = Sum::of(replies);
        self.sync(syncs[0]);
        if cut {
            let report = all.report_with(self.core.engine.cut());
            self.cut(at, &report);
        }
        let (emitted, decisions) = self
            .core
            .engine
            .tick_merge(std::mem::take(&mut all.shares), at);
        self.core.emit(emitted);
        if let Some(team) = &self.team {
            team.decide(decisions);
        }
        self.sync(syncs[1]);
        if syncs[1].is_some() {
            let own = self.core.engine.written();
            self.mark_arms((own.0 + all.written.0, own.1 + all.written.1));
        }
        self.watch_candidate(all.panics);
        let now = self.core.clock.now();
        self.hand_over(now);
    }

    fn complete_swap(&mut self, at: Nanos, desired: Arc<Desired>, sync: u64, replies: Vec<Reply>) {
        let mut all = Sum::of(replies);
        let reseeds = desired.fleet_seed != self.running.fleet_seed;
        let plan = if reseeds {
            pass_through()
        } else {
            desired.plan.clone()
        };
        let (emitted, decisions) =
            self.core
                .engine
                .swap_merge(plan, std::mem::take(&mut all.shares), at);
        self.core.emit(emitted);
        let mut last = all.report_with(self.core.engine.cut());
        if reseeds {
            self.reseed(&desired, &last, at);
            last = Report::default();
        } else if let Some(team) = &self.team {
            team.decide(decisions);
        }
        self.sync(Some(sync));
        self.swapped(at, &last, desired);
    }

    fn complete_drain(&mut self, at: Nanos, desired: Arc<Desired>, sync: u64, replies: Vec<Reply>) {
        self.take_rest();
        self.complete_swap(at, desired, sync, replies);
        let now = self.core.clock.now();
        self.hand_over(now);
        self.core.outlets.close(0);
        if let Some(done) = self.team.as_mut().and_then(|team| team.draining.take()) {
            let _gone = done.send(());
        }
    }

    fn complete_figures(&mut self, replies: Vec<Reply>) {
        let mut all = Sum::of(replies);
        let report = all.report_with(self.core.engine.figures());
        let mut queue = self.core.outlets.next_hop.account_of(0);
        queue.add(&all.queue);
        let own = self.core.engine.state_size();
        let state = (own.0 + all.state.0, own.1 + all.state.1);
        let now = self.core.clock.now();
        self.hand_over(now);
        let figures = self.picture(&report, &queue, state);
        let questions = self
            .team
            .as_mut()
            .map(|team| std::mem::take(&mut team.questions));
        for question in questions.into_iter().flatten() {
            let _gone = question.send(figures.clone());
        }
    }

    fn sync(&self, sync: Option<u64>) {
        if let Some(sync) = sync {
            self.core.outlets.sync(0, sync);
        }
    }
}

/// What all the others replied.
#[derive(Default)]
struct Sum {
    shares: Vec<Share>,
    reports: Vec<Report>,
    written: (u64, u64),
    panics: u64,
    queue: QueueAccount,
    state: (usize, usize),
}

impl Sum {
    fn of(replies: Vec<Reply>) -> Sum {
        let mut sum = Sum::default();
        for reply in replies {
            sum.shares.push(reply.share);
            sum.reports.extend(reply.report);
            sum.written.0 += reply.written.0;
            sum.written.1 += reply.written.1;
            sum.panics += reply.panics;
            sum.queue.add(&reply.queue);
            sum.state.0 += reply.state.0;
            sum.state.1 += reply.state.1;
        }
        sum
    }

    /// The node's figures: worker 0's own and theirs.
    fn report_with(&mut self, own: Report) -> Report {
        let mut report = own;
        for other in self.reports.drain(..) {
            report.unite(other);
        }
        report
    }
}
