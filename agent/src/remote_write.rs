//! OTLP as Prometheus remote write: time series of samples and native histograms, in the messages
//! of 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`).
//!
//! Names and labels are the engine's (`phoenix_engine::prometheus`); here values and times are
//! converted and messages written. Pure: a request's bytes in, a message's bytes out.

mod encode;
mod exemplar;
mod histogram;
mod translate;

use phoenix_engine::prometheus::Kind;

pub use encode::{one, two};
pub use translate::{Translation, translate};

/// The value of a sample that ends its series: a quiet NaN that nothing else may use.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// One series of a request, with its samples in the order of time.
#[derive(Debug, Clone)]
pub struct Series {
    /// With `__name__`, sorted by name; no value is empty.
    pub labels: Vec<(String, String)>,
    /// Its metric family, an index of `Translation::families`.
    pub family: usize,
    /// Numbers.
    pub samples: Vec<Sample>,
    /// Native histograms; a series has these or numbers.
    pub histograms: Vec<Native>,
    /// In the order of time.
    pub exemplars: Vec<Exemplar>,
}

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value; `STALE` as bits ends the series.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// When the counter began, in the same unit; 0: not known.
    pub start: i64,
}

/// A native histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// -4 to 8: each power of two has 2^schema buckets.
    pub schema: i32,
    /// Breadth of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in it.
    pub zero_count: u64,
    /// Buckets of positive values.
    pub positive: Buckets,
    /// Buckets of negative values.
    pub negative: Buckets,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// When it began; 0: not known.
    pub start: i64,
}

/// Sparse buckets: runs of neighbours, and each count as the difference to the one before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// Gap to the end of the run before (first: index of the first bucket), and length.
    pub spans: Vec<(i32, u32)>,
    /// One a bucket of a run.
    pub deltas: Vec<i64>,
}

/// An observation that stands for others.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// `trace_id`, `span_id`, filtered attributes; sorted.
    pub labels: Vec<(String, String)>,
    /// What was observed.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub time: i64,
}

/// What is told of a metric family beside its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Without `_bucket`, `_sum`, `_count`.
    pub name: String,
    /// Its type; `target_info` is an info metric.
    pub kind: Told,
    /// `description`
    pub help: String,
    /// In words.
    pub unit: String,
}

/// Types of families, as both messages number them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// `COUNTER`
    Counter = 1,
    /// `GAUGE`
    Gauge = 2,
    /// `HISTOGRAM`, classic and native.
    Histogram = 3,
    /// `SUMMARY`
    Summary = 5,
    /// `INFO`
    Info = 6,
}

impl From<Kind> for Told {
    fn from(kind: Kind) -> Told {
        match kind {
            Kind::Counter => Told::Counter,
            Kind::Gauge => Told::Gauge,
            Kind::Histogram | Kind::NativeHistogram => Told::Histogram,
            Kind::Summary => Told::Summary,
        }
    }
}
