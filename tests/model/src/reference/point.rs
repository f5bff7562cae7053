//! Points with their whole identity, read from a decoded request.

use super::explicit::Explicit;
use super::exponential::Exponential;
use super::identity::{Attributes, Identity, Kind, Temporality, attributes};
use super::number::Num;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{EntityRef, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, exponential_histogram_data_point::Buckets, metric,
    number_data_point,
};
use std::rc::Rc;

/// What a point says.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Nothing: a number point without a value.
    Nothing,
    Number(Num),
    Explicit(Explicit),
    /// A histogram whose buckets do not fit its bounds: it can pass, never be added.
    Misfit(HistogramDataPoint),
    Exponential(Exponential),
    Summary {
        count: u64,
        sum: f64,
        quantiles: Vec<(f64, f64)>,
    },
}

/// What goes along with a series and is not identity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Company {
    pub description: String,
    pub metadata: Attributes,
    pub scope_schema_url: String,
    pub resource_schema_url: String,
    pub entity_refs: Vec<EntityRef>,
}

/// One point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub identity: Rc<Identity>,
    pub company: Rc<Company>,
    pub start: u64,
    pub time: u64,
    pub flags: u32,
    pub data: Data,
    pub exemplars: Vec<Exemplar>,
}

impl Point {
    /// The flag that says "this series has no value any more".
    pub fn ended(&self) -> bool {
        self.flags & 1 == 1
    }

    /// A start that says something.
    pub fn start_known(&self) -> bool {
        self.start != 0 && self.start != self.time
    }
}

/// All points of a request, in order.
pub fn points(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let mut all = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                read_metric(resource, scope, metric, &mut all);
            }
        }
    }
    all
}

fn read_metric(
    resource: &ResourceMetrics,
    scope: &ScopeMetrics,
    metric: &Metric,
    all: &mut Vec<Point>,
) {
    use metric::Data as D;
    let company = Rc::new(Company {
        description: metric.description.clone(),
        metadata: attributes(&metric.metadata),
        scope_schema_url: scope.schema_url.clone(),
        resource_schema_url: resource.schema_url.clone(),
        entity_refs: resource
            .resource
            .as_ref()
            .map_or_else(Vec::new, |r| r.entity_refs.clone()),
    });
    let owner = |kind, temporality, monotonic| {
        let s = scope.scope.as_ref();
        Identity {
            name: metric.name.clone(),
            unit: metric.unit.clone(),
            kind,
            temporality,
            monotonic,
            attributes: Vec::new(),
            scope_name: s.map_or_else(String::new, |s| s.name.clone()),
            scope_version: s.map_or_else(String::new, |s| s.version.clone()),
            scope_attributes: s.map_or_else(Vec::new, |s| attributes(&s.attributes)),
            resource: resource
                .resource
                .as_ref()
                .map_or_else(Vec::new, |r| attributes(&r.attributes)),
        }
    };
    let make =
        |owner: &Identity, list: &[KeyValue], start, time, flags, data, exemplars: &[Exemplar]| {
            let mut identity = owner.clone();
            identity.attributes = attributes(list);
            Point {
                identity: Rc::new(identity),
                company: company.clone(),
                start,
                time,
                flags,
                data,
                exemplars: exemplars.to_vec(),
            }
        };
    let number = |o: &Identity, p: &NumberDataPoint| {
        let data = match p.value {
            None => Data::Nothing,
            Some(number_data_point::Value::AsInt(i)) => Data::Number(Num::Int(i)),
            Some(number_data_point::Value::AsDouble(d)) => Data::Number(Num::Double(d)),
        };
        let (start, time) = (p.start_time_unix_nano, p.time_unix_nano);
        make(o, &p.attributes, start, time, p.flags, data, &p.exemplars)
    };
    match &metric.data {
        None => {}
        Some(D::Gauge(g)) => {
            let o = owner(Kind::Gauge, Temporality::Unspecified, false);
            all.extend(g.data_points.iter().map(|p| number(&o, p)));
        }
        Some(D::Sum(s)) => {
            let o = owner(
                Kind::Sum,
                temporality(s.aggregation_temporality),
                s.is_monotonic,
            );
            all.extend(s.data_points.iter().map(|p| number(&o, p)));
        }
        Some(D::Histogram(h)) => {
            let o = owner(
                Kind::Histogram,
                temporality(h.aggregation_temporality),
                false,
            );
            all.extend(h.data_points.iter().map(|p| {
                let (start, time) = (p.start_time_unix_nano, p.time_unix_nano);
                make(
                    &o,
                    &p.attributes,
                    start,
                    time,
                    p.flags,
                    explicit(p),
                    &p.exemplars,
                )
            }));
        }
        Some(D::ExponentialHistogram(h)) => {
            let o = owner(
                Kind::Exponential,
                temporality(h.aggregation_temporality),
                false,
            );
            all.extend(h.data_points.iter().map(|p| {
                let (start, time) = (p.start_time_unix_nano, p.time_unix_nano);
                let data = Data::Exponential(exponential(p));
                make(&o, &p.attributes, start, time, p.flags, data, &p.exemplars)
            }));
        }
        Some(D::Summary(s)) => {
            let o = owner(Kind::Summary, Temporality::Unspecified, false);
            all.extend(s.data_points.iter().map(|p| {
                let quantiles = p.quantile_values.iter().map(|q| (q.quantile, q.value));
                let data = Data::Summary {
                    count: p.count,
                    sum: p.sum,
                    quantiles: quantiles.collect(),
                };
                let (start, time) = (p.start_time_unix_nano, p.time_unix_nano);
                make(&o, &p.attributes, start, time, p.flags, data, &[])
            }));
        }
    }
}

fn temporality(n: i32) -> Temporality {
    match n {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    }
}

fn explicit(p: &HistogramDataPoint) -> Data {
    let bare = p.bucket_counts.is_empty() && p.explicit_bounds.is_empty();
    let increase = p.explicit_bounds.is_sorted_by(|a, b| a < b);
    let numbers = !p.explicit_bounds.iter().any(|bound| bound.is_nan());
    let fits = p.bucket_counts.len() == p.explicit_bounds.len() + 1 && increase && numbers;
    if !bare && !fits {
        return Data::Misfit(HistogramDataPoint {
            attributes: Vec::new(),
            exemplars: Vec::new(),
            ..p.clone()
        });
    }
    // Without buckets the count is the one bucket.
    let counts = if bare {
        vec![p.count]
    } else {
        p.bucket_counts.clone()
    };
    Data::Explicit(Explicit {
        bounds: p.explicit_bounds.clone(),
        counts,
        count: p.count,
        sum: p.sum,
        min: p.min,
        max: p.max,
    })
}

fn exponential(p: &ExponentialHistogramDataPoint) -> Exponential {
    let side = |b: &Option<Buckets>| {
        let Some(b) = b else {
            return Default::default();
        };
        (b.offset..)
            .zip(&b.bucket_counts)
            .filter(|(_, n)| **n > 0)
            .map(|(i, n)| (i, *n))
            .collect()
    };
    Exponential {
        scale: p.scale,
        zero_count: p.zero_count,
        zero_threshold: p.zero_threshold,
        positive: side(&p.positive),
        negative: side(&p.negative),
        count: p.count,
        sum: p.sum,
        min: p.min,
        max: p.max,
    }
}
