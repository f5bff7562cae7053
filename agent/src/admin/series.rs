//! `/debug/series`: what happens to series, and why.
//!
//! Nothing is kept of what passes through until somebody asks, so that the first answer takes a while:
//! it is about the series that speak from then on. The next ones are there at once.

use super::{Page, State, json, text, unescape, within};
use http::StatusCode;
use phoenix_engine::engine::Explanation;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Series shown on one page.
const SHOWN: usize = 100;
/// For how long an answer has listened at least: many senders speak every ten seconds.
const WAIT: Duration = Duration::from_secs(10);
const MOST_WAIT: Duration = Duration::from_secs(300);
/// Between two looks: the workers keep the newest requests only.
const LOOK: Duration = Duration::from_millis(200);
const USAGE: &str = "which series? /debug/series?metric=NAME&KEY=VALUE\n\
    An answer tells of the series that spoke in the last 10 s; wait=60s makes it longer, wait=0s asks for what is known.\n";

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    metric: Option<String>,
    attributes: Vec<(String, String)>,
    wait: Duration,
}

impl Question {
    fn read(query: &str) -> Result<Question, String> {
        let mut question = Question {
            metric: None,
            attributes: Vec::new(),
            wait: WAIT,
        };
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (unescape(key), unescape(value));
            match key.as_str() {
                "metric" => question.metric = Some(value),
                "wait" => {
                    let wait = humantime::parse_duration(&value)
                        .map_err(|e| format!("wait={value}: {e}; write it as 30s\n"))?;
                    question.wait = wait.min(MOST_WAIT);
                }
                _ => question.attributes.push((key, value)),
            }
        }
        if question.metric.is_none() && question.attributes.is_empty() {
            return Err(USAGE.to_owned());
        }
        Ok(question)
    }
}

/// The page. It is there once all workers have listened for as long as is asked, or the page is full.
pub async fn page(state: &State, query: &str) -> Page {
    let question = Question::read(query).map_err(|why| text(StatusCode::BAD_REQUEST, why))?;
    let mut found = BTreeMap::new();
    let began = Instant::now();
    let listened = loop {
        let (metric, attributes) = (question.metric.clone(), question.attributes.clone());
        let told = within(state.worker.explain(metric, attributes, SHOWN)).await?;
        found.extend(told.series.into_iter().map(|told| (key(&told), told)));
        let left = question.wait.saturating_sub(told.listened);
        // A worker's clock may be behind.
        if left.is_zero() || found.len() >= SHOWN || began.elapsed() > question.wait + LOOK {
            break told.listened;
        }
        tokio::time::sleep(LOOK.min(left)).await;
    };
    let series: Vec<_> = found.into_values().take(SHOWN).collect();
    Ok(json(&serde_json::json!({
        "series": series,
        "shown_at_most": SHOWN,
        "listened_seconds": listened.as_secs_f64(),
    })))
}

/// One series in one arm.
fn key(told: &Explanation) -> (String, Vec<(String, String)>, &'static str) {
    let mut attributes = told.attributes.clone();
    attributes.sort_unstable();
    (told.metric.clone(), attributes, told.arm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_a_metric_or_attributes_and_how_long_to_listen() {
        let read = |query| Question::read(query);
        let asked = |metric: Option<&str>, attributes: &[(&str, &str)], wait| {
            let owned = |(k, v): &(&str, &str)| (k.to_string(), v.to_string());
            Ok(Question {
                metric: metric.map(str::to_owned),
                attributes: attributes.iter().map(owned).collect(),
                wait: Duration::from_secs(wait),
            })
        };
        assert_eq!(read("metric=a%20b"), asked(Some("a b"), &[], 10));
        assert_eq!(
            read("wait=0s&k=v&q=1"),
            asked(None, &[("k", "v"), ("q", "1")], 0)
        );
        assert_eq!(read("k=&wait=9h"), asked(None, &[("k", "")], 300));
        assert!(read("wait=5s").is_err_and(|why| why.contains("metric=NAME")));
        assert!(read("k=v&wait=x").is_err_and(|why| why.contains("wait=x")));
    }
}
