//! The checked-in JSON Schema is the one of the types.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use phoenix_engine::document;
use std::path::Path;

/// `UPDATE=1 cargo test -p phoenix-engine --test schema` writes the file anew.
#[test]
fn the_checked_in_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipeline.schema.json");
    let schema = document::schema();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == schema,
        "docs/pipeline.schema.json has drifted: run `UPDATE=1 cargo test -p phoenix-engine --test schema`"
    );
}
