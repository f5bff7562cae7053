//! What serde says of a value that is wrong, in words for whoever wrote the document.

/// What is wrong, and what to write. What serde's own words are not known for stays as it is: types of ours say it
/// themselves.
pub fn plain(text: &str) -> String {
    found(text)
        .or_else(|| word(text))
        .unwrap_or_else(|| text.to_owned())
}

/// `invalid type: string "150%", expected f64`
fn found(text: &str) -> Option<String> {
    // A list is read as a struct's fields in order.
    if text.starts_with("invalid length ") && text.contains(", expected struct ") {
        return Some(format!("expected {}, found a list", Wanted::Mapping.name()));
    }
    let rest = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let wanted = Wanted::of(expected)?;
    let (kind, value) = match found.split_once(' ') {
        Some(("floating", rest)) => ("floating", rest.trim_start_matches("point ")),
        Some((kind, rest)) => (kind, rest),
        None => (found, ""),
    };
    let value = value.trim_matches(['`', '"']);
    let found = match kind {
        "string" => format!("the text `{value}`"),
        "integer" | "floating" => format!("the number {value}"),
        "boolean" => format!("`{value}`"),
        "sequence" => "a list".into(),
        "map" => "a mapping".into(),
        "null" | "unit" => "nothing".into(),
        _ => return None,
    };
    let remedy = match (wanted, kind) {
        (Wanted::Number, "string") => number_in(value).map(|meant| format!("write {meant}")),
        (Wanted::Text, "integer" | "floating" | "boolean") => Some("put it in quotes".into()),
        (Wanted::List, "map" | "string" | "integer") => {
            Some("put it in brackets, `[ ... ]`".into())
        }
        _ => None,
    };
    let remedy = remedy.map_or(String::new(), |remedy| format!(": {remedy}"));
    Some(format!("expected {}, found {found}{remedy}", wanted.name()))
}

/// The number that a text says: a share in per cent, or a number in quotes.
pub fn number_in(text: &str) -> Option<f64> {
    let meant = match text.trim().strip_suffix('%') {
        // Not further than it was written: 33.3 / 100 has more digits than that.
        Some(percent) => (percent.trim().parse::<f64>().ok()? * 1e10).round() / 1e12,
        None => text.trim().parse().ok()?,
    };
    meant.is_finite().then_some(meant)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Number,
    Whole,
    Text,
    Truth,
    List,
    Mapping,
    Word,
}

impl Wanted {
    fn of(expected: &str) -> Option<Wanted> {
        Some(match expected {
            "f32" | "f64" => Wanted::Number,
            "u8" | "u16" | "u32" | "u64" | "usize" => Wanted::Whole,
            "a string" => Wanted::Text,
            "a boolean" => Wanted::Truth,
            "a sequence" => Wanted::List,
            "string or map" => Wanted::Word,
            _ if expected == "a map" || expected.starts_with("struct ") => Wanted::Mapping,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Wanted::Number => "a number",
            Wanted::Whole => "a whole number, 0 or more",
            Wanted::Text => "a text",
            Wanted::Truth => "true or false",
            Wanted::List => "a list (`[...]`)",
            Wanted::Mapping => "a mapping (`key: value`)",
            Wanted::Word => "a word",
        }
    }
}

/// ``unknown variant `a`, expected `b` or `c` ``
fn word(text: &str) -> Option<String> {
    let rest = text.strip_prefix("unknown variant `")?;
    let (word, known) = rest.split_once("`, expected ")?;
    Some(format!("`{word}` is not known here: write {known}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::document::from_yaml;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
        Blue,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct All {
        ratio: Option<f64>,
        count: Option<u32>,
        name: Option<String>,
        on: Option<bool>,
        list: Option<Vec<u32>>,
        colour: Option<Colour>,
        inner: Option<Box<All>>,
    }

    #[test]
    fn a_value_of_another_type_is_told_in_our_words() {
        for (text, told) in [
            (
                "ratio: 150%",
                "expected a number, found the text `150%`: write 1.5",
            ),
            ("ratio: many", "expected a number, found the text `many`"),
            (
                "ratio: '3'",
                "expected a number, found the text `3`: write 3",
            ),
            (
                "count: 20%",
                "expected a whole number, 0 or more, found the text `20%`",
            ),
            (
                "count: -1",
                "expected a whole number, 0 or more, found the number -1",
            ),
            (
                "count: 1.5",
                "expected a whole number, 0 or more, found the number 1.5",
            ),
            (
                "name: 3",
                "expected a text, found the number 3: put it in quotes",
            ),
            (
                "on: yes please",
                "expected true or false, found the text `yes please`",
            ),
            (
                "list: { a: 1 }",
                "expected a list (`[...]`), found a mapping: put it in brackets, `[ ... ]`",
            ),
            (
                "list: [ { a: 1 } ]",
                "expected a whole number, 0 or more, found a mapping",
            ),
            (
                "colour: pink",
                "`pink` is not known here: write one of `red`, `green`, `blue`",
            ),
            (
                "inner: [ 1 ]",
                "expected a mapping (`key: value`), found a list",
            ),
        ] {
            let problems = from_yaml::<All>(text).unwrap_err();
            assert_eq!(problems[0].message, told, "{text}");
        }
    }
}
