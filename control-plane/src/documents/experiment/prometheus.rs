//! `prometheus`: a backend that both arms reach, asked as a second witness.

use super::ExperimentSpec;
use crate::documents::{Ratio, Span, problem};
use phoenix_engine::document::Problem;
use phoenix_engine::prometheus::label_name;
use serde::{Deserialize, Serialize};

/// What follows when the backend tells something else than the agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDisagreement {
    /// It is shown.
    #[default]
    Show,
    /// The candidate is not promoted without a person, unless the backend was asked and agrees.
    Hold,
}

/// A backend that speaks Prometheus' HTTP API and holds what both arms wrote, each with a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prometheus {
    /// Such as `http://127.0.0.1:9090`; `/api/v1/query_range` is put behind it. No credentials: those are the
    /// server's (`--backends`).
    pub url: String,
    /// Plain http to another machine.
    #[serde(default)]
    pub insecure: bool,
    /// The label that tells `baseline` from `candidate`, as agents are set to write it.
    #[serde(default = "arm_label")]
    pub arm_label: String,
    /// The label that tells the steps of experiments apart.
    #[serde(default = "run_label")]
    pub run_label: String,
    /// Labels that agents or the backend add to every series: left out of answers.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// A window is asked about so long after its end.
    #[serde(default = "delay")]
    #[schema(value_type = String)]
    pub delay: Span,
    /// Of one request.
    #[serde(default = "timeout")]
    #[schema(value_type = String)]
    pub timeout: Span,
    /// Largest relative difference between both accounts' means over the windows that were compared.
    #[serde(default = "tolerance")]
    #[schema(value_type = f64)]
    pub tolerance: Ratio,
    #[serde(default)]
    pub on_disagreement: OnDisagreement,
}

impl Prometheus {
    /// It is on this machine.
    pub fn is_local(&self) -> bool {
        let url = self.url.parse::<http::Uri>();
        url.is_ok_and(|url| url.host().is_some_and(loopback))
    }
}

fn arm_label() -> String {
    "phoenix_arm".into()
}
fn run_label() -> String {
    "phoenix_run".into()
}
fn delay() -> Span {
    Span::from_secs(30)
}
fn timeout() -> Span {
    Span::from_secs(10)
}
fn tolerance() -> Ratio {
    Ratio(0.05)
}

pub(super) fn check(spec: &ExperimentSpec, problems: &mut Vec<Problem>) {
    let Some(backend) = &spec.prometheus else {
        return;
    };
    let mut wrong = |key: &str, text: String| {
        problems.push(problem(&format!("spec.prometheus.{key}"), text));
    };
    if let Err(text) = address(&backend.url, backend.insecure) {
        wrong("url", text);
    }
    let labels = [
        ("armLabel", &backend.arm_label),
        ("runLabel", &backend.run_label),
    ];
    for (key, label) in labels {
        if label.starts_with("__") || label_name(label).as_ref() != Some(label) {
            wrong(
                key,
                format!("{label:?} is no name of a label: write letters, digits and underscores"),
            );
        }
    }
    if backend.arm_label == backend.run_label {
        wrong("runLabel", "the same as armLabel: two are needed".into());
    }
    if backend.delay > Span::from_secs(600) {
        wrong("delay", "at most 10m".into());
    }
    if backend.timeout < Span(100) || backend.timeout > Span::from_secs(60) {
        wrong("timeout", "between 100ms and 1m".into());
    }
    if !(0.0..1.0).contains(&backend.tolerance.0) {
        wrong(
            "tolerance",
            "a share from 0 to below 1, such as 0.05 or 5%".into(),
        );
    }
}

/// What stands against an address.
fn address(text: &str, insecure: bool) -> Result<(), String> {
    const EXAMPLE: &str = "write the whole address, such as https://prometheus.example.com:9090";
    let url: http::Uri = text
        .parse()
        .map_err(|e| format!("{text:?}: {e}: {EXAMPLE}"))?;
    let (scheme, Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(format!("{text:?} has no host: {EXAMPLE}"));
    };
    if authority.as_str().contains('@') {
        return Err(
            "credentials do not belong into a document: the server has them (--backends)".into(),
        );
    }
    if url.query().is_some() {
        return Err(format!("a query cannot stand here: {EXAMPLE}"));
    }
    match scheme {
        Some("https") => Ok(()),
        Some("http") if insecure || loopback(authority.host()) => Ok(()),
        Some("http") => Err(format!(
            "plain http to {}, which is not this machine: write https, or `insecure: true`",
            authority.host()
        )),
        _ => Err(format!("{text:?} is neither http nor https: {EXAMPLE}")),
    }
}

fn loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}
