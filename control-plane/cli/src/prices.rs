//! `phoenix prices`: price books, and what a verdict's saving is worth under each.

mod page;

pub use page::{brief, one_line, page};

use crate::output::table;
use crate::validate;
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use phoenix_analysis::prices::{Estimate, PriceBook, Usage, estimate, find, read, shipped};
use phoenix_analysis::verdict::Verdict;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

/// List price books, show one, or estimate what a saving is worth.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// The books that come with phoenix: what each counts, and of when its prices are.
    List,
    /// One book as YAML: edit it, and give it back with --book.
    Show {
        /// Name of the book.
        name: String,
    },
    /// What the saving of a verdict is worth in a month, by list prices.
    Estimate(EstimateArgs),
}

#[derive(Debug, Args)]
pub struct EstimateArgs {
    /// A verdict or an experiment as JSON (`phoenix experiment status NAME -o json`); `-`: standard
    /// input.
    #[arg(value_name = "FILE")]
    verdict: PathBuf,
    #[command(flatten)]
    books: BookArgs,
    /// How the estimates are printed.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

/// Which books.
#[derive(Debug, Clone, Default, Args)]
pub struct BookArgs {
    /// Estimate what is saved in a month under this book that comes with phoenix; `all`: every one. Can
    /// be repeated.
    #[arg(long, value_name = "NAME")]
    pub prices: Vec<String>,
    /// The same under a book of your own (YAML). Can be repeated.
    #[arg(long, value_name = "FILE")]
    pub book: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

impl BookArgs {
    /// Whether any was asked for.
    pub fn any(&self) -> bool {
        !self.prices.is_empty() || !self.book.is_empty()
    }

    /// The books that were asked for.
    ///
    /// # Errors
    /// A name that no book has, or a file that is none.
    pub fn read(&self) -> anyhow::Result<Vec<PriceBook>> {
        let mut books = Vec::new();
        for name in &self.prices {
            if name == "all" {
                books.extend(all()?);
                continue;
            }
            let text = find(name).with_context(|| unknown(name))?;
            books.push(read(text).map_err(|p| anyhow::anyhow!("{name}: {p:?}"))?);
        }
        for path in &self.book {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the price book {}", path.display()))?;
            let book = read(&text).map_err(|p| anyhow::anyhow!(validate::lines(path, &p)))?;
            books.push(book);
        }
        Ok(books)
    }
}

fn all() -> anyhow::Result<Vec<PriceBook>> {
    shipped().map_err(|problems| anyhow::anyhow!("a shipped book is not valid: {problems:?}"))
}

fn unknown(name: &str) -> String {
    format!("there is no price book {name}; `phoenix prices list` names them, --book takes a file")
}

/// Runs one of the commands.
///
/// # Errors
/// A book or verdict that cannot be read.
pub fn run(command: &PricesCommand) -> anyhow::Result<ExitCode> {
    match command {
        PricesCommand::List => print!("{}", list(&all()?)),
        PricesCommand::Show { name } => {
            let Some(text) = find(name) else {
                bail!(unknown(name));
            };
            print!("{text}");
        }
        PricesCommand::Estimate(args) => estimate_verdict(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(books: &[PriceBook]) -> String {
    let row = |book: &PriceBook| {
        let charges = book.spec.charges.iter();
        let counted: Vec<_> = charges.map(|charge| charge.name.as_str()).collect();
        let bills = if counted.len() > 1 {
            format!("{:?} of ", book.spec.bills)
        } else {
            String::new()
        };
        let priced = book
            .spec
            .charges
            .iter()
            .all(|c| !c.tiers.is_empty() && c.unknown.is_empty());
        vec![
            book.name.clone(),
            format!("{}{}", bills.to_lowercase(), counted.join(", ")),
            book.spec.date.clone(),
            if priced {
                "money"
            } else {
                "needs a figure of yours"
            }
            .to_owned(),
        ]
    };
    table(
        &["book", "counts", "list price of", "gives"],
        books.iter().map(row),
    )
}

fn estimate_verdict(args: &EstimateArgs) -> anyhow::Result<()> {
    let mut text = String::new();
    if args.verdict.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(&args.verdict)
            .with_context(|| format!("cannot read {}", args.verdict.display()))?;
    }
    let value: Value = serde_json::from_str(&text).context("no JSON")?;
    let found = ["/verdict", "/status/verdict", ""];
    let found = found.iter().filter_map(|at| value.pointer(at));
    let found = found.filter(|v| v.get("savings").is_some());
    let Some(verdict) = found.into_iter().next() else {
        bail!("there is no verdict in it; an experiment has one when it has been judged");
    };
    let verdict: Verdict = serde_json::from_value(verdict.clone()).context("no verdict")?;
    let usage = Usage::of(&verdict);
    let books = if args.books.any() {
        args.books.read()?
    } else {
        all()?
    };
    let estimates: Vec<Estimate> = books.iter().map(|book| estimate(book, &usage)).collect();
    match args.output {
        Format::Table => print!("{}", page(&estimates)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&estimates)?),
        Format::Yaml => print!("{}", serde_yaml::to_string(&estimates)?),
    }
    Ok(())
}
