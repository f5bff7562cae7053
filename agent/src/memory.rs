//! Keeps the process inside its memory limit: near it the shadow arm ends first, then nothing more
//! is taken in until memory falls. Never killed is better than never refusing.

use crate::limits;
use crate::worker::WorkerHandle;
use phoenix_engine::compile::Division;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(50);
/// Shares of the limit, in percent. What is above REFUSE is room for what was accepted already:
/// closing windows and a drain write points while their state is still there.
const END_SHADOW: usize = 75;
const REFUSE: usize = 85;
const TAKE_AGAIN: usize = 80;

/// What is to be done at a share of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measures {
    end_shadow: bool,
    refuse: bool,
}

fn measures(used: usize, limit: usize, refusing: bool) -> Measures {
    let percent = used.saturating_mul(100) / limit.max(1);
    Measures {
        end_shadow: percent >= END_SHADOW,
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
        if measures.end_shadow && has_shadow(&worker) {
            let reason =
                format!("memory was near the limit: {used} of {limit} bytes (limits.memory)");
            if worker.end_candidate(reason).await.is_err() {
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

fn has_shadow(worker: &WorkerHandle) -> bool {
    let desired = worker.desired();
    let candidate = desired.plan.candidate.as_ref();
    candidate.is_some_and(|c| c.division == Division::Shadow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shadow_arm_ends_before_anything_is_refused() {
        let at = |percent: usize, refusing| {
            let m = measures(percent * 10, 1000, refusing);
            (m.end_shadow, m.refuse)
        };
        assert_eq!(at(74, false), (false, false));
        assert_eq!(at(75, false), (true, false));
        assert_eq!(at(85, false), (true, true));
        assert_eq!(at(82, true), (true, true), "until it has fallen well below");
        assert_eq!(at(79, true), (true, false));
    }
}
