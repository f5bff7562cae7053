//! An experiment judged from its windows alone, without a server: what was written in the document comes from
//! the document, what was known of a run from the windows and the context that they carry.

use super::criteria::{ask_of, written};
use super::{Judged, conclude};
use crate::documents::{Book, ExperimentSpec, Share, Step};
use phoenix_analysis::{Ask, Criteria, Outcome, Verdict, Window, judge};

/// The verdict on one experiment. Windows of a step share a revision; a window that names no step belongs to
/// the first one that compares the candidate with the baseline, and is judged for itself.
pub fn verdict(spec: &ExperimentSpec, windows: &mut [Window]) -> Verdict {
    windows.sort_by_key(|w| w.revision);
    let course = spec.course();
    let mut judged: Vec<Judged> = Vec::new();
    let mut named = false;
    for of_step in windows.chunk_by(|a, b| a.revision == b.revision) {
        let name = of_step.first().map_or("", |w| w.step.as_str());
        named |= !name.is_empty();
        let Some(at) = place(&course, name) else {
            continue;
        };
        if let Some(step) = course.get(at) {
            judged.push(step_verdict(spec, &course, step, at, of_step, &judged));
        }
    }
    let verdict = match judged.as_slice() {
        [one] if !named => one.verdict.clone(),
        all => conclude(&course, all),
    };
    verdict.priced()
}

fn place(course: &[Step], name: &str) -> Option<usize> {
    if name.is_empty() {
        return course.iter().position(Step::compares);
    }
    course.iter().position(|step| step.name == name)
}

fn step_verdict(
    spec: &ExperimentSpec,
    course: &[Step],
    step: &Step,
    at: usize,
    windows: &[Window],
    before: &[Judged],
) -> Judged {
    let context = windows.iter().find_map(|w| w.context.as_deref());
    let asked = match context {
        Some(context) => {
            let mut asked = known(written(spec, step, context.asked.ask), &context.asked);
            book_of_then(&mut asked, spec, &context.asked);
            asked
        }
        None => {
            let shown = before.iter().any(|j| {
                let live = course.get(j.at).is_some_and(Step::compares);
                j.passed && live && j.verdict.asked.ask == Ask::Goal
            });
            let ask = ask_of(course, at, shown, everywhere(step, windows));
            seen(written(spec, step, ask), step, windows)
        }
    };
    let verdict = judge(&asked, windows);
    Judged {
        at,
        passed: context.map_or(verdict.outcome == Outcome::Promote, |c| c.passed),
        verdict,
    }
}

/// What the server knew of the run.
fn known(mut asked: Criteria, run: &Criteria) -> Criteria {
    asked.agents.clone_from(&run.agents);
    asked.candidate_agents.clone_from(&run.candidate_agents);
    asked.left_ms.clone_from(&run.left_ms);
    asked.died.clone_from(&run.died);
    asked.baseline_hash.clone_from(&run.baseline_hash);
    asked.candidate_hash.clone_from(&run.candidate_hash);
    asked.rss_before_bytes.clone_from(&run.rss_before_bytes);
    (asked.from_ms, asked.until_ms, asked.closed) = (run.from_ms, run.until_ms, run.closed);
    asked
}

/// A price book that the document only names is the one that the run was held against.
fn book_of_then(asked: &mut Criteria, spec: &ExperimentSpec, run: &Criteria) {
    let Some(Book::Name(name)) = &spec.goal.price_book else {
        return;
    };
    let then = run.goal.money.as_ref().map(|money| &money.book);
    let then = then.filter(|book| book.name == *name);
    if let (Some(money), Some(then)) = (&mut asked.goal.money, then) {
        money.book.clone_from(then);
    }
}

/// What can be told from the windows: the run is over, and who ran what is who took points.
fn seen(mut asked: Criteria, step: &Step, windows: &[Window]) -> Criteria {
    asked.closed = true;
    if matches!(step.share, Share::Nodes(_) | Share::Both { .. }) {
        let mut agents: Vec<&str> = windows.iter().filter(|w| ran(w)).map(agent).collect();
        agents.sort_unstable();
        agents.dedup();
        asked.candidate_agents = agents.into_iter().map(Into::into).collect();
    }
    asked
}

fn everywhere(step: &Step, windows: &[Window]) -> bool {
    match step.share {
        Share::Everything => true,
        Share::Nodes(_) => windows
            .iter()
            .all(|w| windows.iter().any(|o| ran(o) && o.agent == w.agent)),
        _ => false,
    }
}

fn ran(window: &Window) -> bool {
    let arm = window.candidate_arm();
    arm.is_some_and(|a| a.ledger.received > 0)
}

fn agent(window: &Window) -> &str {
    &window.agent
}
