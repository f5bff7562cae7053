//! Which processes are reported: include and exclude, by executable name, owner and command line.

use crate::settings::ProcessRules;
use phoenix_engine::document::Problem;
use phoenix_engine::matcher::pattern::Pattern;

/// Compiled rules. A process is reported if it matches all kinds of `include` that are given and
/// none of `exclude`.
#[derive(Debug, Default)]
pub(super) struct Rules {
    include: Set,
    exclude: Set,
}

#[derive(Debug, Default)]
struct Set {
    names: Vec<Pattern>,
    owners: Vec<Pattern>,
    command_lines: Vec<Pattern>,
}

impl Rules {
    pub(super) fn compile(
        include: &ProcessRules,
        exclude: &ProcessRules,
    ) -> Result<Rules, Vec<Problem>> {
        let mut problems = Vec::new();
        let rules = Rules {
            include: Set::compile("include", include, &mut problems),
            exclude: Set::compile("exclude", exclude, &mut problems),
        };
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }

    pub(super) fn allow(&self, name: &str, owner: Option<&str>, command_line: &str) -> bool {
        let owner = owner.unwrap_or_default();
        let kinds = [
            (&self.include.names, &self.exclude.names, name),
            (&self.include.owners, &self.exclude.owners, owner),
            (
                &self.include.command_lines,
                &self.exclude.command_lines,
                command_line,
            ),
        ];
        kinds.into_iter().all(|(include, exclude, text)| {
            let any = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(text));
            (include.is_empty() || any(include)) && !any(exclude)
        })
    }
}

impl Set {
    fn compile(side: &str, rules: &ProcessRules, problems: &mut Vec<Problem>) -> Set {
        let mut compile = |key: &str, texts: &[String]| {
            let mut patterns = Vec::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                match Pattern::parse(text) {
                    Ok(pattern) => patterns.push(pattern),
                    Err(message) => {
                        let path = format!("receivers.host.{side}.{key}[{index}]");
                        problems.push(Problem::new(path, message));
                    }
                }
            }
            patterns
        };
        Set {
            names: compile("names", &rules.names),
            owners: compile("owners", &rules.owners),
            command_lines: compile("command_lines", &rules.command_lines),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(names: &[&str], owners: &[&str]) -> ProcessRules {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        ProcessRules {
            names: own(names),
            owners: own(owners),
            command_lines: vec![],
        }
    }

    #[test]
    fn all_kinds_of_include_must_match_and_no_exclude() {
        let include = rules(&["nginx", "postgre*", "/java[0-9]+/"], &["www"]);
        let rules = Rules::compile(&include, &rules(&["postgres-old"], &[])).unwrap();
        assert!(rules.allow("nginx", Some("www"), ""));
        assert!(rules.allow("java17", Some("www"), ""));
        assert!(!rules.allow("xjava17", Some("www"), ""));
        assert!(!rules.allow("nginx", Some("root"), ""));
        assert!(!rules.allow("nginx", None, ""));
        assert!(!rules.allow("postgres-old", Some("www"), ""));
        assert!(Rules::default().allow("anything", None, ""));
    }

    #[test]
    fn every_rule_that_cannot_be_read_is_named() {
        let wrong = rules(&["fine", "/(/"], &["/[/"]);
        let problems = Rules::compile(&wrong, &wrong).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths.len(), 4);
        assert_eq!(paths[0], "receivers.host.include.names[1]");
    }
}
