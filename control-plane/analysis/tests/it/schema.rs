//! The checked-in JSON Schema is the one of the types.

use phoenix_analysis::window;
use std::path::Path;

/// `UPDATE=1 cargo test -p phoenix-analysis --test it schema` writes the file anew.
#[test]
fn the_checked_in_schema_of_a_window_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/window.schema.json");
    let schema = window::schema();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == schema,
        "docs/window.schema.json has drifted: run `UPDATE=1 cargo test -p phoenix-analysis --test it schema`"
    );
}

/// Keys that a window writes are those of the schema.
#[test]
fn the_schema_names_what_a_window_writes() {
    let schema: serde_json::Value = serde_json::from_str(&window::schema()).unwrap();
    let window = crate::world::shadow(0, 500).remove(0);
    let written = serde_json::to_value(&window).unwrap();
    let arm = written["baseline"].as_object().unwrap();
    let known = |path: &str, key: &String| schema.pointer(path).unwrap().get(key).is_some();
    for key in written.as_object().unwrap().keys() {
        assert!(known("/properties", key), "{key}");
    }
    for key in arm.keys() {
        assert!(known("/$defs/Arm/properties", key), "{key}");
    }
    for key in arm["ledger"].as_object().unwrap().keys() {
        assert!(known("/$defs/Ledger/properties", key), "{key}");
    }
}
