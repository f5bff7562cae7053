//! `topk` and `limit` as the engine runs them: who stays, and how the others are folded together.

use super::{Aggregate, Functions, Keys};
use crate::Nanos;
use crate::document::{self, Function, Match, Matcher, Problem};
use crate::identity::entity_seed;
use crate::stage::entity::{By, Term};
use crate::view::SeriesView;

/// What both stages share.
#[derive(Debug)]
pub struct Fold {
    /// Which series.
    pub matcher: Matcher,
    /// Length of a window, > 0.
    pub interval: Nanos,
    /// How long after its end a window waits.
    pub lateness: Nanos,
    /// After how long a silent series is forgotten.
    pub expiry: Nanos,
    /// How those that do not stay are merged; without it they are filtered.
    pub merge: Option<Merge>,
    /// Who stays.
    pub decide: Decide,
}

/// How series are folded together.
#[derive(Debug)]
pub struct Merge {
    /// Keys, windows, the function of gauges.
    pub aggregate: Aggregate,
    /// What marks the outputs.
    pub mark: Mark,
    /// Gauges are written as `NAME.mean`.
    pub means: bool,
}

/// What marks the outputs, so that they never are an original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// `phoenix.other` = the stage's id.
    Other(String),
    /// `otel.metric.overflow` = true.
    Overflow,
}

/// Who stays.
#[derive(Debug)]
pub enum Decide {
    /// The entities that rank first.
    Topk(Box<Topk>),
    /// As many series as there are places.
    Limit(Limit),
}

/// Entities that rank first.
#[derive(Debug)]
pub struct Topk {
    /// Attribute keys, sorted.
    pub entity: Vec<String>,
    /// Seed of the entity hash.
    pub seed: u64,
    /// What they are ranked by.
    pub terms: Vec<Term>,
    /// What tells how loaded the node is.
    pub load: Option<(Term, document::Over)>,
    /// Load and number of members, going up; the first always counts.
    pub steps: Vec<document::Step>,
    /// A member stays while it ranks within k + hysteresis.
    pub hysteresis: u32,
}

/// A budget.
#[derive(Debug)]
pub struct Limit {
    /// Places of one budget.
    pub series: u32,
    /// What has one.
    pub per: document::Per,
    /// More new series in a window are counted as growth.
    pub alarm: Option<u32>,
}

impl Fold {
    /// Of a `topk`; `None` when it added problems.
    pub(super) fn topk(
        topk: &document::Topk,
        id: &str,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Fold> {
        let path = format!("{path}.topk");
        let matcher = Matcher::compile(&topk.matches, &format!("{path}.match"), problems);
        let terms: Vec<Option<Term>> = topk
            .rank
            .iter()
            .enumerate()
            .map(|(index, rank)| {
                let rule = rule(&rank.metric, &rank.attributes);
                let path = format!("{path}.rank[{index}]");
                term(&rule, rank.by, rank.weight, &path, problems)
            })
            .collect();
        let load = match topk.bands.as_ref().map(|bands| &bands.load) {
            None => None,
            Some(load) => {
                let rule = rule(&load.metric, &load.attributes);
                let path = format!("{path}.bands.load");
                let term = term(&rule, load.by, 1.0, &path, problems)?;
                Some((term, load.function))
            }
        };
        let always = |k: u32| vec![document::Step { above: 0.0, k }];
        let steps = match &topk.bands {
            Some(bands) => bands.steps.clone(),
            None => always(topk.k.unwrap_or(1)),
        };
        let spans = (topk.interval.0, topk.lateness.0, topk.expiry.0);
        let merge = match &topk.other {
            document::Other::Filtered(_) => None,
            document::Other::Merged(merged) => {
                let mut without: Vec<String> =
                    topk.entity.iter().chain(&merged.without).cloned().collect();
                without.sort_unstable();
                without.dedup();
                Some(Merge {
                    aggregate: aggregate(Keys::Without(without), merged.gauges, spans),
                    mark: Mark::Other(id.into()),
                    means: merged.gauges == Function::Mean,
                })
            }
        };
        let mut entity = topk.entity.clone();
        entity.sort_unstable();
        Some(Fold {
            matcher: matcher?,
            interval: spans.0.max(1),
            lateness: spans.1,
            expiry: spans.2,
            merge,
            decide: Decide::Topk(Box::new(Topk {
                entity,
                seed: entity_seed(id),
                terms: terms.into_iter().collect::<Option<Vec<Term>>>()?,
                load,
                steps,
                hysteresis: topk.hysteresis,
            })),
        })
    }

    /// Of a `limit`; `None` when it added problems.
    pub(super) fn limit(
        limit: &document::Limit,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Fold> {
        let path = format!("{path}.limit.match");
        let spans = (limit.interval.0, limit.lateness.0, limit.expiry.0);
        let mut keep = limit.overflow.keep.clone();
        keep.sort_unstable();
        Some(Fold {
            matcher: Matcher::compile(&limit.matches, &path, problems)?,
            interval: spans.0.max(1),
            lateness: spans.1,
            expiry: spans.2,
            merge: Some(Merge {
                aggregate: aggregate(Keys::By(keep), Function::Sum, spans),
                mark: Mark::Overflow,
                means: false,
            }),
            decide: Decide::Limit(Limit {
                series: limit.series,
                per: limit.per.clone(),
                alarm: limit.alarm.map(|alarm| alarm.new_series),
            }),
        })
    }

    /// Whether the stage has to do with the series: it is folded, stays, or tells the load.
    pub(crate) fn concerns(&self, series: &SeriesView<'_>) -> bool {
        let tells = match &self.decide {
            Decide::Topk(topk) => topk.load.as_ref().map(|(load, _)| &load.matcher),
            Decide::Limit(_) => None,
        };
        self.matcher.matches(series) || tells.is_some_and(|load| load.matches(series))
    }

    /// Whether the folded keep this key (they keep nothing where they are filtered).
    pub(super) fn keeps(&self, key: &str) -> bool {
        self.merge
            .as_ref()
            .is_none_or(|merge| merge.aggregate.keys.keeps(key))
    }
}

fn rule(
    metric: &document::Patterns,
    attributes: &std::collections::BTreeMap<String, document::Condition>,
) -> Match {
    Match {
        metric: Some(metric.clone()),
        attributes: attributes.clone(),
        ..Match::default()
    }
}

fn term(
    rule: &Match,
    by: document::By,
    weight: f64,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Term> {
    Some(Term {
        matcher: Matcher::compile(rule, path, problems)?,
        by: match by {
            document::By::Value => By::Value,
            document::By::Rate => By::Rate,
        },
        weight,
    })
}

fn aggregate(keys: Keys, gauges: Function, spans: (Nanos, Nanos, Nanos)) -> Aggregate {
    Aggregate {
        matcher: Matcher::default(),
        keys,
        interval: spans.0.max(1),
        functions: Functions::all(gauges),
        extracts: false,
        keep_original: false,
        rename: None,
        lateness: spans.1,
        expiry: spans.2,
        merged_later: false,
        weighted: true,
    }
}
