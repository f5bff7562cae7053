//! The documents of the control plane: Assignment and Experiment. Pipelines are the engine's.

mod assignment;
mod experiment;
mod parse;
mod selector;
mod units;

pub use assignment::{AssignmentSpec, parse_assignment};
pub use experiment::{ExperimentSpec, Goal, Guardrails, Mode, OnSuccess, Saving, parse_experiment};
pub use parse::Document;
pub use selector::Selector;
pub use units::{Ratio, Span};

use phoenix_engine::document::Problem;

/// 64 lower-case hex digits name one version of a pipeline; anything else is a name.
pub fn is_hash(reference: &str) -> bool {
    reference.len() == 64
        && reference
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Names are used in paths and labels.
fn check_name(path: &str, name: &str, problems: &mut Vec<Problem>) {
    let ok = !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && name
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric);
    if !ok {
        problems.push(problem(
            path,
            format!(
                "{name:?} is no name: write 1 to 63 lower-case letters, digits, '-' or '.', \
                 starting with a letter or digit"
            ),
        ));
    }
}

fn problem(path: &str, message: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_assignment_is_read_from_yaml_and_from_json() {
        let yaml = "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: a }\n\
                    spec: { selector: { matchLabels: { env: prod } }, pipeline: p, priority: 3 }\n";
        let document = parse_assignment(yaml).unwrap();
        assert_eq!(document.metadata.name, "a");
        assert_eq!(document.spec.priority, 3);
        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(parse_assignment(&json).unwrap().spec, document.spec);
    }

    #[test]
    fn every_mistake_of_an_experiment_is_told_at_once_with_its_path() {
        let yaml = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: Bad Name }\n\
                    spec: { candidate: '', mode: split, percent: 120, window: 100ms, minWindows: 0,\n\
                    maxDuration: 100ms, goal: { saving: points, target: 150% }, guardrails: { protectedRetention: 2 } }\n";
        let problems = parse_experiment(yaml).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        for path in [
            "metadata.name",
            "spec.candidate",
            "spec.entity",
            "spec.percent",
            "spec.window",
            "spec.minWindows",
            "spec.maxDuration",
            "spec.goal.target",
            "spec.guardrails.protectedRetention",
        ] {
            assert!(paths.contains(&path), "{path} is missing in {paths:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_a_problem() {
        let yaml = "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: a }\n\
                    spec: { selector: {}, pipeline: p, prio: 3 }\n";
        let problems = parse_assignment(yaml).unwrap_err();
        assert!(problems[0].message.contains("prio"), "{problems:?}");
    }

    #[test]
    fn defaults_of_an_experiment_are_those_of_the_contract() {
        let yaml = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: e }\n\
                    spec: { candidate: c, goal: { saving: series, target: 20% } }\n";
        let spec = parse_experiment(yaml).unwrap().spec;
        assert_eq!(spec.mode, Mode::Shadow);
        assert_eq!(spec.window, Span::from_secs(10));
        assert_eq!(spec.min_windows, 6);
        assert_eq!(spec.max_duration, Span::from_secs(600));
        assert_eq!(spec.on_success, OnSuccess::Hold);
        assert!((spec.goal.target.0 - 0.2).abs() < 1e-12);
        assert!((spec.guardrails.protected_retention.0 - 1.0).abs() < 1e-12);
        assert_eq!(spec.guardrails.max_export_errors, Some(0));
    }
}
