//! The remote-write client: OTLP is translated here, at the edge, and sent as 2.0 or 1.0.
//!
//! Without a `version` the receiver decides: 2.0 is tried first, and what answers 415 (or, as
//! receivers of 1.0 do, 400, or "taken" without saying how much was written) gets 1.0 from then on.
//! `target_info` goes in requests of its own: it repeats what is known, and a receiver that refuses a
//! late one must not refuse points with it.

mod explain;
mod told;
mod wire;

use super::Outcome;
use super::otlp::is_of_content;
use super::queue::{Outgoing, Run};
use super::transport::{self, Chunks, Connection};
use crate::remote_write::{self, Family, Series, Translation};
use crate::settings::{Protocol, RemoteWriteExporter, RemoteWriteVersion, WitnessExporter};
use bytes::Bytes;
use explain::explain;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use phoenix_engine::prometheus::Unfit;
use told::Told;
use wire::{Answer, Message, set_headers};

/// Largest answer that is read.
const ANSWER: usize = 64 * 1024;

/// One destination and its connection.
pub struct RemoteWriteSink {
    settings: RemoteWriteExporter,
    open: Option<Open>,
    message: Message,
    /// Whether the receiver has shown that it takes `message`.
    decided: bool,
    current: Translation,
    told: Told,
    /// The label that names the run of what is sent, and the run that stands there.
    run: Option<(String, Option<Run>)>,
}

struct Open {
    connection: Connection,
    headers: HeaderMap,
}

impl RemoteWriteSink {
    /// A destination; connects when there is something to send.
    ///
    /// # Errors
    /// TLS files that cannot be used.
    pub fn new(settings: RemoteWriteExporter) -> Result<RemoteWriteSink, String> {
        if settings.endpoint.scheme_str() == Some("https") {
            super::tls::client(&settings.tls, Protocol::Http)?;
        }
        let (message, decided) = match settings.version {
            RemoteWriteVersion::Auto => (Message::Two, false),
            RemoteWriteVersion::One => (Message::One, true),
            RemoteWriteVersion::Two => (Message::Two, true),
        };
        Ok(RemoteWriteSink {
            settings,
            open: None,
            message,
            decided,
            current: Translation::default(),
            told: Told::default(),
            run: None,
        })
    }

    /// A destination for one arm of experiments: two more labels on every series, the arm and the run.
    ///
    /// # Errors
    /// TLS files that cannot be used.
    pub fn witness(settings: &WitnessExporter, arm: &str) -> Result<RemoteWriteSink, String> {
        let mut remote = settings.remote_write.clone();
        remote
            .labels
            .insert(settings.arm_label.clone(), arm.to_owned());
        let mut sink = RemoteWriteSink::new(remote)?;
        sink.run = Some((settings.run_label.clone(), None));
        Ok(sink)
    }

    fn label_run(&mut self, run: Option<&Run>) {
        let Some((label, present)) = &mut self.run else {
            return;
        };
        if present.as_ref() != run {
            *present = run.cloned();
            let text = run.map(|run| run.to_string()).unwrap_or_default();
            self.settings.labels.insert(label.clone(), text);
        }
    }

    /// Translates a request, once for all tries; gives the points that have no form, by reason.
    pub fn take(&mut self, request: &Outgoing) -> [u64; Unfit::ALL.len()] {
        self.label_run(request.run.as_ref());
        let (naming, labels) = (&self.settings.naming, &self.settings.labels);
        let translated = match &request.parts[..] {
            [whole] => remote_write::translate(whole, naming, labels),
            parts => remote_write::translate(&parts.concat(), naming, labels),
        };
        // The engine wrote or checked these bytes; if they were no OTLP, nothing would be sent.
        self.current = translated.unwrap_or_default();
        self.current.unfit
    }

    /// One try to send what was taken last, inside the time-out.
    pub async fn send(&mut self, request: &Outgoing) -> Outcome {
        let unfit = self.current.unfit_points();
        if self.current.series.is_empty() {
            return Outcome::Accepted {
                rejected: request.points,
                message: explain(self.current.unfit),
                sent: 0,
            };
        }
        let limit = self.settings.timeout;
        let outcome = match tokio::time::timeout(limit, self.negotiate()).await {
            Ok(Ok((answer, sent))) => self.outcome(answer, unfit, sent),
            Ok(Err(reason)) => Outcome::Retry {
                reason,
                after: None,
            },
            Err(_) => Outcome::Retry {
                reason: format!("no answer within {} ms", limit.as_millis()),
                after: None,
            },
        };
        match outcome {
            Outcome::Accepted { .. } => self.send_targets().await,
            Outcome::Retry { .. } => self.open = None,
            Outcome::Refused { .. } => {}
        }
        outcome
    }

    /// Sends the samples, as the other message where the receiver does not know this one.
    async fn negotiate(&mut self) -> Result<(Answer, usize), String> {
        let translation = std::mem::take(&mut self.current);
        let result = self.offer(&translation).await;
        self.current = translation;
        result
    }

    async fn offer(&mut self, translation: &Translation) -> Result<(Answer, usize), String> {
        let (body, told) = self.body(translation);
        let sent = body.len();
        let answer = self.exchange(body, self.message).await?;
        if !self.unknown_to(&answer) {
            self.decided |= answer.status.is_success();
            if answer.status.is_success() {
                told.into_iter()
                    .for_each(|(key, time)| self.told.tell(key, time));
            }
            return Ok((answer, sent));
        }
        self.message = match self.message {
            Message::One => Message::Two,
            Message::Two => Message::One,
        };
        let (body, _) = self.body(translation);
        let sent = body.len();
        let answer = self.exchange(body, self.message).await?;
        self.decided = answer.status.is_success();
        if self.decided {
            tracing::info!(
                endpoint = %self.settings.endpoint,
                version = self.message.version(),
                "remote write: the receiver takes this version"
            );
        }
        Ok((answer, sent))
    }

    /// Whether the answer says that the receiver does not know the message.
    fn unknown_to(&self, answer: &Answer) -> bool {
        if self.decided {
            return false;
        }
        let silent = self.message == Message::Two && answer.written.is_none();
        match answer.status {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => true,
            StatusCode::BAD_REQUEST => silent,
            status => silent && status.is_success(),
        }
    }

    /// The compressed samples, and the families whose metadata is in them.
    fn body(&self, translation: &Translation) -> (Bytes, Vec<(String, i64)>) {
        let series = translation.series.iter();
        let newest = series.clone().map(newest).max().unwrap_or(0);
        match self.message {
            Message::Two => {
                let body = remote_write::two(series, &translation.families);
                (snappy(&body), Vec::new())
            }
            Message::One => {
                let due: Vec<&Family> = translation
                    .families
                    .iter()
                    .filter(|family| self.told.due(&family.name, newest))
                    .collect();
                let body = remote_write::one(series, due.iter().copied());
                let names = due.iter().map(|f| (f.name.clone(), newest)).collect();
                (snappy(&body), names)
            }
        }
    }

    /// Tells of resources that were not told of lately; tried once, nothing depends on it.
    async fn send_targets(&mut self) {
        let targets = std::mem::take(&mut self.current.targets);
        if !self.settings.target_info {
            return;
        }
        let key = |series: &Series| format!("{:?}", series.labels);
        let due: Vec<&Series> = targets
            .iter()
            .filter(|series| self.told.due(&key(series), newest(series)))
            .collect();
        if due.is_empty() {
            return;
        }
        let body = match self.message {
            Message::One => remote_write::one(due.iter().copied(), std::iter::empty()),
            Message::Two => remote_write::two(due.iter().copied(), &self.current.families),
        };
        let limit = self.settings.timeout;
        let exchange = self.exchange(snappy(&body), self.message);
        let answer = tokio::time::timeout(limit, exchange).await;
        match answer {
            Ok(Ok(answer)) if !answer.status.is_server_error() => {
                for series in due {
                    self.told.tell(key(series), newest(series));
                }
                if !answer.status.is_success() {
                    tracing::debug!(status = %answer.status, said = answer.said, "target_info");
                }
            }
            Ok(Ok(_)) => {}
            // A connection that failed or timed out is not used again.
            Ok(Err(_)) | Err(_) => self.open = None,
        }
    }

    async fn exchange(&mut self, body: Bytes, message: Message) -> Result<Answer, String> {
        let target = &self.settings.endpoint;
        if self.open.as_ref().is_none_or(|o| o.connection.is_closed()) {
            self.open = Some(Open {
                headers: self.settings.headers.resolve()?,
                connection: transport::connect(Protocol::Http, &self.settings.tls, target).await?,
            });
        }
        let Some(open) = &mut self.open else {
            return Err("not connected".to_owned());
        };
        let mut chunks = Chunks::default();
        chunks.push(body);
        let mut request = Request::new(chunks);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = open.connection.target(target);
        let headers = request.headers_mut();
        set_headers(headers, message, target);
        headers.extend(open.headers.clone());
        open.connection.authorize(headers);
        let (head, body) = open.connection.send(request).await?.into_parts();
        let whole = Limited::new(body, ANSWER)
            .collect()
            .await
            .map_err(|e| format!("the answer broke off: {e}"))?
            .to_bytes();
        Ok(Answer::of(head.status, &head.headers, &whole))
    }

    fn outcome(&self, answer: Answer, unfit: u64, sent: usize) -> Outcome {
        let reason = format!("HTTP status {} {}", answer.status, answer.said);
        let reason = reason.trim_end().to_owned();
        if answer.status.is_success() {
            let missing = self.missing(&answer);
            let message = [explain(self.current.unfit), missing]
                .join(" ")
                .trim()
                .to_owned();
            return Outcome::Accepted {
                rejected: unfit,
                message,
                sent,
            };
        }
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Outcome::Retry {
                reason,
                after: answer.after,
            };
        }
        Outcome::Refused {
            reason,
            // A sample that is late or twice there; most receivers then take none of the request.
            divide: answer.status == StatusCode::BAD_REQUEST,
            content: is_of_content(answer.status),
        }
    }

    fn missing(&self, answer: &Answer) -> String {
        let series = self.current.series.iter();
        let sent: usize = series.map(|s| s.samples.len() + s.histograms.len()).sum();
        match answer.written {
            Some(written) if written < sent as u64 => {
                format!("of {sent} samples the receiver says that it wrote {written}")
            }
            _ => String::new(),
        }
    }
}

fn newest(series: &Series) -> i64 {
    let samples = series.samples.last().map_or(0, |sample| sample.time);
    let histograms = series.histograms.last().map_or(0, |h| h.time);
    samples.max(histograms)
}

/// Snappy's block format, which both versions ask for.
fn snappy(body: &[u8]) -> Bytes {
    // Fails for bodies of 4 GiB only, which no batch is.
    let compressed = snap::raw::Encoder::new().compress_vec(body);
    compressed.map(Bytes::from).unwrap_or_default()
}
