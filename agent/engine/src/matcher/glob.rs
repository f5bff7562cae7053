//! Globs: `*` is any run of characters, `?` is one character, `\` takes the next character as it is.

/// A compiled glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Run,
    One,
    Char(char),
}

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Glob, String> {
        let mut tokens = Vec::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' => Token::Run,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().ok_or_else(|| {
                    format!(
                        "`{text}` ends with a single backslash: write `\\\\` for a backslash itself"
                    )
                })?),
                c => Token::Char(c),
            };
            if !(token == Token::Run && tokens.last() == Some(&Token::Run)) {
                tokens.push(token);
            }
        }
        Ok(Glob { tokens })
    }

    /// `*`.
    pub fn any() -> Glob {
        Glob {
            tokens: vec![Token::Run],
        }
    }

    /// A glob that matches exactly this text.
    pub fn literal(text: &str) -> Glob {
        Glob {
            tokens: text.chars().map(Token::Char).collect(),
        }
    }

    /// Whether the text holds a wildcard.
    pub fn is_glob(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// Whether the whole text matches. Allocates nothing; at most text x pattern steps.
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Where to go on after the last `*` when a later token fails: take one more character there.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let here = rest.clone();
            let advanced = match (self.tokens.get(at), rest.next()) {
                (None, None) => return true,
                (Some(Token::Run), _) => {
                    rest = here;
                    at += 1;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                (Some(Token::One), Some(_)) => true,
                (Some(Token::Char(c)), Some(d)) => *c == d,
                (Some(_), None) => return false,
                (None, Some(_)) => false,
            };
            if advanced {
                at += 1;
                continue;
            }
            let Some((token, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            at = *token;
            rest = from.clone();
        }
    }

    /// Whether some text matches both.
    pub fn intersects(&self, other: &Glob) -> bool {
        let width = other.tokens.len() + 1;
        let mut seen = vec![false; (self.tokens.len() + 1) * width];
        let mut open = vec![(0, 0)];
        while let Some((a, b)) = open.pop() {
            if std::mem::replace(&mut seen[a * width + b], true) {
                continue;
            }
            let (left, right) = (self.tokens.get(a), other.tokens.get(b));
            match (left, right) {
                (None, None) => return true,
                (Some(Token::Run), _) | (_, Some(Token::Run)) => {
                    // A run ends here, or takes what the other side's next token takes.
                    if left == Some(&Token::Run) {
                        open.push((a + 1, b));
                        open.extend(right.map(|_| (a, b + 1)));
                    }
                    if right == Some(&Token::Run) {
                        open.push((a, b + 1));
                        open.extend(left.map(|_| (a + 1, b)));
                    }
                }
                (Some(Token::One), Some(_)) | (Some(_), Some(Token::One)) => {
                    open.push((a + 1, b + 1));
                }
                (Some(Token::Char(c)), Some(Token::Char(d))) if c == d => {
                    open.push((a + 1, b + 1));
                }
                _ => {}
            }
        }
        false
    }

    /// The texts of `start`, each followed by a text of this.
    pub fn after(mut self, start: Glob) -> Glob {
        let mut tokens = start.tokens;
        tokens.append(&mut self.tokens);
        Glob { tokens }
    }

    /// The texts of this glob, each put in the place of `{name}` between the pieces of a template.
    pub fn within(&self, pieces: &[String]) -> Glob {
        let mut tokens = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                tokens.extend(&self.tokens);
            }
            tokens.extend(piece.chars().map(Token::Char));
        }
        Glob { tokens }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).unwrap()
    }

    #[test]
    fn runs_and_single_characters_match() {
        for (pattern, text, expected) in [
            ("http.*", "http.server.duration", true),
            ("http.*", "http.", true),
            ("http.*", "xhttp.a", false),
            ("*.duration", "http.server.duration", true),
            ("*a*b*c", "xxaxxbxxaxxbxc", true),
            ("*a*b*c", "xxaxxbxxaxxb", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("**", "", true),
            ("?", "", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"c:\\*", r"c:\temp", true),
        ] {
            assert_eq!(glob(pattern).matches(text), expected, "{pattern} on {text}");
        }
        assert!(Glob::parse("a\\").is_err());
    }

    #[test]
    fn many_runs_stay_quick() {
        let pattern = "a*".repeat(100) + "b";
        assert!(!glob(&pattern).matches(&"a".repeat(10_000)));
    }

    #[test]
    fn globs_that_share_a_text_intersect() {
        for (a, b, expected) in [
            ("http.*", "*.duration", true),
            ("http.*", "db.*", false),
            ("a?c", "ab*", true),
            ("a?", "abc", false),
            ("*", "", true),
            ("x*y", "x*z", false),
            ("*a", "b*", true),
        ] {
            assert_eq!(glob(a).intersects(&glob(b)), expected, "{a} and {b}");
            assert_eq!(glob(b).intersects(&glob(a)), expected, "{b} and {a}");
        }
    }

    #[test]
    fn a_template_wraps_every_text() {
        let renamed = glob("a*").within(&["x.".into(), ".y".into()]);
        assert!(renamed.matches("x.abc.y") && !renamed.matches("abc"));
    }
}
