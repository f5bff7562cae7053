//! Price books in files: an experiment may give the path of one, which is read here, before anything is sent.

use phoenix_control_plane::documents::ExperimentSpec;
use phoenix_engine::document::{Problem, from_yaml, kind_of};
use serde_json::Value;
use std::path::Path;

const PLACE: &str = "/spec/goal/priceBook";

/// The text of an experiment with the price book in the place of its path. Paths are from the folder of
/// `origin`, the file that the text comes from.
///
/// # Errors
/// The file cannot be read, or holds no YAML.
pub fn included(text: &str, origin: &Path) -> Result<String, Vec<Problem>> {
    let wrong = |message: String| vec![Problem::new("spec.goal.priceBook", message)];
    let mut document: Value = match from_yaml(text) {
        Ok(document) if kind_of(text).as_deref() == Some("Experiment") => document,
        // What is wrong with it is told where it is read.
        _ => return Ok(text.to_owned()),
    };
    let Some(Value::String(name)) = document.pointer(PLACE) else {
        return Ok(text.to_owned());
    };
    if !is_path(name) {
        return Ok(text.to_owned());
    }
    let path = origin.parent().unwrap_or(Path::new("")).join(name);
    let book = std::fs::read_to_string(&path)
        .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
    let book: Value = from_yaml(&book).map_err(|problems| {
        let told = problems.iter().map(|p| p.message.as_str());
        let told: Vec<&str> = told.collect();
        wrong(format!("{}: {}", path.display(), told.join("; ")))
    })?;
    if let Some(place) = document.pointer_mut(PLACE) {
        *place = book;
    }
    Ok(document.to_string())
}

/// Names of books hold neither.
fn is_path(name: &str) -> bool {
    name.contains('/')
        || [".yaml", ".yml", ".json"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// What is no mistake in an experiment and likely not what was meant, a line each.
pub fn warnings(spec: &ExperimentSpec) -> Vec<String> {
    let all = spec.warnings().into_iter();
    all.map(|p| format!("{}: {}", p.path, p.message)).collect()
}
