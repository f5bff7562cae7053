//! Borrowed views of what a request holds: metric, point, and the series a point belongs to.
//!
//! Everything that a stage decides or remembers is read from these. They borrow from the request
//! (or from an encoded state output) and copy nothing. Bodies are validated before a view is made.

use crate::Nanos;
use crate::wire::otlp::{
    exponential_point, histogram_point, metric, number_point, point, resource, scope, summary_point,
};
use crate::wire::{AnyValue, attributes, fields};

/// Kind of a metric; the number is the one in canonical identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum MetricType {
    /// Gauge
    Gauge = 1,
    /// Sum
    Sum = 2,
    /// Histogram with explicit bounds
    Histogram = 3,
    /// Histogram with exponential buckets
    ExponentialHistogram = 4,
    /// Summary
    Summary = 5,
}

impl MetricType {
    /// Field number of the data message in `Metric`.
    pub fn field(self) -> u32 {
        match self {
            MetricType::Gauge => metric::GAUGE,
            MetricType::Sum => metric::SUM,
            MetricType::Histogram => metric::HISTOGRAM,
            MetricType::ExponentialHistogram => metric::EXPONENTIAL_HISTOGRAM,
            MetricType::Summary => metric::SUMMARY,
        }
    }

    /// The type whose data message has this field number in `Metric`.
    pub fn of_field(number: u32) -> Option<MetricType> {
        Some(match number {
            metric::GAUGE => MetricType::Gauge,
            metric::SUM => MetricType::Sum,
            metric::HISTOGRAM => MetricType::Histogram,
            metric::EXPONENTIAL_HISTOGRAM => MetricType::ExponentialHistogram,
            metric::SUMMARY => MetricType::Summary,
            _ => return None,
        })
    }

    /// Field number of the attributes in its points.
    pub fn attributes_field(self) -> u32 {
        match self {
            MetricType::Gauge | MetricType::Sum => number_point::ATTRIBUTES,
            MetricType::Histogram => histogram_point::ATTRIBUTES,
            MetricType::ExponentialHistogram => exponential_point::ATTRIBUTES,
            MetricType::Summary => summary_point::ATTRIBUTES,
        }
    }

    /// Field number of the flags in its points.
    pub fn flags_field(self) -> u32 {
        match self {
            MetricType::Gauge | MetricType::Sum => number_point::FLAGS,
            MetricType::Histogram => histogram_point::FLAGS,
            MetricType::ExponentialHistogram => exponential_point::FLAGS,
            MetricType::Summary => summary_point::FLAGS,
        }
    }

    /// The name in pipeline documents.
    pub fn name(self) -> &'static str {
        match self {
            MetricType::Gauge => "gauge",
            MetricType::Sum => "sum",
            MetricType::Histogram => "histogram",
            MetricType::ExponentialHistogram => "exponential_histogram",
            MetricType::Summary => "summary",
        }
    }
}

/// `AggregationTemporality`; numbers that OTLP does not know count as unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Temporality {
    /// Not given (or a gauge or summary).
    Unspecified = 0,
    /// Each point is the change since the one before.
    Delta = 1,
    /// Each point is the total since its start.
    Cumulative = 2,
}

impl Temporality {
    /// From the enum's number on the wire.
    pub fn of(number: u64) -> Temporality {
        match number {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }
}

/// The value of a number point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// `as_int`
    Int(i64),
    /// `as_double`
    Double(f64),
}

impl Number {
    /// As a double (an int beyond 2^53 loses its last digits).
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(n) => n as f64,
            Number::Double(n) => n,
        }
    }
}

/// A metric without its points.
#[derive(Debug, Clone, Copy)]
pub struct MetricView<'a> {
    /// `name`
    pub name: &'a str,
    /// `description`
    pub description: &'a str,
    /// `unit`
    pub unit: &'a str,
    /// Which data message it has.
    pub kind: MetricType,
    /// Of sums and histograms.
    pub temporality: Temporality,
    /// Of sums; false for the others.
    pub monotonic: bool,
    /// The `Metric` body up to its data message: where `metadata` may lie before it.
    pub head: &'a [u8],
    /// The `Metric` body after its data message: where `metadata` usually lies.
    pub tail: &'a [u8],
}

impl<'a> MetricView<'a> {
    /// The bodies of the `metadata` entries (`KeyValue`).
    pub fn metadata(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        fields(self.head)
            .chain(fields(self.tail))
            .filter(|field| field.number == metric::METADATA)
            .filter_map(|field| field.value.bytes())
    }
}

/// One point: its body and what every stage needs of it, read once.
#[derive(Debug, Clone, Copy)]
pub struct PointView<'a> {
    /// Type of its metric.
    pub kind: MetricType,
    /// The point message's body. Histograms, exemplars and so on are read from it.
    pub body: &'a [u8],
    /// `start_time_unix_nano`, 0 when absent.
    pub start: Nanos,
    /// `time_unix_nano`
    pub time: Nanos,
    /// `flags`
    pub flags: u32,
    /// The value of a gauge or sum point; `None` for other types and with the flag below.
    pub number: Option<Number>,
    /// Whether it may hold exemplars; false only where it is known that it has none.
    pub exemplars: bool,
}

impl<'a> PointView<'a> {
    /// Reads a validated point body.
    pub fn of(kind: MetricType, body: &'a [u8]) -> PointView<'a> {
        let (mut start, mut time, mut flags, mut number) = (0, 0, 0, None);
        let numeric = matches!(kind, MetricType::Gauge | MetricType::Sum);
        for field in fields(body) {
            match field.number {
                point::START => start = field.value.bits(),
                point::TIME => time = field.value.bits(),
                n if n == kind.flags_field() => flags = field.value.bits() as u32,
                number_point::AS_DOUBLE if numeric => {
                    number = Some(Number::Double(field.value.double()));
                }
                number_point::AS_INT if numeric => {
                    number = Some(Number::Int(field.value.bits().cast_signed()));
                }
                _ => {}
            }
        }
        PointView {
            kind,
            body,
            start,
            time,
            flags,
            number,
            exemplars: true,
        }
    }

    /// Whether the point only says that its series has ended.
    pub fn no_recorded_value(&self) -> bool {
        self.flags & point::NO_RECORDED_VALUE != 0
    }

    /// The point's own attributes.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, AnyValue<'a>)> + Clone + use<'a> {
        attributes(self.body, self.kind.attributes_field())
    }
}

/// Everything that makes a series: resource, scope, metric and one point's attributes.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a> {
    /// Body of the `Resource` message; empty if absent.
    pub resource: &'a [u8],
    /// `ResourceMetrics.schema_url`
    pub resource_schema_url: &'a str,
    /// Body of the `InstrumentationScope` message; empty if absent.
    pub scope: &'a [u8],
    /// `ScopeMetrics.schema_url`
    pub scope_schema_url: &'a str,
    /// The metric.
    pub metric: MetricView<'a>,
    /// Body of one of the series' points: where its attributes lie.
    pub point: &'a [u8],
}

impl<'a> SeriesView<'a> {
    /// The resource's attributes.
    pub fn resource_attributes(
        &self,
    ) -> impl Iterator<Item = (&'a str, AnyValue<'a>)> + Clone + use<'a> {
        attributes(self.resource, resource::ATTRIBUTES)
    }

    /// The scope's attributes.
    pub fn scope_attributes(
        &self,
    ) -> impl Iterator<Item = (&'a str, AnyValue<'a>)> + Clone + use<'a> {
        attributes(self.scope, scope::ATTRIBUTES)
    }

    /// The point's attributes.
    pub fn point_attributes(
        &self,
    ) -> impl Iterator<Item = (&'a str, AnyValue<'a>)> + Clone + use<'a> {
        attributes(self.point, self.metric.kind.attributes_field())
    }

    /// Scope name and version.
    pub fn scope_name_version(&self) -> (&'a str, &'a str) {
        let (mut name, mut version) = ("", "");
        for field in fields(self.scope) {
            match field.number {
                scope::NAME => name = field.value.str(),
                scope::VERSION => version = field.value.str(),
                _ => {}
            }
        }
        (name, version)
    }

    /// An attribute wherever it is: on the point, then the scope, then the resource.
    pub fn lookup(&self, key: &str) -> Option<AnyValue<'a>> {
        let found = |(k, value): (&'a str, AnyValue<'a>)| (k == key).then_some(value);
        self.point_attributes()
            .find_map(found)
            .or_else(|| self.scope_attributes().find_map(found))
            .or_else(|| self.resource_attributes().find_map(found))
    }
}
