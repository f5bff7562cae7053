//! Which agents of an experiment run its second arm: a pure function of the experiment's id, of who is there,
//! and of how far the step goes.

use crate::documents::Share;
use xxhash_rust::xxh3::xxh3_64;

/// The agents (`tenant/cluster/node`) that run the second arm of a step.
///
/// Where nodes are chosen, those that are connected are ordered by XXH3-64 of `id`, a zero byte and the
/// identity, and the first are taken: a larger portion keeps those of a smaller one, and offline nodes are
/// not counted. Else every known agent is in it. `members`: identity, and whether it is connected.
pub fn choose(share: &Share, id: &str, members: &[(String, bool)]) -> Vec<String> {
    let (Share::Nodes(portion) | Share::Both { portion, .. }) = share else {
        return match share {
            Share::Nothing => Vec::new(),
            _ => members.iter().map(|(agent, _)| agent.clone()).collect(),
        };
    };
    let mut ordered: Vec<(u64, &String)> = members
        .iter()
        .filter(|(_, connected)| *connected)
        .map(|(agent, _)| (xxh3_64(format!("{id}\0{agent}").as_bytes()), agent))
        .collect();
    ordered.sort();
    ordered.truncate(portion.of(ordered.len()));
    ordered
        .into_iter()
        .map(|(_, agent)| agent.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::documents::Portion;

    fn members(n: usize) -> Vec<(String, bool)> {
        (0..n).map(|n| (format!("t/c/n{n}"), true)).collect()
    }

    #[test]
    fn a_larger_portion_keeps_the_nodes_of_a_smaller_one() {
        let all = members(40);
        let mut before: Vec<String> = Vec::new();
        for portion in [
            Portion::Nodes(1),
            Portion::Percent(5.0),
            Portion::Percent(25.0),
            Portion::Percent(100.0),
        ] {
            let chosen = choose(&Share::Nodes(portion), "id", &all);
            assert_eq!(chosen.len(), portion.of(40));
            assert!(before.iter().all(|b| chosen.contains(b)), "{portion:?}");
            before = chosen;
        }
    }

    #[test]
    fn another_experiment_chooses_other_nodes() {
        let share = Share::Nodes(Portion::Percent(25.0));
        let all = members(40);
        assert_ne!(choose(&share, "one", &all), choose(&share, "two", &all));
    }

    #[test]
    fn offline_nodes_leave_the_denominator() {
        let mut all = members(8);
        for (_, connected) in all.iter_mut().skip(4) {
            *connected = false;
        }
        let chosen = choose(&Share::Nodes(Portion::Percent(50.0)), "id", &all);
        assert_eq!(chosen.len(), 2);
        assert!(chosen.iter().all(|c| all.contains(&(c.clone(), true))));
        assert_eq!(choose(&Share::Shadow, "id", &all).len(), 8);
    }
}
