//! Gauges with each function.

use super::super::*;
use super::bench::*;

fn run(function: &str) -> Vec<String> {
    let rename = match function {
        "mean" | "count" => ", rename: \"{name}.of\"",
        _ => "",
    };
    let mut b = Bench::new(&format!(
        "{{ match: {{ metric: m, type: gauge }}, without: [pod], interval: 60s, function: {function}{rename} }}"
    ));
    let (x, y) = (gauge("pod=1"), gauge("pod=2"));
    // x: 4, 10, then (older, ignored as a last value) 2; y: 7, 1
    b.number(&x, (0, 10), 4, 10);
    b.number(&x, (0, 20), 10, 20);
    b.number(&x, (0, 15), 2, 21);
    b.number(&y, (0, 12), 7, 22);
    b.number(&y, (0, 30), 1, 30);
    let mut lines = b.tick(65);
    // only x speaks in the next window
    b.number(&x, (0, 70), 3, 70);
    lines.extend(b.tick(125));
    lines
}

#[test]
fn each_function_is_over_last_values_and_min_and_max_over_all_points() {
    assert_eq!(run("sum"), ["m{} 0..60 = 11", "m{} 0..120 = 3"]);
    assert_eq!(run("min"), ["m{} 0..60 = 1", "m{} 0..120 = 3"]);
    assert_eq!(run("max"), ["m{} 0..60 = 10", "m{} 0..120 = 3"]);
    assert_eq!(run("last"), ["m{} 0..60 = 1", "m{} 0..120 = 3"]);
    assert_eq!(run("mean"), ["m.of{} 0..60 = 5.5", "m.of{} 0..120 = 3.0"]);
    assert_eq!(run("count"), ["m.of{} 0..60 = 2", "m.of{} 0..120 = 1"]);
}

#[test]
fn count_is_of_unit_1_and_the_others_keep_theirs() {
    for (function, unit) in [("count", "1"), ("mean", "By")] {
        let mut b = Bench::new(&format!(
            "{{ match: {{ metric: m, type: gauge }}, without: [pod], function: {function}, rename: n }}"
        ));
        let x = gauge("pod=1");
        b.number(&x, (0, 10), 4, 10);
        let mut written = Written::default();
        b.stage.close_all(20 * S, &mut written);
        assert_eq!(
            request(&written).resource_metrics[0].scope_metrics[0].metrics[0].unit,
            unit
        );
    }
}

#[test]
fn of_equally_late_values_of_one_input_the_later_arrival_counts() {
    let mut b = Bench::new("{ match: { metric: m, type: gauge }, without: [pod], function: sum }");
    let x = gauge("pod=1");
    b.number(&x, (0, 10), 4, 10);
    b.number(&x, (0, 10), 9, 11);
    assert_eq!(b.tick(65), ["m{} 0..60 = 9"]);
}

#[test]
fn a_gauge_without_function_passes_as_its_own_series() {
    let mut b = Bench::new("{ match: { metric: m }, without: [pod] }");
    let x = gauge("pod=1");
    let body = number(&x, 0, 10, 4);
    assert_eq!(b.add(&x, &body, 10), Added::Passes(NOT_AGGREGATED));
}

#[test]
fn infinity_is_dropped_only_where_values_are_added() {
    for (function, added) in [("sum", Added::Dropped("nan")), ("max", Added::Absorbed)] {
        let mut b = Bench::new(&format!(
            "{{ match: {{ metric: m, type: gauge }}, without: [pod], function: {function} }}"
        ));
        let x = gauge("pod=1");
        assert_eq!(b.add(&x, &number(&x, 0, 10, f64::INFINITY), 10), added);
        assert_eq!(
            b.add(&x, &number(&x, 0, 10, f64::NAN), 10),
            Added::Dropped("nan")
        );
        if added == Added::Absorbed {
            assert_eq!(b.tick(65), ["m{} 0..60 = inf"]);
        }
    }
}

#[test]
fn a_late_gauge_is_dropped() {
    let mut b = Bench::new("{ match: { metric: m, type: gauge }, without: [pod], function: sum }");
    let x = gauge("pod=1");
    b.tick(65);
    assert_eq!(b.add(&x, &number(&x, 0, 60, 4), 65), Added::Dropped("late"));
    assert_eq!(b.add(&x, &number(&x, 0, 61, 4), 65), Added::Absorbed);
}

#[test]
fn a_gauge_whose_inputs_have_all_ended_says_so() {
    let mut b = Bench::new("{ match: { metric: m, type: gauge }, without: [pod], function: sum }");
    let (x, y) = (gauge("pod=1"), gauge("pod=2"));
    b.number(&x, (0, 10), 4, 10);
    b.number(&y, (0, 10), 5, 10);
    assert_eq!(b.add(&x, &ended(&x, 0, 20), 20), Added::Absorbed);
    assert_eq!(b.tick(65), ["m{} 0..60 = 9"]);
    assert_eq!(b.add(&y, &ended(&y, 0, 70), 70), Added::Absorbed);
    assert_eq!(b.tick(125), ["m{} 0..120 = ended"]);
}
