//! The whole agent: what is started in which order, and how it is drained.
//!
//! Receivers, worker and exporters share a thread (a request is handed on without waking another core),
//! one for each worker; admin pages, plan files, the control client and signals have the main one.

mod listeners;
mod outlets;
mod plans;
mod thread;

use crate::control;
use crate::host::{self, HostError, Scanner};
use crate::receivers::Intake;
use crate::receivers::budget::Budget;
use crate::receivers::serve::{self, Desk, Kind};
use crate::settings::Settings;
use crate::worker::{self, Outlets, Start, WorkerHandle};
use crate::{admin, memory, pipeline_file, receivers};
use listeners::Listeners;
pub use outlets::FILE_QUEUE;
use phoenix_engine::compile::{Pipeline, Plan};
use phoenix_engine::deal::Dealer;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use thread::DataThread;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        /// The setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// An exporter cannot be set up.
    #[error("exporters.{name}: {message}")]
    Exporter {
        /// Which.
        name: &'static str,
        /// What to change.
        message: String,
    },
    /// The host receiver cannot work.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The data thread could not be made.
    #[error("cannot start the worker's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Where a running agent listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// OTLP/gRPC.
    pub grpc: Option<SocketAddr>,
    /// OTLP/HTTP.
    pub http: Option<SocketAddr>,
    /// Admin pages.
    pub admin: SocketAddr,
}

/// What a drain left.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// Points that the next hop accepted since the start.
    pub accepted: u64,
    /// Points that it refused.
    pub refused: u64,
    /// Points that were accepted here and could not be handed on in time.
    pub lost: u64,
}

/// A running agent.
pub struct Agent {
    /// Where it listens.
    pub addresses: Addresses,
    /// Its worker.
    pub worker: WorkerHandle,
    intake: Intake,
    plans: pipeline_file::PlanSource,
    outlets: Outlets,
    stop_receivers: CancellationToken,
    stop_rest: CancellationToken,
    receivers: JoinSet<()>,
    data: JoinSet<&'static str>,
    rest: JoinSet<()>,
    grace: Duration,
    threads: Vec<DataThread>,
}

impl Agent {
    /// Starts everything; returns once it listens.
    ///
    /// # Errors
    /// An address, a file or a certificate that cannot be used.
    pub async fn start(settings: Settings) -> Result<Agent, StartError> {
        let listeners = Listeners::bind(&settings).await?;
        let addresses = listeners.addresses()?;
        let (outlets, exporters) = outlets::exporters(&settings)?;
        let scanner = match &settings.receivers.host {
            Some(host) => Some((Scanner::open(host, &settings.node.name)?, host.every)),
            None => None,
        };
        let boot = settings
            .control_plane
            .as_ref()
            .map(|_| control::Boot::read(plans::state_folder(&settings)));
        let (handle, notices, mut worker) = worker::spawn(Start {
            engine: engine_settings(&settings, boot.as_ref()),
            plan: boot.as_ref().map_or_else(pass_through, control::Boot::plan),
            outlets: outlets.clone(),
            incarnation: format!("{:032x}", rand::random::<u128>()),
        });
        let threads = (0..settings.workers)
            .map(DataThread::start)
            .collect::<Result<Vec<_>, _>>()?;
        let thread = |number: Option<usize>| {
            let thread = threads.get(number.unwrap_or(0)).or(threads.first());
            thread.map_or_else(tokio::runtime::Handle::current, |t| t.handle.clone())
        };
        let mut data = JoinSet::new();
        for helper in worker.take_helpers() {
            let place = thread(Some(helper.number()));
            let work = async move {
                helper.run().await;
                "a worker"
            };
            data.spawn_on(work, &place);
        }
        let work = async move {
            worker.run().await;
            "the worker"
        };
        data.spawn_on(work, &thread(None));
        for exporter in exporters {
            let place = thread(exporter.lane);
            let export = async move {
                exporter.run().await;
                "an exporter"
            };
            data.spawn_on(export, &place);
        }
        let mut agent = Agent {
            addresses,
            intake: intake(&settings, &handle, &Budget::new(settings.limits.in_flight)),
            plans: pipeline_file::PlanSource::default(),
            worker: handle,
            outlets,
            stop_receivers: CancellationToken::new(),
            stop_rest: CancellationToken::new(),
            receivers: JoinSet::new(),
            data,
            rest: JoinSet::new(),
            grace: settings.drain,
            threads,
        };
        agent.follow_plans(&settings, boot, notices).await;
        agent.watch_memory(&settings);
        agent.receive(listeners, &settings);
        if let Some((scanner, every)) = scanner {
            let (intake, stop) = (agent.intake.clone(), agent.stop_receivers.clone());
            agent
                .receivers
                .spawn(host::run(scanner, every, intake, stop));
        }
        if let Some(path) = settings.receivers.file {
            let (intake, stop) = (agent.intake.clone(), agent.stop_receivers.clone());
            agent
                .receivers
                .spawn(receivers::file::run(path, intake, stop));
        }
        Ok(agent)
    }

    fn watch_memory(&mut self, settings: &Settings) {
        self.rest.spawn(memory::watch(
            self.worker.clone(),
            settings.limits.memory,
            self.stop_rest.clone(),
        ));
    }

    fn receive(&mut self, listeners: Listeners, settings: &Settings) {
        let state = admin::State {
            worker: self.worker.clone(),
            outlets: self.outlets.clone(),
            budget: self.intake.budget.clone(),
            plans: self.plans.clone(),
            memory_limit: settings.limits.memory,
        };
        self.rest
            .spawn(admin::serve(listeners.admin, state, self.stop_rest.clone()));
        for (listener, kind) in [(listeners.grpc, Kind::Grpc), (listeners.http, Kind::Http)] {
            let (Some(listener), Some(first)) = (listener, self.threads.first()) else {
                continue;
            };
            let desks = self.threads.iter().map(|thread| Desk {
                runtime: thread.handle.clone(),
                intake: intake(settings, &self.worker, &self.intake.budget),
            });
            let stop = self.stop_receivers.clone();
            let serve = serve::run(listener, kind, desks.collect(), stop);
            self.receivers.spawn_on(serve, &first.handle);
        }
    }

    /// Ends only if a part of the data path ends that must not: a defect, and the end of the agent.
    pub async fn failed(&mut self) -> String {
        match self.data.join_next().await {
            Some(ended) => describe(ended),
            None => std::future::pending().await,
        }
    }

    /// Takes no more in, finishes what is under way, writes every window, empties the queue.
    pub async fn drain(mut self) -> Drained {
        let deadline = Instant::now() + self.grace;
        self.stop_receivers.cancel();
        while self.receivers.join_next().await.is_some() {}
        if self.worker.drain().await.is_err() {
            tracing::error!("the worker had stopped before the drain: its open windows are lost");
        }
        while let Ok(Some(ended)) =
            tokio::time::timeout_at(deadline.into(), self.data.join_next()).await
        {
            if ended.is_err() {
                tracing::error!("{}", describe(ended));
            }
        }
        self.data.abort_all();
        self.stop_rest.cancel();
        while self.rest.join_next().await.is_some() {}
        self.threads.iter_mut().for_each(DataThread::stop);
        let account = self.outlets.next_hop.account();
        Drained {
            accepted: account.accepted,
            refused: account.refused,
            lost: account.waiting(),
        }
    }
}

fn describe(ended: Result<&'static str, JoinError>) -> String {
    match ended {
        Ok(part) => format!("{part} stopped by itself"),
        Err(error) => format!("a part of the data path failed: {error}"),
    }
}

fn pass_through() -> Arc<Plan> {
    Arc::new(Plan {
        baseline: Pipeline::pass_through(),
        candidate: None,
        queries: None,
    })
}

fn intake(settings: &Settings, worker: &WorkerHandle, budget: &Budget) -> Intake {
    let otlp = settings.receivers.otlp.as_ref();
    let dealer = (settings.workers > 1).then(|| {
        let limits = engine_limits(settings);
        Arc::new(Mutex::new(Dealer::new(
            settings.workers,
            worker.deal_seed(),
            limits,
        )))
    });
    Intake {
        worker: worker.clone(),
        budget: budget.clone(),
        max_request: otlp.map_or(16 << 20, |o| o.max_request),
        dealer,
    }
}

fn engine_limits(settings: &Settings) -> phoenix_engine::engine::Limits {
    phoenix_engine::engine::Limits {
        series: settings.limits.series,
        ..Default::default()
    }
}

fn engine_settings(
    settings: &Settings,
    boot: Option<&control::Boot>,
) -> phoenix_engine::engine::Settings {
    phoenix_engine::engine::Settings {
        node: settings.node.name.clone(),
        node_keys: settings.node.keys.clone(),
        fleet_seed: boot.map_or(0, control::Boot::fleet_seed),
        memo_seed: rand::random(),
        began: crate::clock::wall(),
        limits: engine_limits(settings),
        place: phoenix_engine::engine::Place {
            worker: 0,
            of: settings.workers,
        },
        clock: Some(crate::limits::reading),
        fault: None,
    }
}
