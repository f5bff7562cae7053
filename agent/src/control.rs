//! The client of the push protocol: takes desired states, answers with what became of them, reports.
//!
//! `machine` decides and is pure; `session` does what it says; `link` keeps the stream; `plans` and
//! `credential` are the state folder; `outbox` keeps window reports until they are acknowledged;
//! `convert` writes the engine's figures as messages.

mod backoff;
pub mod convert;
mod credential;
mod dial;
mod guarded;
mod link;
pub mod machine;
pub mod outbox;
pub mod plans;
mod session;

use crate::settings::Tls;
use crate::worker::{Notice, WorkerHandle};
use machine::{Effect, Machine};
use phoenix_engine::compile::Plan;
use phoenix_proto::control::Identity;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Default bound of the pause before a lost stream is opened again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// Default pause between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How to reach the control plane, and as whom.
#[derive(Clone)]
pub struct Options {
    /// `http://` or `https://` address.
    pub endpoint: http::Uri,
    /// For https endpoints.
    pub tls: Tls,
    /// File with the enrolment token; needed until there is a credential.
    pub token_file: Option<PathBuf>,
    /// Who this agent is.
    pub identity: Identity,
    /// Labels that assignments select by.
    pub labels: BTreeMap<String, String>,
    /// Version of the agent.
    pub version: String,
    /// Folder of the credential and of plans.
    pub state: PathBuf,
    /// Bound of the pause before a lost stream is opened again.
    pub reconnect_max: Duration,
    /// Pause between two heartbeats.
    pub heartbeat: Duration,
    /// What only the process around the client knows.
    pub vitals: Arc<dyn Fn() -> Vitals + Send + Sync>,
}

/// The process, for heartbeats.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vitals {
    /// Bytes that wait in the exporters' queues.
    pub queue_bytes: u64,
    /// Resident bytes.
    pub rss_bytes: Option<u64>,
    /// CPU time since the start.
    pub cpu_seconds: Option<f64>,
}

/// What others may know about the client.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Whether a stream is open.
    pub connected: bool,
    /// Whether a plan was booted, or a desired state was taken (which may be to pass through).
    pub has_plan: bool,
    /// Why there is no stream.
    pub problem: Option<String>,
}

/// What the state folder gave at the start; the worker is started with its plan and seed.
#[derive(Debug)]
pub struct Boot {
    machine: Machine,
    effects: Vec<Effect>,
    has_plan: bool,
}

impl Boot {
    /// Reads the state folder. Where it cannot be read the agent passes everything through: the
    /// control plane sends the plan again.
    pub fn read(state: &Path) -> Boot {
        let (plans, problem) = match plans::load(state) {
            Ok(plans) => (plans, None),
            Err(problem) => (plans::Plans::default(), Some(problem.to_string())),
        };
        let has_plan = plans.proven.is_some();
        let (machine, mut effects) = Machine::boot(plans);
        effects.extend(problem.map(|text| Effect::Say { loud: true, text }));
        Boot {
            machine,
            effects,
            has_plan,
        }
    }

    /// The plan last proven healthy, else pass-through.
    pub fn plan(&self) -> Arc<Plan> {
        self.machine.plan()
    }

    /// Seed of canonical identities; 0 before the control plane was first reached.
    pub fn fleet_seed(&self) -> u64 {
        self.machine.fleet_seed()
    }
}

/// A running client.
#[derive(Debug)]
pub struct Client {
    /// Ends by itself, soon after the worker has stopped and its last reports are delivered.
    pub task: JoinHandle<()>,
    /// How it stands.
    pub view: watch::Receiver<View>,
}

/// Starts the client. It ends when `notices` does.
pub fn spawn(
    options: Options,
    boot: Boot,
    worker: WorkerHandle,
    notices: mpsc::Receiver<Notice>,
) -> Client {
    let sender = watch::Sender::new(View {
        has_plan: boot.has_plan,
        ..View::default()
    });
    let view = sender.subscribe();
    let task = tokio::spawn(session::run(options, boot, worker, notices, sender));
    Client { task, view }
}

#[cfg(test)]
mod tests;
