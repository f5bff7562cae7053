//! The second witness: asks a backend that both arms reach what the agents told already, and keeps both
//! accounts side by side.
//!
//! A loop of its own, under a lease of its own: whatever the backend does, the driver does not wait for it, and
//! no experiment waits for another's backend. Nothing is decided here. What was asked is remembered in memory;
//! after a restart it is asked again.

pub mod backends;
mod client;
mod figures;
mod follow;
mod say;

pub use backends::Backends;

use crate::app::{App, Error};
use crate::model::{Experiment, Fence, Phase, Witness};
use crate::store;
use follow::{Follow, Run};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

const LEASE: &str = "witness";
/// Longer than a request may take.
const LEASE_MS: u64 = 90_000;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Experiments that are asked about at once, each by one request at a time.
const AT_ONCE: usize = 16;
/// What could not be asked so long after it was due is not asked any more.
const GRACE_MS: u64 = 60_000;

/// Starts the loop; it ends when `shutdown` is cancelled.
pub fn spawn(app: Arc<App>, backends: Backends, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = forever(&app, &backends) => {}
        }
    })
}

async fn forever(app: &App, backends: &Backends) {
    let mut desk = Desk::default();
    let mut asking = FuturesUnordered::new();
    let mut looks = interval(PAUSE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while asking.len() < AT_ONCE
            && let Some((e, steps)) = desk.next()
        {
            asking.push(ask(app, backends, e, steps));
        }
        tokio::select! {
            Some((id, steps)) = asking.next() => desk.back(id, steps),
            _ = looks.tick() => match look(app).await {
                Ok(all) => desk.line_up(all),
                Err(e) => warn!(error = %e, "the second witness could not look; it tries again"),
            },
        }
    }
}

/// What is followed of one experiment, by revision.
type Steps = BTreeMap<u64, Follow>;

/// Who is to be asked about next. An experiment is here or is asked about, never both.
#[derive(Default)]
struct Desk {
    rest: BTreeMap<String, Steps>,
    /// Those that wait longest are first.
    line: VecDeque<Experiment>,
    asked: BTreeSet<String>,
}

impl Desk {
    /// Takes the experiments as they are now; of others nothing is kept.
    fn line_up(&mut self, all: Vec<Experiment>) {
        self.rest.retain(|id, _| all.iter().any(|e| e.id == *id));
        let free = all.into_iter().filter(|e| !self.asked.contains(&e.id));
        let mut free: BTreeMap<String, Experiment> = free.map(|e| (e.id.clone(), e)).collect();
        let before = std::mem::take(&mut self.line);
        self.line = before.iter().filter_map(|e| free.remove(&e.id)).collect();
        self.line.extend(free.into_values());
    }

    fn next(&mut self) -> Option<(Experiment, Steps)> {
        let e = self.line.pop_front()?;
        self.asked.insert(e.id.clone());
        let steps = self.rest.remove(&e.id).unwrap_or_default();
        Some((e, steps))
    }

    fn back(&mut self, id: String, steps: Steps) {
        self.asked.remove(&id);
        self.rest.insert(id, steps);
    }
}

/// Those that are to be asked about, if this process holds the lease.
async fn look(app: &App) -> Result<Vec<Experiment>, Error> {
    let mut all = app.started_experiments().await?;
    let now = app.now_ms();
    all.retain(|e| e.spec.prometheus.is_some() && !over(e, now));
    if !all.is_empty() && app.lease(LEASE, LEASE_MS).await?.is_none() {
        all.clear();
    }
    Ok(all)
}

/// Every step of one experiment.
async fn ask(app: &App, backends: &Backends, e: Experiment, mut steps: Steps) -> (String, Steps) {
    for run in runs(&e) {
        let follow = steps.entry(run.revision).or_insert_with(|| {
            let mut follow = Follow::new(&run);
            let written = e.witness.iter().find(|w| w.revision == run.revision);
            written.into_iter().for_each(|w| follow.found(w));
            follow
        });
        if let Err(error) = one(app, backends, &e, &run, follow).await {
            warn!(experiment = e.name, %error, "the second witness could not be heard");
        }
    }
    (e.id, steps)
}

/// One step of one experiment.
async fn one(
    app: &App,
    backends: &Backends,
    e: &Experiment,
    run: &Run,
    follow: &mut Follow,
) -> Result<(), Error> {
    if follow.is_over() {
        return Ok(());
    }
    follow.agents.extend(run.agents.iter().cloned());
    if follow.due(e, run, app.now_ms()).is_some() {
        let rows = app.windows(&e.tenant, &e.id).await?;
        let windows = crate::driver::reports::of_run(e, &rows, run.revision);
        let clock = || app.now_ms();
        follow.ask(e, run, backends, &windows, clock).await;
    }
    follow.end_if_over(e, run, app.now_ms());
    let said = say::witness(e, run, follow);
    if !follow.is_news(&said) {
        return Ok(());
    }
    // The backend may have taken long.
    let Some(fence) = app.lease(LEASE, LEASE_MS).await? else {
        return Ok(());
    };
    keep(app, &fence, e, said, follow).await
}

async fn keep(
    app: &App,
    fence: &Fence,
    e: &Experiment,
    said: Witness,
    follow: &mut Follow,
) -> Result<(), Error> {
    match app.set_witness(fence, e, said.clone()).await {
        Ok(()) => follow.kept(said),
        // Somebody else wrote the row: the next look writes.
        Err(Error::Store(store::Error::Conflict)) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Nothing of it will be asked any more.
fn over(e: &Experiment, now_ms: u64) -> bool {
    let delay = e.spec.prometheus.as_ref().map_or(0, |p| p.delay.0);
    let last = delay + GRACE_MS + 2 * PAUSE.as_millis() as u64 + e.spec.window.0;
    e.ended_ms
        .is_some_and(|ended| ended.saturating_add(last) < now_ms)
}

/// The steps of an experiment that ran on agents, and the present one.
fn runs(e: &Experiment) -> Vec<Run> {
    let course = e.spec.course();
    let least = |at: usize| course.get(at).map_or(1, |step| u64::from(step.min_windows));
    let on_agents = |at: usize| course.get(at).is_some_and(|step| step.on_agents());
    let ended = e.results.iter().filter(|r| on_agents(r.at));
    let mut runs: Vec<Run> = ended
        .map(|r| Run {
            revision: r.revision,
            step: r.step.clone(),
            from_ms: r.started_ms,
            until_ms: Some(r.ended_ms),
            agents: Vec::new(),
            least: least(r.at),
        })
        .collect();
    let told = e.results.iter().any(|r| r.revision == e.revision);
    if let (false, true, Some(from_ms)) = (told, on_agents(e.at), e.step_started_ms) {
        runs.push(Run {
            revision: e.revision,
            step: e.step.clone(),
            from_ms,
            until_ms: match e.phase {
                Phase::Analyzing => Some(e.phase_ms),
                _ => e.ended_ms,
            },
            agents: crate::driver::next::Memory::of(e).agents,
            least: least(e.at),
        });
    }
    runs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn all(names: &str) -> Vec<Experiment> {
        let named = |id: char| Experiment {
            id: id.into(),
            ..follow::tests::experiment()
        };
        names.chars().map(named).collect()
    }

    fn next(desk: &mut Desk) -> Option<String> {
        desk.next().map(|(e, _)| e.id)
    }

    #[test]
    fn who_waits_longest_is_next_and_nobody_is_asked_about_twice_at_once() {
        let mut desk = Desk::default();
        desk.line_up(all("abc"));
        assert_eq!(next(&mut desk).unwrap(), "a");
        desk.line_up(all("0abc"));
        let took: Vec<String> = (0..3).filter_map(|_| next(&mut desk)).collect();
        assert_eq!(took, ["b", "c", "0"]);
        desk.line_up(all("0abc"));
        assert_eq!(next(&mut desk), None);
        desk.back("b".into(), Steps::new());
        desk.line_up(all("0abc"));
        assert_eq!(next(&mut desk).unwrap(), "b");
        desk.back("b".into(), Steps::new());
        desk.line_up(all("a"));
        assert!(desk.rest.is_empty() && next(&mut desk).is_none());
    }
}
