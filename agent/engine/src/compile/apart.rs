//! Finds stages that cannot be in one pipeline: what a fold keeps of a series goes by the name that
//! it came with, and a transform gives it another.

use crate::document::{Action, Problem};

/// Stages of a document by their index in it. Each later stage names the first that it cannot be with.
pub(super) fn find(stages: &[(usize, &str, &Action)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (index, id, action)) in stages.iter().enumerate() {
        let mut before = stages.iter().take(position);
        let Some((first, first_id, _)) = before.find(|s| at_odds(s.2, action)) else {
            continue;
        };
        problems.push(Problem::new(
            format!("spec.stages[{index}].{}", action.kind()),
            format!(
                "`{id}` and `{first_id}` (spec.stages[{first}]): a pipeline cannot have `transform` and `topk` / `limit` \
                 together yet: leave one out, or rename at the backend"
            ),
        ));
    }
    problems
}

fn at_odds(a: &Action, b: &Action) -> bool {
    let transforms = |action: &Action| matches!(action, Action::Transform(_));
    let folds = |action: &Action| matches!(action, Action::Topk(_) | Action::Limit(_));
    (transforms(a) && folds(b)) || (folds(a) && transforms(b))
}
