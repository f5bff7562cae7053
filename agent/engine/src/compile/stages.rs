//! Stages as the engine runs them.

use super::rewrite::{self, Rewrite};
use super::{Filter, Fold, Functions, Transform};
use crate::Nanos;
use crate::document::{self, Matcher, Problem};
use xxhash_rust::xxh3::xxh3_64;

/// One stage of a compiled pipeline.
#[derive(Debug)]
pub struct Stage {
    /// `spec.stages[].id`.
    pub id: String,
    /// The canonical form of the stage, its id included, and how long it waits where that is for stages before it. A
    /// stage keeps its state over a swap if the new plan holds a stage of the same fingerprint.
    pub fingerprint: String,
    /// What it does.
    pub action: Action,
}

/// What a stage does.
#[derive(Debug)]
pub enum Action {
    /// Drops series by rules.
    Filter(Filter),
    /// Merges series and points.
    Aggregate(Aggregate),
    /// Thins out.
    Sample(Sample),
    /// Writes points anew.
    Rewrite(Rewrite),
    /// Keeps some entities or series, folds the others together.
    Fold(Box<Fold>),
    /// Gives other names and attributes.
    Transform(Transform),
}

/// An aggregation.
#[derive(Debug)]
pub struct Aggregate {
    /// Which series are merged.
    pub matcher: Matcher,
    /// Which attributes are kept.
    pub keys: Keys,
    /// Length of a window, > 0.
    pub interval: Nanos,
    /// How gauges are merged.
    pub functions: Functions,
    /// Summaries become two sums; else they pass, counted `not_aggregated`.
    pub extracts: bool,
    /// Name of the output; the input's name without one.
    pub rename: Option<Rename>,
    /// How long after its end a window waits.
    pub lateness: Nanos,
    /// After how long a silent input is freed.
    pub expiry: Nanos,
    /// What is merged also passes on.
    pub keep_original: bool,
    /// No `phoenix.node` is added.
    pub merged_later: bool,
    /// Increments of sampled series count for those that were not kept.
    pub weighted: bool,
}

/// What is added to the output's name of a summary's sum.
pub const EXTRACTED_SUM: &str = ".sum";
/// What is added to the output's name of a summary's count.
pub const EXTRACTED_COUNT: &str = ".count";

/// Which attributes an aggregation keeps; keys sorted, on whatever level they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Only these.
    By(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

impl Keys {
    /// Whether an attribute of this key is kept.
    pub fn keeps(&self, key: &str) -> bool {
        match self {
            Keys::By(keys) => keys.binary_search_by(|k| k.as_str().cmp(key)).is_ok(),
            Keys::Without(keys) => keys.binary_search_by(|k| k.as_str().cmp(key)).is_err(),
        }
    }
}

/// New name of an aggregation's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    /// This name.
    Literal(String),
    /// Before and after each `{name}`: `a.{name}.b` is `["a.", ".b"]`. At least two pieces.
    Template(Vec<String>),
}

impl Rename {
    /// Reads `http.requests` or `{name}.by_route`.
    pub fn parse(text: &str) -> Rename {
        let pieces: Vec<String> = text.split("{name}").map(String::from).collect();
        if pieces.len() == 1 {
            Rename::Literal(text.to_string())
        } else {
            Rename::Template(pieces)
        }
    }

    /// The output's name for an input's name.
    pub fn apply(&self, name: &str) -> String {
        match self {
            Rename::Literal(text) => text.clone(),
            Rename::Template(pieces) => pieces.join(name),
        }
    }
}

/// A sample stage.
#[derive(Debug)]
pub struct Sample {
    /// Which series are sampled.
    pub matcher: Matcher,
    /// How.
    pub method: Method,
}

/// How a sample stage thins out.
#[derive(Debug)]
pub enum Method {
    /// A share of entities is kept whole.
    Fraction {
        /// 0 to 1; kept iff u < fraction.
        fraction: f64,
        /// Attribute keys of the entity, sorted.
        entity: Vec<String>,
        /// XXH3-64 of the stage's id: seed of the entity hash.
        seed: u64,
        /// What increments of a kept entity count in later aggregations: 1 / `fraction`, or 1.
        weight: f64,
    },
    /// Points that say nothing new are held back.
    Quiet {
        /// What is nothing new.
        band: Band,
        /// A point passes at least this often, > 0.
        heartbeat: Nanos,
    },
    /// The last point of each window passes.
    Every {
        /// Length of a window, > 0.
        interval: Nanos,
        /// How long after its end a window waits.
        lateness: Nanos,
    },
}

/// What says nothing new, against the last point that passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Band {
    /// The same.
    Unchanged,
    /// A number that lies this close.
    Absolute(f64),
    /// A number that lies this close, as a share of the last.
    Relative(f64),
}

impl Stage {
    /// `None` when it added problems.
    pub(super) fn compile(
        stage: &document::Stage,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Stage> {
        let action = match &stage.action {
            document::Action::Filter(filter) => {
                Action::Filter(Filter::compile(filter, &stage.id, path, problems)?)
            }
            document::Action::Aggregate(aggregate) => {
                Action::Aggregate(compile_aggregate(aggregate, path, problems)?)
            }
            document::Action::Sample(sample) => {
                Action::Sample(compile_sample(sample, &stage.id, path, problems)?)
            }
            document::Action::Quantise(quantise) => {
                Action::Rewrite(rewrite::compile_quantise(quantise, path, problems)?)
            }
            document::Action::Histogram(histogram) => {
                Action::Rewrite(rewrite::compile_histogram(histogram, path, problems)?)
            }
            document::Action::Temporality(convert) => {
                Action::Rewrite(rewrite::compile_temporality(convert, path, problems)?)
            }
            document::Action::Topk(topk) => {
                Action::Fold(Box::new(Fold::topk(topk, &stage.id, path, problems)?))
            }
            document::Action::Limit(limit) => {
                Action::Fold(Box::new(Fold::limit(limit, path, problems)?))
            }
            document::Action::Transform(transform) => {
                Action::Transform(Transform::compile(transform, path, problems)?)
            }
        };
        Some(Stage {
            id: stage.id.clone(),
            fingerprint: stage.canonical(),
            action,
        })
    }

    /// Its windows stay open at least as long as those of the stages before it, `longest`: what these write when they
    /// close would be late else.
    pub(super) fn wait_for(&mut self, longest: Nanos) {
        let own = match &mut self.action {
            Action::Aggregate(aggregate) => &mut aggregate.lateness,
            Action::Fold(fold) => {
                if let Some(merge) = &mut fold.merge {
                    merge.aggregate.lateness = merge.aggregate.lateness.max(longest);
                }
                &mut fold.lateness
            }
            Action::Sample(sample) => match &mut sample.method {
                Method::Every { lateness, .. } => lateness,
                Method::Fraction { .. } | Method::Quiet { .. } => return,
            },
            Action::Filter(Filter::Entities(filter)) => &mut filter.lateness,
            Action::Filter(_) | Action::Rewrite(_) | Action::Transform(_) => return,
        };
        if *own < longest {
            *own = longest;
            self.fingerprint.push(' ');
            self.fingerprint.push_str(&longest.to_string());
        }
    }

    /// Length of its windows and how long they wait after their end; 0 where there are none.
    pub fn waits(&self) -> (Nanos, Nanos) {
        match &self.action {
            Action::Aggregate(aggregate) => (aggregate.interval, aggregate.lateness),
            Action::Fold(fold) => (fold.interval, fold.lateness),
            Action::Sample(sample) => match sample.method {
                Method::Every { interval, lateness } => (interval, lateness),
                Method::Fraction { .. } | Method::Quiet { .. } => (0, 0),
            },
            _ => (0, 0),
        }
    }

    /// The stage's key in the document.
    pub fn kind(&self) -> &'static str {
        match &self.action {
            Action::Filter(_) => "filter",
            Action::Aggregate(_) => "aggregate",
            Action::Sample(_) => "sample",
            Action::Rewrite(rewrite) => rewrite.op.kind(),
            Action::Fold(fold) => match &fold.decide {
                super::Decide::Topk(_) => "topk",
                super::Decide::Limit(_) => "limit",
            },
            Action::Transform(_) => "transform",
        }
    }
}

fn compile_aggregate(
    aggregate: &document::Aggregate,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Aggregate> {
    let matcher = Matcher::compile(
        &aggregate.matches,
        &format!("{path}.aggregate.match"),
        problems,
    )?;
    let sorted = |keys: &Vec<String>| {
        let mut keys = keys.clone();
        keys.sort_unstable();
        keys
    };
    let keys = match (&aggregate.by, &aggregate.without) {
        (Some(by), _) => Keys::By(sorted(by)),
        (None, Some(without)) => Keys::Without(sorted(without)),
        (None, None) => Keys::Without(Vec::new()),
    };
    Some(Aggregate {
        matcher,
        keys,
        interval: aggregate.interval.0.max(1),
        functions: Functions::compile(aggregate, path, problems),
        extracts: aggregate.summary.is_some(),
        rename: aggregate.rename.as_deref().map(Rename::parse),
        lateness: aggregate.lateness.0,
        expiry: aggregate.expiry.0,
        keep_original: aggregate.keep_original,
        merged_later: aggregate.merged_later,
        weighted: aggregate.weighted,
    })
}

fn compile_sample(
    sample: &document::Sample,
    id: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Sample> {
    let matcher = Matcher::compile(&sample.matches, &format!("{path}.sample.match"), problems)?;
    let band = match sample.deadband.map(|band| (band.absolute, band.relative)) {
        Some((Some(width), _)) => Some(Band::Absolute(width)),
        Some((None, Some(share))) => Some(Band::Relative(share)),
        _ => sample.unchanged.then_some(Band::Unchanged),
    };
    if let Some(band) = band {
        let heartbeat = sample.heartbeat.0;
        let method = Method::Quiet { band, heartbeat };
        return Some(Sample { matcher, method });
    }
    let method = match (sample.every, sample.fraction) {
        (Some(every), _) => Method::Every {
            interval: every.0.max(1),
            lateness: document::Aggregate::lateness().0,
        },
        (None, fraction) => {
            let mut entity = sample.entity.clone();
            entity.sort_unstable();
            let fraction = fraction.unwrap_or(1.0);
            // Of nothing nothing is kept: there is nothing to weigh.
            let weighted = sample.weighted && fraction > 0.0;
            Method::Fraction {
                fraction,
                entity,
                seed: xxh3_64(id.as_bytes()),
                weight: if weighted { 1.0 / fraction } else { 1.0 },
            }
        }
    };
    Some(Sample { matcher, method })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_puts_the_name_in_every_place() {
        assert_eq!(Rename::parse("a.b").apply("m"), "a.b");
        assert_eq!(Rename::parse("{name}.sum").apply("m"), "m.sum");
        assert_eq!(Rename::parse("x.{name}.{name}").apply("m"), "x.m.m");
    }

    #[test]
    fn keys_are_kept_or_removed() {
        let by = Keys::By(vec!["a".into(), "c".into()]);
        assert!(by.keeps("a") && !by.keeps("b"));
        let without = Keys::Without(vec!["a".into(), "c".into()]);
        assert!(!without.keeps("a") && without.keeps("b"));
    }
}
