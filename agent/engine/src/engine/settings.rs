//! What a node gives its engine at the start, and what a request can be refused for.

use super::meter::Clock;
use crate::Nanos;

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
    /// Bounds on state and on one request; those on state are the whole node's.
    pub limits: Limits,
    /// Which of the node's workers this engine is.
    pub place: Place,
    /// By which arms are measured; without one (in replay) they are not.
    pub clock: Option<Clock>,
    /// For tests of the process around the engine: what goes wrong in a candidate. No setting leads here.
    pub fault: Option<Fault>,
}

/// What goes wrong in a candidate's arm when it takes points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It panics.
    Panic,
    /// Its account has a point too much.
    Ledger,
}

/// Which of a node's workers an engine is. Worker 0 writes what all of them have merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 0.
    pub worker: usize,
    /// How many there are, at least 1.
    pub of: usize,
}

impl Place {
    /// The only worker.
    pub const ALONE: Place = Place { worker: 0, of: 1 };
}

impl Settings {
    /// Whether other workers share this node's series.
    pub fn is_shared(&self) -> bool {
        self.place.of > 1
    }

    /// Whether windows are merged and written elsewhere.
    pub fn is_helper(&self) -> bool {
        self.place.worker > 0
    }

    /// This worker's share of the series whose state is kept.
    pub fn own_series(&self) -> usize {
        self.limits.series.div_ceil(self.place.of.max(1))
    }

    /// Series of one stage here: worker 0 has what earlier stages wrote for all workers.
    pub fn stage_series(&self) -> usize {
        if self.is_helper() {
            self.own_series()
        } else {
            self.limits.series
        }
    }
}

/// Bounds on state and on one request.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Series whose state is kept (inputs, and outputs of one stage).
    pub series: usize,
    /// Elements (messages of any kind, and attributes) in one request; more refuses it.
    pub elements: usize,
    /// Attributes of one point (or resource, or scope); more rejects the points.
    pub attributes: usize,
    /// Bytes of one attribute value, or of a histogram's bounds or counts; more rejects the points.
    pub value_bytes: usize,
    /// Messages inside each other below a request; more refuses it, as the generated types do.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            series: 200_000,
            elements: 1_000_000,
            attributes: 1_024,
            value_bytes: 65_536,
            depth: 100,
        }
    }
}

impl Limits {
    /// Nothing is refused: of what the engine wrote itself.
    pub fn none() -> Limits {
        Limits {
            elements: usize::MAX,
            attributes: usize::MAX,
            value_bytes: usize::MAX,
            depth: u32::MAX,
            ..Limits::default()
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
            place: Place::ALONE,
            clock: None,
            fault: None,
        }
    }
}

/// A request refused whole; nothing was changed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not valid protobuf, or a string that is not UTF-8.
    #[error("malformed OTLP at byte {offset}: expected {what}")]
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
