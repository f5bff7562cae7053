//! The five functions: `feed`, `tick`, `swap`, `merge` (and `compile`, in its own file).

use crate::Nanos;
use crate::compile::Plan;
use crate::report::Report;
use bytes::Bytes;
use std::sync::Arc;

/// What a node gives its engine at the start. Never changes while it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Node name, written as `phoenix.node` where an output would keep no node key.
    pub node: String,
    /// Resource attribute keys of which an output must keep one.
    pub node_keys: Vec<String>,
    /// Seed of canonical identities: the fleet's, 0 alone and in replay.
    pub fleet_seed: u64,
    /// Seed of the memo's fast keys: random per process; any constant in replay.
    pub memo_seed: u64,
    /// When this node began to observe: start of the process; in replay the smallest point time.
    pub began: Nanos,
    /// Bounds on state and on one request.
    pub limits: Limits,
}

/// Bounds on state and on one request.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Series whose state is kept (inputs, and outputs of one stage).
    pub series: usize,
    /// Elements (messages of any kind) in one request; more refuses it.
    pub elements: usize,
    /// Attributes of one point (or resource, or scope); more rejects the points.
    pub attributes: usize,
    /// Bytes of one attribute value; more rejects the points.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            series: 200_000,
            elements: 1_000_000,
            attributes: 1_024,
            value_bytes: 65_536,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            node: "replay".into(),
            node_keys: [
                "host.name",
                "host.id",
                "k8s.node.name",
                "k8s.pod.uid",
                "service.instance.id",
            ]
            .map(String::from)
            .to_vec(),
            fleet_seed: 0,
            memo_seed: 0,
            began: 0,
            limits: Limits::default(),
        }
    }
}

/// What leaves the engine in one call: a valid `ExportMetricsServiceRequest` an arm.
#[derive(Debug, Clone, Default)]
pub struct Emitted {
    /// To the next hop. In a split both arms' output, one after the other.
    pub out: Bytes,
    /// Points in `out`.
    pub points: u64,
    /// A shadow candidate's output; never to the next hop.
    pub shadow: Bytes,
    /// Points in `shadow`.
    pub shadow_points: u64,
}

/// An accepted request.
#[derive(Debug, Clone, Default)]
pub struct Fed {
    /// Points in the request, rejected ones included.
    pub received: u64,
    /// Points rejected one by one.
    pub rejected: u64,
    /// Why the first of them was.
    pub reason: Option<String>,
    /// What leaves at once.
    pub emitted: Emitted,
}

/// A request refused whole; nothing was changed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not valid protobuf, or a string that is not UTF-8.
    #[error("malformed OTLP at byte {offset}: {what}")]
    Malformed {
        /// Byte offset in the request.
        offset: usize,
        /// What was expected.
        what: &'static str,
    },
    /// More elements than the limit allows.
    #[error("more than {limit} elements in one request; send smaller requests")]
    TooManyElements {
        /// The limit.
        limit: usize,
    },
}

/// Answer to "what happens to this series and why".
#[derive(Debug, Clone, serde::Serialize)]
pub struct Explanation {
    /// Metric name.
    pub metric: String,
    /// Attributes of point, scope and resource, as text.
    pub attributes: Vec<(String, String)>,
    /// `baseline` or `candidate`.
    pub arm: &'static str,
    /// `exported`, `filtered`, `aggregated`, `sampled`, `sampled_out`, `protected`.
    pub fate: String,
    /// Stage id that decides, if one does.
    pub stage: Option<String>,
    /// The rule in that stage (`drop[0]`).
    pub rule: Option<String>,
    /// One sentence.
    pub why: String,
}

/// One worker's engine.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// An engine that runs `plan`. `now` is only a lower bound for windows.
    pub fn new(_settings: Settings, _plan: Arc<Plan>, _now: Nanos) -> Engine {
        Engine {}
    }

    /// Takes one `ExportMetricsServiceRequest` (the same bytes as `MetricsData`).
    ///
    /// # Errors
    /// The request is refused whole and nothing has changed.
    pub fn feed(&mut self, request: &Bytes, _now: Nanos) -> Result<Fed, Refusal> {
        Ok(Fed {
            emitted: Emitted {
                out: request.clone(),
                ..Default::default()
            },
            ..Default::default()
        })
    }

    /// Closes every window with end + lateness <= now and writes its points.
    pub fn tick(&mut self, _now: Nanos) -> Emitted {
        Emitted::default()
    }

    /// Runs another plan from here on. Changed aggregations write a last point stamped `now`;
    /// unchanged stages keep their state; known series are never baselined.
    pub fn swap(&mut self, _plan: Arc<Plan>, _now: Nanos) -> Emitted {
        Emitted::default()
    }

    /// Closes every window, whatever its end: a drain, or the end of a capture.
    pub fn finish(&mut self, _now: Nanos) -> Emitted {
        Emitted::default()
    }

    /// Figures since the last cut; begins anew. With `keep` nothing is reset.
    pub fn cut(&mut self) -> Report {
        Report::default()
    }

    /// Figures since the last cut, without a cut.
    pub fn figures(&self) -> Report {
        Report::default()
    }

    /// What happens to the series that match, from their routes; at most `limit`.
    pub fn explain(
        &self,
        _metric: Option<&str>,
        _attributes: &[(String, String)],
        _limit: usize,
    ) -> Vec<Explanation> {
        Vec::new()
    }

    /// Series whose state is kept, and an estimate of its bytes.
    pub fn state_size(&self) -> (usize, usize) {
        (0, 0)
    }

    /// The plan that runs.
    pub fn plan(&self) -> &Arc<Plan> {
        unreachable_plan()
    }
}

fn unreachable_plan() -> &'static Arc<Plan> {
    static PLAN: std::sync::OnceLock<Arc<Plan>> = std::sync::OnceLock::new();
    PLAN.get_or_init(|| {
        Arc::new(Plan {
            baseline: crate::compile::Pipeline::pass_through(),
            candidate: None,
        })
    })
}
