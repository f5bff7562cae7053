//! Makes a failing case small: halves, then single things, as long as it still fails.

use super::wire::Shape;
use super::{Action, Case};

/// The smallest case found for which `fails` still holds. `tries` bounds the work.
pub fn shrink(case: &Case, tries: usize, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut left = tries;
    simplify(&mut best, &mut left, fails);
    loop {
        let mut progress = without_chunks(
            &mut best,
            &mut left,
            fails,
            |c| c.actions.len(),
            |c, from, n| drop(c.actions.drain(from..from + n)),
        );
        for at in 0..best.actions.len() {
            let points = |c: &Case| match &c.actions[at] {
                Action::Feed { points, .. } => points.len(),
                _ => 0,
            };
            progress |= without_chunks(&mut best, &mut left, fails, points, |c, from, n| {
                if let Action::Feed { points, .. } = &mut c.actions[at] {
                    points.drain(from..from + n);
                }
            });
        }
        for at in 0..best.pipelines.len() {
            let stages = |c: &Case| c.pipelines[at].stages.len();
            progress |= without_chunks(&mut best, &mut left, fails, stages, |c, from, n| {
                c.pipelines[at].stages.drain(from..from + n);
            });
        }
        if !progress || left == 0 {
            return best;
        }
    }
}

/// What is either there or not.
fn simplify(best: &mut Case, left: &mut usize, fails: &mut dyn FnMut(&Case) -> bool) {
    let changes: [fn(&mut Case); 4] = [
        |c| c.pipelines.iter_mut().for_each(|p| p.protect.clear()),
        |c| c.first.candidate = None,
        |c| {
            for action in &mut c.actions {
                if let Action::Feed { shape, .. } = action {
                    *shape = Shape::default();
                }
            }
        },
        |c| c.actions.retain(|a| !matches!(a, Action::Swap { .. })),
    ];
    for change in changes {
        if let Some(smaller) = attempt(best, left, fails, change) {
            *best = smaller;
        }
    }
}

/// The changed case, where it still fails. Cases are not compared: NaN is unequal to itself.
fn attempt(
    best: &Case,
    left: &mut usize,
    fails: &mut dyn FnMut(&Case) -> bool,
    change: impl Fn(&mut Case),
) -> Option<Case> {
    if *left == 0 {
        return None;
    }
    *left -= 1;
    let mut smaller = best.clone();
    change(&mut smaller);
    fails(&smaller).then_some(smaller)
}

fn without_chunks(
    best: &mut Case,
    left: &mut usize,
    fails: &mut dyn FnMut(&Case) -> bool,
    count: impl Fn(&Case) -> usize,
    remove: impl Fn(&mut Case, usize, usize),
) -> bool {
    let mut progress = false;
    let mut chunk = count(best);
    while chunk > 0 {
        let mut from = 0;
        while from + chunk <= count(best) {
            match attempt(best, left, fails, |c| remove(c, from, chunk)) {
                None => from += chunk,
                Some(smaller) => {
                    *best = smaller;
                    progress = true;
                }
            }
        }
        chunk /= 2;
    }
    progress
}
