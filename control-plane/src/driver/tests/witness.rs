//! What a second witness that has not spoken of every step means for a promotion.

use super::Story;
use crate::driver::unwitnessed;
use crate::model::{Experiment, StepResult, Witness, Word};

/// Two steps on agents behind one that is not; the last one runs.
fn experiment(on_disagreement: &str) -> Experiment {
    let steps = "maxDuration: 1h, steps: [ { step: replay }, { step: shadow }, { step: ramp, by: node, to: [100%] } ]";
    let backend = format!(
        "prometheus: {{ url: 'http://127.0.0.1:9090', onDisagreement: {on_disagreement} }}"
    );
    let mut e = Story::of(&format!("{steps}, {backend}"), 1).experiment;
    let ended = |at: usize, step: &str| StepResult {
        at,
        step: step.into(),
        revision: at as u64 + 1,
        passed: true,
        reason: String::new(),
        started_ms: 0,
        ended_ms: 0,
        judged_ms: None,
        verdict: None,
    };
    e.results = vec![ended(0, "replay"), ended(1, "shadow")];
    (e.at, e.revision, e.step) = (2, 3, "ramp".into());
    e
}

fn heard(revision: u64, word: Word) -> Witness {
    Witness {
        revision,
        word,
        reason: format!("it said {}", word.name()),
        ..Witness::default()
    }
}

#[test]
fn a_step_that_the_witness_was_not_asked_about_is_not_agreed_to() {
    let said = |witness: Vec<Witness>| {
        let witness = Experiment {
            witness,
            ..experiment("hold")
        };
        unwitnessed(&witness)
    };
    let agrees = |revision| heard(revision, Word::Agrees);
    assert_eq!(said(vec![agrees(2), agrees(3)]), None);
    for (witness, step) in [
        (vec![], "shadow"),
        (vec![agrees(2)], "ramp"),
        (vec![agrees(3)], "shadow"),
        // Of another run.
        (vec![agrees(2), agrees(7)], "ramp"),
    ] {
        let why = said(witness).unwrap();
        assert_eq!(why, format!("step {step}: it was not asked yet."));
    }
    for word in [Word::Disagrees, Word::NotComparable, Word::NotAsked] {
        let why = said(vec![agrees(2), heard(3, word)]).unwrap();
        assert_eq!(why, format!("step ramp: it said {}", word.name()));
    }
    assert_eq!(
        unwitnessed(&experiment("show")),
        None,
        "nobody asked for it"
    );
}
