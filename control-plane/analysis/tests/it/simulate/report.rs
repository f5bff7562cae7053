//! The table of results.

use super::interval::Kept;
use super::run::Result;
use super::scenarios::{Promise, Scenario};
use std::fmt::Write;

pub fn report(results: &[(Scenario, Result)], count: u64) -> String {
    let mut out = format!(
        "# How often the judge errs\n\n\
         Written by `scripts/test-long` (judge version {}): {count} simulated experiments a scenario, each judged by \
         the judge itself after every window until decided, at most as many windows as said. What the worlds are: \
         `control-plane/analysis/tests/it/simulate`. A promise is kept if what was seen shows it with a confidence of \
         95 % (the interval of Clopper and Pearson lies within it), broken if it lies outside, and else open; \"never\" \
         and 100 % allow no exception. Target 20 %, alpha 5 % unless said. \"Windows\": those seen when it was decided.\n\n\
         | scenario | at most | promoted | rejected | inconclusive | windows, median | 99 % | promised | kept |\n\
         |---|---:|---:|---:|---:|---:|---:|---|---|\n",
        phoenix_analysis::JUDGE_VERSION
    );
    for (scenario, result) in results {
        let percent = |n: u64| format!("{:.2} %", 100.0 * result.share(n));
        let windows = |share| result.within(share).map_or("-".into(), |w| w.to_string());
        let promises: Vec<String> = scenario
            .promises
            .iter()
            .map(|p: &Promise| p.text())
            .collect();
        let kept = Kept::all(scenario.promises.iter().map(|p| p.kept(result)));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            scenario.name,
            scenario.world.windows,
            percent(result.promoted),
            percent(result.rejected),
            percent(result.inconclusive + result.no_data),
            windows(0.5),
            windows(0.99),
            if promises.is_empty() {
                "-".into()
            } else {
                promises.join("; ")
            },
            match kept {
                _ if promises.is_empty() => "-",
                Kept::Yes => "yes",
                Kept::No => "NO",
                Kept::Open => "open",
            },
        );
    }
    out
}
