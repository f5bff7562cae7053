//! `topk` and `limit`: how what they write anew leaves.

use super::*;

#[test]
fn what_a_topk_writes_anew_names_the_resource_once() {
    let topk = "[{id: t, topk: {entity: [k], rank: {metric: g, by: value}, k: 1, interval: 10s, \
                lateness: 0s}}]";
    let mut engine = engine(alone(stages(topk)));
    let of = |metric, time, value| P {
        metric,
        ..c("a", time, value)
    };
    // Nobody stays yet: the counters are folded.
    let first = [of("g", 5, 9), of("c", 5, 1), of("d", 5, 1)];
    engine.feed(&request(&first), 5 * S).unwrap();
    engine.tick(10 * S);
    let next = [of("c", 12, 4), of("d", 12, 6)];
    let fed = engine.feed(&request(&next), 12 * S).unwrap();
    let values: Vec<_> = read(&fed.emitted.out)
        .into_iter()
        .map(|(metric, .., value)| (metric, value))
        .collect();
    assert_eq!(values, [("c".into(), 3), ("d".into(), 5)]);
    let out = pb::MetricsData::decode(fed.emitted.out).unwrap();
    let [resource] = &out.resource_metrics[..] else {
        panic!("{out:?}");
    };
    assert_eq!(resource.scope_metrics.len(), 1);
    assert_eq!(resource.scope_metrics[0].metrics.len(), 2);
}
