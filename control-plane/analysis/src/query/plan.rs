//! Divides queries: innermost aggregations for the agents, the rest for the server.

use super::Fault;
use super::ast::{Aggregation, Ast, Matching, Operator};
use super::parse::parse;
use super::rules::{self, Rule};
use crate::criteria::{Guardrails, ProtectedQuery};
use phoenix_engine::document::Problem;
use phoenix_engine::query::{Function, Grouping, INNER, Inner, Queries, STEPS};

/// What an experiment asks of both arms' outputs.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// For the agents.
    pub inner: Queries,
    /// Protected queries, in order.
    pub queries: Vec<(ProtectedQuery, Result<Expr, Fault>)>,
    /// Alerts of the rule file, in order.
    pub alerts: Vec<(Rule, Result<Expr, Fault>)>,
    /// What is wrong in queries and rules: `queries[0].expr`, `rules...`.
    pub problems: Vec<Problem>,
}

/// The part of a query that the server evaluates.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A number.
    Number(f64),
    /// What agents found.
    Inner(Leaf),
    /// An aggregation of groups.
    Aggregate(Aggregation, Grouping, Box<Expr>),
    /// `histogram_quantile`.
    Quantile(f64, Box<Expr>),
    /// A function of each value.
    Each(Each, Box<Expr>),
    /// An operator.
    Binary {
        /// Which.
        op: Operator,
        /// A comparison gives 0 or 1 and filters nothing.
        as_bool: bool,
        /// Which labels must be equal.
        matching: Matching,
        /// Left and right.
        sides: Box<(Expr, Expr)>,
    },
}

/// An innermost aggregation in a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leaf {
    /// Its place in [`Queries::inner`].
    pub inner: u32,
    /// What of its partials.
    pub take: Aggregation,
    /// Steps that are added up.
    pub steps: u64,
    /// The sum is divided by so many seconds.
    pub per_seconds: f64,
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Each {
    /// `abs`
    Abs,
    /// `ceil`
    Ceil,
    /// `floor`
    Floor,
    /// `clamp_min`
    AtLeast(f64),
    /// `clamp_max`
    AtMost(f64),
}

impl Expr {
    /// Every innermost aggregation in it.
    pub fn leaves(&self) -> Vec<Leaf> {
        match self {
            Expr::Number(_) => Vec::new(),
            Expr::Inner(leaf) => vec![*leaf],
            Expr::Aggregate(_, _, of) | Expr::Quantile(_, of) | Expr::Each(_, of) => of.leaves(),
            Expr::Binary { sides, .. } => {
                let mut leaves = sides.0.leaves();
                leaves.extend(sides.1.leaves());
                leaves
            }
        }
    }
}

/// Divides all queries and alerts of an experiment. The same input gives the same places of innermost
/// aggregations, on every server and in every offline judge.
pub fn ask(guardrails: &Guardrails, window_ms: u64) -> Asked {
    let mut asked = Asked {
        inner: Queries {
            step_ms: window_ms,
            names: guardrails.names.clone(),
            ..Queries::default()
        },
        ..Asked::default()
    };
    for (number, query) in guardrails.queries.iter().enumerate() {
        let path = format!("queries[{number}]");
        let expr = asked.divide(&query.expr, &format!("{path}.expr"));
        if !(query.tolerance >= 0.0 && query.tolerance < 1.0) {
            asked.problems.push(Problem::new(
                format!("{path}.tolerance"),
                "a share from 0 to below 1, such as 0.01 or 1%",
            ));
        }
        asked.queries.push((query.clone(), expr));
    }
    if guardrails.rules.trim().is_empty() {
        return asked;
    }
    match rules::read(&guardrails.rules) {
        Ok(rules) => {
            for rule in rules {
                let expr = match &rule.unsupported {
                    Some(what) => Err(Fault::unsupported(what)),
                    None => asked.divide(&rule.expr, &format!("rules.{}.expr", rule.path)),
                };
                asked.alerts.push((rule, expr));
            }
        }
        Err(problems) => asked.problems.extend(
            problems
                .into_iter()
                .map(|p| Problem::new(format!("rules.{}", p.path), p.message)),
        ),
    }
    asked
}

impl Asked {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty() && self.alerts.is_empty() && self.problems.is_empty()
    }

    /// What the agents are sent: JSON; empty where there is nothing to evaluate.
    pub fn for_agents(&self) -> String {
        match self.inner.is_empty() {
            true => String::new(),
            // Of texts and numbers: writing it cannot fail.
            false => serde_json::to_string(&self.inner).unwrap_or_default(),
        }
    }

    /// What cannot be checked and why, by the name of query or alert.
    pub fn unchecked(&self) -> Vec<(String, String)> {
        let queries = self.queries.iter().map(|(q, e)| (&q.name, e));
        let alerts = self.alerts.iter().map(|(r, e)| (&r.name, e));
        queries
            .chain(alerts)
            .filter_map(|(name, expr)| Some((name.clone(), expr.as_ref().err()?.to_string())))
            .collect()
    }

    fn divide(&mut self, text: &str, path: &str) -> Result<Expr, Fault> {
        let before = self.inner.inner.len();
        let expr = parse(text).and_then(|ast| {
            let expr = self.expr(&ast)?;
            match expr.leaves().is_empty() {
                true => Err(Fault::unsupported("a query without series")),
                false => Ok(expr),
            }
        });
        if let Err(fault) = &expr {
            // Nothing is asked of agents for what is not evaluated.
            self.inner.inner.truncate(before);
            if let Fault::Syntax(_) = fault {
                self.problems.push(Problem::new(path, fault.to_string()));
            }
        }
        expr
    }

    fn expr(&mut self, ast: &Ast) -> Result<Expr, Fault> {
        if let Some(leaf) = self.leaf(ast, None)? {
            return Ok(Expr::Inner(leaf));
        }
        match ast {
            Ast::Number(n) => Ok(Expr::Number(*n)),
            Ast::Text(_) => Err(Fault::unsupported("a text")),
            Ast::Selector { .. } => Err(Fault::Syntax("a range stands inside a function".into())),
            Ast::Negate(of) => Ok(Expr::Binary {
                op: Operator::Multiply,
                as_bool: false,
                matching: Matching::Ignoring(Vec::new()),
                sides: Box::new((Expr::Number(-1.0), self.expr(of)?)),
            }),
            Ast::Aggregate { op, grouping, of } => {
                if let Some(leaf) = self.leaf(of, Some((*op, grouping)))? {
                    return Ok(Expr::Inner(leaf));
                }
                let of = self.expr(of)?;
                Ok(Expr::Aggregate(*op, grouping.clone(), Box::new(of)))
            }
            Ast::Binary {
                op,
                as_bool,
                matching,
                sides,
            } => Ok(Expr::Binary {
                op: *op,
                as_bool: *as_bool,
                matching: matching.clone(),
                sides: Box::new((self.expr(&sides.0)?, self.expr(&sides.1)?)),
            }),
            Ast::Call { name, args } => self.call(name, args),
        }
    }

    fn call(&mut self, name: &str, args: &[Ast]) -> Result<Expr, Fault> {
        match (name, args) {
            ("histogram_quantile", [Ast::Number(at), of]) => {
                Ok(Expr::Quantile(*at, Box::new(self.expr(of)?)))
            }
            ("abs", [of]) => self.each(Each::Abs, of),
            ("ceil", [of]) => self.each(Each::Ceil, of),
            ("floor", [of]) => self.each(Each::Floor, of),
            ("clamp_min", [of, Ast::Number(n)]) => self.each(Each::AtLeast(*n), of),
            ("clamp_max", [of, Ast::Number(n)]) => self.each(Each::AtMost(*n), of),
            _ => Err(Fault::unsupported(&format!(
                "`{name}` with these arguments"
            ))),
        }
    }

    fn each(&mut self, each: Each, of: &Ast) -> Result<Expr, Fault> {
        Ok(Expr::Each(each, Box::new(self.expr(of)?)))
    }

    /// An innermost aggregation, if it is one. Without an aggregation each series is its own group.
    fn leaf(
        &mut self,
        of: &Ast,
        by: Option<(Aggregation, &Grouping)>,
    ) -> Result<Option<Leaf>, Fault> {
        let each = (Aggregation::Sum, &Grouping::Without(Vec::new()));
        let (take, grouping) = by.unwrap_or(each);
        let (matchers, range, per_second) = match of {
            Ast::Selector {
                matchers,
                range_ms: None,
            } => (matchers, None, false),
            Ast::Call { name, args } if name == "rate" || name == "increase" => {
                match args.as_slice() {
                    [
                        Ast::Selector {
                            matchers,
                            range_ms: Some(range),
                        },
                    ] => (matchers, Some(*range), name == "rate"),
                    _ => {
                        let text = format!("`{name}` takes a selector with a range, such as x[5m]");
                        return Err(Fault::Syntax(text));
                    }
                }
            }
            _ => return Ok(None),
        };
        let steps = range.map_or(Ok(1), |range| self.steps(range))?;
        let function = match (range, take) {
            (None, _) => Function::Last,
            (Some(_), Aggregation::Sum) => Function::Increase,
            // Others than sums do not add up over steps: each series is added up where it is.
            (Some(_), _) if steps <= u64::from(STEPS) => Function::IncreaseOver(steps as u32),
            (Some(_), _) => {
                return Err(Fault::unsupported(&format!(
                    "a range of more than {STEPS} windows under anything but a sum"
                )));
            }
        };
        Ok(Some(Leaf {
            inner: self.place(Inner {
                matchers: matchers.clone(),
                function,
                grouping: grouping.clone(),
            })?,
            take,
            steps: if function == Function::Increase {
                steps
            } else {
                1
            },
            per_seconds: match range {
                Some(range) if per_second => range as f64 / 1e3,
                _ => 1.0,
            },
        }))
    }

    fn steps(&self, range_ms: u64) -> Result<u64, Fault> {
        let step = self.inner.step_ms.max(1);
        match range_ms.is_multiple_of(step) {
            true => Ok(range_ms / step),
            false => Err(Fault::Unsupported(format!(
                "a range of {range_ms} ms is no multiple of the experiment's window ({step} ms): choose a window that \
                 divides it"
            ))),
        }
    }

    /// Queries share what they have in common.
    fn place(&mut self, inner: Inner) -> Result<u32, Fault> {
        let known = self.inner.inner.iter().position(|i| *i == inner);
        let place = known.unwrap_or(self.inner.inner.len());
        if place >= INNER {
            return Err(Fault::Unsupported(format!(
                "more than {INNER} innermost aggregations in one experiment"
            )));
        }
        if known.is_none() {
            self.inner.inner.push(inner);
        }
        Ok(place as u32)
    }
}
