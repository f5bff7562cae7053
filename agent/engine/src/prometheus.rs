//! OpenTelemetry metrics as Prometheus knows them: names, units, suffixes, labels, samples.
//!
//! Follows "Prometheus and OpenMetrics Compatibility" of the OpenTelemetry specification (OTLP
//! metric points to Prometheus) with escaped names and suffixes, which is what the Collector's
//! remote-write exporter and Prometheus' own OTLP receiver write by default. Where the specification
//! and those translators differ, a comment says so. Used by the remote-write exporter, and by
//! protected queries, which are written in these names.

mod labels;
mod names;
mod samples;
mod text;

pub use labels::{Labels, Naming, labels, target_labels};
pub use names::{family, label_name, unit_words};
pub use samples::{COARSEST, samples, samples_of};
pub use text::{float, value};

use crate::view::{MetricType, MetricView, Temporality};

/// `__name__`
pub const NAME: &str = "__name__";

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A cumulative monotonic sum.
    Counter,
    /// A gauge, or a cumulative sum that may fall.
    Gauge,
    /// A histogram with explicit bounds: `_bucket`, `_sum`, `_count`.
    Histogram,
    /// An exponential histogram: one sample that holds all buckets.
    NativeHistogram,
    /// A summary: one series a quantile, `_sum`, `_count`.
    Summary,
}

/// Why a point has no form in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// A delta, or a sum or histogram that does not say what it is: Prometheus has totals only.
    NotCumulative,
    /// No character of the metric's name can stand in a Prometheus name.
    NoName,
    /// An exponential histogram coarser than Prometheus' coarsest (scale below -4).
    TooCoarse,
    /// A number point without a number.
    NoValue,
}

impl Kind {
    /// What `metric` becomes.
    ///
    /// # Errors
    /// It becomes nothing: it is not cumulative.
    pub fn of(metric: &MetricView<'_>) -> Result<Kind, Unfit> {
        let cumulative = metric.temporality == Temporality::Cumulative;
        match metric.kind {
            MetricType::Gauge => Ok(Kind::Gauge),
            MetricType::Summary => Ok(Kind::Summary),
            _ if !cumulative => Err(Unfit::NotCumulative),
            MetricType::Sum if metric.monotonic => Ok(Kind::Counter),
            MetricType::Sum => Ok(Kind::Gauge),
            MetricType::Histogram => Ok(Kind::Histogram),
            MetricType::ExponentialHistogram => Ok(Kind::NativeHistogram),
        }
    }

    /// The word in `# TYPE` lines; a native histogram is a histogram there too.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram | Kind::NativeHistogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

impl Unfit {
    /// The word in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Unfit::NotCumulative => "not_cumulative",
            Unfit::NoName => "no_name",
            Unfit::TooCoarse => "too_coarse",
            Unfit::NoValue => "no_value",
        }
    }

    /// All of them.
    pub const ALL: [Unfit; 4] = [
        Unfit::NotCumulative,
        Unfit::NoName,
        Unfit::TooCoarse,
        Unfit::NoValue,
    ];
}

#[cfg(test)]
mod tests;
