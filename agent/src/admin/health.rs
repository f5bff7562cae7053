//! Readiness: what keeps this agent from doing its work, in words.

use super::{State, text};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use std::time::Duration;

const TICK: Duration = Duration::from_secs(5);
const FULL: Duration = Duration::from_secs(30);

/// 200, or 503 with every reason on a line.
pub fn ready(state: &State) -> Response<Full<Bytes>> {
    let since_tick = crate::clock::wall().saturating_sub(state.worker.last_tick());
    let reasons = reasons(
        state.plans.is_missing(),
        Duration::from_nanos(since_tick),
        state.outlets.next_hop.full_for(),
    );
    if reasons.is_empty() {
        return text(StatusCode::OK, "ready\n".to_owned());
    }
    let body = format!("not ready\n{}\n", reasons.join("\n"));
    text(StatusCode::SERVICE_UNAVAILABLE, body)
}

fn reasons(missing: bool, since_tick: Duration, full_for: Option<Duration>) -> Vec<String> {
    let mut reasons = Vec::new();
    if missing {
        reasons.push(
            "plan: a pipeline is configured and none has been taken yet; everything is passed through"
                .to_owned(),
        );
    }
    if since_tick > TICK {
        reasons.push(format!(
            "worker: it has not ticked for {} s",
            since_tick.as_secs()
        ));
    }
    if let Some(full) = full_for.filter(|f| *f >= FULL) {
        reasons.push(format!(
            "queue: it has been full for {} s; is the next hop up?",
            full.as_secs()
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_named() {
        let second = Duration::from_secs(1);
        assert!(reasons(false, second, Some(second * 29)).is_empty());
        let all = reasons(true, second * 6, Some(second * 31)).join(";");
        for word in ["plan", "worker", "queue"] {
            assert!(all.contains(word), "{all}");
        }
    }
}
