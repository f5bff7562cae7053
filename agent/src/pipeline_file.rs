//! A pipeline document on disk, looked at every second. A broken one leaves the running plan.

use crate::worker::WorkerHandle;
use phoenix_engine::compile::{Plan, compile};
use phoenix_engine::document::Problem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_secs(1);

/// What is known about where plans come from, for readiness and metrics.
#[derive(Debug, Clone, Default)]
pub struct PlanSource {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    missing: AtomicBool,
    broken: AtomicU64,
}

impl PlanSource {
    /// Whether a plan should run and none does.
    pub fn is_missing(&self) -> bool {
        self.inner.missing.load(Ordering::Relaxed)
    }

    /// Says whether a plan should run and none does.
    pub fn set_missing(&self, missing: bool) {
        self.inner.missing.store(missing, Ordering::Relaxed);
    }

    /// Documents that were refused.
    pub fn broken(&self) -> u64 {
        self.inner.broken.load(Ordering::Relaxed)
    }
}

/// The file and what was last seen of it.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    source: PlanSource,
    stamp: Option<(SystemTime, u64)>,
    text: Option<String>,
    /// The last failure to read it, said once.
    unreadable: Option<String>,
}

impl Watched {
    /// Nothing was seen yet, so the plan is missing.
    pub fn new(path: PathBuf, source: PlanSource) -> Watched {
        source.set_missing(true);
        Watched {
            path,
            source,
            stamp: None,
            text: None,
            unreadable: None,
        }
    }

    /// Looks every second until `stop`.
    pub async fn watch(mut self, worker: WorkerHandle, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => self.look(&worker).await,
            }
        }
    }

    /// Looks once and swaps if there is a new plan.
    pub async fn look(&mut self, worker: &WorkerHandle) {
        let Some(text) = self.changed() else {
            return;
        };
        let plan = compile(&text).and_then(|pipeline| Plan::new(pipeline, None));
        match plan {
            Ok(plan) => {
                let (name, hash) = (plan.baseline.name.clone(), plan.baseline.hash.clone());
                if let Ok(generation) = worker.swap(plan, None).await {
                    self.source.set_missing(false);
                    tracing::info!(name, hash, generation, "pipeline runs");
                }
            }
            Err(problems) => self.refuse(&problems),
        }
    }

    fn refuse(&self, problems: &[Problem]) {
        self.source.inner.broken.fetch_add(1, Ordering::Relaxed);
        let runs = if self.source.is_missing() {
            "everything is passed through"
        } else {
            "the plan before it keeps running"
        };
        for problem in problems {
            tracing::error!(
                file = %self.path.display(),
                path = problem.path,
                "{}",
                problem.message
            );
        }
        tracing::error!(
            file = %self.path.display(),
            "the pipeline has {} problem(s); {runs}",
            problems.len()
        );
    }

    /// The text, if it is another than at the last look. Editors and ConfigMaps replace the file,
    /// and clocks are coarse: where time or length differ the content decides.
    fn changed(&mut self) -> Option<String> {
        let read = || -> std::io::Result<(SystemTime, u64)> {
            let meta = std::fs::metadata(&self.path)?;
            Ok((meta.modified()?, meta.len()))
        };
        let text = match read() {
            Ok(stamp) if self.stamp == Some(stamp) && self.is_old(stamp.0) => return None,
            Ok(stamp) => {
                self.stamp = Some(stamp);
                std::fs::read_to_string(&self.path)
            }
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => {
                self.unreadable = None;
                if self.text.as_ref() == Some(&text) {
                    return None;
                }
                self.text = Some(text.clone());
                Some(text)
            }
            Err(error) => {
                let message = error.to_string();
                if self.unreadable.as_ref() != Some(&message) {
                    self.refuse(&[Problem {
                        path: String::new(),
                        message: format!("cannot be read: {message}"),
                    }]);
                    self.unreadable = Some(message);
                }
                None
            }
        }
    }

    /// A file changed within the last seconds may change again inside one tick of its clock.
    fn is_old(&self, modified: SystemTime) -> bool {
        modified
            .elapsed()
            .is_ok_and(|age| age > Duration::from_secs(3))
    }
}
