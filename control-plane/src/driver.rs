//! The experiment loop: carries experiments through their phases under a lease.
//!
//! `next` decides, this looks and writes. Nothing is remembered between two looks but in the store,
//! so that it makes no difference which process looks next.

pub mod criteria;
pub mod next;
pub mod offline;
pub mod reports;
mod run;
mod settle;
mod waits;

pub use settle::{Judged, conclude};
pub use waits::{Outlook, outlook};

#[cfg(test)]
mod tests;

use crate::app::experiments::{Member, standing};
use crate::app::{App, Error};
use crate::documents::{Kind, OnDisagreement, Step};
use crate::model::{Experiment, Fence, Phase, PhaseChange, Window, Word};
use crate::store;
use next::{Action, Fact, Facts, Fallen, Look, Memory, next};
use phoenix_analysis::{Died, Outcome, Verdict};
use std::collections::BTreeSet;
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

/// The reports of the present step, by agent, incarnation and start, that its verdict compares.
pub fn compared(e: &Experiment, rows: &[Window]) -> BTreeSet<(String, String, u64)> {
    let course = e.spec.course();
    let Some(step) = course.get(e.at) else {
        return BTreeSet::new();
    };
    let facts = Facts {
        windows: reports::reports(e, rows),
        ..Facts::default()
    };
    let (memory, now_ms) = (Memory::of(e), 0);
    let look = Look {
        e,
        facts: &facts,
        course: &course,
        step,
        now_ms,
    };
    let asked = criteria::criteria(e, step, &memory, criteria::ask(&look, &memory), u64::MAX);
    let key = |w: &phoenix_analysis::Window| (w.agent.clone(), w.incarnation.clone(), w.start_ms);
    let found = phoenix_analysis::comparable(&asked, &facts.windows);
    found.into_iter().map(key).collect()
}

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
    let Some(present) = e.current() else {
        return Ok(());
    };
    if e.holds {
        return hold(app, fence, e, &present).await;
    }
    let facts = facts(app, e, &present).await?;
    let change = match next(e, &facts, app.now_ms()) {
        Action::Wait => return Ok(()),
        Action::Choose(chosen) => PhaseChange {
            reason: format!(
                "{} nodes were chosen anew: those before are gone",
                chosen.len()
            ),
            chosen: Some(chosen),
            ..PhaseChange::default()
        },
        Action::Go {
            phase,
            reason,
            memory,
        } => PhaseChange {
            phase: Some(phase),
            reason,
            memory: remembered(&memory),
            ..PhaseChange::default()
        },
        Action::Advance {
            result,
            phase,
            chosen,
            reason,
            memory,
        } => PhaseChange {
            phase: Some(phase),
            at: Some(e.at + 1),
            chosen: Some(chosen),
            result: Some(*result),
            reason,
            memory: remembered(&memory),
            ..PhaseChange::default()
        },
        Action::Fail {
            result,
            reason,
            quarantine,
        } => PhaseChange {
            phase: Some(Phase::Failed),
            result: Some(*result),
            reason,
            quarantine,
            ..PhaseChange::default()
        },
        Action::Complete {
            result,
            verdict,
            promote,
            holds,
            quarantine,
        } => {
            let change = PhaseChange {
                result: Some(*result),
                holds,
                quarantine,
                ..PhaseChange::default()
            };
            return complete(app, fence, e, change, *verdict, promote).await;
        }
    };
    let phase = change.phase.map_or(e.phase, |phase| phase).name();
    info!(
        experiment = e.name,
        phase,
        reason = change.reason,
        "experiment"
    );
    app.set_phase(fence, e, change).await.map(|_| ())
}

/// `change`: all but phase, verdict and reason.
async fn complete(
    app: &App,
    fence: &Fence,
    e: &Experiment,
    change: PhaseChange,
    verdict: Verdict,
    promote: bool,
) -> Result<(), Error> {
    let mut reason = format!("{}: {}", verdict.outcome.name(), verdict.reason);
    let held = unwitnessed(e).filter(|_| promote);
    let promote = promote && held.is_none();
    if let Some(why) = held {
        reason.push_str(&format!(" The second witness does not agree: {why}"));
    }
    if change.holds {
        reason.push_str(
            " It holds the candidate everywhere until `phoenix experiment promote` or `abort`.",
        );
    } else if verdict.outcome == Outcome::Promote && !promote {
        let runs = app.without(e).await?;
        reason.push_str(&format!(
            " It waits for `phoenix experiment promote`; the agents run {runs}."
        ));
    }
    if change.quarantine.is_some() {
        reason.push_str(" The candidate is quarantined.");
    }
    info!(experiment = e.name, promote, reason, "experiment completed");
    let change = PhaseChange {
        phase: Some(Phase::Completed),
        reason,
        verdict: serde_json::to_value(&verdict).ok(),
        ..change
    };
    match app.complete(fence, e, change.clone(), promote).await {
        // The verdict stands; what is in the way of the assignment is for a person.
        Err(Error::Refused { message, .. } | Error::NotFound(message)) if promote => {
            let reason = format!("{} It could not be promoted: {message}.", change.reason);
            let change = PhaseChange { reason, ..change };
            app.complete(fence, e, change, false).await.map(|_| ())
        }
        other => other.map(|_| ()),
    }
}

/// Why a promotion waits for a person although nothing else stands against it: a second witness was asked for
/// that does not agree, or has not spoken.
fn unwitnessed(e: &Experiment) -> Option<String> {
    let backend = e.spec.prometheus.as_ref()?;
    if backend.on_disagreement != OnDisagreement::Hold {
        return None;
    }
    let course = e.spec.course();
    let on_agents = |at: usize| course.get(at).is_some_and(Step::on_agents);
    let ended = e.results.iter().map(|r| (r.at, r.revision, &r.step));
    let mut steps = ended
        .chain([(e.at, e.revision, &e.step)])
        .filter(|(at, ..)| on_agents(*at));
    steps.find_map(
        |(_, revision, step)| match e.witness.iter().find(|w| w.revision == revision) {
            None => Some(format!("step {step}: it was not asked yet.")),
            Some(w) if w.word != Word::Agrees => Some(format!("step {step}: {}", w.reason)),
            Some(_) => None,
        },
    )
}

/// One that holds the candidate ends that when an agent falls back from it.
async fn hold(app: &App, fence: &Fence, e: &Experiment, step: &Step) -> Result<(), Error> {
    let members = app.members(e).await?;
    let (began_ms, now_ms) = (app.began_ms(), app.now_ms());
    let fell = members.iter().find_map(|m| {
        let deaths = standing(e, step, m, began_ms, now_ms).deaths;
        Some((m, refused(e, step, m, deaths)?))
    });
    let Some((member, fallen)) = fell else {
        return Ok(());
    };
    let node = &member.agent.identity;
    let reason = format!(
        "agent {node} fell back from the candidate while it was held: {}",
        fallen.reason
    );
    let change = PhaseChange {
        quarantine: fallen.harm.then(|| reason.clone()),
        reason,
        ..PhaseChange::default()
    };
    app.set_phase(fence, e, change).await.map(|_| ())
}

async fn facts(app: &App, e: &Experiment, step: &Step) -> Result<Facts, Error> {
    let members = app.members(e).await?;
    let mut facts = Facts {
        agents: members.iter().map(|m| fact(app, e, step, m)).collect(),
        began_ms: app.began_ms(),
        ..Facts::default()
    };
    match (e.phase, step.kind) {
        (Phase::Running, Kind::Lint) => facts.problems = app.lint(e, &members).await?,
        (Phase::Running, Kind::Replay) => {
            (facts.windows, facts.newest_ms) = app.evidence(e).await?;
        }
        (Phase::Running | Phase::Analyzing, _) => {
            let rows = app.windows(&e.tenant, &e.id).await?;
            facts.windows = reports::reports(e, &rows);
            facts.newest_ms = reports::newest(&rows);
        }
        _ => {}
    }
    Ok(facts)
}

fn fact(app: &App, e: &Experiment, step: &Step, member: &Member) -> Fact {
    let (agent, status) = (&member.agent, &member.agent.status);
    let stands = standing(e, step, member, app.began_ms(), app.now_ms());
    let heartbeat = app.live().last(&agent.identity).and_then(|(h, _)| h);
    Fact {
        agent: agent.identity.to_string(),
        connected: member.connected,
        gone: stands.gone,
        deaths: stands.deaths,
        died_ms: stands.died_ms,
        given: stands.share.is_some(),
        runs: stands.runs,
        refused: refused(e, step, member, stands.deaths),
        state: if status.state.is_empty() {
            "no answer yet".into()
        } else {
            status.state.clone()
        },
        rss_bytes: heartbeat.and_then(|h| h.rss_bytes),
    }
}

/// The candidate is barred on this agent, its second arm of this step was taken back, or its processes die of it.
fn refused(e: &Experiment, step: &Step, member: &Member, deaths: u32) -> Option<Fallen> {
    let status = &member.agent.status;
    let said = |state: &str, reason: &str| Fallen {
        reason: format!("{state} ({reason})"),
        harm: state != "rejected",
    };
    let mut barred = member.agent.quarantine.iter();
    if step.kind != Kind::Aa
        && let Some(q) = barred.find(|q| q.hash == e.candidate_hash && q.barred())
    {
        return Some(said(&q.state, &q.reason));
    }
    let here = status.experiment == e.id && status.experiment_revision == e.revision;
    let fell = here && status.state == "rolled-back" && status.candidate_hash.is_empty();
    if fell {
        return Some(said(&status.state, &status.reason));
    }
    (deaths > Died::MOST).then(|| Fallen {
        reason: format!("its process died {deaths} times"),
        harm: true,
    })
}

fn remembered(memory: &Memory) -> Option<serde_json::Value> {
    serde_json::to_value(memory).ok()
}
