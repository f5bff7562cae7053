//! The worker: one thread that owns one engine. Everybody else talks to it through a handle.
//!
//! Requests go in by a bounded channel and are answered once the engine and the bounded queue have
//! them. A plan is put into an `ArcSwap` and picked up before the next batch.

pub mod account;
mod core;
pub mod cuts;
mod edges;
mod helper;
mod outlets;
mod run;
mod start;
mod submit;
mod team;

use crate::exporters::queue::Run;
use crate::guard::{Answers, Breach, Watched};
use crate::receivers::budget::Reservation;
use arc_swap::ArcSwap;
use bytes::Bytes;
use phoenix_engine::Nanos;
use phoenix_engine::compile::{Pipeline, Plan};
use phoenix_engine::engine::{Engine, Explanation, Refusal};
use phoenix_engine::ledger::Ledger;
use phoenix_proto::control::WindowReport;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use helper::Helper;
pub use outlets::Outlets;
pub use run::Worker;
pub use start::{Start, spawn};

/// Requests that wait for the worker; more wait at the receivers, inside the in-flight budget.
const REQUESTS: usize = 16;
/// Questions that wait for the worker.
const COMMANDS: usize = 16;

/// The experiment that a plan's candidate belongs to, for the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Unique id; the same as the plan's `Candidate::experiment`.
    pub id: String,
    /// Revision of the experiment.
    pub revision: u64,
    /// Length of a window; windows are aligned to the Unix epoch.
    pub window: Duration,
}

/// What the worker is to run; replaced whole.
#[derive(Debug, Clone)]
pub struct Desired {
    /// One pipeline, or two arms.
    pub plan: Arc<Plan>,
    /// Set while the plan has a candidate.
    pub experiment: Option<Experiment>,
    /// This agent's count of swaps.
    pub generation: u64,
    /// Seed of canonical identities; another one than before begins a new engine.
    pub fleet_seed: u64,
}

impl Desired {
    /// What of an experiment is to run, as its points are told apart.
    pub fn run(&self) -> Option<Run> {
        let of = self.experiment.as_ref()?;
        Some(format!("{}/{}", of.id, of.revision).into())
    }
}

/// What the worker tells the control client, in order.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A window of the experiment is complete: every point of it was accepted or refused.
    Window(Box<WindowReport>),
    /// The agent ended the candidate arm by itself and runs the baseline alone.
    CandidateEnded {
        /// The experiment it belonged to.
        experiment: String,
        /// What harm was seen.
        breach: Box<Breach>,
    },
}

/// A request that is safe: in an accumulator or in the queue.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// Points in the request, rejected ones included.
    pub received: u64,
    /// Points rejected one by one.
    pub rejected: u64,
    /// Why the first of them was.
    pub reason: Option<String>,
}

/// A request that was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// It can never be taken.
    #[error(transparent)]
    Invalid(#[from] Refusal),
    /// The queue is full or memory is short; the sender is to try again.
    #[error("{0}")]
    Full(&'static str),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

impl Refused {
    const QUEUE_FULL: Refused =
        Refused::Full("the queue to the next hop is full; send again later");
    const MEMORY_SHORT: Refused = Refused::Full("memory is near its limit; send again later");
}

/// The worker is not there any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the worker has stopped")]
pub struct Gone;

/// A consistent picture, taken in the worker between two batches. Counts since the process began.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What runs.
    pub desired: Arc<Desired>,
    /// When this node began to observe: counters that started before are baselined.
    pub began: Nanos,
    /// The baseline arm; all traffic where there is no experiment.
    pub baseline: Ledger,
    /// The candidate arm of the present experiment, since it began.
    pub candidate: Option<Ledger>,
    /// The node: the baseline and, of splits, the candidates.
    pub node: Ledger,
    /// Both arms since the candidate began.
    pub watched: Watched,
    /// Uncompressed OTLP fed to the engine.
    pub bytes_in: u64,
    /// Uncompressed OTLP written by the engine for the next hop.
    pub bytes_out: u64,
    /// Distinct series in the last full minute; unknown before its end and while an experiment
    /// cuts shorter windows.
    pub series_in: Option<u64>,
    /// As `series_in`, for what was written.
    pub series_out: Option<u64>,
    /// Stage figures since the last cut, baseline then candidate.
    pub stages: Vec<(&'static str, phoenix_engine::report::StageFigures)>,
    /// Series whose state is kept.
    pub state_series: u64,
    /// Estimate of the bytes of that state.
    pub state_bytes: u64,
    /// Panics of a candidate arm.
    pub panics: u64,
    /// Outputs that met a passing series of the same identity.
    pub identity_conflicts: u64,
}

/// Counters that receivers and worker share; each is written in one place.
#[derive(Debug, Default)]
pub struct Stats {
    /// One of each worker.
    pub workers: Vec<WorkerStats>,
    /// Requests refused whole, for whatever reason.
    pub requests_refused: AtomicU64,
    /// Requests that the engine took.
    pub requests_accepted: AtomicU64,
    /// Reports or notices that nobody fetched in time.
    pub notices_lost: AtomicU64,
    /// Candidate arms that the agent ended by itself.
    pub candidates_ended: AtomicU64,
    /// How long the last of them had done harm when the baseline ran alone again, at most: milliseconds.
    pub rollback_millis: AtomicU64,
    /// Set near the memory limit: nothing is taken in.
    pub memory_short: AtomicBool,
    /// Bytes of memory from which on nothing is taken in; 0 = not watched.
    pub refuse_at: AtomicU64,
}

/// What one worker tells of itself.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Wall clock of its last tick or edge, Unix nanoseconds.
    pub last_tick: AtomicU64,
    /// CPU time of its thread, nanoseconds.
    pub cpu_nanos: AtomicU64,
    /// At most how many points its open windows will write, as it last looked.
    to_write: AtomicU64,
}

impl Stats {
    /// Counters of so many workers.
    pub fn new(workers: usize) -> Stats {
        Stats {
            workers: (0..workers).map(|_| WorkerStats::default()).collect(),
            ..Stats::default()
        }
    }

    /// CPU time of the workers' threads, seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let of = |worker: &WorkerStats| worker.cpu_nanos.load(Ordering::Relaxed);
        self.workers.iter().map(of).sum::<u64>() as f64 / 1e9
    }

    /// Notes what a worker's open windows will write; the sum over all.
    fn to_write(&self, worker: usize, own: u64) -> u64 {
        if let Some(worker) = self.workers.get(worker) {
            worker.to_write.store(own, Ordering::Relaxed);
        }
        let of = |worker: &WorkerStats| worker.to_write.load(Ordering::Relaxed);
        self.workers.iter().map(of).sum()
    }
}

pub(crate) struct Request {
    pub bytes: Bytes,
    /// Points that were left out of `bytes`.
    pub rejected: u64,
    /// Given back when the engine is done with the bytes.
    pub hold: Hold,
    /// One of the parts of a request that was taken as a whole: no worker refuses it.
    pub committed: bool,
    /// The first part, or the only one.
    pub first: bool,
    pub done: oneshot::Sender<Result<Accepted, Refused>>,
}

/// Bytes in flight, given back with the last part of the request.
pub(crate) enum Hold {
    Whole(#[allow(dead_code)] Reservation),
    Part(#[allow(dead_code)] Arc<Reservation>),
}

/// What happens to the series that match?
pub(crate) struct Explain {
    pub metric: Option<String>,
    pub attributes: Vec<(String, String)>,
    pub limit: usize,
    pub answer: oneshot::Sender<Explained>,
}

/// What happens to series that spoke since the first question.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    /// Each series of each arm once.
    pub series: Vec<Explanation>,
    /// For how long every worker that was asked has listened.
    pub listened: Duration,
}

impl Explain {
    /// The worker listens from now on.
    fn answer(self, engine: &mut Engine) {
        engine.listen();
        let metric = self.metric.as_deref();
        let _gone = self.answer.send(Explained {
            series: engine.explain(metric, &self.attributes, self.limit),
            listened: Duration::from_nanos(engine.listened()),
        });
    }
}

pub(crate) enum Command {
    Figures(oneshot::Sender<Figures>),
    Explain(Explain),
    EndCandidate(Box<Breach>),
    Drain(oneshot::Sender<()>),
}

pub(crate) struct Shared {
    pub desired: ArcSwap<Desired>,
    pub wake: Notify,
    pub applied: watch::Sender<u64>,
    pub stats: Stats,
    pub incarnation: String,
    /// Random, so that nobody outside can send all to one worker.
    pub deal_seed: u64,
}

/// Everybody's way to the worker; cheap to clone.
#[derive(Clone)]
pub struct WorkerHandle {
    shared: Arc<Shared>,
    /// Of each worker.
    requests: Arc<[mpsc::Sender<Request>]>,
    /// To worker 0.
    commands: mpsc::Sender<Command>,
    /// To each of the others.
    questions: Arc<[mpsc::Sender<Explain>]>,
    outlets: Outlets,
}

impl WorkerHandle {
    /// Runs another plan from the next batch on; returns its generation once it runs.
    ///
    /// # Errors
    /// The worker has stopped.
    pub async fn swap(&self, plan: Arc<Plan>, experiment: Option<Experiment>) -> Result<u64, Gone> {
        self.replace(|d| Desired {
            plan: plan.clone(),
            experiment: experiment.clone(),
            generation: d.generation + 1,
            fleet_seed: d.fleet_seed,
        })
        .await
    }

    /// Sets the fleet's seed. A changed one begins a new engine: windows are written, counters
    /// are baselined once.
    ///
    /// # Errors
    /// The worker has stopped.
    pub async fn reseed(&self, fleet_seed: u64) -> Result<u64, Gone> {
        self.replace(|d| Desired {
            fleet_seed,
            generation: d.generation + u64::from(d.fleet_seed != fleet_seed),
            ..d.clone()
        })
        .await
    }

    async fn replace(&self, change: impl Fn(&Desired) -> Desired) -> Result<u64, Gone> {
        let mut applied = self.shared.applied.subscribe();
        self.shared.desired.rcu(|d| Arc::new(change(d)));
        let generation = self.shared.desired.load().generation;
        self.shared.wake.notify_one();
        tokio::select! {
            seen = applied.wait_for(|g| *g >= generation) => seen.map(|g| *g).map_err(|_| Gone),
            () = self.commands.closed() => Err(Gone),
        }
    }

    /// What the worker was told to run last.
    pub fn desired(&self) -> Arc<Desired> {
        self.shared.desired.load_full()
    }

    /// A consistent picture of counts and state.
    ///
    /// # Errors
    /// The worker has stopped.
    pub async fn figures(&self) -> Result<Figures, Gone> {
        self.ask(Command::Figures).await
    }

    /// What happens to the series that match and spoke since the first question, and why.
    ///
    /// # Errors
    /// The worker has stopped.
    pub async fn explain(
        &self,
        metric: Option<String>,
        attributes: Vec<(String, String)>,
        limit: usize,
    ) -> Result<Explained, Gone> {
        let question = |answer| Explain {
            metric: metric.clone(),
            attributes: attributes.clone(),
            limit,
            answer,
        };
        let mut found = self
            .ask(|answer| Command::Explain(question(answer)))
            .await?;
        for other in self.questions.iter() {
            if found.series.len() >= limit {
                break;
            }
            let (sender, answer) = oneshot::channel();
            other.send(question(sender)).await.map_err(|_| Gone)?;
            let more = answer.await.map_err(|_| Gone)?;
            found.series.extend(more.series);
            found.listened = found.listened.min(more.listened);
        }
        found.series.truncate(limit);
        Ok(found)
    }

    /// Ends the candidate arm, if one runs; a `Notice::CandidateEnded` follows.
    ///
    /// # Errors
    /// The worker has stopped.
    pub async fn end_candidate(&self, breach: Breach) -> Result<(), Gone> {
        let command = Command::EndCandidate(Box::new(breach));
        self.commands.send(command).await.map_err(|_| Gone)
    }

    /// Failed exports of the stream that a candidate's points are in: a split's is the next hop's, a
    /// shadow's its own, where it has one.
    pub fn export_errors(&self, split: bool) -> Option<u64> {
        let shadow = self.outlets.shadow.as_ref();
        let queue = if split {
            Some(&self.outlets.next_hop)
        } else {
            shadow
        };
        queue.map(|queue| queue.account().errors)
    }

    /// What the next hop has said of what was written, since the process began.
    pub fn answers(&self) -> Answers {
        let account = self.outlets.next_hop.account();
        Answers {
            taken: account.accepted,
            unwanted: account.unwanted,
        }
    }

    /// Takes what waits in the channel, writes every window's last point to the queue, and stops.
    ///
    /// # Errors
    /// The worker had stopped already.
    pub(crate) async fn drain(&self) -> Result<(), Gone> {
        self.ask(Command::Drain).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Gone> {
        let (sender, answer) = oneshot::channel();
        self.commands
            .send(command(sender))
            .await
            .map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Counters of receivers and worker.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Random per process start.
    pub fn incarnation(&self) -> &str {
        &self.shared.incarnation
    }

    /// Whether memory is so short that nothing is taken in.
    pub fn is_memory_short(&self) -> bool {
        self.shared.stats.memory_short.load(Ordering::Relaxed)
    }

    /// Counts a request refused whole.
    pub fn count_refused(&self) {
        self.shared
            .stats
            .requests_refused
            .fetch_add(1, Ordering::Relaxed);
    }

    /// When the worker that has been silent longest last ticked, Unix nanoseconds.
    pub fn last_tick(&self) -> Nanos {
        let of = |worker: &WorkerStats| worker.last_tick.load(Ordering::Relaxed);
        self.shared.stats.workers.iter().map(of).min().unwrap_or(0)
    }

    /// Seed by which resources are dealt: the same for all receivers.
    pub fn deal_seed(&self) -> u64 {
        self.shared.deal_seed
    }
}

fn pass_through() -> Arc<Plan> {
    // Not by `Plan::new`: one pipeline without stages has nothing to refuse.
    Arc::new(Plan {
        baseline: Pipeline::pass_through(),
        candidate: None,
        queries: None,
    })
}
