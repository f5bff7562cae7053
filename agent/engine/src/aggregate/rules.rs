//! A stage's document and the node's settings, as the data path needs them.

use crate::Nanos;
use crate::compile::{Aggregate, Keys, Rename};
use crate::document::Function;
use crate::engine::Settings;
use crate::view::{MetricType, MetricView, Temporality};
use crate::wire::otlp::{any_value, key_value};
use crate::wire::write;
use std::borrow::Cow;

/// Key of the attribute that names the node where an output keeps none of the node keys.
pub const NODE_KEY: &str = "phoenix.node";

/// How the points of a group add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A gauge.
    Gauge(Function),
    /// A delta sum.
    Delta,
    /// A cumulative monotonic sum: increments into a total of its own.
    Monotonic,
    /// A cumulative sum that may fall: the sum of the latest values.
    Level,
    /// An explicit histogram.
    Explicit {
        /// Delta, not cumulative.
        delta: bool,
    },
    /// An exponential histogram.
    Exponential {
        /// Delta, not cumulative.
        delta: bool,
    },
}

impl Kind {
    /// How a metric's series add up; `None` where they cannot.
    pub fn of(metric: &MetricView<'_>, function: Option<Function>) -> Option<Kind> {
        let delta = metric.temporality == Temporality::Delta;
        let known = metric.temporality != Temporality::Unspecified;
        match metric.kind {
            MetricType::Gauge => function.map(Kind::Gauge),
            MetricType::Sum if delta => Some(Kind::Delta),
            MetricType::Sum if known && metric.monotonic => Some(Kind::Monotonic),
            MetricType::Sum if known => Some(Kind::Level),
            MetricType::Histogram if known => Some(Kind::Explicit { delta }),
            MetricType::ExponentialHistogram if known => Some(Kind::Exponential { delta }),
            _ => None,
        }
    }

    /// Whether an output's point covers just its window.
    pub fn is_delta(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Delta | Explicit { delta: true } | Exponential { delta: true }
        )
    }

    /// Whether values of inputs are added to each other.
    pub fn adds_values(self) -> bool {
        !matches!(
            self,
            Kind::Gauge(Function::Min | Function::Max | Function::Last | Function::Count)
        )
    }
}

/// The rules of one stage on one node.
#[derive(Debug)]
pub struct Rules {
    /// Which attributes stay.
    pub keys: Keys,
    /// Length of a window, not 0.
    pub interval: Nanos,
    /// How long a window waits.
    pub lateness: Nanos,
    /// Silence after which state is freed.
    pub expiry: Nanos,
    /// Of gauges.
    pub function: Option<Function>,
    rename: Option<Rename>,
    /// Resource keys of which an output keeps one, else gets the node's name.
    pub node_keys: Vec<String>,
    /// `phoenix.node` as a `KeyValue` body; `None` where a later tier merges.
    pub node: Option<Vec<u8>>,
    /// Seed of identities.
    pub fleet_seed: u64,
    /// Most outputs, and most members.
    pub limit: usize,
    /// When this node began to observe.
    pub began: Nanos,
}

impl Rules {
    /// The rules of a stage.
    pub fn of(stage: &Aggregate, settings: &Settings) -> Rules {
        Rules {
            keys: stage.keys.clone(),
            interval: stage.interval.max(1),
            lateness: stage.lateness,
            expiry: stage.expiry,
            function: stage.function,
            rename: stage.rename.clone(),
            node_keys: settings.node_keys.clone(),
            node: (!stage.merged_later).then(|| string_attribute(NODE_KEY, &settings.node)),
            fleet_seed: settings.fleet_seed,
            limit: settings.limits.series.max(1),
            began: settings.began,
        }
    }

    /// The output's name.
    pub fn name<'a>(&'a self, metric: &'a str) -> Cow<'a, str> {
        match &self.rename {
            None => Cow::Borrowed(metric),
            Some(rename) => Cow::Owned(rename.apply(metric)),
        }
    }
}

fn string_attribute(key: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::put_str(&mut out, key_value::KEY, key);
    let open = write::begin(&mut out, key_value::VALUE);
    write::put_str(&mut out, any_value::STRING, value);
    write::end(&mut out, open);
    out
}

/// `otel.metric.overflow = true` as a `KeyValue` body.
pub fn overflow_attribute() -> Vec<u8> {
    let mut out = Vec::new();
    write::put_str(&mut out, key_value::KEY, "otel.metric.overflow");
    let open = write::begin(&mut out, key_value::VALUE);
    write::put_uint(&mut out, any_value::BOOL, 1);
    write::end(&mut out, open);
    out
}
