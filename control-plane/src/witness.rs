//! The second witness: asks a backend that both arms reach what the agents told already, and keeps both
//! accounts side by side.
//!
//! A loop of its own, under a lease of its own: whatever the backend does, the driver does not wait for it.
//! Nothing is decided here. What was asked is remembered in memory; after a restart it is asked again.

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
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const LEASE: &str = "witness";
/// Longer than a request may take.
const LEASE_MS: u64 = 90_000;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
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
    let mut follows = BTreeMap::new();
    loop {
        if let Err(e) = look(app, backends, &mut follows).await {
            warn!(error = %e, "the second witness could not look; it tries again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// By experiment and revision.
type Follows = BTreeMap<(String, u64), Follow>;

async fn look(app: &App, backends: &Backends, follows: &mut Follows) -> Result<(), Error> {
    let mut all = app.started_experiments().await?;
    let now = app.now_ms();
    all.retain(|e| e.spec.prometheus.is_some() && !over(e, now));
    if all.is_empty() {
        follows.clear();
        return Ok(());
    }
    if app.lease(LEASE, LEASE_MS).await?.is_none() {
        return Ok(());
    }
    follows.retain(|(id, _), _| all.iter().any(|e| e.id == *id));
    for e in &all {
        for run in runs(e) {
            let key = (e.id.clone(), run.revision);
            let follow = follows.entry(key).or_insert_with(|| {
                let mut follow = Follow::new(&run);
                let written = e.witness.iter().find(|w| w.revision == run.revision);
                written.into_iter().for_each(|w| follow.found(w));
                follow
            });
            if let Err(error) = one(app, backends, e, &run, follow).await {
                warn!(experiment = e.name, %error, "the second witness could not be heard");
            }
        }
    }
    Ok(())
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
        follow.ask(e, run, backends, &windows, app.now_ms()).await;
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
