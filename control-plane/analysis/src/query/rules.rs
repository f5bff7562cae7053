//! Prometheus rule files: their alerts.

use super::lexer::duration;
use phoenix_engine::document::Problem;
use phoenix_engine::yaml::from_yaml;
use serde::Deserialize;

/// An alert of a rule file.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `alert`
    pub name: String,
    /// Where it stands: `groups[0].rules[1]`.
    pub path: String,
    /// `expr`
    pub expr: String,
    /// `for`, milliseconds.
    pub for_ms: u64,
    /// The group's `interval`; `None`: every step.
    pub interval_ms: Option<u64>,
    /// What of it is not evaluated.
    pub unsupported: Option<&'static str>,
}

// What Prometheus knows besides is left alone.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    interval: Option<String>,
    #[serde(default)]
    rules: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    alert: Option<String>,
    expr: String,
    #[serde(default, rename = "for")]
    pending: Option<String>,
    #[serde(default)]
    keep_firing_for: Option<String>,
}

/// Reads the alerts of a rule file. Recording rules are left out: what they record is not evaluated.
///
/// # Errors
/// It is no YAML of this shape, or a length of time that cannot be read; with paths.
pub fn read(text: &str) -> Result<Vec<Rule>, Vec<Problem>> {
    let file: File = from_yaml(text)?;
    let mut problems = Vec::new();
    let mut time = |text: &Option<String>, path: String| {
        let text = text.as_deref()?;
        let read = duration(text);
        if read.is_none() {
            problems.push(Problem::new(
                path,
                format!("`{text}` is no length of time: write one such as 30s or 5m"),
            ));
        }
        read
    };
    let mut rules = Vec::new();
    for (g, group) in file.groups.iter().enumerate() {
        let interval_ms = time(&group.interval, format!("groups[{g}].interval"));
        for (r, written) in group.rules.iter().enumerate() {
            let Some(name) = written.alert.clone() else {
                continue;
            };
            let path = format!("groups[{g}].rules[{r}]");
            let for_ms = time(&written.pending, format!("{path}.for")).unwrap_or(0);
            rules.push(Rule {
                name,
                expr: written.expr.clone(),
                for_ms,
                interval_ms: interval_ms.filter(|ms| *ms > 0),
                unsupported: written
                    .keep_firing_for
                    .is_some()
                    .then_some("`keep_firing_for`"),
                path,
            });
        }
    }
    match problems.is_empty() {
        true => Ok(rules),
        false => Err(problems),
    }
}
