//! When windows are due, and what is worth a write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::documents::parse_experiment;
use crate::model::Word;
use crate::witness::say::witness;

fn experiment() -> Experiment {
    let text = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: e }\nspec:\n  candidate: c\n  \
                goal: { saving: points, target: 20% }\n  prometheus: { url: 'http://127.0.0.1:9090', delay: 30s }";
    let spec = parse_experiment(text).unwrap().spec;
    let mut e: serde_json::Value = serde_json::json!({
        "tenant": "default", "name": "e", "id": "i", "revision": 1, "phase": "Running", "step": "shadow",
        "reason": "", "baselineHash": null, "candidateHash": "c", "createdMs": 0, "phaseMs": 0, "startedMs": 1,
        "endedMs": null, "promotedTo": null, "verdict": null, "actor": "",
    });
    e["spec"] = serde_json::to_value(spec).unwrap();
    serde_json::from_value(e).unwrap()
}

fn run(until_ms: Option<u64>) -> Run {
    Run {
        revision: 1,
        step: "shadow".into(),
        from_ms: 104_000,
        until_ms,
        agents: vec!["a".into()],
        least: 1,
    }
}

#[test]
fn whole_windows_of_the_step_are_due_after_the_delay_and_not_all_at_once() {
    let (e, open) = (experiment(), run(None));
    let mut follow = Follow::new(&open);
    assert_eq!(follow.due(&e, &open, 139_999), None);
    assert_eq!(follow.due(&e, &open, 140_000), Some((110_000, 110_000)));
    assert_eq!(follow.due(&e, &open, 165_000), Some((110_000, 130_000)));
    let closed = run(Some(125_000));
    assert_eq!(follow.due(&e, &closed, 999_000), Some((110_000, 120_000)));
    let day = 24 * 3_600_000;
    let (first, last) = follow.due(&e, &open, day).unwrap();
    assert_eq!((last - first) / 10_000 + 1, MOST_WINDOWS);
    follow.until_ms = 120_000;
    assert_eq!(follow.due(&e, &closed, 999_000), None);
    follow.rests_until_ms = 200_000;
    assert_eq!(follow.due(&e, &open, 199_999), None);
}

#[test]
fn it_is_over_when_all_was_asked_or_it_has_been_too_long() {
    let (e, closed) = (experiment(), run(Some(125_000)));
    let over = |until_ms: u64, now_ms: u64| {
        let mut follow = Follow::new(&closed);
        follow.until_ms = until_ms;
        follow.end_if_over(&e, &closed, now_ms);
        follow.over
    };
    assert!(!over(120_000, 154_999));
    assert!(over(120_000, 155_000));
    assert!(!over(110_000, 155_000 + GRACE_MS));
    assert!(over(110_000, 155_001 + GRACE_MS));
}

#[test]
fn what_was_not_asked_is_never_agreement_and_a_write_needs_news() {
    let (e, open) = (experiment(), run(None));
    let mut follow = Follow::new(&open);
    let said = witness(&e, &open, &follow);
    assert_eq!(said.word, Word::NotAsked);
    assert!(follow.is_news(&said));
    follow.kept(said.clone());
    assert!(!follow.is_news(&said));

    let of = |value: f64| Vector::from([(Labels::new(), value)]);
    for side in [0, 1] {
        for number in [0, 1] {
            let tally = follow.tallies.entry((number, side)).or_default();
            tally.add(110_000, 10_000, &of(5.0), &of(5.1));
        }
    }
    let said = witness(&e, &open, &follow);
    assert_eq!(said.word, Word::Agrees, "{said:?}");
    assert!(follow.is_news(&said));
    follow.kept(said);

    // It agreed, and cannot be asked any more.
    follow.away = Some("connection refused".into());
    let said = witness(&e, &open, &follow);
    assert_eq!(said.word, Word::NotAsked);
    assert!(
        said.reason.contains("connection refused"),
        "{}",
        said.reason
    );
    assert!(said.figures.iter().all(|f| f.word == Word::Agrees));

    // A difference stays one.
    let tally = follow.tallies.entry((1, 1)).or_default();
    tally.add(120_000, 10_000, &of(5.0), &of(2.0));
    let said = witness(&e, &open, &follow);
    assert_eq!(said.word, Word::Disagrees);
    assert!(
        said.reason.contains("samples of the candidate"),
        "{}",
        said.reason
    );
    assert!(
        said.reason.contains("agents 5, backend 3.55"),
        "{}",
        said.reason
    );
}

#[test]
fn only_before_prometheus_3_a_range_holds_its_left_edge() {
    let mut follow = Follow::new(&run(None));
    for (version, closed) in [(None, true), (Some("2.42.0"), true), (Some("3.5.0"), false)] {
        follow.version = version.map(String::from);
        assert_eq!(follow.closed(), closed, "{version:?}");
    }
}
