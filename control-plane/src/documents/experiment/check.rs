//! What stands against an experiment: every problem at once, with its path and remedy.

use super::steps::{By, Kind, Portion, StepSpec, course};
use super::{ExperimentSpec, Mode};
use crate::documents::parse::Document;
use crate::documents::{Bytes, Span, check_name, problem};
use phoenix_engine::document::{Problem, parse_matchers};
use serde_json::Value;

type Problems = Vec<Problem>;

/// No agent takes less memory.
const LEAST_RSS: u64 = 1 << 20;

pub(super) fn check(document: &Document<ExperimentSpec>) -> Problems {
    let mut problems = Vec::new();
    let spec = &document.spec;
    check_name("metadata.name", &document.metadata.name, &mut problems);
    check_pipelines(spec, &mut problems);
    check_matchers("spec.scope.match", &spec.scope.metrics, &mut problems);
    check_time(spec, &mut problems);
    check_order(&spec.steps, &mut problems);
    for (n, step) in spec.steps.iter().enumerate() {
        check_step(&format!("spec.steps[{n}]"), step, &mut problems);
    }
    check_criteria(spec, &mut problems);
    problems
}

fn check_pipelines(spec: &ExperimentSpec, problems: &mut Problems) {
    if spec.candidate.is_empty() {
        problems.push(problem(
            "spec.candidate",
            "write the name or the hash of a pipeline",
        ));
    }
    if spec.baseline.as_deref() == Some("") {
        problems.push(problem(
            "spec.baseline",
            "write the name or the hash of a pipeline, or leave it out for what is assigned",
        ));
    }
}

fn check_matchers(path: &str, matchers: &[Value], problems: &mut Problems) {
    let text = Value::Array(matchers.to_vec()).to_string();
    if let Err(wrong) = parse_matchers(&text) {
        problems.extend(wrong.into_iter().map(|p| Problem {
            path: format!("{path}{}", p.path),
            ..p
        }));
    }
}

fn check_time(spec: &ExperimentSpec, problems: &mut Problems) {
    if spec.window < Span::from_secs(1) || spec.window > Span::from_secs(3600) {
        problems.push(problem("spec.window", "a window lasts between 1s and 1h"));
    }
    // The first window of an arm is warm-up and is not compared. Time for fewer windows than
    // `minWindows` is no mistake: the verdict then says how many there were.
    let least = spec.window.0.saturating_mul(3);
    if spec.max_duration.0 < least {
        problems.push(problem(
            "spec.maxDuration",
            format!(
                "too short for a window of {} ms after the warm-up: write at least {} s",
                spec.window.0,
                least.div_ceil(1000)
            ),
        ));
    }
    let dwell: u64 = course(&spec.steps)
        .iter()
        .map(|s| s.dwell_ms)
        .fold(0, u64::saturating_add);
    if dwell >= spec.max_duration.0 {
        problems.push(problem(
            "spec.maxDuration",
            format!(
                "the steps dwell for {} s together: write more than that",
                dwell.div_ceil(1000)
            ),
        ));
    }
}

fn check_order(steps: &[StepSpec], problems: &mut Problems) {
    for (n, pair) in steps.windows(2).enumerate() {
        let (before, after) = match pair {
            [before, after] => (before.step, after.step),
            _ => continue,
        };
        let path = format!("spec.steps[{}].step", n + 1);
        if after == before {
            let text = format!("there is a step {} already", after.name());
            problems.push(problem(&path, text));
        } else if after < before {
            problems.push(problem(
                &path,
                format!(
                    "{} comes before {}: the order is lint, replay, aa, shadow, ramp, bake",
                    after.name(),
                    before.name()
                ),
            ));
        }
    }
    if !course(steps).iter().any(super::Step::compares) {
        problems.push(problem(
            "spec.steps",
            "no step compares the candidate with the baseline on live traffic: add \
             `{ step: shadow }`, or a ramp that begins below 100%",
        ));
    }
}

fn check_step(path: &str, step: &StepSpec, problems: &mut Problems) {
    let kind = step.step;
    let mut only = |key: &str, written: bool, takes: bool, who: &str| {
        if written && !takes {
            let text = format!("a step {} has none: it is for {who}", kind.name());
            problems.push(problem(&format!("{path}.{key}"), text));
        }
    };
    let (by, mode) = (step.by.unwrap_or_default(), step.mode.unwrap_or_default());
    let splits = match kind {
        Kind::Aa => mode == Mode::Split,
        Kind::Ramp => by != By::Node,
        _ => false,
    };
    let half = (kind == Kind::Aa && splits) || (kind == Kind::Ramp && by == By::Both);
    only("mode", step.mode.is_some(), kind == Kind::Aa, "aa");
    only("by", step.by.is_some(), kind == Kind::Ramp, "ramp");
    only("to", !step.to.is_empty(), kind == Kind::Ramp, "ramp");
    let who = "aa with mode: split, and ramp by: entity or both";
    only("entity", !step.entity.is_empty(), splits, who);
    let who = "aa with mode: split, and ramp by: both";
    only("percent", step.percent.is_some(), half, who);
    let runs = kind != Kind::Lint;
    only("minWindows", step.min_windows.is_some(), runs, "the others");
    let live = !matches!(kind, Kind::Lint | Kind::Replay);
    let who = "steps that run on agents";
    only("dwell", step.dwell.is_some(), live, who);
    if splits && step.entity.is_empty() {
        problems.push(problem(
            &format!("{path}.entity"),
            "a split needs the attribute keys that name an entity, such as [host.name, process.pid]",
        ));
    }
    if step.entity.iter().any(String::is_empty) {
        problems.push(problem(&format!("{path}.entity"), "a key is empty"));
    }
    if step.percent.is_some_and(|p| !(p > 0.0 && p < 100.0)) {
        problems.push(problem(
            &format!("{path}.percent"),
            "a share of entities is between 0 and 100 (both excluded)",
        ));
    }
    if step.min_windows == Some(0) {
        problems.push(problem(&format!("{path}.minWindows"), "write at least 1"));
    }
    if kind == Kind::Ramp {
        check_portions(&format!("{path}.to"), by, &step.to, problems);
    }
}

fn check_portions(path: &str, by: By, to: &[Portion], problems: &mut Problems) {
    for (n, portion) in to.iter().enumerate() {
        let at = format!("{path}[{n}]");
        match *portion {
            Portion::Nodes(_) if by == By::Entity => problems.push(problem(
                &at,
                "a ramp by entity reaches every node: write a share such as 25%",
            )),
            Portion::Nodes(0) => problems.push(problem(&at, "write at least 1 node")),
            Portion::Percent(p) if !(p > 0.0 && p <= 100.0) => {
                problems.push(problem(&at, "a share is above 0% and at most 100%"));
            }
            _ => {}
        }
    }
    for (n, pair) in to.windows(2).enumerate() {
        let grows = match pair {
            [Portion::Nodes(a), Portion::Nodes(b)] => a < b,
            [Portion::Percent(a), Portion::Percent(b)] => a < b,
            [Portion::Percent(_), Portion::Nodes(_)] => false,
            _ => true,
        };
        if !grows {
            problems.push(problem(
                &format!("{path}[{}]", n + 1),
                "a ramp only grows: nodes first, then shares, each more than the one before",
            ));
        }
    }
}

fn check_criteria(spec: &ExperimentSpec, problems: &mut Problems) {
    super::goal::check(spec, problems);
    let rails = &spec.guardrails;
    for (key, share) in [
        ("protectedRetention", rails.protected_retention),
        ("maxMissing", rails.max_missing),
    ] {
        if !(0.0..=1.0).contains(&share.0) {
            let path = format!("spec.guardrails.{key}");
            problems.push(problem(&path, "a share between 0 and 1"));
        }
    }
    for (key, ratio) in [
        ("maxCpuRatio", rails.max_cpu_ratio),
        ("maxRssRatio", rails.max_rss_ratio),
    ] {
        if ratio.is_some_and(|r| !(r.is_finite() && r > 0.0)) {
            problems.push(problem(
                &format!("spec.guardrails.{key}"),
                "write a ratio above 0, such as 1.5",
            ));
        }
    }
    if let Some(Bytes(size)) = rails.max_rss.filter(|size| size.0 < LEAST_RSS) {
        // A number without a unit is bytes, and was hardly meant so.
        let meant = if size > 0 && size < 100_000 {
            size
        } else {
            300
        };
        problems.push(problem(
            "spec.guardrails.maxRss",
            format!("{size} bytes are less than any agent takes: write {meant}MiB"),
        ));
    }
    if rails.max_added_latency == Some(Span(0)) {
        problems.push(problem(
            "spec.guardrails.maxAddedLatency",
            "write a time above 0, such as 5ms",
        ));
    }
    check_matchers("spec.guardrails.protect", &rails.protect, problems);
    super::queries::check(spec, problems);
    super::prometheus::check(spec, problems);
}
