//! Seeded traffic that does what recorded traffic does not, as a case that can be made smaller.

pub mod fleet;
pub mod pipelines;
pub mod shrink;
pub mod source;
pub mod transforms;
pub mod wire;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::resource::v1::Resource;
use pipelines::{Menu, Parts, pipeline};
use prost::Message;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
pub use source::Body;
use source::SECOND;
use std::collections::BTreeMap;
use std::rc::Rc;
use wire::{Shape, reshape};

/// Who sends: a resource and a scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    pub resource: Resource,
    pub resource_schema_url: String,
    pub scope: InstrumentationScope,
    pub scope_schema_url: String,
}

/// A metric of one owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub owner: Rc<Owner>,
    pub name: String,
    pub unit: String,
    pub description: String,
    pub kind: &'static str,
    pub temporality: i32,
    pub monotonic: bool,
    /// Counts near the end of 64 bits.
    pub big: bool,
    /// May be a double.
    pub double: bool,
    /// Goes up and down.
    pub wanders: bool,
    pub delta: bool,
    /// Its histograms may have bounds that others have not.
    pub foreign_bounds: bool,
    /// How often it misbehaves.
    pub oddity: f64,
}

/// One point on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub metric: Rc<Metric>,
    pub attributes: Vec<KeyValue>,
    pub body: Body,
}

/// A plan by the numbers of its pipelines in the case.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub baseline: usize,
    pub candidate: Option<usize>,
    /// Entity keys and percent of a split; a shadow without. Without a key the node as a whole.
    pub split: Option<(Vec<String>, f64)>,
    /// Names of the metrics that the experiment is about; empty: all.
    pub scope: Vec<String>,
}

/// One call of the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Feed {
        points: Vec<Sent>,
        shape: Shape,
        now: u64,
    },
    Tick {
        now: u64,
    },
    Swap {
        to: Choice,
        now: u64,
    },
}

/// A whole run: pipelines, the first plan, and calls; the end is a `finish`.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub seed: u64,
    pub began: u64,
    pub pipelines: Vec<Parts>,
    pub first: Choice,
    pub actions: Vec<Action>,
}

/// How often each thing occurred.
#[derive(Debug, Clone, Default)]
pub struct Features {
    pub all: BTreeMap<&'static str, u64>,
    /// By kind of metric and thing.
    pub by_kind: BTreeMap<(&'static str, &'static str), u64>,
}

impl Features {
    pub fn see(&mut self, what: &'static str) {
        *self.all.entry(what).or_insert(0) += 1;
    }

    /// Something that a series of this kind of metric does.
    pub fn see_of(&mut self, kind: &'static str, what: &'static str) {
        self.see(what);
        *self.by_kind.entry((kind, what)).or_insert(0) += 1;
    }
}

impl Metric {
    /// Type, temporality and monotonicity, as a property of its series.
    pub fn label(&self) -> &'static str {
        match (self.kind, self.temporality, self.monotonic) {
            ("sum", 2, true) => "cumulative sum",
            ("sum", 2, false) => "cumulative sum that may fall",
            ("sum", 1, true) => "delta sum",
            ("sum", 1, false) => "delta sum that may fall",
            ("sum", ..) => "sum of unspecified temporality",
            ("histogram", 1, _) => "delta histogram",
            ("histogram", ..) => "cumulative histogram",
            ("exponential_histogram", 1, _) => "delta exponential histogram",
            ("exponential_histogram", ..) => "cumulative exponential histogram",
            (other, ..) => other,
        }
    }
}

/// What a property wants of its cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    pub menu: Menu,
    pub swaps: bool,
    pub arms: bool,
    /// Experiments about some metrics, and of whole nodes.
    pub scopes: bool,
    /// Series whose histograms have no bounds in common: which of them is first decides, and that
    /// is open where a stage reads what another one wrote.
    pub foreign_bounds: bool,
    /// Odd encodings.
    pub shapes: bool,
    pub rounds: usize,
}

/// The case of a seed.
pub fn case(seed: u64, wanted: Wanted, features: &mut Features) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rng = &mut rng;
    let began = 100_000 * SECOND + rng.random_range(1..SECOND);
    let mut pipelines = vec![pipeline(wanted.menu, rng)];
    if wanted.swaps || wanted.arms {
        pipelines.push(Parts::default());
        pipelines.push(pipeline(wanted.menu, rng));
        // One that shares stages with the first: its first, or those behind it.
        let (mut front, mut behind) = (pipelines[0].clone(), pipeline(wanted.menu, rng));
        if seed % 2 == 1 {
            std::mem::swap(&mut front.stages, &mut behind.stages);
        }
        front.stages.truncate(1);
        let behind = behind.stages.into_iter().skip(1);
        behind.for_each(|stage| front.add(stage));
        pipelines.push(front);
    }
    let scope = match wanted.scopes {
        true => fleet::some_metrics(rng),
        false => Vec::new(),
    };
    let first = choice(wanted, pipelines.len(), &scope, rng);
    let (bounds, paths) = (wanted.foreign_bounds, wanted.menu.transform);
    let mut sources = fleet::sources(began, bounds, paths, features, rng);
    let mut now = began + rng.random_range(0..3 * SECOND);
    let mut actions = Vec::new();
    for _ in 0..rng.random_range(1..=wanted.rounds) {
        let jump = match rng.random_range(0..20) {
            0 => rng.random_range(0..200 * SECOND),
            1 => rng.random_range(0..SECOND / 100),
            _ => rng.random_range(SECOND..12 * SECOND),
        };
        if wanted.menu.most > 1 {
            // A stage hears of the one before when that one's window closes; without ticks it would
            // hear so late that silence and delay cannot be told apart.
            for passed in 1..=jump / (20 * SECOND) {
                actions.push(Action::Tick {
                    now: now + passed * 20 * SECOND - 1,
                });
            }
        }
        now += jump;
        let mut points = Vec::new();
        for source in &mut sources {
            if rng.random_bool(0.9) {
                points.extend(source.speak(now, features, rng));
            }
        }
        if rng.random_bool(0.2) {
            points.shuffle(rng);
        }
        let shape = if wanted.shapes {
            some_shape(features, rng)
        } else {
            Shape::default()
        };
        actions.push(Action::Feed { points, shape, now });
        if rng.random_bool(0.2) {
            now += rng.random_range(0..20 * SECOND);
            actions.push(Action::Tick { now });
        }
        if wanted.swaps && rng.random_bool(0.15) {
            now += rng.random_range(0..2 * SECOND);
            let to = choice(wanted, pipelines.len(), &scope, rng);
            actions.push(Action::Swap { to, now });
        }
    }
    Case {
        seed,
        began,
        pipelines,
        first,
        actions,
    }
}

fn choice(wanted: Wanted, pipelines: usize, scope: &[String], rng: &mut ChaCha8Rng) -> Choice {
    let arms = wanted.arms && rng.random_bool(0.7);
    let node = wanted.scopes && rng.random_bool(0.5);
    Choice {
        scope: scope.to_vec(),
        baseline: rng.random_range(0..pipelines),
        candidate: arms.then(|| rng.random_range(0..pipelines)),
        split: (arms && rng.random_bool(0.4)).then(|| match node {
            true => (Vec::new(), [0.0, 100.0][rng.random_range(0..2)]),
            false => (
                vec!["process.pid".to_string()],
                [20.0, 50.0, 80.0][rng.random_range(0..3)],
            ),
        }),
    }
}

fn some_shape(features: &mut Features, rng: &mut ChaCha8Rng) -> Shape {
    if rng.random_bool(0.5) {
        return Shape::default();
    }
    let mut odd = |what| {
        let yes = rng.random_bool(0.3);
        if yes {
            features.see(what);
        }
        yes
    };
    Shape {
        reordered_attributes: odd("reordered attributes"),
        shuffled_fields: odd("shuffled fields (split attribute regions, resource after scopes)"),
        unknown_fields: odd("unknown fields"),
        unpacked_lists: odd("unpacked buckets"),
        repeated_singulars: odd("duplicate singular fields"),
        split_messages: odd("split singular messages"),
        long_varints: odd("long varints"),
        empty_messages: odd("empty messages"),
        seed: rng.random(),
    }
}

/// A request of these points: neighbours of one owner and metric share messages.
pub fn request(points: &[Sent]) -> ExportMetricsServiceRequest {
    let mut request = ExportMetricsServiceRequest::default();
    let mut last: Option<Rc<Metric>> = None;
    for sent in points {
        let owner = &sent.metric.owner;
        if last.as_ref().is_none_or(|m| m.owner != *owner) {
            request.resource_metrics.push(otlp::ResourceMetrics {
                resource: Some(owner.resource.clone()),
                scope_metrics: vec![otlp::ScopeMetrics {
                    scope: Some(owner.scope.clone()),
                    metrics: Vec::new(),
                    schema_url: owner.scope_schema_url.clone(),
                }],
                schema_url: owner.resource_schema_url.clone(),
            });
            last = None;
        }
        let scope = request.resource_metrics.last_mut().expect("one");
        let metrics = &mut scope.scope_metrics[0].metrics;
        if last.as_ref() != Some(&sent.metric) {
            metrics.push(empty_metric(&sent.metric));
        }
        push(metrics.last_mut().expect("one"), &sent.body);
        last = Some(sent.metric.clone());
    }
    request
}

/// Its bytes in a shape.
pub fn encode(points: &[Sent], shape: Shape) -> Vec<u8> {
    let plain = request(points).encode_to_vec();
    if shape == Shape::default() {
        return plain;
    }
    reshape(&plain, shape, &mut ChaCha8Rng::seed_from_u64(shape.seed))
}

fn empty_metric(metric: &Metric) -> otlp::Metric {
    use otlp::metric::Data;
    let data = match metric.kind {
        "gauge" => Data::Gauge(otlp::Gauge::default()),
        "sum" => Data::Sum(otlp::Sum {
            aggregation_temporality: metric.temporality,
            is_monotonic: metric.monotonic,
            ..Default::default()
        }),
        "histogram" => Data::Histogram(otlp::Histogram {
            aggregation_temporality: metric.temporality,
            ..Default::default()
        }),
        "summary" => Data::Summary(otlp::Summary::default()),
        _ => Data::ExponentialHistogram(otlp::ExponentialHistogram {
            aggregation_temporality: metric.temporality,
            ..Default::default()
        }),
    };
    otlp::Metric {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        description: metric.description.clone(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn push(metric: &mut otlp::Metric, body: &Body) {
    use otlp::metric::Data;
    match (metric.data.as_mut(), body.clone()) {
        (Some(Data::Gauge(g)), Body::Number(p)) => g.data_points.push(p),
        (Some(Data::Sum(s)), Body::Number(p)) => s.data_points.push(p),
        (Some(Data::Histogram(h)), Body::Histogram(p)) => h.data_points.push(p),
        (Some(Data::ExponentialHistogram(h)), Body::Exponential(p)) => h.data_points.push(p),
        (Some(Data::Summary(s)), Body::Summary(p)) => s.data_points.push(p),
        (_, body) => panic!("{body:?} is no point of {}", metric.name),
    }
}
