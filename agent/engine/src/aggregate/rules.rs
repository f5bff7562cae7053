//! A stage's document and the node's settings, as the data path needs them.

use crate::Nanos;
use crate::compile::{Aggregate, EXTRACTED_COUNT, EXTRACTED_SUM, Functions, Keys, Rename};
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
    /// How a metric's series add up under these rules; `None` where they do not.
    pub fn of(metric: &MetricView<'_>, rules: &Rules) -> Option<Kind> {
        Kind::by(metric, &rules.functions, rules.extracts)
    }

    /// The same where gauges have these functions, and summaries are extracted or not.
    pub fn by(metric: &MetricView<'_>, functions: &Functions, extracts: bool) -> Option<Kind> {
        let delta = metric.temporality == Temporality::Delta;
        let known = metric.temporality != Temporality::Unspecified;
        match metric.kind {
            MetricType::Gauge => functions.of(metric.name).map(Kind::Gauge),
            MetricType::Summary => extracts.then_some(Kind::Monotonic),
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

    /// Whether what an input adds stands for series that were not kept: levels and gauges say only
    /// what they are.
    pub fn is_weighted(self) -> bool {
        !matches!(self, Kind::Gauge(_) | Kind::Level)
    }

    /// Whether values of inputs are added to each other.
    pub fn adds_values(self) -> bool {
        !matches!(
            self,
            Kind::Gauge(Function::Min | Function::Max | Function::Last | Function::Count)
        )
    }
}

/// What of an input an output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Of a summary: the sum.
    Sum,
    /// Of a summary: the count.
    Count,
}

impl Part {
    /// What is added to the output's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Part::Whole => "",
            Part::Sum => EXTRACTED_SUM,
            Part::Count => EXTRACTED_COUNT,
        }
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
    functions: Functions,
    /// Summaries become two sums.
    extracts: bool,
    /// What is taken in also goes on.
    pub keep_original: bool,
    rename: Option<Rename>,
    /// Whether increments of sampled series count for those that were not kept.
    pub weighted: bool,
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
    /// Other workers have inputs of the same outputs.
    pub shared: bool,
    /// An attribute that every output gets, as a `KeyValue` body.
    pub mark: Option<Vec<u8>>,
    /// Gauges are written under another name.
    pub gauge_rename: Option<Rename>,
}

impl Rules {
    /// The rules of a stage.
    pub fn of(stage: &Aggregate, settings: &Settings) -> Rules {
        Rules {
            keys: stage.keys.clone(),
            interval: stage.interval.max(1),
            lateness: stage.lateness,
            expiry: stage.expiry,
            functions: stage.functions.clone(),
            extracts: stage.extracts,
            keep_original: stage.keep_original,
            rename: stage.rename.clone(),
            weighted: stage.weighted,
            node_keys: settings.node_keys.clone(),
            node: (!stage.merged_later).then(|| string_attribute(NODE_KEY, &settings.node)),
            fleet_seed: settings.fleet_seed,
            limit: settings.stage_series().max(1),
            began: settings.began,
            shared: settings.is_shared(),
            mark: None,
            gauge_rename: None,
        }
    }

    /// The output's name.
    pub fn name<'a>(&'a self, metric: &'a str, (kind, part): (Kind, Part)) -> Cow<'a, str> {
        let gauges = self.gauge_rename.as_ref();
        let of_gauges = gauges.filter(|_| matches!(kind, Kind::Gauge(_)));
        match (of_gauges.or(self.rename.as_ref()), part) {
            (None, Part::Whole) => Cow::Borrowed(metric),
            (None, part) => Cow::Owned(format!("{metric}{}", part.suffix())),
            (Some(rename), part) => Cow::Owned(rename.apply(metric) + part.suffix()),
        }
    }
}

/// A text attribute as a `KeyValue` body.
pub fn string_attribute(key: &str, value: &str) -> Vec<u8> {
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
