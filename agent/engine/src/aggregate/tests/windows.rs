//! Windows, late and future points, delta sums, order, exemplars.

use super::super::*;
use super::bench::*;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;

const MERGE: &str = "{ match: { metric: m }, without: [pod], interval: 60s }";

#[test]
fn a_window_holds_its_end_and_not_its_start_and_closes_after_the_lateness() {
    let mut b = Bench::new(MERGE);
    let x = delta("pod=1");
    b.number(&x, (0, 60), 1, 60);
    b.number(&x, (0, 61), 10, 61);
    assert!(b.tick(64).is_empty());
    assert_eq!(b.tick(65), ["m{} 0..60 = 1"]);
    assert_eq!(b.tick(125), ["m{} 60..120 = 10"]);
}

#[test]
fn a_late_delta_or_increment_counts_in_the_window_open_now() {
    let mut b = Bench::new(MERGE);
    let (x, y) = (delta("pod=1"), counter("pod=2"));
    b.tick(65);
    b.number(&x, (0, 59), 3, 66);
    b.number(&y, (1, 58), 4, 67);
    assert_eq!(b.count("late"), 2);
    assert_eq!(b.tick(125).len(), 2);
}

#[test]
fn a_point_from_the_future_counts_in_the_window_open_now() {
    let mut b = Bench::new(MERGE);
    let x = delta("pod=1");
    b.number(&x, (0, 500), 3, 10);
    b.number(&x, (0, 15), 1, 10);
    assert_eq!(b.count("future"), 1);
    assert_eq!(b.tick(65), ["m{} 0..60 = 4"]);
}

#[test]
fn with_windows_shorter_than_the_lateness_several_are_open() {
    let mut b = Bench::new("{ match: { metric: m }, without: [pod], interval: 1s }");
    let x = delta("pod=1");
    for (time, n) in [(1, 1), (3, 2), (2, 4), (1, 8)] {
        b.number(&x, (0, time), n, 4);
    }
    assert_eq!(b.tick(7), ["m{} 0..1 = 9", "m{} 1..2 = 4"]);
    assert_eq!(b.tick(8), ["m{} 2..3 = 2"]);
}

#[test]
fn at_the_end_every_window_is_stamped_with_its_own_end() {
    let mut b = Bench::new(MERGE);
    let x = delta("pod=1");
    b.number(&x, (0, 60), 1, 62);
    b.number(&x, (0, 61), 2, 62);
    let mut written = Written::default();
    b.stage.close_all(62 * S, &mut written);
    assert_eq!(lines(&written), ["m{} 0..60 = 1", "m{} 60..120 = 2"]);
    assert_eq!((written.points, written.absorbed), (2, 2));
}

#[test]
fn windows_and_totals_of_two_workers_merge_to_what_one_would_write() {
    let mut one = Bench::new(MERGE);
    let (mut a, mut b) = (Bench::new(MERGE), Bench::new(MERGE));
    for (pod, n) in [("pod=1", 3), ("pod=2", 4), ("pod=3", 5), ("pod=4", 6)] {
        let s = counter(pod);
        one.number(&s, (1, 10), n, 10);
        let worker = if n % 2 == 0 { &mut a } else { &mut b };
        worker.number(&s, (1, 10), n, 10);
    }
    let mut others = Partials::default();
    b.stage.close_partials(Closing::Due, 65 * S, &mut others);
    // Whoever absorbed a point counts it.
    assert_eq!(others.absorbed(), 2);
    let mut written = Written::default();
    a.stage
        .close_with(Closing::Due, 65 * S, vec![others], &mut written);
    assert_eq!(lines(&written), one.tick(65));
    assert_eq!((written.absorbed, written.points), (2, 1));
}

#[test]
fn the_last_four_exemplars_are_kept_and_the_rest_counted() {
    let mut b = Bench::new(MERGE);
    let x = counter("pod=1");
    for n in 1..=6 {
        let body = pb::NumberDataPoint {
            attributes: x.attributes.clone(),
            start_time_unix_nano: S,
            time_unix_nano: n * S,
            value: number_value(n as i64),
            exemplars: vec![pb::Exemplar {
                time_unix_nano: n,
                ..Default::default()
            }],
            flags: 0,
        };
        assert_eq!(b.add(&x, &body.encode_to_vec(), n), Added::Absorbed);
    }
    let mut written = Written::default();
    b.stage.close(65 * S, &mut written);
    let request = request(&written);
    let data = request.resource_metrics[0].scope_metrics[0].metrics[0]
        .data
        .clone();
    let Some(pb::metric::Data::Sum(sum)) = data else {
        panic!("{data:?}")
    };
    let times: Vec<u64> = sum.data_points[0]
        .exemplars
        .iter()
        .map(|e| e.time_unix_nano)
        .collect();
    assert_eq!(times, [3, 4, 5, 6]);
    assert_eq!(b.count("exemplars_dropped"), 2);
}

fn number_value(n: i64) -> Option<pb::number_data_point::Value> {
    Value::from(n).0
}
