//! What both accounts are asked: series, samples, every protected query and every alert, of each arm.

use crate::documents::{ExperimentSpec, NameStyle, Prometheus};
use phoenix_analysis::query::eval::evaluate;
use phoenix_analysis::query::fleet::Fleet;
use phoenix_analysis::query::parse::parse;
use phoenix_analysis::query::rules::Rule;
use phoenix_analysis::query::vector::Vector;
use phoenix_analysis::query::write::write;
use phoenix_analysis::query::{Expr, Fault, ast::Ast};
use phoenix_engine::prometheus::NAME;
use phoenix_engine::query::partial::{Labels, Volume};
use phoenix_engine::query::{LabelMatch, Op};

/// Baseline and candidate.
pub const ARMS: [&str; 2] = ["baseline", "candidate"];

/// One figure.
pub struct Figure {
    pub what: String,
    kind: Kind,
}

enum Kind {
    Series,
    Samples,
    Query(Box<(Ast, Expr)>),
    Alert(Box<(Ast, Expr)>, Rule),
    /// Only one of both accounts can be had, and why.
    Alone(String),
}

/// Every figure of an experiment, always in the same order.
pub fn figures(spec: &ExperimentSpec) -> Vec<Figure> {
    let mut all = vec![
        Figure {
            what: "series".into(),
            kind: Kind::Series,
        },
        Figure {
            what: "samples".into(),
            kind: Kind::Samples,
        },
    ];
    let asked = spec.asked();
    for (query, expr) in asked.queries {
        all.push(Figure {
            what: format!("query {}", query.name),
            kind: match both(spec, &query.expr, expr) {
                Ok(both) => Kind::Query(both),
                Err(why) => Kind::Alone(why),
            },
        });
    }
    for (rule, expr) in asked.alerts {
        all.push(Figure {
            what: format!("alert {}", rule.name),
            kind: match both(spec, &rule.expr, expr) {
                Ok(both) => Kind::Alert(both, rule),
                Err(why) => Kind::Alone(why),
            },
        });
    }
    all
}

/// An expression as a backend is asked and as agents evaluate it; else why not both.
fn both(
    spec: &ExperimentSpec,
    text: &str,
    expr: Result<Expr, Fault>,
) -> Result<Box<(Ast, Expr)>, String> {
    match (expr, parse(text), spec.names.style) {
        (Err(fault), _, _) | (_, Err(fault), _) => {
            Err(format!("agents do not evaluate it: {fault}"))
        }
        (_, _, NameStyle::Otel) => Err(
            "it is written in OpenTelemetry's names (names.style: otel), and the backend has Prometheus'".into(),
        ),
        (Ok(expr), Ok(ast), NameStyle::Prometheus) => Ok(Box::new((ast, expr))),
    }
}

impl Figure {
    /// Why it can never be compared.
    pub fn alone(&self) -> Option<&str> {
        match &self.kind {
            Kind::Alone(why) => Some(why),
            _ => None,
        }
    }

    /// Why agents did not evaluate it.
    pub fn unchecked<'a>(&self, fleet: &'a Fleet) -> Option<&'a str> {
        match &self.kind {
            Kind::Query(query) | Kind::Alert(query, _) => {
                let mut leaves = query.1.leaves().into_iter();
                leaves.find_map(|leaf| fleet.unchecked.get(&leaf.inner).map(String::as_str))
            }
            _ => None,
        }
    }

    /// The agents' account of an arm at the end of a window; `None`: it is not whole.
    pub fn own(&self, fleet: &Fleet, side: usize, end_ms: u64) -> Option<Vector> {
        let volume = |of: fn(&Volume) -> u64| {
            let value = of(fleet.volume.get(&end_ms)?) as f64;
            Some(Vector::from([(Labels::new(), value)]))
        };
        match &self.kind {
            Kind::Series => volume(|v| v.series),
            Kind::Samples => volume(|v| v.samples),
            Kind::Query(query) | Kind::Alert(query, _) => evaluate(&query.1, fleet, side, end_ms),
            Kind::Alone(_) => None,
        }
    }

    /// The alert that it is: held against its decisions, not its values.
    pub fn alert(&self) -> Option<&Rule> {
        match &self.kind {
            Kind::Alert(_, rule) => Some(rule),
            _ => None,
        }
    }

    /// Series, or samples.
    pub fn counts(&self) -> bool {
        matches!(self.kind, Kind::Series | Kind::Samples)
    }

    /// Samples: they are asked for metric by metric ([`samples`]).
    pub fn is_of_samples(&self) -> bool {
        matches!(self.kind, Kind::Samples)
    }

    /// How the backend is asked for one arm of one run. `closed`: its ranges hold what lies on their left
    /// edge, as before Prometheus 3.
    pub fn expr(&self, arm: &Arm<'_>, window_ms: u64, closed: bool) -> String {
        match &self.kind {
            Kind::Series => {
                let of = over("last_over_time", &every(), arm, window_ms, closed);
                format!("count by (__name__) ({of})")
            }
            Kind::Samples => {
                let of = over("count_over_time", &every(), arm, window_ms, closed);
                format!("sum({of})")
            }
            Kind::Query(query) | Kind::Alert(query, _) => write(&query.0, &arm.matchers()),
            Kind::Alone(_) => String::new(),
        }
    }
}

/// How samples of these metrics are asked for, all in one. Without their names series of different metrics
/// can have the same labels, which Prometheus refuses: each gets a number in the name's place.
pub fn samples(metrics: &[String], arm: &Arm<'_>, window_ms: u64, closed: bool) -> String {
    let one = |(at, name): (usize, &String)| {
        let is = LabelMatch {
            label: NAME.into(),
            op: Op::Equal,
            value: name.clone(),
        };
        let of = over("count_over_time", &is, arm, window_ms, closed);
        format!("label_replace({of}, \"phoenix_metric\", \"{at}\", \"\", \"\")")
    };
    let all: Vec<String> = metrics.iter().enumerate().map(one).collect();
    format!("sum({})", all.join(" or "))
}

/// What points became: `target_info` is of resources.
fn every() -> LabelMatch {
    LabelMatch {
        label: NAME.into(),
        op: Op::NotEqual,
        value: "target_info".into(),
    }
}

fn over(function: &str, of: &LabelMatch, arm: &Arm<'_>, window_ms: u64, closed: bool) -> String {
    let selector = Ast::Selector {
        matchers: vec![of.clone()],
        range_ms: Some(window_ms - u64::from(closed)),
    };
    let call = Ast::Call {
        name: function.into(),
        args: vec![selector],
    };
    write(&call, &arm.matchers())
}

/// What tells an arm of a run from everything else in the backend.
pub struct Arm<'a> {
    pub backend: &'a Prometheus,
    pub side: usize,
    pub run: String,
}

impl Arm<'_> {
    fn matchers(&self) -> [LabelMatch; 2] {
        let is = |label: &str, value: &str| LabelMatch {
            label: label.into(),
            op: Op::Equal,
            value: value.into(),
        };
        let arm = ARMS.get(self.side).copied().unwrap_or_default();
        [
            is(&self.backend.arm_label, arm),
            is(&self.backend.run_label, &self.run),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::documents::parse_experiment;

    fn spec(more: &str) -> ExperimentSpec {
        let text = format!(
            "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\nspec:\n  candidate: c\n  \
             goal: {{ saving: points, target: 20% }}\n  prometheus: {{ url: 'http://127.0.0.1:9090' }}\n  {more}"
        );
        parse_experiment(&text).unwrap().spec
    }

    const QUERIES: &str = "guardrails: { queries: [ { name: a, expr: 'sum(rate(a_total[1m]))' }, { name: b, expr: 'irate(a_total[1m])' } ] }";

    #[test]
    fn both_arms_are_asked_by_labels_on_every_selector() {
        let spec = spec(QUERIES);
        let arm = Arm {
            backend: spec.prometheus.as_ref().unwrap(),
            side: 1,
            run: "id/3".into(),
        };
        let own = r#"phoenix_arm="candidate",phoenix_run="id/3""#;
        let asked: Vec<String> = figures(&spec)
            .iter()
            .map(|f| f.expr(&arm, 10_000, true))
            .collect();
        assert_eq!(
            asked,
            [
                format!(
                    r#"count by (__name__) (last_over_time({{__name__!="target_info",{own}}}[9999ms]))"#
                ),
                format!(r#"sum(count_over_time({{__name__!="target_info",{own}}}[9999ms]))"#),
                format!(r#"sum by () (rate({{__name__="a_total",{own}}}[60000ms]))"#),
                String::new(),
            ]
        );
        let metrics = ["a_total".to_string(), "b".to_string()];
        assert_eq!(
            samples(&metrics, &arm, 10_000, false),
            format!(
                "sum(label_replace(count_over_time({{__name__=\"a_total\",{own}}}[10000ms]), \
                 \"phoenix_metric\", \"0\", \"\", \"\") or \
                 label_replace(count_over_time({{__name__=\"b\",{own}}}[10000ms]), \"phoenix_metric\", \"1\", \"\", \"\"))"
            )
        );
    }

    #[test]
    fn what_one_of_both_cannot_answer_is_not_comparable_and_says_why() {
        let alone = |spec: &ExperimentSpec| -> Vec<Option<String>> {
            let all = figures(spec);
            all.iter().map(|f| f.alone().map(String::from)).collect()
        };
        let found = alone(&spec(QUERIES));
        assert_eq!(found[..3], [None, None, None]);
        assert!(found[3].as_ref().unwrap().contains("`irate`"), "{found:?}");
        let otel = alone(&spec(&format!("names: {{ style: otel }}\n  {QUERIES}")));
        assert!(
            otel[2].as_ref().unwrap().contains("style: otel"),
            "{otel:?}"
        );
    }
}
