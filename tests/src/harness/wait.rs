//! Waiting for a condition, with a limit far beyond what it should take.

use std::time::{Duration, Instant};

/// Asks until there is an answer; panics after 30 s.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_for(what, Duration::from_secs(30), ask).await
}

/// Asks until there is an answer; panics after `limit`.
pub async fn eventually_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
