//! Measures of a few points, by hand.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::input::Notes;
use crate::view::Number;

const SECOND: Nanos = 1_000_000_000;

fn point(time: u64, value: f64) -> PointView<'static> {
    PointView {
        kind: MetricType::Gauge,
        body: &[],
        start: 0,
        time: time * SECOND,
        flags: 0,
        number: Some(Number::Double(value)),
        exemplars: false,
    }
}

fn gain(by: i128) -> Observation<'static> {
    Observation {
        increment: Increment::Number(Total::Int(by)),
        notes: Notes::NONE,
        advanced: true,
        new_epoch: false,
        gap: 0,
    }
}

fn measure() -> Measure {
    Measure::new(2, (10 * SECOND, SECOND), 0, 10)
}

#[test]
fn last_values_and_gains_of_an_entity_add_up() {
    let mut measure = measure();
    let (a, b) = (Part { value: 1, rate: 0 }, Part { value: 0, rate: 2 });
    let one = measure.join(7, a).unwrap();
    let two = measure.join(7, a).unwrap();
    let counter = measure.join(7, b).unwrap();
    let other = measure.join(9, a).unwrap();
    let now = 5 * SECOND;
    measure.take(one, &point(1, 4.0), false, None, now);
    measure.take(one, &point(3, 5.0), false, None, now);
    measure.take(one, &point(2, 9.0), false, None, now);
    measure.take(two, &point(2, 1.5), false, None, now);
    let sum = PointView {
        kind: MetricType::Sum,
        ..point(4, 100.0)
    };
    measure.take(counter, &sum, false, Some(&gain(30)), now);
    measure.take(counter, &sum, false, Some(&gain(20)), now);
    measure.take(other, &point(10, 2.0), false, None, now);
    measure.take(other, &point(11, 3.0), false, None, 11 * SECOND);
    assert!(
        measure.close(10 * SECOND).is_empty(),
        "it waits for late points"
    );
    let closed = measure.close(11 * SECOND);
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].end, 10 * SECOND);
    let rows: Vec<(u64, &[f64])> = closed[0].rows().collect();
    assert_eq!(rows[0], (7, &[6.5, 5.0][..]));
    assert_eq!((rows[1].0, rows[1].1[0]), (9, 2.0));
    assert!(rows[1].1[1].is_nan());
    // Late: by rate in the open window, by value not at all.
    measure.take(counter, &sum, false, Some(&gain(7)), 12 * SECOND);
    measure.take(one, &point(9, 8.0), false, None, 12 * SECOND);
    let closed = measure.close(30 * SECOND);
    let rows: Vec<(u64, &[f64])> = closed[0].rows().collect();
    assert!(rows[0].1[0].is_nan());
    assert_eq!((rows[0].1[1], rows[1].1[0]), (0.7, 3.0));
}

#[test]
fn what_workers_measured_adds_up() {
    let nan = f64::NAN;
    let mut one = Measured {
        end: 1,
        entities: vec![7, 8],
        terms: vec![1.0, nan, 2.0, 3.0],
    };
    let other = Measured {
        end: 1,
        entities: vec![8, 9],
        terms: vec![1.0, 1.0, nan, 5.0],
    };
    one.unite(&other);
    assert_eq!(one.entities, [7, 8, 9]);
    assert_eq!(one.terms[2..4], [3.0, 4.0]);
    assert!(one.terms[1].is_nan() && one.terms[4].is_nan());
    let mut nothing = Measured::default();
    nothing.unite(&other);
    assert_eq!(nothing.entities, [8, 9]);
}

#[test]
fn an_entity_without_series_is_forgotten_and_a_full_measure_takes_no_more() {
    let mut measure = Measure::new(1, (10 * SECOND, 0), 0, 2);
    let part = Part { value: 1, rate: 0 };
    let one = measure.join(1, part).unwrap();
    assert!(measure.join(2, part).is_some());
    assert!(measure.join(3, part).is_none());
    measure.take(one, &point(1, 4.0), false, None, SECOND);
    measure.leave(one);
    assert!(measure.join(3, part).is_some());
    assert!(measure.close(10 * SECOND)[0].entities.is_empty());
}
