//! PromQL as a tree.

use phoenix_engine::query::{Grouping, LabelMatch};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Ast {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Series, and over which time.
    Selector {
        /// `__name__` among them.
        matchers: Vec<LabelMatch>,
        /// `[5m]`, milliseconds.
        range_ms: Option<u64>,
    },
    /// A function.
    Call {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Vec<Ast>,
    },
    /// `sum by (a) (x)`.
    Aggregate {
        /// How.
        op: Aggregation,
        /// By what.
        grouping: Grouping,
        /// Of what.
        of: Box<Ast>,
    },
    /// `a + b`.
    Binary {
        /// How.
        op: Operator,
        /// `bool`.
        as_bool: bool,
        /// Which labels must be equal.
        matching: Matching,
        /// Left and right.
        sides: Box<(Ast, Ast)>,
    },
    /// `-a`.
    Negate(Box<Ast>),
}

/// Aggregations that are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// `sum`
    Sum,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `avg`
    Avg,
    /// `count`
    Count,
}

impl Aggregation {
    /// By its name.
    pub fn of(name: &str) -> Option<Aggregation> {
        Some(match name {
            "sum" => Aggregation::Sum,
            "min" => Aggregation::Min,
            "max" => Aggregation::Max,
            "avg" => Aggregation::Avg,
            "count" => Aggregation::Count,
            _ => return None,
        })
    }
}

/// Operators between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `^`
    Power,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl Operator {
    /// By how it is written.
    pub fn of(text: &str) -> Option<Operator> {
        use Operator::*;
        Some(match text {
            "+" => Add,
            "-" => Subtract,
            "*" => Multiply,
            "/" => Divide,
            "%" => Modulo,
            "^" => Power,
            "==" => Equal,
            "!=" => NotEqual,
            ">" => Greater,
            ">=" => GreaterEqual,
            "<" => Less,
            "<=" => LessEqual,
            "and" => And,
            "or" => Or,
            "unless" => Unless,
            _ => return None,
        })
    }

    /// What binds stronger is larger.
    pub fn strength(self) -> u8 {
        use Operator::*;
        match self {
            Or => 1,
            And | Unless => 2,
            Equal | NotEqual | Greater | GreaterEqual | Less | LessEqual => 3,
            Add | Subtract => 4,
            Multiply | Divide | Modulo => 5,
            Power => 6,
        }
    }

    /// Whether it compares.
    pub fn compares(self) -> bool {
        self.strength() == 3
    }

    /// Whether it is `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        self.strength() < 3
    }
}

/// Which labels must be equal on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matching {
    /// `on (...)`
    On(Vec<String>),
    /// `ignoring (...)`; of nothing: all.
    Ignoring(Vec<String>),
}
