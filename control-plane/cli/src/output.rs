//! Tables for people, JSON and YAML for programs. What is unknown is "-".

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use std::io::IsTerminal;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Yaml,
}

/// `-o table|json|yaml`.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Format,
}

impl OutputArgs {
    /// Prints a value as it is, or lets `table` draw it.
    pub fn print(self, value: &Value, table: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        match self.output {
            Format::Table => println!("{}", table(value).trim_end()),
            Format::Json => println!("{}", serde_json::to_string_pretty(value)?),
            Format::Yaml => print!("{}", serde_yaml::to_string(value)?),
        }
        Ok(())
    }
}

/// A table of texts, without lines: easy to read and to cut.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head.iter().map(|h| h.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines()
        .map(|l| l.trim_end().to_owned() + "\n")
        .collect()
}

/// A field as text; missing, null and empty are "-".
pub fn text(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(s)) if s.is_empty() => "-".into(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        Some(other) => other.to_string(),
    }
}

/// The beginning of a hash.
pub fn hash(value: &Value, path: &str) -> String {
    text(value, path).chars().take(12).collect()
}

/// A version of a pipeline as `name (beginning of its hash)`, or by the hash alone where the name is not known.
pub fn named(value: &Value, name: &str, hash_at: &str) -> String {
    let short = hash(value, hash_at);
    match text(value, name).as_str() {
        "-" => short,
        name => format!("{name} ({short})"),
    }
}

/// A count with thin groups: `12 345`.
pub fn count(value: &Value, path: &str) -> String {
    match value.pointer(path).and_then(Value::as_f64) {
        Some(n) => grouped(n.round() as i128),
        None => "-".into(),
    }
}

/// `12 345`.
pub fn grouped(n: i128) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    if n < 0 { format!("-{out}") } else { out }
}

/// A share as per cent.
pub fn percent(value: &Value, path: &str) -> String {
    match value.pointer(path).and_then(Value::as_f64) {
        Some(share) => format!("{:.2} %", share * 100.0),
        None => "-".into(),
    }
}

/// Bytes as a person reads them.
pub fn bytes(value: &Value, path: &str) -> String {
    let Some(mut n) = value.pointer(path).and_then(Value::as_f64) else {
        return "-".into();
    };
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if n < 1024.0 || unit == "GiB" {
            let digits = usize::from(unit != "B");
            return format!("{n:.digits$} {unit}");
        }
        n /= 1024.0;
    }
    "-".into()
}

/// Labels as `a=b,c=d`.
pub fn labels(value: &Value, path: &str) -> String {
    let pairs: Vec<String> = value
        .pointer(path)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        "-".into()
    } else {
        pairs.join(",")
    }
}

/// The elements of a list.
pub fn rows(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A word in colour, on a terminal that wants colours.
pub fn coloured(word: &str) -> String {
    let code = match word {
        "promote" | "pass" | "passed" | "Completed" | "healthy" | "agrees" => "32",
        "reject" | "harm" | "fail" | "stopped" | "Failed" | "rejected" | "rolled-back"
        | "disagrees" => "31",
        "inconclusive" | "unknown" | "void" | "no data" | "Cancelled" | "not asked"
        | "not comparable" => "33",
        _ => return word.to_owned(),
    };
    if colours() {
        format!("\u{1b}[{code}m{word}\u{1b}[0m")
    } else {
        word.to_owned()
    }
}

fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_unknown_is_a_dash() {
        let value = json!({ "a": null, "b": "", "n": 1234567, "s": 0.4321, "y": true });
        assert_eq!(text(&value, "/a"), "-");
        assert_eq!(text(&value, "/b"), "-");
        assert_eq!(text(&value, "/none"), "-");
        assert_eq!(count(&value, "/a"), "-");
        assert_eq!(percent(&value, "/a"), "-");
        assert_eq!(bytes(&value, "/a"), "-");
        assert_eq!(count(&value, "/n"), "1 234 567");
        assert_eq!(percent(&value, "/s"), "43.21 %");
        assert_eq!(bytes(&value, "/n"), "1.2 MiB");
        assert_eq!(text(&value, "/y"), "yes");
        assert_eq!(grouped(-12_345), "-12 345");
        let version = json!({ "name": "cut", "hash": "0123456789abcdef" });
        assert_eq!(named(&version, "/name", "/hash"), "cut (0123456789ab)");
        assert_eq!(named(&version, "/none", "/hash"), "0123456789ab");
    }

    #[test]
    fn tables_have_no_lines_and_no_blanks_at_the_end() {
        let text = table(&["name", "x"], [vec!["a".into(), "1".into()]]);
        assert_eq!(text, "NAME  X\na     1\n");
    }
}
