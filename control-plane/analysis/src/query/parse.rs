//! Reads PromQL. What is right PromQL and not evaluated here is told apart from what is wrong.

use super::Fault;
use super::ast::{Aggregation, Ast, Matching, Operator};
use super::lexer::{Token, Word, words};
use phoenix_engine::query::{Grouping, LabelMatch, Op};

/// Deepest nesting that is read.
const DEEPEST: usize = 64;
/// Aggregations that PromQL has and that are not evaluated.
const OTHER_AGGREGATIONS: [&str; 9] = [
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "stddev",
    "stdvar",
    "group",
    "limitk",
    "limit_ratio",
];

/// Reads one query.
///
/// # Errors
/// It is no PromQL, or holds what is not evaluated.
pub fn parse(text: &str) -> Result<Ast, Fault> {
    let mut parser = Parser {
        tokens: words(text)?,
        next: 0,
        depth: 0,
    };
    let ast = parser.expression(0)?;
    match parser.peek() {
        Word::End => Ok(ast),
        _ => Err(parser.wrong("something after the end of the query")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Word {
        let token = self.tokens.get(self.next);
        token.map_or(Word::End, |token| token.word.clone())
    }

    fn take(&mut self) -> Word {
        let word = self.peek();
        self.next += 1;
        word
    }

    fn wrong(&self, what: &str) -> Fault {
        let last = self.tokens.last();
        let at = self.tokens.get(self.next).or(last).map_or(0, |t| t.at);
        Fault::Syntax(format!("at byte {at}: {what}"))
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Word::Sign(s) if s == sign)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Word::Name(n) if n.eq_ignore_ascii_case(name))
    }

    fn skip(&mut self, sign: &str) -> bool {
        let here = self.is(sign);
        self.next += usize::from(here);
        here
    }

    fn demand(&mut self, sign: &str) -> Result<(), Fault> {
        match self.skip(sign) {
            true => Ok(()),
            false => Err(self.wrong(&format!("`{sign}` was expected"))),
        }
    }

    fn expression(&mut self, weakest: u8) -> Result<Ast, Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("nested too deep"));
        }
        let mut left = self.unary()?;
        while let Some(op) = self.operator().filter(|op| op.strength() > weakest) {
            self.next += 1;
            let as_bool = self.is_name("bool");
            self.next += usize::from(as_bool);
            if as_bool && !op.compares() {
                return Err(self.wrong("`bool` stands after a comparison"));
            }
            let matching = self.matching()?;
            // Powers are taken from the right.
            let weakest = op.strength() - u8::from(op == Operator::Power);
            let right = self.expression(weakest)?;
            left = Ast::Binary {
                op,
                as_bool,
                matching,
                sides: Box::new((left, right)),
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        match self.peek() {
            Word::Sign(sign) => Operator::of(sign),
            Word::Name(name) => Operator::of(&name.to_ascii_lowercase()).filter(|op| op.is_set()),
            _ => None,
        }
    }

    fn matching(&mut self) -> Result<Matching, Fault> {
        let on = self.is_name("on");
        if !on && !self.is_name("ignoring") {
            return Ok(Matching::Ignoring(Vec::new()));
        }
        self.next += 1;
        let labels = self.labels()?;
        if self.is_name("group_left") || self.is_name("group_right") {
            return Err(Fault::unsupported(
                "many-to-one matching (`group_left`, `group_right`)",
            ));
        }
        Ok(match on {
            true => Matching::On(labels),
            false => Matching::Ignoring(labels),
        })
    }

    fn unary(&mut self) -> Result<Ast, Fault> {
        if self.skip("-") {
            // A power binds stronger than the sign before it.
            let of = self.expression(Operator::Power.strength() - 1)?;
            return Ok(match of {
                Ast::Number(n) => Ast::Number(-n),
                of => Ast::Negate(Box::new(of)),
            });
        }
        if self.skip("+") {
            return self.expression(Operator::Power.strength() - 1);
        }
        let ast = self.primary()?;
        self.suffix(ast)
    }

    fn primary(&mut self) -> Result<Ast, Fault> {
        match self.peek() {
            Word::Number(n) => {
                self.next += 1;
                Ok(Ast::Number(n))
            }
            Word::Text(text) => {
                self.next += 1;
                Ok(Ast::Text(text))
            }
            Word::Span(_) => Err(Fault::unsupported("a length of time as a number")),
            Word::Sign("(") => {
                self.next += 1;
                let ast = self.expression(0)?;
                self.demand(")")?;
                Ok(ast)
            }
            Word::Sign("{") => self.selector(None),
            Word::Name(name) => self.named(name),
            _ => Err(self.wrong("an expression was expected")),
        }
    }

    fn named(&mut self, name: String) -> Result<Ast, Fault> {
        self.next += 1;
        let lower = name.to_ascii_lowercase();
        let called = self.is("(") || self.is_name("by") || self.is_name("without");
        if called && OTHER_AGGREGATIONS.contains(&lower.as_str()) {
            return Err(Fault::unsupported(&format!("`{lower}`")));
        }
        if let Some(op) = Aggregation::of(&lower).filter(|_| called) {
            return self.aggregate(op);
        }
        if !self.is("(") {
            return self.selector(Some(name));
        }
        Ok(Ast::Call {
            name,
            args: self.args()?,
        })
    }

    fn args(&mut self) -> Result<Vec<Ast>, Fault> {
        self.demand("(")?;
        let mut args = Vec::new();
        while !self.skip(")") {
            args.push(self.expression(0)?);
            if !self.is(")") {
                self.demand(",")?;
            }
        }
        Ok(args)
    }

    fn aggregate(&mut self, op: Aggregation) -> Result<Ast, Fault> {
        let before = self.grouping()?;
        let mut args = self.args()?;
        let after = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let of = args.pop();
        match (of, args.is_empty()) {
            (Some(of), true) => Ok(Ast::Aggregate {
                op,
                grouping: after.unwrap_or(Grouping::By(Vec::new())),
                of: Box::new(of),
            }),
            _ => Err(self.wrong("an aggregation takes one expression")),
        }
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Fault> {
        let by = self.is_name("by");
        if !by && !self.is_name("without") {
            return Ok(None);
        }
        self.next += 1;
        let labels = self.labels()?;
        Ok(Some(match by {
            true => Grouping::By(labels),
            false => Grouping::Without(labels),
        }))
    }

    fn labels(&mut self) -> Result<Vec<String>, Fault> {
        self.demand("(")?;
        let mut labels = Vec::new();
        while !self.skip(")") {
            match self.take() {
                Word::Name(label) | Word::Text(label) => labels.push(label),
                _ => return Err(self.wrong("a label's name was expected")),
            }
            if !self.is(")") {
                self.demand(",")?;
            }
        }
        labels.sort_unstable();
        labels.dedup();
        Ok(labels)
    }

    fn selector(&mut self, name: Option<String>) -> Result<Ast, Fault> {
        let is = |value| LabelMatch {
            label: phoenix_engine::prometheus::NAME.into(),
            op: Op::Equal,
            value,
        };
        let mut matchers: Vec<LabelMatch> = name.map(is).into_iter().collect();
        if self.skip("{") {
            while !self.skip("}") {
                matchers.push(self.matcher()?);
                if !self.is("}") {
                    self.demand(",")?;
                }
            }
        }
        // As in Prometheus: something must be asked for.
        let asks = |m: &LabelMatch| m.op == Op::Equal && !m.value.is_empty() || m.op == Op::Matches;
        match matchers.iter().any(asks) {
            true => Ok(Ast::Selector {
                matchers,
                range_ms: None,
            }),
            false => Err(self.wrong("a selector needs a matcher that is not empty")),
        }
    }

    fn matcher(&mut self) -> Result<LabelMatch, Fault> {
        let label = match self.take() {
            Word::Name(label) => label,
            // `{"a.metric.name"}`
            Word::Text(value) if self.is(",") || self.is("}") => {
                return Ok(LabelMatch {
                    label: phoenix_engine::prometheus::NAME.into(),
                    op: Op::Equal,
                    value,
                });
            }
            Word::Text(label) => label,
            _ => return Err(self.wrong("a label's name was expected")),
        };
        let op = match self.take() {
            Word::Sign("=") => Op::Equal,
            Word::Sign("!=") => Op::NotEqual,
            Word::Sign("=~") => Op::Matches,
            Word::Sign("!~") => Op::MatchesNot,
            _ => return Err(self.wrong("`=`, `!=`, `=~` or `!~` was expected")),
        };
        let Word::Text(value) = self.take() else {
            return Err(self.wrong("a text was expected"));
        };
        if matches!(op, Op::Matches | Op::MatchesNot) {
            let read = phoenix_engine::query::select::whole(&value);
            let first = |p: Vec<phoenix_engine::document::Problem>| p.into_iter().next();
            read.map_err(|p| Fault::Syntax(first(p).map(|p| p.message).unwrap_or_default()))?;
        }
        Ok(LabelMatch { label, op, value })
    }

    /// `[5m]`, and what is not evaluated: `[5m:1m]`, `offset`, `@`.
    fn suffix(&mut self, ast: Ast) -> Result<Ast, Fault> {
        let mut ast = ast;
        if self.skip("[") {
            let Word::Span(range) = self.take() else {
                return Err(self.wrong("a length of time such as 5m was expected"));
            };
            if self.is(":") {
                return Err(Fault::unsupported("a subquery"));
            }
            self.demand("]")?;
            match &mut ast {
                Ast::Selector { range_ms, .. } if range_ms.is_none() && range > 0 => {
                    *range_ms = Some(range);
                }
                _ => return Err(self.wrong("a range stands behind a selector")),
            }
        }
        if self.is_name("offset") || self.is("@") {
            return Err(Fault::unsupported("`offset` and `@`"));
        }
        Ok(ast)
    }
}
