//! When windows are due, and what is worth a write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::documents::{Span, parse_experiment};
use crate::model::{WitnessFigure, Word};
use crate::witness::say::witness;
use std::cell::Cell;

pub fn experiment() -> Experiment {
    with("")
}

fn with(more: &str) -> Experiment {
    let text = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: e }\nspec:\n  candidate: c\n  \
                goal: { saving: points, target: 20% }\n  prometheus: { url: 'http://127.0.0.1:9090', delay: 30s }\n";
    let spec = parse_experiment(&format!("{text}{more}")).unwrap().spec;
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

#[tokio::test]
async fn after_a_failure_it_rests_from_when_it_failed() {
    // Whoever connects gets no answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut e, open) = (experiment(), run(None));
    let document = e.spec.prometheus.as_mut().unwrap();
    document.url = format!("http://{}", silent.local_addr().unwrap());
    document.timeout = Span(100);
    let mut follow = Follow::new(&open);
    // A minute goes by between two looks at this clock.
    let now = Cell::new(140_000);
    let clock = || now.replace(now.get() + 60_000);
    follow
        .ask(&e, &open, &Backends::default(), &[], clock)
        .await;
    assert!(follow.away.is_some());
    assert_eq!(follow.due(&e, &open, 200_000 + REST_MS - 1), None);
    assert!(follow.due(&e, &open, 200_000 + REST_MS).is_some());
}

fn question<'a>(client: &'a Client, arm: &'a Arm<'a>) -> Question<'a> {
    Question {
        client,
        arm,
        ends: (110_000, 110_000),
        window: 10_000,
        closed: false,
    }
}

#[tokio::test]
async fn samples_are_not_asked_for_by_names_that_nobody_told_or_that_are_too_many() {
    let e = experiment();
    let backend = e.spec.prometheus.as_ref().unwrap();
    let client = Client::new(backend, &Default::default()).unwrap();
    let arm = Arm {
        backend,
        side: 0,
        run: "i/1".into(),
    };
    let samples = figures(&e.spec).into_iter().find(Figure::is_of_samples);
    let samples = samples.unwrap();
    let own = BTreeMap::from([(110_000, Vector::from([(Labels::new(), 5.0)]))]);
    let asked = async |mut names| {
        let question = question(&client, &arm);
        match question.count(&samples, &own, &mut names).await {
            Err(Silence::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let why = asked(None).await;
    assert!(why.contains("did not tell"), "{why}");

    let answer = |names: Vec<String>| {
        let of = |name| (Labels::from([(NAME.to_string(), name)]), 1.0);
        Answer::from([(110_000, names.into_iter().map(of).collect())])
    };
    let many = |n: usize| answer((0..n).map(|n| format!("m{n}")).collect());
    assert_eq!(named(&many(MOST_METRICS)).unwrap().len(), MOST_METRICS);
    let why = asked(Some(named(&many(MOST_METRICS + 1)))).await;
    assert_eq!(why, "more than 2000 metrics");
    assert!(named(&answer(vec!["n".repeat(NAME_BYTES)])).is_ok());
    assert!(named(&answer(vec!["n".repeat(NAME_BYTES + 1)])).is_err());
}

#[test]
fn what_an_earlier_process_found_stands_until_as_much_was_asked_again() {
    let (e, closed) = (experiment(), run(Some(125_000)));
    let earlier = Witness {
        until_ms: 120_000,
        word: Word::Disagrees,
        ..Witness::default()
    };
    let after = |until_ms: u64| {
        let mut follow = Follow::new(&closed);
        follow.found(&earlier);
        follow.until_ms = until_ms;
        let news = follow.is_news(&witness(&e, &closed, &follow));
        // The backend could not be asked any more.
        follow.end_if_over(&e, &closed, 155_001 + GRACE_MS);
        let last = follow.is_news(&witness(&e, &closed, &follow));
        (news, last, follow.is_over())
    };
    let nothing_asked = after(closed.from_ms);
    assert_eq!(nothing_asked, (false, false, true));
    let less = after(110_000);
    assert_eq!(less, (false, false, true));
    let as_much = after(120_000);
    assert_eq!(as_much, (true, true, false));
}

#[test]
fn of_a_group_so_many_labels_are_shown_and_that_there_were_more() {
    let (e, open) = (experiment(), run(None));
    let mut follow = Follow::new(&open);
    let label = |n: usize| (format!("k{n:02}"), "v".repeat(1000));
    let group: Labels = (0..40).map(label).collect();
    let of = |value: f64| Vector::from([(group.clone(), value)]);
    let tally = follow.tallies.entry((0, 0)).or_default();
    tally.add(110_000, 10_000, &of(5.0), &of(2.0));
    let figure = &witness(&e, &open, &follow).figures[0];
    assert_eq!(figure.word, Word::Disagrees);
    assert_eq!(figure.labels.len(), 31);
    assert_eq!(figure.labels["..."], "10 (cut)");
    assert_eq!(figure.labels["k00"], "v".repeat(120) + "... (cut)");
    assert!(figure.reason.len() < 500, "{}", figure.reason);
    assert!(figure.reason.contains("agents 5, backend 2"));
}

const ALERT: &str = r"
  guardrails:
    rules: |
      groups:
      - name: g
        rules:
        - { alert: High, expr: sum by (k) (a) > 10, for: 20s }
";

/// The alert's expression holds for these values of `k` at the ends of these windows, by the agents and by the
/// backend. Gives the alert's row, and the word on all.
fn high(agents: &[(u64, &str)], backend: &[(u64, &str)]) -> (WitnessFigure, Word) {
    let (e, open) = (with(ALERT), run(None));
    let mut follow = Follow::new(&open);
    let all = figures(&e.spec);
    let number = all.iter().position(|f| f.what == "alert High").unwrap();
    let course = |holds: &[(u64, &str)]| -> BTreeMap<u64, Vector> {
        let at = |window: u64| {
            let of = holds.iter().filter(|(w, _)| *w == window);
            of.map(|(_, k)| (Labels::from([("k".into(), (*k).into())]), 11.0))
                .collect()
        };
        (11..=20).map(|w| (w * 10_000, at(w))).collect()
    };
    let both = Both {
        key: (number, 1),
        rule: all[number].alert().cloned(),
        own: course(agents),
        theirs: course(backend),
    };
    let round = Round {
        answers: vec![both],
        reasons: BTreeMap::new(),
    };
    follow.take(round, 10_000);
    let said = witness(&e, &open, &follow);
    let mut rows = said.figures.into_iter();
    let row = rows.find(|f| f.what == "alert High" && f.arm == "candidate");
    (row.unwrap(), said.word)
}

#[test]
fn alerts_are_held_against_each_other_by_when_they_fire() {
    let from_13 = [(13, "a"), (14, "a"), (15, "a"), (16, "a"), (17, "a")];
    let (alike, all) = high(&from_13, &from_13);
    assert_eq!((alike.word, all), (Word::Agrees, Word::Agrees), "{alike:?}");
    assert_eq!((alike.agents, alike.backend), (Some(1.0), Some(1.0)));
    assert_eq!((alike.windows, alike.values), (10, 1));
    assert!(
        alike.expr.contains(r#"phoenix_arm="candidate""#),
        "{alike:?}"
    );
    // One evaluation later, as a rate at its edge.
    assert_eq!(high(&from_13, &from_13[1..]).0.word, Word::Agrees);

    // Never for long enough: that is no proof of anything.
    let (never, all) = high(&from_13[..2], &from_13[2..4]);
    assert_eq!((never.word, all), (Word::Agrees, Word::NotComparable));
    assert_eq!(never.agents, Some(0.0));

    for (agents, backend, says) in [
        (&from_13[..], &from_13[..2], "1 not there, 0 there alone"),
        (&from_13[..], &[][..], "1 not there, 0 there alone"),
        (&[][..], &from_13[..], "0 not there, 1 there alone"),
    ] {
        let (row, all) = high(agents, backend);
        assert_eq!((row.word, all), (Word::Disagrees, Word::Disagrees));
        assert!(row.reason.contains(says), "{}", row.reason);
        assert!(
            row.reason.ends_with("at 1970-01-01T00:02:30Z {k=a}"),
            "{}",
            row.reason
        );
    }

    let last = [(18, "a"), (19, "a"), (20, "a")];
    let (open, _) = high(&last, &[]);
    assert_eq!(
        open.word,
        Word::NotComparable,
        "the backend may follow: {open:?}"
    );
}

#[test]
fn more_alerts_than_are_followed_are_not_compared() {
    let names: Vec<String> = (0..=GROUPS).map(|n| n.to_string()).collect();
    let many: Vec<(u64, &str)> = names.iter().map(|n| (12, n.as_str())).collect();
    let (row, _) = high(&[(12, "a")], &many);
    assert_eq!(row.word, Word::NotComparable);
    assert_eq!(row.reason, "more than 10000 alerts");
}
