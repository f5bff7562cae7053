//! What the judge is asked in a step of an experiment.

use super::next::{Look, Memory};
use crate::documents::{ExperimentSpec, Kind, Share, Step};
use crate::model::Experiment;
use phoenix_analysis as judge;
use phoenix_analysis::{Ask, Criteria, Goal, Measure, Mode};

/// What the windows of the present step are to show.
pub(super) fn ask(look: &Look, memory: &Memory) -> Ask {
    let everywhere = look.everywhere(memory);
    ask_of(look.course, look.e.at, look.shown_before(), everywhere)
}

/// What the windows of a step are to show. The goal is asked for by a shadow step, and by the last portion
/// of a ramp that can show it where nothing has before. `everywhere`: no agent is left to compare with.
pub fn ask_of(course: &[Step], at: usize, shown_before: bool, everywhere: bool) -> Ask {
    match course.get(at).map(|step| step.kind) {
        Some(Kind::Aa) => Ask::Aa,
        None | Some(Kind::Lint | Kind::Replay | Kind::Shadow) => Ask::Goal,
        Some(Kind::Bake) => Ask::Bake,
        Some(Kind::Ramp) if everywhere => Ask::Bake,
        Some(Kind::Ramp) => {
            let later = course.iter().skip(at + 1).any(Step::compares);
            match shown_before || later {
                true => Ask::Guardrails,
                false => Ask::Goal,
            }
        }
    }
}

/// What the document alone says of what the judge is asked in a step.
pub fn written(spec: &ExperimentSpec, step: &Step, ask: Ask) -> Criteria {
    let (mode, percent) = match &step.share {
        Share::Nothing | Share::Shadow => (Mode::Shadow, None),
        Share::Entities { percent, .. } | Share::Both { percent, .. } => {
            (Mode::Split, Some(*percent))
        }
        Share::Nodes(_) | Share::Everything => (Mode::Nodes, None),
    };
    let mut asked = Criteria::new(mode, spec.window.0, step.min_windows, spec.goal.judged());
    asked.ask = ask;
    asked.percent = percent.unwrap_or(asked.percent);
    asked.guardrails = guardrails(spec);
    asked
}

/// Everything the judge is asked in a step.
pub fn criteria(e: &Experiment, step: &Step, memory: &Memory, ask: Ask, until_ms: u64) -> Criteria {
    let mut asked = written(&e.spec, step, ask);
    let some = matches!(
        step.share,
        Share::Nodes(_) | Share::Both { .. } | Share::Everything
    );
    asked.agents.clone_from(&memory.agents);
    if some {
        // Also those that were away when the step began: they have the candidate when they are back.
        asked.candidate_agents.clone_from(&e.chosen);
    }
    asked.until_ms = (until_ms < u64::MAX).then_some(until_ms);
    // Nothing assigned: the agents pass everything through.
    asked.baseline_hash.clone_from(&e.baseline_hash);
    asked.candidate_hash = e.second(step).map(Into::into);
    asked.rss_before_bytes.clone_from(&memory.rss_before_bytes);
    asked.closed = memory.closed;
    asked
}

fn guardrails(spec: &ExperimentSpec) -> judge::Guardrails {
    let rails = &spec.guardrails;
    judge::Guardrails {
        protects: !rails.protect.is_empty(),
        protected_retention: rails.protected_retention.0,
        max_export_errors: rails.max_export_errors.limit(),
        compare_exports: rails.max_export_errors.is_compared(),
        max_cpu_ratio: rails.max_cpu_ratio,
        max_rss_ratio: rails.max_rss_ratio,
        max_rss_bytes: rails.max_rss.map(|bytes| bytes.0),
        max_silent: rails.max_silent,
        max_added_latency_ms: rails.max_added_latency.map(|span| span.0 as f64),
        max_missing: rails.max_missing.0,
        ..spec.judged_queries()
    }
}

/// Of an experiment of which nothing is known.
pub(super) fn nothing() -> Criteria {
    Criteria::new(Mode::Shadow, 1000, 1, Goal::new(Measure::Points, 1.0))
}
