//! Harm is ended by the agent alone: a limit broken with the server gone, worker and client real.

use super::*;
use crate::receivers::budget::Budget;
use crate::settings::Batch;
use phoenix_engine::engine::Fault;
use phoenix_engine::engine::meter::Reading;
use phoenix_proto::control::{Guardrails, Harm};
use phoenix_proto::otlp::collector::metrics::v1::ExportMetricsServiceRequest;
use phoenix_proto::otlp::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    number_data_point::Value,
};
use prost::Message;
use std::sync::atomic::AtomicU64;

/// In this much harm must have ended.
const CONTRACT: u64 = 5_000;

/// 10 ms pass between two looks.
fn slow() -> Reading {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    let looks = LOOKS.fetch_add(1, Ordering::Relaxed);
    Reading {
        cpu: looks * 10,
        wall: looks * 10_000_000,
    }
}

/// An agent under a server that goes away.
struct Lonely {
    site: Site,
    worker: WorkerHandle,
    client: Client,
    rss: Arc<AtomicU64>,
    shadow: Arc<Queue>,
    next_hop: Arc<Queue>,
    assigned: DesiredState,
}

impl Lonely {
    /// The candidate runs, and nobody listens on the server's port any more.
    async fn with(
        guardrails: Guardrails,
        change: impl FnOnce(&mut ExperimentAssignment),
    ) -> Lonely {
        Lonely::failing(None, guardrails, change).await
    }

    /// The same, and what goes wrong in the candidate.
    async fn failing(
        fault: Option<Fault>,
        guardrails: Guardrails,
        change: impl FnOnce(&mut ExperimentAssignment),
    ) -> Lonely {
        let mut site = Site::start().await;
        let rss = Arc::new(AtomicU64::new(100));
        let (vitals, mut options) = (rss.clone(), site.options());
        options.vitals = Arc::new(move || Vitals {
            rss_bytes: Some(vitals.load(Ordering::Relaxed)),
            ..Vitals::default()
        });
        let boot = Boot::read(&options.state);
        let shadow = Arc::new(Queue::new(1 << 20));
        let next_hop = Arc::new(Queue::new(1 << 24));
        let (worker, notices, task) = worker::spawn(Start {
            engine: phoenix_engine::engine::Settings {
                clock: Some(slow),
                fault,
                ..Default::default()
            },
            plan: boot.plan(),
            outlets: Outlets {
                next_hop: next_hop.clone(),
                copies: vec![],
                shadow: Some(shadow.clone()),
                witness: None,
            },
            incarnation: "i1".into(),
        });
        tokio::spawn(task.run());
        let client = spawn(options, boot, worker.clone(), notices);
        let mut assigned = trial(1, 3_600_000);
        if let Some(experiment) = &mut assigned.experiment {
            experiment.guardrails = Some(guardrails);
            experiment.protect = r#"[{"metric": "b"}]"#.into();
            change(experiment);
        }
        let mut stream = site.stream().await;
        stream.send(FromServer::Desired(assigned.clone())).await;
        while stream.until(PlanState::Active).await.hash != pipeline("b").hash {}
        site.task.abort();
        drop(stream);
        let mut view = client.view.clone();
        let gone = view.wait_for(|v| !v.connected && v.problem.is_some());
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        gone.expect("the stream ends").unwrap();
        Lonely {
            site,
            worker,
            client,
            rss,
            shadow,
            next_hop,
            assigned,
        }
    }

    fn runs(&self) -> bool {
        self.worker.desired().plan.candidate.is_some()
    }

    /// A point of the metric that the candidate drops.
    async fn feed(&self) {
        let point = NumberDataPoint {
            time_unix_nano: crate::clock::wall(),
            value: Some(Value::AsInt(1)),
            ..Default::default()
        };
        let metric = Metric {
            name: "b".into(),
            data: Some(Data::Gauge(Gauge {
                data_points: vec![point],
            })),
            ..Default::default()
        };
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![metric],
                    ..Default::default()
                }],
                ..Default::default()
            }],
        };
        let bytes = request.encode_to_vec().into();
        let hold = Budget::new(1 << 20).open();
        self.worker.submit(bytes, hold).await.unwrap();
    }

    /// Feeds until the baseline runs alone, and gives the status with which the server hears of it. The
    /// experiment's next step does not bring the candidate back.
    async fn ended(mut self, harm: Harm) -> proto::Status {
        let ended = tokio::time::timeout(PATIENCE, async {
            while self.runs() {
                self.feed().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ended.await.expect("the candidate ends");
        let (_, task) = listen(&self.site.server, self.site.address).await;
        self.site.task = task;
        let mut stream = self.site.stream().await;
        let status = stream.until(PlanState::RolledBack).await;
        assert_eq!(
            (status.harm(), status.hash.clone()),
            (harm, pipeline("b").hash)
        );
        assert_eq!(status.active_hash, pipeline("a").hash);
        assert_eq!(
            (status.experiment.as_str(), status.experiment_revision),
            ("e1", 1)
        );
        let took = self.worker.stats().rollback_millis.load(Ordering::Relaxed);
        assert!(took < CONTRACT, "{took} ms");
        let mut next = self.assigned.clone();
        next.revision += 1;
        if let Some(experiment) = &mut next.experiment {
            experiment.experiment_revision += 1;
        }
        stream.send(FromServer::Desired(next)).await;
        let again = stream.until(PlanState::RolledBack).await;
        assert_eq!((again.hash, again.revision), (status.hash.clone(), 2));
        assert!(!self.runs());
        assert!(!self.client.task.is_finished());
        status
    }
}

#[tokio::test]
async fn a_lost_protected_point_ends_the_candidate() {
    let limits = Guardrails {
        protected_retention: Some(1.0),
        ..Guardrails::default()
    };
    let agent = Lonely::with(limits, |_| {}).await;
    assert!(agent.runs(), "nothing came yet");
    let status = agent.ended(Harm::Protected).await;
    assert_eq!((status.measured, status.threshold), (Some(0.0), Some(1.0)));
    assert!(
        status.reason.contains("protected points"),
        "{}",
        status.reason
    );
}

#[tokio::test]
async fn memory_that_grows_ends_the_candidate() {
    let limits = Guardrails {
        max_memory_ratio: Some(1.5),
        ..Guardrails::default()
    };
    let agent = Lonely::with(limits, |_| {}).await;
    agent.rss.store(175, Ordering::Relaxed);
    let status = agent.ended(Harm::Memory).await;
    assert_eq!((status.measured, status.threshold), (Some(1.75), Some(1.5)));
}

#[tokio::test]
async fn failed_exports_of_its_points_end_the_candidate() {
    let limits = Guardrails {
        max_export_errors: Some(2),
        ..Guardrails::default()
    };
    let agent = Lonely::with(limits, |_| {}).await;
    (0..3).for_each(|_| agent.shadow.count_error(0));
    let status = agent.ended(Harm::Export).await;
    assert_eq!((status.measured, status.threshold), (Some(3.0), Some(2.0)));
}

#[tokio::test]
async fn a_next_hop_that_refuses_what_it_writes_ends_the_candidate() {
    let limits = Guardrails {
        end_if_refused: true,
        ..Guardrails::default()
    };
    let whole = |experiment: &mut ExperimentAssignment| {
        (experiment.mode, experiment.percent) = (Mode::Split.into(), 100.0);
    };
    let agent = Lonely::with(limits, whole).await;
    agent.next_hop.push("taken".into(), 10);
    let batch = Batch {
        points: 1,
        bytes: 1,
        timeout: Duration::ZERO,
    };
    let request = agent.next_hop.next(&batch).await.unwrap();
    agent.next_hop.resolve(&request, 0, 1);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(agent.runs());
    let queue = agent.next_hop.clone();
    let refuses = tokio::spawn(async move {
        loop {
            queue.lose(0, 10);
            queue.count_unwanted(0, 10);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let status = agent.ended(Harm::Export).await;
    refuses.abort();
    assert_eq!((status.measured, status.threshold), (Some(1.0), Some(0.5)));
    assert!(status.reason.contains("refuses what"), "{}", status.reason);
}

#[tokio::test]
async fn requests_that_it_holds_up_end_the_candidate() {
    let limits = Guardrails {
        max_added_latency_ns: Some(5_000_000),
        ..Guardrails::default()
    };
    // The whole node: the baseline has no request to be held against.
    let whole = |experiment: &mut ExperimentAssignment| {
        (experiment.mode, experiment.percent) = (Mode::Split.into(), 100.0);
    };
    let agent = Lonely::with(limits, whole).await;
    let status = agent.ended(Harm::Latency).await;
    assert!(status.measured > Some(5e6), "{status:?}");
}

#[tokio::test]
async fn a_panic_and_an_account_that_does_not_balance_end_the_candidate_without_any_limit() {
    for (fault, harm) in [(Fault::Panic, Harm::Panic), (Fault::Ledger, Harm::Ledger)] {
        let limits = Guardrails::default();
        let agent = Lonely::failing(Some(fault), limits, |_| {}).await;
        assert!(agent.runs(), "nothing came yet");
        let status = agent.ended(harm).await;
        assert_eq!(status.threshold, Some(0.0), "{status:?}");
    }
}

#[tokio::test]
async fn memory_beyond_its_limit_ends_the_candidate() {
    let limits = Guardrails {
        max_memory_bytes: Some(300),
        ..Guardrails::default()
    };
    let agent = Lonely::with(limits, |_| {}).await;
    agent.rss.store(301, Ordering::Relaxed);
    let status = agent.ended(Harm::Memory).await;
    assert_eq!(
        (status.measured, status.threshold),
        (Some(301.0), Some(300.0))
    );
}
