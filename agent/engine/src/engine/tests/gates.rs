//! Gates: what they tell, how many series they hold, what stands behind them.

use super::*;

/// A gauge `g` of host `h`.
fn g(key: &str, time: u64, value: i64) -> P {
    P {
        metric: "g",
        ..c(key, time, value)
    }
}

const LOW: &str = "{id: low, filter: {drop: [{metric: x}, {metric: g, value: {lt: 10}}]}}";

#[test]
fn explanations_tell_what_a_gate_made_of_the_last_point() {
    let all = format!(
        "[{LOW}, {{id: a, aggregate: {{match: {{metric: g}}, without: [k], function: sum, interval: 10s}}}}]"
    );
    let mut engine = engine(alone(stages(&all)));
    let ask = |engine: &Engine| {
        let answers = engine.explain(Some("g"), &[], 10);
        assert_eq!(answers.len(), 1);
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        let one = &answers[0];
        format!("{} {} {}", one.fate, of(&one.stage), of(&one.rule))
    };
    engine.feed(&request(&[g("1", 1, 3)]), S).unwrap();
    assert_eq!(ask(&engine), "filtered low drop[1]");
    engine.feed(&request(&[g("1", 2, 30)]), 2 * S).unwrap();
    assert_eq!(ask(&engine), "aggregated a ");
    engine.feed(&request(&[g("1", 3, 4)]), 3 * S).unwrap();
    assert_eq!(ask(&engine), "filtered low drop[1]");
    balanced(&engine.figures().baseline);
}

#[test]
fn figures_tell_what_passed_a_gate_and_which_rule_dropped_the_rest() {
    let mut engine = engine(alone(stages(&format!("[{LOW}]"))));
    let points = [g("1", 1, 3), g("1", 2, 30), g("2", 1, 4), c("1", 1, 4)];
    engine.feed(&request(&points), 2 * S).unwrap();
    let figures = engine.cut().baseline;
    balanced(&figures);
    let stage = &figures.stages[0];
    assert_eq!((stage.points_in, stage.points_out), (4, 2));
    assert_eq!((stage.series_in, stage.series_out), (3, 2));
    assert_eq!(stage.counts.get("drop[1]"), Some(&2));
    let of = |name: &str| {
        let row = figures.metrics.iter().find(|m| m.name == name).unwrap();
        (row.points_in, row.points_out, row.series_in, row.series_out)
    };
    assert_eq!((of("g"), of("c")), ((3, 1, 2, 1), (1, 1, 1, 1)));
    assert_eq!(engine.figures().baseline.ledger.filtered, 0);
}

#[test]
fn a_series_without_a_slot_passes_and_is_counted() {
    let mut settings = Settings::default();
    settings.limits.series = 2;
    let mut engine = Engine::new(settings, alone(stages(&format!("[{LOW}]"))), 0);
    let points = [g("1", 1, 3), g("2", 1, 3), g("3", 1, 3), g("4", 1, 3)];
    let fed = engine.feed(&request(&points), S).unwrap();
    assert_eq!(fed.emitted.points, 2);
    let figures = engine.figures().baseline;
    balanced(&figures);
    assert_eq!(figures.stages[0].counts.get("table_full"), Some(&2));
}

#[test]
fn slots_of_silent_series_are_freed() {
    let mut engine = engine(alone(stages(&format!("[{LOW}]"))));
    let keys: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let points: Vec<P> = keys.iter().map(|k| g(k, 1, 30)).collect();
    engine.feed(&request(&points), S).unwrap();
    let full = engine.state_size();
    for time in [100, 200, 300, 400, 500] {
        engine
            .feed(&request(&[g("0", time, 30)]), time * S)
            .unwrap();
    }
    assert_eq!((full.0, engine.state_size().0), (1_000, 1));
    // A place that was freed is taken again, by another series.
    let fed = engine
        .feed(&request(&[g("new", 501, 3), g("0", 501, 3)]), 501 * S)
        .unwrap();
    assert_eq!(fed.emitted.points, 0);
}

#[test]
fn a_slot_takes_few_bytes() {
    let size = |stage: &str| {
        let mut engine = engine(alone(stages(&format!("[{stage}]"))));
        let keys: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let points: Vec<P> = keys.iter().map(|k| g(k, 1, 30)).collect();
        engine.feed(&request(&points), S).unwrap();
        engine.state_size().1 / keys.len()
    };
    let none = size("{id: low, filter: {drop: [{metric: x}]}}");
    let idle = "{id: i, filter: {match: {}, entity: [k], drop_when: [{metric: g, below: 1}]}}";
    for (name, bytes) in [
        ("values", size(LOW) - none),
        ("entities", size(idle) - none),
    ] {
        println!("{name}: {bytes} bytes a series");
        assert!(bytes < 450, "{name}: {bytes} bytes a series");
    }
}
