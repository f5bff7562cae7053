//! Aggregations that keep the original: what they tell, and that later stages count right.

use super::*;

const FAST: &str = "{id: fast, aggregate: {match: {metric: c}, without: [k], interval: 10s, rename: c.fast, keep_original: true}}";
const SLOW: &str = "{id: slow, aggregate: {match: {metric: c}, without: [k], interval: 60s}}";

#[test]
fn explanations_name_the_copies_before_the_stage_that_decides() {
    let ask = |engine: &Engine| {
        let answers = engine.explain(Some("c"), &[], 10);
        assert_eq!(answers.len(), 1);
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        let one = &answers[0];
        format!("{} {}: {}", one.fate, of(&one.stage), one.why)
    };
    let mut alone_ = engine(alone(stages(&format!("[{FAST}]"))));
    alone_.feed(&request(&[c("1", 1, 3)]), S).unwrap();
    let copied = "aggregate `fast` merges a copy into `c.fast`; ";
    assert_eq!(
        ask(&alone_),
        format!("exported : {copied}no stage changes it")
    );
    let mut both = engine(alone(stages(&format!("[{FAST}, {SLOW}]"))));
    both.feed(&request(&[c("1", 1, 3)]), S).unwrap();
    let merged = "aggregate `slow` merges it into `c`, with 1 live inputs";
    assert_eq!(ask(&both), format!("aggregated slow: {copied}{merged}"));
}

#[test]
fn figures_tell_originals_and_copies_apart() {
    let mut engine = engine(alone(stages(&format!("[{FAST}]"))));
    let points = [c("1", 1, 3), c("2", 1, 4), c("1", 2, 5)];
    engine.feed(&request(&points), 2 * S).unwrap();
    engine.tick(15 * S);
    let figures = engine.cut().baseline;
    balanced(&figures);
    let ledger = &figures.ledger;
    assert_eq!((ledger.received, ledger.exported), (3, 4));
    assert_eq!((ledger.merged, ledger.held), (-1, 0));
    let stage = &figures.stages[0];
    assert_eq!((stage.points_in, stage.points_out), (3, 4));
    assert_eq!((stage.series_in, stage.series_out), (2, 3));
    assert_eq!((stage.absorbed, stage.emitted), (3, 1));
    let out = |name: &str| {
        let row = figures.metrics.iter().find(|m| m.name == name).unwrap();
        (row.points_out, row.series_out)
    };
    assert_eq!((out("c"), out("c.fast")), ((3, 2), (1, 1)));
}

#[test]
fn a_series_that_an_output_is_named_like_is_a_conflict_also_where_it_is_copied() {
    let same = "{id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s, rename: d}}";
    let copies = "{id: b, aggregate: {match: {metric: [c, d]}, without: [], interval: 10s, rename: '{name}.b', keep_original: true}}";
    let mut engine = engine(alone(stages(&format!("[{copies}, {same}]"))));
    engine.feed(&request(&[c("1", 1, 3)]), S).unwrap();
    engine.tick(15 * S);
    let output = P {
        metric: "d",
        keys: Vec::new(),
        ..c("", 16, 3)
    };
    engine.feed(&request(&[output]), 16 * S).unwrap();
    let figures = engine.figures().baseline;
    balanced(&figures);
    assert_eq!(figures.identity_conflicts, 1);
}
