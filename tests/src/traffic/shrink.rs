//! Makes a failing case small: halves, then single things, as long as it still fails.

use super::wire::Shape;
use super::{Action, Case};

/// The smallest case found for which `fails` still holds. `tries` bounds the work.
pub fn shrink(case: &Case, tries: usize, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut left = tries;
    loop {
        let before = best.clone();
        best = without_chunks(
            best,
            &mut left,
            fails,
            |c| c.actions.len(),
            |c, from, n| {
                c.actions.drain(from..from + n);
            },
        );
        for at in 0..best.actions.len() {
            best = without_chunks(
                best,
                &mut left,
                fails,
                |c| match &c.actions[at] {
                    Action::Feed { points, .. } => points.len(),
                    _ => 0,
                },
                |c, from, n| {
                    if let Action::Feed { points, .. } = &mut c.actions[at] {
                        points.drain(from..from + n);
                    }
                },
            );
        }
        for at in 0..best.pipelines.len() {
            best = without_chunks(
                best,
                &mut left,
                fails,
                |c| c.pipelines[at].stages.len(),
                |c, from, n| {
                    c.pipelines[at].stages.drain(from..from + n);
                },
            );
            best = attempt(best, &mut left, fails, |c| c.pipelines[at].protect.clear());
        }
        best = attempt(best, &mut left, fails, |c| {
            for action in &mut c.actions {
                if let Action::Feed { shape, .. } = action {
                    *shape = Shape::default();
                }
            }
        });
        best = attempt(best, &mut left, fails, |c| c.first.candidate = None);
        if best == before || left == 0 {
            return best;
        }
    }
}

fn attempt(
    best: Case,
    left: &mut usize,
    fails: &mut dyn FnMut(&Case) -> bool,
    change: impl Fn(&mut Case),
) -> Case {
    let mut smaller = best.clone();
    change(&mut smaller);
    if smaller == best || *left == 0 {
        return best;
    }
    *left -= 1;
    if fails(&smaller) { smaller } else { best }
}

fn without_chunks(
    mut best: Case,
    left: &mut usize,
    fails: &mut dyn FnMut(&Case) -> bool,
    count: impl Fn(&Case) -> usize,
    remove: impl Fn(&mut Case, usize, usize),
) -> Case {
    let mut chunk = count(&best);
    while chunk > 0 {
        let mut from = 0;
        while from + chunk <= count(&best) {
            let smaller = attempt(best.clone(), left, fails, |c| remove(c, from, chunk));
            if smaller == best {
                from += chunk;
            } else {
                best = smaller;
            }
        }
        chunk /= 2;
    }
    best
}
