//! Writes a query as text again, with more matchers on each of its selectors: how one arm is asked for.

use super::ast::{Aggregation, Ast, Matching, Operator};
use phoenix_engine::query::{Grouping, LabelMatch, Op};

/// The query over the series that `more` holds for, too.
pub fn write(ast: &Ast, more: &[LabelMatch]) -> String {
    match ast {
        Ast::Number(n) => number(*n),
        Ast::Text(text) => quoted(text),
        Ast::Selector { matchers, range_ms } => {
            let all: Vec<String> = matchers.iter().chain(more).map(matcher).collect();
            let range = range_ms.map_or(String::new(), |ms| format!("[{ms}ms]"));
            format!("{{{}}}{range}", all.join(","))
        }
        Ast::Call { name, args } => {
            let args: Vec<String> = args.iter().map(|arg| write(arg, more)).collect();
            format!("{name}({})", args.join(", "))
        }
        Ast::Aggregate { op, grouping, of } => {
            let by = match grouping {
                Grouping::By(keys) => format!("by ({})", names(keys)),
                Grouping::Without(keys) => format!("without ({})", names(keys)),
            };
            format!("{} {by} ({})", aggregation(*op), write(of, more))
        }
        Ast::Binary {
            op,
            as_bool,
            matching,
            sides,
        } => {
            let matching = match matching {
                Matching::On(keys) => format!(" on ({})", names(keys)),
                Matching::Ignoring(keys) if keys.is_empty() => String::new(),
                Matching::Ignoring(keys) => format!(" ignoring ({})", names(keys)),
            };
            format!(
                "({} {}{}{matching} {})",
                write(&sides.0, more),
                operator(*op),
                if *as_bool { " bool" } else { "" },
                write(&sides.1, more)
            )
        }
        Ast::Negate(of) => format!("(-({}))", write(of, more)),
    }
}

fn number(n: f64) -> String {
    match n {
        n if n.is_nan() => "NaN".into(),
        n if n == f64::INFINITY => "Inf".into(),
        n if n == f64::NEG_INFINITY => "(-Inf)".into(),
        n if n < 0.0 => format!("({n})"),
        n => n.to_string(),
    }
}

fn matcher(of: &LabelMatch) -> String {
    let op = match of.op {
        Op::Equal => "=",
        Op::NotEqual => "!=",
        Op::Matches => "=~",
        Op::MatchesNot => "!~",
    };
    format!("{}{op}{}", name(&of.label), quoted(&of.value))
}

/// Names that are none of old are quoted, as in Prometheus 3.
fn name(label: &str) -> String {
    let plain = |(at, b): (usize, u8)| {
        b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit())
    };
    match !label.is_empty() && label.bytes().enumerate().all(plain) {
        true => label.into(),
        false => quoted(label),
    }
}

fn names(labels: &[String]) -> String {
    let all: Vec<String> = labels.iter().map(|label| name(label)).collect();
    all.join(", ")
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn aggregation(op: Aggregation) -> &'static str {
    match op {
        Aggregation::Sum => "sum",
        Aggregation::Min => "min",
        Aggregation::Max => "max",
        Aggregation::Avg => "avg",
        Aggregation::Count => "count",
    }
}

fn operator(op: Operator) -> &'static str {
    use Operator::*;
    match op {
        Add => "+",
        Subtract => "-",
        Multiply => "*",
        Divide => "/",
        Modulo => "%",
        Power => "^",
        Equal => "==",
        NotEqual => "!=",
        Greater => ">",
        GreaterEqual => ">=",
        Less => "<",
        LessEqual => "<=",
        And => "and",
        Or => "or",
        Unless => "unless",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn what_is_written_reads_as_what_it_was() {
        for text in [
            "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m]))",
            "avg without (instance) (x{a!=\"b\\\"\\\\\\n\"})",
            "histogram_quantile(0.99, sum by (le) (rate(b_bucket[1m])))",
            "sum(rate(errors_total[5m])) / on (a, b) sum(rate(requests_total[5m]))",
            "100 * (1 - avg by (host) (rate(idle_total[1m])))",
            "-2 ^ 2 + sum(a) > bool 3",
            "sum by (x) (a) or sum by (x) (b) unless ignoring (y) sum by (x) (c)",
            "clamp_max(abs(-sum(a)), 1e3)",
            "{\"process.cpu.time\", state!~\"idle\"} % 1.5e-7",
            "sum by (\"a.b\") (x)",
        ] {
            let ast = parse(text).unwrap();
            let written = write(&ast, &[]);
            assert_eq!(parse(&written).unwrap(), ast, "{text} became {written}");
        }
    }

    #[test]
    fn every_selector_gets_the_matchers_and_nothing_else_does() {
        let arm = LabelMatch {
            label: "arm".into(),
            op: Op::Equal,
            value: "x\"y".into(),
        };
        let ast = parse("sum(rate(a_total{arm=\"z\"}[1m])) / count({__name__=~\"a.*\"})").unwrap();
        assert_eq!(
            write(&ast, &[arm]),
            "(sum by () (rate({__name__=\"a_total\",arm=\"z\",arm=\"x\\\"y\"}[60000ms])) / \
             count by () ({__name__=~\"a.*\",arm=\"x\\\"y\"}))"
        );
    }
}
