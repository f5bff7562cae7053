//! Each guardrail alone: what it lets pass, and what it says when it does not.

#![allow(clippy::unwrap_used)]
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn guard(limits: Guardrails) -> Guard {
    let before = Sample {
        rss_bytes: Some(100),
        export_errors: Some(7),
        ..Sample::default()
    };
    Guard::new(limits, &before, Duration::ZERO)
}

fn look(guard: &mut Guard, seconds: u32, sample: Sample) -> Option<(Harm, f64, f64, Duration)> {
    let found = guard.look(&sample, SECOND * seconds)?;
    assert!(!found.reason.is_empty());
    Some((found.harm, found.measured, found.threshold, found.lasted))
}

#[test]
fn without_limits_only_an_account_that_does_not_balance_is_harm() {
    let mut guard = guard(Guardrails::default());
    let bad = Sample {
        watched: Watched {
            protected: Protected {
                points_in: 10,
                ..Protected::default()
            },
            requests: [(10, 10), (10, u64::MAX)],
        },
        rss_bytes: Some(u64::MAX),
        export_errors: Some(1_000),
        imbalance: 0,
        answers: Answers::default(),
    };
    for seconds in 1..5 {
        assert_eq!(look(&mut guard, seconds, bad), None);
    }
    let lost = Sample {
        imbalance: -3,
        ..Sample::default()
    };
    let found = look(&mut guard, 5, lost);
    assert_eq!(found, Some((Harm::Ledger, -3.0, 0.0, SECOND)));
}

#[test]
fn a_lost_protected_point_and_a_failed_export_too_many_count_at_once() {
    let mut guard = guard(Guardrails {
        protected_retention: Some(0.99),
        max_export_errors: Some(2),
        ..Guardrails::default()
    });
    let kept = |points_out, errors| Sample {
        watched: Watched {
            protected: Protected {
                points_in: 100,
                points_out,
                ..Protected::default()
            },
            ..Watched::default()
        },
        export_errors: Some(errors),
        ..Sample::default()
    };
    assert_eq!(
        look(&mut guard, 1, Sample::default()),
        None,
        "nothing came yet"
    );
    assert_eq!(look(&mut guard, 2, kept(99, 9)), None);
    let found = look(&mut guard, 3, kept(98, 9));
    assert_eq!(found, Some((Harm::Protected, 0.98, 0.99, SECOND)));
    let found = look(&mut guard, 4, kept(100, 10));
    assert_eq!(found, Some((Harm::Export, 3.0, 2.0, SECOND * 2)));
}

#[test]
fn memory_and_latency_must_be_seen_twice_in_a_row() {
    let mut guard = guard(Guardrails {
        max_memory_ratio: Some(1.5),
        max_added_latency_ns: Some(1_000),
        ..Guardrails::default()
    });
    let sample = |rss, ours: (u64, u64), theirs: (u64, u64)| Sample {
        watched: Watched {
            requests: [ours, theirs],
            ..Watched::default()
        },
        rss_bytes: Some(rss),
        ..Sample::default()
    };
    assert_eq!(look(&mut guard, 1, sample(151, (0, 0), (0, 0))), None);
    assert_eq!(look(&mut guard, 2, sample(150, (1, 500), (1, 1_500))), None);
    assert_eq!(
        look(&mut guard, 3, sample(150, (2, 500), (2, 4_500))),
        None,
        "3 us more, once"
    );
    assert_eq!(
        look(&mut guard, 4, sample(150, (3, 500), (3, 4_500))),
        None,
        "no more"
    );
    assert_eq!(look(&mut guard, 5, sample(150, (3, 500), (4, 6_500))), None);
    assert_eq!(
        look(&mut guard, 6, sample(150, (3, 500), (4, 6_500))),
        None,
        "no request came"
    );
    let found = look(&mut guard, 7, sample(150, (3, 500), (6, 10_500)));
    assert_eq!(found, Some((Harm::Latency, 2_000.0, 1_000.0, SECOND * 3)));
}

#[test]
fn memory_is_held_against_what_the_agent_took_before() {
    let mut guard = guard(Guardrails {
        max_memory_ratio: Some(1.5),
        ..Guardrails::default()
    });
    let rss = |rss_bytes| Sample {
        rss_bytes: Some(rss_bytes),
        ..Sample::default()
    };
    assert_eq!(look(&mut guard, 1, rss(150)), None);
    assert_eq!(look(&mut guard, 2, rss(151)), None);
    let found = look(&mut guard, 3, rss(300));
    assert_eq!(found, Some((Harm::Memory, 3.0, 1.5, SECOND * 2)));
}
