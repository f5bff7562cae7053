//! `goal`: what is to be saved, and how much of it.

use super::ExperimentSpec;
use crate::documents::{Kind, Ratio, problem};
use phoenix_analysis as judge;
use phoenix_analysis::prices::{PriceBook, find, read, shipped};
use phoenix_engine::document::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Saving {
    Points,
    Series,
    Bytes,
    /// Prometheus samples.
    Samples,
    /// What a month costs under a price book.
    Money,
}

/// `goal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Goal {
    pub saving: Saving,
    /// At least this share: `0.2` or `20%`. May be left out where `perMonth` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub target: Option<Ratio>,
    /// Money: what is counted and what is asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub price_book: Option<Book>,
    /// Money: at least so much in a month, in the currency of the book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_month: Option<f64>,
}

/// A price book: the name of one that comes with phoenix, or the document itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Book {
    Name(String),
    Written(Value),
}

impl Book {
    /// The document.
    ///
    /// # Errors
    /// There is none of this name, or it is no valid book; paths are within `priceBook`.
    pub fn read(&self) -> Result<PriceBook, Vec<Problem>> {
        match self {
            Book::Written(document) => read(&document.to_string()),
            Book::Name(name) => match find(name) {
                Some(text) => read(text),
                None => Err(vec![problem("", unknown(name))]),
            },
        }
    }

    /// The document in place of the name, so that what is judged does not change with the books that a later
    /// version brings.
    fn written(&self) -> Book {
        let text = match self {
            Book::Name(name) => find(name),
            Book::Written(_) => None,
        };
        let document = text.and_then(|text| phoenix_engine::document::from_yaml(text).ok());
        document.map_or_else(|| self.clone(), Book::Written)
    }
}

fn unknown(name: &str) -> String {
    let books = shipped().unwrap_or_default();
    // Those that no goal can be held against are not offered.
    let books = books.iter().filter(|book| book.lacks().is_none());
    let names: Vec<&str> = books.map(|book| book.name.as_str()).collect();
    format!(
        "there is no price book {name:?}: write {}, the book itself, or the path of its file (./mine.yaml), \
         which `phoenix apply` reads",
        names.join(", ")
    )
}

impl Goal {
    /// What the judge is asked.
    pub fn judged(&self) -> judge::Goal {
        let saving = match self.saving {
            Saving::Points => judge::Measure::Points,
            Saving::Series => judge::Measure::Series,
            Saving::Bytes => judge::Measure::Bytes,
            Saving::Samples => judge::Measure::Samples,
            Saving::Money => judge::Measure::Money,
        };
        // A book that cannot be read is refused where a document is read; without one nothing is promoted.
        let book = self.price_book.as_ref().and_then(|book| book.read().ok());
        judge::Goal {
            money: book.map(|book| {
                Box::new(judge::Money {
                    book,
                    per_month: self.per_month,
                })
            }),
            ..judge::Goal::new(saving, self.target.map_or(0.0, |target| target.0))
        }
    }
}

impl ExperimentSpec {
    /// As it is kept: what a name of a price book stands for is written in its place.
    #[must_use]
    pub fn settled(mut self) -> ExperimentSpec {
        self.goal.price_book = self.goal.price_book.as_ref().map(Book::written);
        self
    }
}

pub(super) fn check(spec: &ExperimentSpec, problems: &mut Vec<Problem>) {
    let goal = &spec.goal;
    let mut wrong = |key: &str, text: String| {
        problems.push(problem(&format!("spec.goal.{key}"), text));
    };
    match goal.target {
        Some(target) if !(target.0 > 0.0 && target.0 < 1.0) => wrong(
            "target",
            "a saving is a share between 0 and 1, such as 0.2 or 20%".into(),
        ),
        None if goal.saving != Saving::Money => wrong(
            "target",
            "write the share that must be saved, such as 20%".into(),
        ),
        None if goal.per_month.is_none() => wrong(
            "target",
            "write the share of the bill that must be saved, such as 20%, or an amount as perMonth"
                .into(),
        ),
        _ => {}
    }
    if goal.saving != Saving::Money {
        for (key, written) in [
            ("priceBook", goal.price_book.is_some()),
            ("perMonth", goal.per_month.is_some()),
        ] {
            if written {
                wrong(
                    key,
                    "it is for `saving: money`: write that, or leave it out".into(),
                );
            }
        }
        return;
    }
    if goal.per_month.is_some_and(|m| !(m.is_finite() && m > 0.0)) {
        wrong("perMonth", "write an amount above 0, such as 500".into());
    }
    let shadow = spec.course().iter().any(|s| s.kind == Kind::Shadow);
    if goal.per_month.is_some() && !shadow {
        wrong(
            "perMonth",
            "no step counts what all of it costs: add `{ step: shadow }`, where both arms see everything, or \
             ask for a share as target"
                .into(),
        );
    }
    check_book(goal, problems);
}

fn check_book(goal: &Goal, problems: &mut Vec<Problem>) {
    const PATH: &str = "spec.goal.priceBook";
    let Some(book) = &goal.price_book else {
        let text = "money is counted under a price book: write the name of one (`phoenix prices list`), the book \
                    itself, or the path of its file";
        problems.push(problem(PATH, text));
        return;
    };
    match book.read() {
        Err(wrong) => problems.extend(wrong.into_iter().map(|p| Problem {
            path: match p.path.as_str() {
                "" => PATH.to_owned(),
                path => format!("{PATH}.{path}"),
            },
            ..p
        })),
        Ok(book) => {
            if let Some(lacks) = book.lacks() {
                problems.push(problem(
                    PATH,
                    format!(
                        "{} gives no amount, so no saving can be held against it: {lacks}. Write your own figures into \
                         it (`phoenix prices show NAME > mine.yaml`), and its path here",
                        book.name
                    ),
                ));
            }
        }
    }
}
