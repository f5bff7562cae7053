//! The whole agent: what is started in which order, and how it is drained.
//!
//! Two threads: receivers, worker and exporters share one (a request is handed on without waking
//! another core); admin pages, plan files, the control client and signals have the main one.

use crate::admin;
use crate::exporters::file::FileSink;
use crate::exporters::otlp::OtlpSink;
use crate::exporters::queue::Queue;
use crate::exporters::{Exporter, Sink};
use crate::memory;
use crate::pipeline_file;
use crate::receivers::Intake;
use crate::receivers::budget::Budget;
use crate::receivers::serve::{self, Kind};
use crate::settings::{Batch, FileExporter, OtlpExporter, Retry, Settings, ShadowExporter};
use crate::worker::{self, Outlets, Start, WorkerHandle};
use phoenix_engine::compile::{Pipeline, Plan};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
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
    outlets: Outlets,
    stop_receivers: CancellationToken,
    stop_rest: CancellationToken,
    receivers: JoinSet<()>,
    data: JoinSet<&'static str>,
    rest: JoinSet<()>,
    grace: Duration,
    thread: DataThread,
}

impl Agent {
    /// Starts everything; returns once it listens.
    ///
    /// # Errors
    /// An address, a file or a certificate that cannot be used.
    pub async fn start(settings: Settings) -> Result<Agent, StartError> {
        let listeners = Listeners::bind(&settings).await?;
        let addresses = listeners.addresses()?;
        let thread = DataThread::start()?;
        let (outlets, exporters) = exporters(&settings)?;
        let plan = Arc::new(Plan {
            baseline: Pipeline::pass_through(),
            candidate: None,
        });
        let start = Start {
            engine: engine_settings(&settings),
            plan,
            outlets: outlets.clone(),
            incarnation: format!("{:032x}", rand::random::<u128>()),
        };
        let (handle, notices, worker) = worker::spawn(start);
        let mut data = JoinSet::new();
        let on = &thread.handle;
        data.spawn_on(
            async move {
                worker.run().await;
                "the worker"
            },
            on,
        );
        for exporter in exporters {
            data.spawn_on(
                async move {
                    exporter.run().await;
                    "an exporter"
                },
                on,
            );
        }
        let intake = Intake {
            worker: handle.clone(),
            budget: Budget::new(settings.limits.in_flight),
            max_request: settings
                .receivers
                .otlp
                .as_ref()
                .map_or(16 << 20, |o| o.max_request),
        };
        let (stop_receivers, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let mut rest = JoinSet::new();
        let plans = pipeline_file::PlanSource::default();
        rest.spawn(memory::watch(
            handle.clone(),
            settings.limits.memory,
            stop_rest.clone(),
        ));
        if let Some(path) = settings.pipeline_file.clone() {
            // The first look is taken before anything is received.
            let mut file = pipeline_file::Watched::new(path, plans.clone());
            file.look(&handle).await;
            let (handle, stop) = (handle.clone(), stop_rest.clone());
            rest.spawn(async move { file.watch(handle, stop).await });
        }
        drop(notices);
        rest.spawn(admin::serve(
            listeners.admin,
            admin::State {
                worker: handle.clone(),
                outlets: outlets.clone(),
                budget: intake.budget.clone(),
                plans,
                memory_limit: settings.limits.memory,
            },
            stop_rest.clone(),
        ));
        let mut receivers = JoinSet::new();
        for (listener, kind) in [(listeners.grpc, Kind::Grpc), (listeners.http, Kind::Http)] {
            if let Some(listener) = listener {
                let run = serve::run(listener, kind, intake.clone(), stop_receivers.clone());
                receivers.spawn_on(run, on);
            }
        }
        Ok(Agent {
            addresses,
            worker: handle,
            outlets,
            stop_receivers,
            stop_rest,
            receivers,
            data,
            rest,
            grace: settings.drain,
            thread,
        })
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
            tracing::error!("the worker had stopped before the drain");
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
        self.thread.stop();
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

fn engine_settings(settings: &Settings) -> phoenix_engine::engine::Settings {
    phoenix_engine::engine::Settings {
        node: settings.node.name.clone(),
        node_keys: settings.node.keys.clone(),
        fleet_seed: 0,
        memo_seed: rand::random(),
        began: crate::clock::wall(),
        limits: phoenix_engine::engine::Limits {
            series: settings.limits.series,
            ..Default::default()
        },
    }
}

struct Listeners {
    grpc: Option<TcpListener>,
    http: Option<TcpListener>,
    admin: TcpListener,
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Listeners, StartError> {
        let otlp = settings.receivers.otlp.as_ref();
        Ok(Listeners {
            grpc: match otlp.and_then(|o| o.grpc) {
                Some(address) => Some(listen("receivers.otlp.grpc", address).await?),
                None => None,
            },
            http: match otlp.and_then(|o| o.http) {
                Some(address) => Some(listen("receivers.otlp.http", address).await?),
                None => None,
            },
            admin: listen("admin", settings.admin).await?,
        })
    }

    fn addresses(&self) -> Result<Addresses, StartError> {
        let of = |l: &Option<TcpListener>| l.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Addresses {
            grpc: of(&self.grpc)?,
            http: of(&self.http)?,
            admin: self.admin.local_addr()?,
        })
    }
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            setting,
            address,
            source,
        })
}

/// The queues and the tasks behind them; the first destination is the one that the ledger follows.
fn exporters(settings: &Settings) -> Result<(Outlets, Vec<Exporter>), StartError> {
    let mut next = Vec::new();
    if let Some(otlp) = &settings.exporters.otlp {
        next.push(otlp_exporter("otlp", otlp.clone())?);
    }
    if let Some(file) = &settings.exporters.file {
        next.push(file_exporter("file", file.clone())?);
    }
    let shadow = match &settings.exporters.shadow {
        Some(ShadowExporter::Otlp(otlp)) => Some(otlp_exporter("shadow", (**otlp).clone())?),
        Some(ShadowExporter::File(file)) => Some(file_exporter("shadow", file.clone())?),
        None => None,
    };
    let mut queues = next.iter().map(|e| e.queue.clone());
    let Some(next_hop) = queues.next() else {
        return Err(StartError::Exporter {
            name: "otlp",
            message: "no exporter is set, so every point would be lost".to_owned(),
        });
    };
    let outlets = Outlets {
        next_hop,
        copies: queues.collect(),
        shadow: shadow.as_ref().map(|e| e.queue.clone()),
    };
    next.extend(shadow);
    Ok((outlets, next))
}

fn otlp_exporter(name: &'static str, otlp: OtlpExporter) -> Result<Exporter, StartError> {
    let queue = Arc::new(Queue::new(otlp.queue_bytes));
    let (batch, retry) = (otlp.batch, otlp.retry);
    let sink = OtlpSink::new(otlp).map_err(|message| StartError::Exporter { name, message })?;
    Ok(Exporter::new(
        name,
        queue,
        Sink::Otlp(Box::new(sink)),
        batch,
        retry,
    ))
}

fn file_exporter(name: &'static str, file: FileExporter) -> Result<Exporter, StartError> {
    let queue = Arc::new(Queue::new(64 << 20));
    let sink = FileSink::open(file).map_err(|message| StartError::Exporter { name, message })?;
    let batch = Batch {
        points: 8192,
        bytes: 1 << 20,
        timeout: Duration::from_millis(200),
    };
    let retry = Retry {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(30),
        give_up: None,
    };
    Ok(Exporter::new(name, queue, Sink::File(sink), batch, retry))
}

/// The thread of the data path and its runtime.
struct DataThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl DataThread {
    fn start() -> std::io::Result<DataThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("phoenix-worker".to_owned())
            .spawn(move || {
                let _ended = runtime.block_on(stopped);
            })?;
        Ok(DataThread {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the worker's thread panicked");
        }
    }
}
