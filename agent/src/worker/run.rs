//! The worker's loop: plan, request, tick, question; one at a time, in one task.

use super::account::Account;
use super::cuts::Cuts;
use super::{
    Accepted, COMMANDS, Command, Desired, Experiment, Figures, Notice, REQUESTS, Refused, Request,
    Shared, Stats, WorkerHandle,
};
use crate::clock::Clock;
use crate::exporters::queue::Queue;
use crate::limits;
use arc_swap::ArcSwap;
use phoenix_engine::Nanos;
use phoenix_engine::compile::{Division, Pipeline, Plan};
use phoenix_engine::engine::{Emitted, Engine, Settings};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

/// What writing a point of a window takes until it is in the queue, bytes: its output, made at the
/// first close, and copies on the way. Measured on counters with
/// a few attributes.
const WRITTEN: usize = 2560;
/// Between two looks at memory, nanoseconds.
const LOOK: Nanos = 1_000_000;
/// How often windows are looked at; a window's points leave at most this late.
const TICK: Duration = Duration::from_millis(200);
/// Notices that the control client has not fetched yet.
const NOTICES: usize = 256;

/// Where the engine's output goes.
#[derive(Debug, Clone)]
pub struct Outlets {
    /// The next hop; the ledger follows this one.
    pub next_hop: Arc<Queue>,
    /// Copies of the same stream.
    pub copies: Vec<Arc<Queue>>,
    /// A shadow candidate's output.
    pub shadow: Option<Arc<Queue>>,
}

/// What a worker begins with.
#[derive(Debug)]
pub struct Start {
    /// For the engine.
    pub engine: Settings,
    /// The plan that was booted.
    pub plan: Arc<Plan>,
    /// Where output goes.
    pub outlets: Outlets,
    /// Random per process start.
    pub incarnation: String,
}

/// The worker, ready to be run on its thread.
pub struct Worker {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    commands: mpsc::Receiver<Command>,
    notices: mpsc::Sender<Notice>,
    settings: Settings,
    engine: Engine,
    running: Arc<Desired>,
    outlets: Outlets,
    account: Account,
    cuts: Cuts,
    clock: Clock,
    /// Panics that were dealt with.
    panics_seen: u64,
    /// When memory was last looked at.
    looked: Nanos,
}

/// Makes a worker, the handle to it, and the channel of what it tells the control client.
pub fn spawn(start: Start) -> (WorkerHandle, mpsc::Receiver<Notice>, Worker) {
    let desired = Arc::new(Desired {
        plan: start.plan.clone(),
        experiment: None,
        generation: 0,
        fleet_seed: start.engine.fleet_seed,
    });
    let shared = Arc::new(Shared {
        desired: ArcSwap::new(desired.clone()),
        wake: Notify::new(),
        applied: watch::Sender::new(0),
        stats: Stats::default(),
        incarnation: start.incarnation,
    });
    let (request_sender, requests) = mpsc::channel(REQUESTS);
    let (command_sender, commands) = mpsc::channel(COMMANDS);
    let (notices, notice_receiver) = mpsc::channel(NOTICES);
    let mut clock = Clock::default();
    let now = clock.now();
    let worker = Worker {
        engine: Engine::new(start.engine.clone(), start.plan, now),
        account: Account::default(),
        cuts: Cuts::new(now, shared.incarnation.clone()),
        shared: shared.clone(),
        settings: start.engine,
        outlets: start.outlets,
        running: desired,
        requests,
        commands,
        notices,
        clock,
        panics_seen: 0,
        looked: 0,
    };
    let handle = WorkerHandle {
        shared,
        requests: request_sender,
        commands: command_sender,
    };
    (handle, notice_receiver, worker)
}

impl Worker {
    /// Runs until it is drained or every handle is gone.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = self.shared.clone();
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Drain(done)) => return self.drain(done),
                    Some(command) => self.answer(command),
                    None => return,
                },
                () = shared.wake.notified() => self.follow_plan(),
                _ = ticks.tick() => self.tick(),
                Some(request) = self.requests.recv() => self.take(request),
            }
        }
    }

    fn take(&mut self, request: Request) {
        self.follow_plan();
        let Request {
            bytes,
            rejected,
            hold,
            done,
        } = request;
        let mut answer = self.feed(&bytes);
        if let Ok(accepted) = &mut answer {
            accepted.received += rejected;
            accepted.rejected += rejected;
            self.account.reject(rejected);
            self.shared
                .stats
                .requests_accepted
                .fetch_add(1, Ordering::Relaxed);
        }
        drop((bytes, hold));
        // A sender that has gone away may send again: the points are counted where they are.
        let _gone = done.send(answer);
    }

    fn feed(&mut self, bytes: &bytes::Bytes) -> Result<Accepted, Refused> {
        if self.is_full() {
            return Err(Refused::Full(
                "the queue to the next hop is full; send again later",
            ));
        }
        let now = self.clock.now();
        if self.is_memory_short(now) {
            return Err(Refused::Full("memory is near its limit; send again later"));
        }
        self.cut_if_due(now);
        let fed = self.engine.feed(bytes, now)?;
        self.emit(fed.emitted);
        Ok(Accepted {
            received: fed.received,
            rejected: fed.rejected,
            reason: fed.reason,
        })
    }

    /// The watch looks twenty times a second; a flood of new series fills a small node between two
    /// looks, so that the worker looks as well.
    fn is_memory_short(&mut self, now: Nanos) -> bool {
        let stats = &self.shared.stats;
        let refuse_at = stats.refuse_at.load(Ordering::Relaxed);
        if refuse_at > 0 && now.saturating_sub(self.looked) > LOOK {
            self.looked = now;
            // Open windows are written while their state is still there.
            let reserve = (self.engine.to_write() * WRITTEN) as u64;
            if limits::private().is_some_and(|used| used as u64 + reserve >= refuse_at) {
                stats.memory_short.store(true, Ordering::Relaxed);
            }
        }
        stats.memory_short.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.outlets.next_hop.is_full() || self.outlets.copies.iter().any(|q| q.is_full())
    }

    fn emit(&self, emitted: Emitted) {
        for copy in &self.outlets.copies {
            copy.push(emitted.out.clone(), emitted.points);
        }
        self.outlets.next_hop.push(emitted.out, emitted.points);
        if let Some(shadow) = &self.outlets.shadow {
            // The shadow arm must never slow the baseline: what does not fit is lost and counted.
            if shadow.is_full() {
                shadow.lose(emitted.shadow_points);
            } else {
                shadow.push(emitted.shadow, emitted.shadow_points);
            }
        }
    }

    fn tick(&mut self) {
        self.follow_plan();
        let now = self.clock.now();
        self.cut_if_due(now);
        let emitted = self.engine.tick(now);
        self.emit(emitted);
        self.watch_candidate();
        self.settle(now);
        let stats = &self.shared.stats;
        stats.last_tick.store(now, Ordering::Relaxed);
        let cpu = (limits::thread_cpu() * 1e9) as u64;
        stats.cpu_nanos.store(cpu, Ordering::Relaxed);
    }

    /// Takes up a plan that was put into the swap since the last look.
    fn follow_plan(&mut self) {
        let desired = self.shared.desired.load();
        if desired.generation == self.running.generation {
            // Asked for what runs already.
            self.shared
                .applied
                .send_if_modified(|g| std::mem::replace(g, desired.generation) != *g);
            return;
        }
        let desired = arc_swap::Guard::into_inner(desired);
        let now = self.clock.now();
        let emitted = if desired.fleet_seed == self.running.fleet_seed {
            self.engine.swap(desired.plan.clone(), now)
        } else {
            self.reseed(&desired, now)
        };
        self.emit(emitted);
        let last = self.engine.cut();
        let plans = (&*self.running, &*desired);
        self.cuts
            .swapped(now, &last, plans, &mut self.account, &self.outlets);
        self.panics_seen = self.account.panics();
        self.running = desired;
        self.shared.applied.send_replace(self.running.generation);
    }

    /// A new seed changes every identity: windows are written and a new engine begins.
    fn reseed(&mut self, desired: &Desired, now: Nanos) -> Emitted {
        let pass = pass_through();
        let emitted = self.engine.swap(pass, now);
        self.account.absorb(&self.engine.cut(), false);
        self.settings.fleet_seed = desired.fleet_seed;
        self.settings.began = now;
        self.engine = Engine::new(self.settings.clone(), desired.plan.clone(), now);
        emitted
    }

    fn cut_if_due(&mut self, now: Nanos) {
        if self.cuts.is_due(now) {
            let report = self.engine.cut();
            self.cuts.cut(
                now,
                &report,
                &mut self.account,
                &self.shared.stats,
                &self.outlets,
            );
        }
    }

    /// Notes what the exporters have settled and hands finished windows over.
    fn settle(&mut self, now: Nanos) {
        let split = self.is_split();
        if split {
            let figures = self.engine.figures();
            self.account
                .mark_arms(&figures, &mut self.cuts, &self.outlets.next_hop);
        }
        for report in self.cuts.settle(now, &mut self.account, &self.outlets) {
            self.notify(Notice::Window(Box::new(report)));
        }
    }

    fn is_split(&self) -> bool {
        self.running
            .plan
            .candidate
            .as_ref()
            .is_some_and(|c| matches!(c.division, Division::Split { .. }))
    }

    /// The engine ends an arm that panicked; this notices and says so.
    fn watch_candidate(&mut self) {
        if self.running.plan.candidate.is_none() {
            return;
        }
        let since = self.engine.figures().candidate.map_or(0, |c| c.panics);
        if self.account.panics() + since > self.panics_seen {
            self.end_candidate("the candidate pipeline panicked".to_owned());
        }
    }

    fn end_candidate(&mut self, reason: String) {
        let Some(candidate) = &self.running.plan.candidate else {
            return;
        };
        let experiment = candidate.experiment.clone();
        tracing::error!(
            experiment,
            reason,
            "candidate arm ended; the baseline runs alone"
        );
        let Ok(plan) = Plan::new(self.running.plan.baseline.clone(), None) else {
            return;
        };
        self.shared.desired.rcu(|d| Desired {
            plan: plan.clone(),
            experiment: None,
            generation: d.generation + 1,
            fleet_seed: d.fleet_seed,
        });
        self.follow_plan();
        self.shared
            .stats
            .candidates_ended
            .fetch_add(1, Ordering::Relaxed);
        self.notify(Notice::CandidateEnded { experiment, reason });
    }

    fn notify(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.shared
                .stats
                .notices_lost
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    fn answer(&mut self, command: Command) {
        match command {
            Command::Figures(answer) => {
                let _gone = answer.send(self.figures());
            }
            Command::Explain {
                metric,
                attributes,
                limit,
                answer,
            } => {
                let found = self.engine.explain(metric.as_deref(), &attributes, limit);
                let _gone = answer.send(found);
            }
            Command::EndCandidate { reason } => self.end_candidate(reason),
            Command::Drain(done) => drop(done),
        }
    }

    fn figures(&mut self) -> Figures {
        let report = self.engine.figures();
        let now = self.clock.now();
        // What the exporters settled since the last tick belongs into this picture.
        self.settle(now);
        let view = self.account.view(&report, &self.outlets.next_hop);
        let stages = |arm: &'static str, stages: &[_]| -> Vec<_> {
            stages.iter().cloned().map(|s| (arm, s)).collect()
        };
        let mut all = stages("baseline", &report.baseline.stages);
        if let Some(candidate) = &report.candidate {
            all.extend(stages("candidate", &candidate.stages));
        }
        let (state_series, state_bytes) = self.engine.state_size();
        let (series_in, series_out) = self.cuts.last_minute();
        Figures {
            desired: self.running.clone(),
            began: self.settings.began,
            baseline: view.baseline,
            candidate: view.candidate,
            node: view.node,
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
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.take(request);
        }
        let now = self.clock.now();
        self.shared.desired.rcu(|d| Desired {
            plan: pass_through(),
            experiment: None::<Experiment>,
            generation: d.generation + 1,
            fleet_seed: d.fleet_seed,
        });
        self.follow_plan();
        self.settle(now);
        for queue in self.outlets.copies.iter().chain(&self.outlets.shadow) {
            queue.close();
        }
        self.outlets.next_hop.close();
        let _gone = done.send(());
        // The account lives on in the queues; the process prints it when they are empty.
    }
}

fn pass_through() -> Arc<Plan> {
    // Not by `Plan::new`: one pipeline without stages has nothing to refuse.
    Arc::new(Plan {
        baseline: Pipeline::pass_through(),
        candidate: None,
    })
}
