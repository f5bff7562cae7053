//! The documents of the control plane: Assignment and Experiment. Pipelines are the engine's.

mod assignment;
mod experiment;
mod parse;
mod selector;
mod units;

pub use assignment::{AssignmentSpec, parse_assignment};
pub use experiment::{
    Book, By, ExperimentSpec, ExportErrors, Goal, Guardrails, Kind, Mode, NameStyle,
    OnDisagreement, OnFailure, OnSuccess, Portion, Prometheus, Saving, Scope, Share, Step,
    StepSpec, parse_experiment,
};
pub use parse::Document;
pub use selector::Selector;
pub use units::{Bytes, Ratio, Span};

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
    fn an_unknown_key_is_a_problem() {
        let yaml = "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: a }\n\
                    spec: { selector: {}, pipeline: p, prio: 3 }\n";
        let problems = parse_assignment(yaml).unwrap_err();
        assert!(problems[0].message.contains("prio"), "{problems:?}");
    }
}
