//! The worker's loop: plan, request, tick, question; one at a time, in one task.

use super::account::Account;
use super::core::Core;
use super::cuts::Cuts;
use super::helper::Helper;
use super::team::{Team, next_reply};
use super::{Command, Desired, Experiment, Figures, Notice, Request, pass_through};
use crate::exporters::queue::Account as QueueAccount;
use crate::guard::Breach;
use phoenix_engine::Nanos;
use phoenix_engine::compile::{Division, Plan};
use phoenix_engine::engine::{Engine, Settings};
use phoenix_engine::report::Report;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// How often windows are looked at; a window's points leave at most this late.
const TICK: Duration = Duration::from_millis(200);
/// Worker 0, ready to be run on its thread.
pub struct Worker {
    pub(super) core: Core,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) settings: Settings,
    pub(super) running: Arc<Desired>,
    pub(super) account: Account,
    pub(super) cuts: Cuts,
    /// Panics that were dealt with.
    pub(super) panics_seen: u64,
    /// The others, where there are any.
    pub(super) team: Option<Team>,
    pub(super) helpers: Vec<Helper>,
}

impl Worker {
    /// The other workers, each to be run on a thread of its own.
    pub fn take_helpers(&mut self) -> Vec<Helper> {
        std::mem::take(&mut self.helpers)
    }

    /// Runs until it is drained or every handle is gone.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = self.core.shared.clone();
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Drain(done)) if self.team.is_none() => return self.drain(done),
                    Some(command) => self.answer(command),
                    None => return,
                },
                Some(reply) = next_reply(&mut self.team) => if self.replied(reply) {
                    return;
                },
                () = shared.wake.notified() => self.follow_plan(),
                _ = ticks.tick() => self.tick(),
                Some(request) = self.requests.recv() => self.take(request),
            }
        }
    }

    fn take(&mut self, request: Request) {
        if self.team.is_none() {
            self.follow_plan();
        }
        let now = self.core.clock.now();
        let refusal = if request.committed {
            None
        } else {
            self.core.refusal(now)
        };
        let answer = match refusal {
            Some(refused) => Err(refused),
            None => {
                if self.team.is_none() {
                    self.cut_if_due(now);
                }
                self.core.feed(&request.bytes, now)
            }
        };
        let of_receiver = request.rejected;
        let rejected = self.core.answer(request, answer, of_receiver);
        self.account.reject(rejected);
    }

    fn tick(&mut self) {
        self.core.ticked();
        if self.team.is_some() {
            return self.want_tick();
        }
        self.follow_plan();
        let now = self.core.clock.now();
        self.cut_if_due(now);
        let emitted = self.core.engine.tick(now);
        self.core.emit(emitted);
        self.watch_candidate(0);
        self.settle(now);
    }

    /// Takes up a plan that was put into the swap since the last look.
    pub(super) fn follow_plan(&mut self) {
        let desired = self.core.shared.desired.load();
        if desired.generation == self.running.generation {
            // Asked for what runs already.
            self.core
                .shared
                .applied
                .send_if_modified(|g| std::mem::replace(g, desired.generation) != *g);
            return;
        }
        let desired = arc_swap::Guard::into_inner(desired);
        if self.team.is_some() {
            return self.begin_next();
        }
        let now = self.core.clock.now();
        let emitted = if desired.fleet_seed == self.running.fleet_seed {
            self.core.engine.swap(desired.plan.clone(), now)
        } else {
            let emitted = self.core.engine.swap(pass_through(), now);
            let last = self.core.engine.cut();
            self.reseed(&desired, &last, now);
            emitted
        };
        self.core.emit(emitted);
        let last = self.core.engine.cut();
        self.swapped(now, &last, desired);
    }

    /// Another plan runs: `last` are the figures up to it.
    pub(super) fn swapped(&mut self, now: Nanos, last: &Report, desired: Arc<Desired>) {
        let plans = (&*self.running, &*desired);
        self.cuts
            .swapped(now, last, plans, &mut self.account, &self.core.outlets);
        self.panics_seen = self.account.panics();
        self.core.run = desired.run();
        self.running = desired;
        let applied = &self.core.shared.applied;
        applied.send_replace(self.running.generation);
    }

    /// A new seed changes every identity: windows were written, `last` are the figures up to here; a
    /// new engine begins.
    pub(super) fn reseed(&mut self, desired: &Desired, last: &Report, now: Nanos) {
        self.account.absorb(last, false);
        self.settings.fleet_seed = desired.fleet_seed;
        self.settings.began = now;
        self.core.engine = Engine::new(self.settings.clone(), desired.plan.clone(), now);
    }

    fn cut_if_due(&mut self, now: Nanos) {
        if self.cuts.is_due(now) {
            let report = self.core.engine.cut();
            self.cut(now, &report);
        }
    }

    pub(super) fn cut(&mut self, now: Nanos, report: &Report) {
        self.cuts.cut(
            now,
            report,
            &mut self.account,
            &self.core.shared.stats,
            &self.core.outlets,
        );
    }

    /// Notes what the exporters have settled and hands finished windows over.
    fn settle(&mut self, now: Nanos) {
        if self.is_split() {
            let written = self.core.engine.written();
            self.mark_arms(written);
        }
        self.hand_over(now);
    }

    /// Marks the present place of the stream with what both arms wrote since the last cut.
    pub(super) fn mark_arms(&mut self, written: (u64, u64)) {
        self.account
            .mark_arms(written, &mut self.cuts, &self.core.outlets.next_hop);
    }

    /// Hands finished windows over.
    pub(super) fn hand_over(&mut self, now: Nanos) {
        let outlets = &self.core.outlets;
        for report in self.cuts.settle(now, &mut self.account, outlets) {
            self.notify(Notice::Window(Box::new(report)));
        }
    }

    pub(super) fn is_split(&self) -> bool {
        self.running
            .plan
            .candidate
            .as_ref()
            .is_some_and(|c| matches!(c.division, Division::Split { .. }))
    }

    /// The engine ends an arm that panicked; this notices and says so.
    pub(super) fn watch_candidate(&mut self, elsewhere: u64) {
        if self.running.plan.candidate.is_none() {
            return;
        }
        let since = self.core.engine.candidate_panics() + elsewhere;
        if self.account.panics() + since > self.panics_seen {
            let panics = self.account.panics() + since - self.panics_seen;
            self.end_candidate(Breach::panic(panics, TICK));
        }
    }

    fn end_candidate(&mut self, breach: Breach) {
        let Some(candidate) = &self.running.plan.candidate else {
            return;
        };
        let experiment = candidate.experiment.clone();
        tracing::error!(
            experiment,
            reason = breach.reason,
            "candidate arm ended; the baseline runs alone"
        );
        let Ok(plan) = Plan::new(self.running.plan.baseline.clone(), None) else {
            return;
        };
        self.core.shared.desired.rcu(|d| Desired {
            plan: plan.clone(),
            experiment: None,
            generation: d.generation + 1,
            fleet_seed: d.fleet_seed,
        });
        self.follow_plan();
        self.core
            .shared
            .stats
            .candidates_ended
            .fetch_add(1, Ordering::Relaxed);
        let breach = Box::new(breach);
        self.notify(Notice::CandidateEnded { experiment, breach });
    }

    fn notify(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.core
                .shared
                .stats
                .notices_lost
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    fn answer(&mut self, command: Command) {
        match (command, &mut self.team) {
            (Command::Figures(answer), None) => {
                let _gone = answer.send(self.figures());
            }
            (Command::Figures(answer), Some(team)) => {
                team.questions.push(answer);
                self.begin_next();
            }
            (Command::Explain(question), _) => question.answer(&mut self.core.engine),
            (Command::EndCandidate(breach), _) => self.end_candidate(*breach),
            (Command::Drain(done), None) => drop(done),
            (Command::Drain(done), Some(team)) => {
                team.draining = Some(done);
                self.begin_next();
            }
        }
    }

    fn figures(&mut self) -> Figures {
        let report = self.core.engine.figures();
        let now = self.core.clock.now();
        // What the exporters settled since the last tick belongs into this picture.
        self.settle(now);
        let queue = self.core.outlets.next_hop.account();
        let state = self.core.engine.state_size();
        self.picture(&report, &queue, state)
    }

    /// The world's picture of figures since the last cut, and of the queue at the same moment.
    pub(super) fn picture(
        &self,
        report: &Report,
        queue: &QueueAccount,
        (state_series, state_bytes): (usize, usize),
    ) -> Figures {
        let view = self.account.view(report, queue);
        let stages = |arm: &'static str, stages: &[_]| -> Vec<_> {
            stages.iter().cloned().map(|s| (arm, s)).collect()
        };
        let mut all = stages("baseline", &report.baseline.stages);
        if let Some(candidate) = &report.candidate {
            all.extend(stages("candidate", &candidate.stages));
        }
        let (series_in, series_out) = self.cuts.last_minute();
        Figures {
            desired: self.running.clone(),
            began: self.settings.began,
            baseline: view.baseline,
            candidate: view.candidate,
            node: view.node,
            watched: view.watched,
            bytes_in: view.bytes_in,
            bytes_out: view.bytes_out,
            series_in,
            series_out,
            stages: all,
            state_series: state_series as u64,
            state_bytes: state_bytes as u64,
            panics: view.panics,
            identity_conflicts: view.identity_conflicts,
        }
    }

    /// Takes what was accepted by the channel, writes every window, closes the queues.
    fn drain(mut self, done: oneshot::Sender<()>) {
        self.take_rest();
        let now = self.core.clock.now();
        self.want_nothing();
        self.follow_plan();
        self.settle(now);
        self.core.outlets.close(0);
        let _gone = done.send(());
        // The account lives on in the queues; the process prints it when they are empty.
    }

    /// Takes what was accepted by the channel; no more will come.
    pub(super) fn take_rest(&mut self) {
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.take(request);
        }
    }

    /// A drain is a swap to pass-through.
    pub(super) fn want_nothing(&self) {
        self.core.shared.desired.rcu(|d| Desired {
            plan: pass_through(),
            experiment: None::<Experiment>,
            generation: d.generation + 1,
            fleet_seed: d.fleet_seed,
        });
    }
}
