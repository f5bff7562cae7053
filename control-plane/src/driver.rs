//! The experiment loop: carries experiments through their phases under a lease.
//!
//! `next` decides, this looks and writes. Nothing is remembered between two looks but in the store,
//! so that it makes no difference which process looks next.

pub mod next;
pub mod reports;

#[cfg(test)]
mod tests;

use crate::app::experiments::Member;
use crate::app::{App, Error};
use crate::model::{Experiment, Fence, Phase, PhaseChange};
use crate::store;
use next::{Action, Fact, Facts, Memory, next};
use phoenix_analysis::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Which lease the loop holds, and for how long without a word.
const LEASE: &str = "driver";
const LEASE_MS: u64 = 5_000;

/// How often it looks where nothing was announced.
const LOOK: Duration = Duration::from_millis(500);

/// Looks that follow one another at once are this far apart.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts the loop; it ends when `shutdown` is cancelled.
pub fn spawn(app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = forever(&app) => {}
        }
    })
}

async fn forever(app: &App) {
    let mut events = app.events_changed();
    loop {
        if let Err(e) = look(app).await {
            warn!(error = %e, "the experiment loop could not look; it tries again");
        }
        tokio::time::sleep(PAUSE).await;
        // Whether something was announced or the time has come makes no difference.
        let _ = tokio::time::timeout(LOOK, events.changed()).await;
    }
}

/// One look at every active experiment, if this process holds the lease.
async fn look(app: &App) -> Result<(), Error> {
    let active = app.active_experiments().await?;
    if active.is_empty() {
        return Ok(());
    }
    let Some(fence) = app.lease(LEASE, LEASE_MS).await? else {
        return Ok(());
    };
    for experiment in active {
        match step(app, &fence, &experiment).await {
            Ok(()) => {}
            // Somebody else (a person, another process) was first: the next look sees it.
            Err(Error::Store(store::Error::Conflict)) => {}
            Err(e) => {
                warn!(experiment = experiment.name, error = %e, "an experiment could not move on");
            }
        }
    }
    Ok(())
}

/// One step of one experiment.
async fn step(app: &App, fence: &Fence, e: &Experiment) -> Result<(), Error> {
    let facts = facts(app, e).await?;
    match next(e, &facts, app.now_ms()) {
        Action::Wait => Ok(()),
        Action::Go {
            phase,
            reason,
            memory,
        } => {
            info!(
                experiment = e.name,
                phase = phase.name(),
                reason,
                "experiment"
            );
            let change = PhaseChange {
                phase: Some(phase),
                reason,
                memory: remembered(&memory),
                ..PhaseChange::default()
            };
            app.set_phase(fence, e, change).await.map(|_| ())
        }
        Action::Complete {
            verdict,
            promote,
            memory,
        } => {
            let mut reason = format!("{}: {}", verdict.outcome.name(), verdict.reason);
            if verdict.outcome == Outcome::Promote && !promote {
                reason.push_str(" It waits for `phoenix experiment promote`.");
            }
            info!(experiment = e.name, promote, reason, "experiment completed");
            let change = |reason: String| PhaseChange {
                phase: Some(Phase::Completed),
                reason,
                verdict: serde_json::to_value(&verdict).ok(),
                memory: remembered(&memory),
                ..PhaseChange::default()
            };
            match app
                .complete(fence, e, change(reason.clone()), promote)
                .await
            {
                // The verdict stands; what is in the way of the assignment is for a person.
                Err(Error::Refused { message, .. } | Error::NotFound(message)) if promote => {
                    reason.push_str(&format!(" It could not be promoted: {message}."));
                    app.complete(fence, e, change(reason), false)
                        .await
                        .map(|_| ())
                }
                other => other.map(|_| ()),
            }
        }
    }
}

async fn facts(app: &App, e: &Experiment) -> Result<Facts, Error> {
    let members = app.members(e).await?;
    let rows = match e.phase {
        Phase::Running | Phase::Analyzing => app.windows(&e.tenant, &e.id).await?,
        _ => Vec::new(),
    };
    Ok(Facts {
        agents: members.iter().map(|m| fact(app, e, m)).collect(),
        windows: reports::reports(e, &rows),
        newest_ms: reports::newest(&rows),
    })
}

fn fact(app: &App, e: &Experiment, member: &Member) -> Fact {
    let (agent, status) = (&member.agent, &member.agent.status);
    let refused = agent
        .quarantine
        .iter()
        .find(|q| q.hash == e.candidate_hash && q.barred());
    let heartbeat = app.live().last(&agent.identity).and_then(|(h, _)| h);
    Fact {
        agent: agent.identity.to_string(),
        connected: member.connected,
        runs_candidate: status.experiment == e.id && status.candidate_hash == e.candidate_hash,
        refused: refused.map(|q| format!("{} ({})", q.state, q.reason)),
        state: if status.state.is_empty() {
            "no answer yet".into()
        } else {
            status.state.clone()
        },
        rss_bytes: heartbeat.and_then(|h| h.rss_bytes),
    }
}

fn remembered(memory: &Memory) -> Option<serde_json::Value> {
    serde_json::to_value(memory).ok()
}
