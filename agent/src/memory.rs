//! Keeps the process inside its memory limit: near it a candidate arm ends first, then nothing more
//! is taken in until memory falls. Never killed is better than never refusing.

use crate::guard::Breach;
use crate::limits;
use crate::worker::WorkerHandle;
use phoenix_proto::control::Harm;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(50);
/// Shares of the limit, in percent. What is above REFUSE is room for what was accepted already:
/// closing windows and a drain write points while their state is still there.
const END_CANDIDATE: usize = 75;
const REFUSE: usize = 85;
const TAKE_AGAIN: usize = 80;

/// What is to be done at a share of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measures {
    end_candidate: bool,
    refuse: bool,
}

fn measures(used: usize, limit: usize, refusing: bool) -> Measures {
    let percent = used.saturating_mul(100) / limit.max(1);
    Measures {
        end_candidate: percent >= END_CANDIDATE,
        refuse: percent >= if refusing { TAKE_AGAIN } else { REFUSE },
    }
}

/// Looks twenty times a second until `stop`.
pub async fn watch(worker: WorkerHandle, limit: usize, stop: CancellationToken) {
    let mut said = false;
    let refuse_at = limit / 100 * REFUSE;
    let stats = worker.stats();
    stats.refuse_at.store(refuse_at as u64, Ordering::Relaxed);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some(used) = limits::private() else {
            continue;
        };
        // The worker may have begun to refuse by itself.
        let measures = measures(used, limit, stats.memory_short.load(Ordering::Relaxed));
        if measures.end_candidate && worker.desired().plan.is_tried() {
            let reason =
                format!("memory was near the limit: {used} of {limit} bytes (limits.memory)");
            let share = END_CANDIDATE as f64 / 100.0;
            let figures = (used as f64, share * limit as f64);
            let breach = Breach {
                lasted: LOOK,
                ..Breach::new(Harm::Memory, figures, reason)
            };
            if worker.end_candidate(breach).await.is_err() {
                return;
            }
        }
        stats.memory_short.store(measures.refuse, Ordering::Relaxed);
        if measures.refuse != said {
            said = measures.refuse;
            if said {
                tracing::error!(
                    used,
                    limit,
                    "memory is near its limit: requests are refused"
                );
            } else {
                tracing::info!(used, limit, "memory has fallen: requests are taken again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::exporters::queue::Queue;
    use crate::worker::{self, Outlets, Start};
    use phoenix_engine::compile::{Candidate, Division, Pipeline, Plan};
    use std::sync::Arc;

    /// A worker whose node has a candidate, in so much of it, and memory far beyond the limit: whether the candidate
    /// is left there.
    async fn runs_on(percent: f64) -> bool {
        let candidate = Candidate {
            pipeline: Pipeline::pass_through(),
            experiment: "e1".into(),
            division: Division::Split {
                entity: Vec::new(),
                percent,
            },
            protect: Vec::new(),
            scope: Vec::new(),
        };
        let (worker, _notices, task) = worker::spawn(Start {
            engine: Default::default(),
            plan: Plan::new(Pipeline::pass_through(), Some(candidate)).unwrap(),
            outlets: Outlets {
                next_hop: Arc::new(Queue::new(1 << 20)),
                copies: vec![],
                shadow: None,
                witness: None,
            },
            incarnation: "i1".into(),
        });
        tokio::spawn(task.run());
        let stop = CancellationToken::new();
        tokio::spawn(watch(worker.clone(), 100, stop.clone()));
        // It refuses once it has done what comes before.
        while !worker.stats().memory_short.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
        stop.cancel();
        worker
            .figures()
            .await
            .unwrap()
            .desired
            .plan
            .candidate
            .is_some()
    }

    #[tokio::test]
    async fn a_candidate_that_takes_nothing_of_the_node_is_not_to_blame() {
        assert!(runs_on(0.0).await);
        assert!(!runs_on(100.0).await);
    }

    #[test]
    fn a_candidate_arm_ends_before_anything_is_refused() {
        let at = |percent: usize, refusing| {
            let m = measures(percent * 10, 1000, refusing);
            (m.end_candidate, m.refuse)
        };
        assert_eq!(at(74, false), (false, false));
        assert_eq!(at(75, false), (true, false));
        assert_eq!(at(85, false), (true, true));
        assert_eq!(at(82, true), (true, true), "until it has fallen well below");
        assert_eq!(at(79, true), (true, false));
    }
}
