//! Windows of an experiment: what a report says lies in the stream where the report says it does.

use crate::support::{request, values};
use phoenix_agent::exporters::queue::Queue;
use phoenix_agent::receivers::budget::Budget;
use phoenix_agent::settings::Batch;
use phoenix_agent::worker::{self, Experiment, Notice, Outlets, Start, WorkerHandle};
use phoenix_engine::compile::{Candidate, Division, Pipeline, Plan, compile};
use phoenix_engine::engine::Settings;
use phoenix_engine::ledger::Ledger;
use phoenix_proto::control::{self as proto, WindowReport};
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a next hop took: points of each request. Every `refuse`th request is refused whole.
#[derive(Clone, Default)]
struct Hop(Arc<Mutex<Vec<u64>>>);

impl Hop {
    fn start(queue: Arc<Queue>, refuse: Option<usize>) -> Hop {
        let hop = Hop::default();
        let all = hop.clone();
        let batch = Batch {
            points: 40,
            bytes: 1 << 20,
            timeout: Duration::from_millis(5),
        };
        tokio::spawn(async move {
            let mut count = 0;
            while let Some(request) = queue.next(&batch).await {
                let bytes = request.parts.concat();
                let points = points(&bytes);
                assert_eq!(points, request.points);
                tokio::time::sleep(Duration::from_millis(3)).await;
                count += 1;
                if refuse.is_some_and(|n| count % n == 0) {
                    queue.resolve(&request, request.points, 0);
                } else {
                    all.0.lock().unwrap().push(points);
                    queue.resolve(&request, 0, bytes.len());
                }
            }
        });
        hop
    }

    /// Points in (from, to]; both must be edges of requests.
    fn range(&self, from: u64, to: u64) -> u64 {
        let mut at = 0;
        let mut edges = vec![0];
        for points in self.0.lock().unwrap().iter() {
            at += points;
            edges.push(at);
        }
        assert!(
            edges.contains(&from) && edges.contains(&to),
            "{from} {to} in {edges:?}"
        );
        to - from
    }
}

fn points(bytes: &[u8]) -> u64 {
    type Request = opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    values(&Request::decode(bytes).unwrap()).len() as u64
}

struct World {
    worker: WorkerHandle,
    notices: mpsc::Receiver<Notice>,
    next_hop: Hop,
    shadow: Hop,
}

fn world(refuse: Option<usize>) -> World {
    let queues = [Arc::new(Queue::new(1 << 24)), Arc::new(Queue::new(1 << 24))];
    let (worker, notices, work) = worker::spawn(Start {
        engine: Settings {
            clock: Some(phoenix_agent::limits::reading),
            ..Settings::default()
        },
        plan: Plan::new(Pipeline::pass_through(), None).unwrap(),
        outlets: Outlets {
            next_hop: queues[0].clone(),
            copies: vec![],
            shadow: Some(queues[1].clone()),
            witness: None,
        },
        incarnation: "i".into(),
    });
    tokio::spawn(work.run());
    World {
        worker,
        notices,
        next_hop: Hop::start(queues[0].clone(), refuse),
        shadow: Hop::start(queues[1].clone(), None),
    }
}

/// Baseline passes all, the candidate drops some series.
fn plan(division: Division) -> Arc<Plan> {
    let document = "
apiVersion: phoenix/v1
kind: Pipeline
metadata: { name: c }
spec: { stages: [ { id: cut, filter: { drop: [ { attributes: { series: \"*1\" } } ] } } ] }";
    let candidate = Candidate {
        pipeline: compile(document).unwrap(),
        experiment: "e1".into(),
        division,
        protect: vec![],
        scope: vec![],
    };
    Plan::new(Pipeline::pass_through(), Some(candidate)).unwrap()
}

/// Feeds for a while and gives the windows of the experiment.
async fn run(world: &mut World, division: Division, refuse: bool) -> Vec<WindowReport> {
    let experiment = Experiment {
        id: "e1".into(),
        revision: 1,
        window: Duration::from_millis(500),
    };
    let plan = plan(division);
    world.worker.swap(plan, Some(experiment)).await.unwrap();
    let budget = Budget::new(1 << 24);
    let mut windows = Vec::new();
    for round in 0i64.. {
        let bytes = request(round % 7 * 100..round % 7 * 100 + 50).encode_to_vec();
        world
            .worker
            .submit(bytes.into(), budget.open())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        while let Ok(Notice::Window(window)) = world.notices.try_recv() {
            windows.push(*window);
        }
        let figures = world.worker.figures().await.unwrap();
        assert_eq!(figures.baseline.imbalance(), 0, "{figures:?}");
        assert_eq!(figures.node.imbalance(), 0, "{figures:?}");
        let candidate = figures.candidate.unwrap();
        assert_eq!(candidate.imbalance(), 0, "{candidate:?}");
        if !refuse {
            assert_eq!(figures.node.dropped.get("next_hop"), None);
        }
        if windows.len() == 6 {
            break;
        }
        assert!(round < 1000, "{} windows", windows.len());
    }
    windows
}

fn ledger(arm: &proto::ArmReport) -> Ledger {
    let l = arm.ledger.clone().unwrap();
    Ledger {
        received: l.received,
        exported: l.exported,
        filtered: l.filtered,
        merged: l.merged,
        sampled_out: l.sampled_out,
        suppressed: l.suppressed,
        rejected: l.rejected,
        dropped: l.dropped.into_iter().collect(),
        held: l.held,
    }
}

fn check_frame(windows: &[WindowReport]) {
    let voids: Vec<_> = windows.iter().map(|w| w.void_reason.as_str()).collect();
    assert_eq!(voids[..2], ["start", "warm-up"]);
    for (first, second) in windows.iter().zip(&windows[1..]) {
        assert_eq!(first.end_ms, second.start_ms);
        assert_eq!(second.end_ms - second.start_ms, 500);
        assert_eq!(second.end_ms % 500, 0);
        assert_eq!(first.arms[0].stream_to, second.arms[0].stream_from);
    }
    for window in windows {
        assert_eq!(window.arms.len(), 2);
        for arm in &window.arms {
            assert_eq!(ledger(arm).imbalance(), 0, "{arm:?}");
        }
    }
    check_costs(&windows[2..]);
    // The warm-up's series are looked into; both arms write the resource's attributes.
    let carried = |arm: &proto::ArmReport| arm.attributes.iter().any(|a| a.key == "series");
    assert!(windows[1].arms.iter().all(carried), "{:?}", windows[1]);
    assert!(
        windows[2..]
            .iter()
            .flat_map(|w| &w.arms)
            .all(|arm| arm.attributes.is_empty())
    );
}

/// Each arm costs something, and both together less than the whole process.
fn check_costs(windows: &[WindowReport]) {
    for window in windows {
        let cpu = |arm: &proto::ArmReport| arm.cpu_seconds.expect("measured");
        let arms: f64 = window.arms.iter().map(cpu).sum();
        let shared = window.shared_cpu_seconds.expect("measured");
        assert!(shared > 0.0 && window.arms.iter().all(|arm| cpu(arm) > 0.0));
        assert!(
            arms + shared <= window.cpu_seconds.expect("measured") + 0.01,
            "{window:?}"
        );
        for arm in &window.arms {
            let latency = arm.added_latency.as_ref().expect("measured");
            assert!(latency.count > 0 && latency.max_ns <= latency.sum_ns);
            assert_eq!(latency.counts.iter().sum::<u64>(), latency.count);
        }
    }
}

#[tokio::test]
async fn in_shadow_each_arm_is_found_at_its_own_sink_to_the_point() {
    let mut world = world(None);
    let windows = run(&mut world, Division::Shadow, false).await;
    check_frame(&windows);
    for window in &windows {
        for (arm, hop) in window.arms.iter().zip([&world.next_hop, &world.shadow]) {
            let there = hop.range(arm.stream_from, arm.stream_to);
            assert_eq!(ledger(arm).exported, there, "{:?}", arm.arm());
        }
        let [baseline, candidate] = [&window.arms[0], &window.arms[1]].map(ledger);
        assert_eq!(baseline.received, candidate.received);
        assert_eq!(candidate.received - candidate.filtered, candidate.exported);
    }
    assert!(windows[2..].iter().all(|w| w.void_reason.is_empty()));
    assert!(windows[3].arms[1].ledger.as_ref().unwrap().filtered > 0);
}

#[tokio::test]
async fn in_a_split_both_arms_share_one_stream_to_the_point() {
    let mut world = world(None);
    let division = Division::Split {
        entity: vec!["series".into()],
        percent: 40.0,
    };
    let windows = run(&mut world, division, false).await;
    check_frame(&windows);
    for window in &windows {
        let [baseline, candidate] = [&window.arms[0], &window.arms[1]];
        assert_eq!(baseline.stream_from, candidate.stream_from);
        let there = world
            .next_hop
            .range(baseline.stream_from, baseline.stream_to);
        assert_eq!(
            ledger(baseline).exported + ledger(candidate).exported,
            there
        );
    }
    let both = |f: fn(&Ledger) -> u64| {
        windows[3]
            .arms
            .iter()
            .map(|a| f(&ledger(a)))
            .collect::<Vec<_>>()
    };
    assert!(
        both(|l| l.received).iter().all(|n| *n > 0),
        "both arms saw something"
    );
    // Back to one arm: the node's account keeps what the candidate did.
    let plan = Plan::new(Pipeline::pass_through(), None).unwrap();
    world.worker.swap(plan, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let figures = world.worker.figures().await.unwrap();
    assert!(figures.candidate.is_none());
    for ledger in [&figures.node, &figures.baseline] {
        assert_eq!((ledger.imbalance(), ledger.held), (0, 0), "{ledger:?}");
    }
    let at_the_sink: u64 = world.next_hop.0.lock().unwrap().iter().sum();
    assert_eq!(figures.node.exported, at_the_sink);
    assert!(figures.baseline.exported < at_the_sink);
}

#[tokio::test]
async fn a_window_of_which_the_next_hop_refused_points_says_so() {
    let mut world = world(Some(9));
    let windows = run(&mut world, Division::Shadow, true).await;
    check_frame(&windows);
    let mut refused = 0;
    for window in &windows {
        let arm = &window.arms[0];
        let there = world.next_hop.range(arm.stream_from, arm.stream_to);
        assert_eq!(ledger(arm).exported, there);
        refused += arm
            .ledger
            .as_ref()
            .unwrap()
            .dropped
            .get("next_hop")
            .unwrap_or(&0);
        assert!(window.arms[1].ledger.as_ref().unwrap().dropped.is_empty());
    }
    assert!(refused > 0);
    let windows = run_split_with_refusals().await;
    let void = windows.iter().filter(|w| w.void_reason.contains("refused"));
    assert!(
        void.count() > 0,
        "a split with a refusal cannot be compared"
    );
}

async fn run_split_with_refusals() -> Vec<WindowReport> {
    let mut world = world(Some(9));
    let division = Division::Split {
        entity: vec!["series".into()],
        percent: 40.0,
    };
    let windows = run(&mut world, division, true).await;
    check_frame(&windows);
    windows
}
