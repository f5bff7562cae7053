//! A condition on one text: exact, glob, regular expression.

use super::glob::Glob;
use regex::{Regex, RegexBuilder};

/// Memory that one compiled expression may take; a larger one is refused with words.
const REGEX_BYTES: usize = 1 << 20;

/// One compiled pattern.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// This text.
    Exact(String),
    /// `*` and `?`.
    Glob(Glob),
    /// `/regex/`, over the whole value.
    Regex(Regex),
}

impl Pattern {
    /// Reads `text`, `te*t` or `/regex/`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if let Some(expression) = expression(text) {
            return regex(expression).map(Pattern::Regex);
        }
        if Glob::is_glob(text) {
            return Glob::parse(text).map(Pattern::Glob);
        }
        Ok(Pattern::Exact(text.to_string()))
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == text,
            Pattern::Glob(glob) => glob.matches(text),
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }

    /// A glob that matches at least what this matches.
    pub fn at_least(&self) -> Glob {
        match self {
            Pattern::Exact(text) => Glob::literal(text),
            Pattern::Glob(glob) => glob.clone(),
            Pattern::Regex(regex) => {
                Glob::any().after(Glob::literal(&literal_prefix(regex.as_str())))
            }
        }
    }

    /// Whether some text may match both. A regular expression is known by its literal beginning
    /// only, so the answer can be a false yes.
    pub fn may_intersect(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Pattern::Exact(text), pattern) | (pattern, Pattern::Exact(text)) => {
                pattern.matches(text)
            }
            (Pattern::Regex(a), Pattern::Regex(b)) if a.as_str() == b.as_str() => true,
            _ => self.at_least().intersects(&other.at_least()),
        }
    }
}

/// The expression between the slashes, if the text is one.
fn expression(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/')
}

fn regex(expression: &str) -> Result<Regex, String> {
    if expression.is_empty() {
        return Err(
            "an empty expression matches only the empty text: write \"\" for that, or `/.*/` for any"
                .into(),
        );
    }
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
    // The bare expression first: `a)(b` must not become valid by the brackets put around it.
    build(expression)
        .and_then(|_| build(&format!("^(?:{expression})$")))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("`/{expression}/` is too large: use fewer or smaller repetitions")
            }
            error => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                format!("`/{expression}/` is not a regular expression: {reason}")
            }
        })
}

/// The text that every match of an anchored expression begins with (maybe shorter than it could be).
fn literal_prefix(anchored: &str) -> String {
    let inner = anchored
        .strip_prefix("^(?:")
        .and_then(|rest| rest.strip_suffix(")$"))
        .unwrap_or(anchored);
    let mut prefix = String::new();
    if inner.contains('|') || inner.contains("(?") {
        return prefix;
    }
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '\\' => match chars.next() {
                Some(escaped) if !escaped.is_alphanumeric() => escaped,
                _ => break,
            },
            '.' | '[' | '(' | '*' | '+' | '?' | '{' | '^' | '$' | ')' | ']' | '}' => break,
            c => c,
        };
        if matches!(chars.peek(), Some('*' | '?' | '{')) {
            break;
        }
        prefix.push(literal);
    }
    prefix
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn an_expression_covers_the_whole_value() {
        assert!(pattern("/http[.].*/").matches("http.server"));
        assert!(!pattern("/http/").matches("http.server"));
        assert!(!pattern("/a|b/").matches("ab"));
        assert!(pattern("/a|b/").matches("b"));
        assert!(!pattern("/a/").matches("a\n"));
        assert!(pattern("/").matches("/"), "a single slash is itself");
    }

    #[test]
    fn a_bad_expression_says_why() {
        for text in ["/(/", "/a)(b/", "//", "/[z-a]/"] {
            let message = Pattern::parse(text).unwrap_err();
            assert!(!message.contains('\n') && message.len() > 10, "{message}");
        }
        assert!(
            Pattern::parse(r"/(\w{1000}){1000}/")
                .unwrap_err()
                .contains("too large")
        );
    }

    #[test]
    fn expressions_with_other_beginnings_do_not_meet() {
        assert!(!pattern(r"/http\..*/").may_intersect(&pattern(r"/db\..*/")));
        assert!(!pattern(r"/http\..*/").may_intersect(&pattern("db.*")));
        assert!(pattern(r"/http\..*/").may_intersect(&pattern("*.duration")));
        assert!(pattern("/a|b/").may_intersect(&pattern("/b|c/")));
        assert!(!pattern("/ab?/").may_intersect(&pattern("/c/")));
        assert!(pattern("/ab?/").may_intersect(&pattern("/ac*/")));
        assert!(!pattern("/a.*/").may_intersect(&pattern("b")));
    }
}
