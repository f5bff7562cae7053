//! What a request says decides, not how its bytes say it.

use super::plans::{emitted, same_points};
use super::{PLAIN, Wanted, for_all};
use phoenix_model::traffic::wire::Shape;
use phoenix_model::traffic::{Action, Case};

fn shaped(case: &Case, odd: impl Fn(u64) -> Shape) -> Case {
    let mut other = case.clone();
    for (at, action) in other.actions.iter_mut().enumerate() {
        if let Action::Feed { shape, .. } = action {
            *shape = odd(case.seed * 1_000 + at as u64);
        }
    }
    other
}

fn all_shapes_are_one(case: &Case) -> Result<(), String> {
    let plain = emitted(&shaped(case, |_| Shape::default()))?;
    let reordered = shaped(case, |seed| Shape {
        seed,
        reordered_attributes: true,
        ..Shape::default()
    });
    same_points(case, &plain, &emitted(&reordered)?)?;
    let odd = shaped(case, |seed| Shape {
        seed,
        reordered_attributes: seed % 2 == 0,
        shuffled_fields: seed % 3 == 0,
        unknown_fields: seed % 2 == 1,
        unpacked_lists: seed % 5 < 2,
        repeated_singulars: seed % 4 == 0,
        split_messages: seed % 4 == 1,
        long_varints: seed % 7 < 3,
        empty_messages: seed % 3 == 1,
    });
    same_points(case, &plain, &emitted(&odd)?)
}

#[test]
fn other_bytes_of_the_same_request_change_no_output() {
    for_all("encodings", 80, Wanted { ..PLAIN }, all_shapes_are_one);
}
