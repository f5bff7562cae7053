//! Window reports wait here until the server has acknowledged them: an hour at most, and bounded.

use phoenix_proto::control::{WindowAck, WindowReport};
use prost::Message;
use std::collections::VecDeque;
use std::time::Duration;

/// An unacknowledged report is given up after this long.
pub const KEEP: Duration = Duration::from_secs(3600);
/// Bytes of reports that may wait; at 64 KiB each that is 256 of the largest.
pub const BYTES: usize = 16 << 20;

#[derive(Debug)]
struct Waiting {
    report: WindowReport,
    bytes: usize,
    since: Duration,
}

/// Reports in the order of their windows; the first `sent` of them went out on the present stream.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Waiting>,
    sent: usize,
    bytes: usize,
    lost: u64,
}

impl Outbox {
    /// Keeps a report; the oldest ones give way where too many bytes wait.
    pub fn add(&mut self, report: WindowReport, now: Duration) {
        let bytes = report.encoded_len();
        self.bytes += bytes;
        self.waiting.push_back(Waiting {
            report,
            bytes,
            since: now,
        });
        while self.bytes > BYTES && self.waiting.len() > 1 {
            self.lose_oldest();
        }
    }

    /// Gives up what has waited too long.
    pub fn expire(&mut self, now: Duration) {
        while self
            .waiting
            .front()
            .is_some_and(|w| w.since.saturating_add(KEEP) <= now)
        {
            self.lose_oldest();
        }
    }

    fn lose_oldest(&mut self) {
        if let Some(oldest) = self.waiting.pop_front() {
            self.bytes -= oldest.bytes;
            self.sent = self.sent.saturating_sub(1);
            self.lost += 1;
        }
    }

    /// A new stream: everything is sent once more.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Whether a report is to be sent on this stream.
    pub fn has_next(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// The next report to send on this stream.
    pub fn next_to_send(&mut self) -> Option<WindowReport> {
        let report = self.waiting.get(self.sent)?.report.clone();
        self.sent += 1;
        Some(report)
    }

    /// The server has stored this window.
    pub fn acknowledge(&mut self, ack: &WindowAck) {
        let found = self.waiting.iter().position(|w| {
            w.report.start_ms == ack.start_ms
                && w.report.experiment == ack.experiment
                && w.report.experiment_revision == ack.experiment_revision
                && w.report.incarnation == ack.incarnation
        });
        if let Some(at) = found
            && let Some(done) = self.waiting.remove(at)
        {
            self.bytes -= done.bytes;
            if at < self.sent {
                self.sent -= 1;
            }
        }
    }

    /// Reports that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Reports given up since the process began.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start_ms: u64) -> WindowReport {
        WindowReport {
            experiment: "e".into(),
            start_ms,
            ..Default::default()
        }
    }

    fn ack(start_ms: u64) -> WindowAck {
        WindowAck {
            experiment: "e".into(),
            start_ms,
            ..Default::default()
        }
    }

    fn drain(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next_to_send())
            .map(|r| r.start_ms)
            .collect()
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_on_the_next_stream() {
        let mut outbox = Outbox::default();
        for start in [10, 20, 30] {
            outbox.add(window(start), Duration::ZERO);
        }
        assert_eq!(drain(&mut outbox), [10, 20, 30]);
        outbox.acknowledge(&ack(20));
        outbox.add(window(40), Duration::ZERO);
        assert_eq!(drain(&mut outbox), [40]);
        outbox.rewind();
        assert_eq!(drain(&mut outbox), [10, 30, 40]);
        outbox.acknowledge(&ack(99));
        for start in [10, 30, 40] {
            outbox.acknowledge(&ack(start));
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.lost(), 0);
    }

    #[test]
    fn reports_are_given_up_after_an_hour_or_when_too_many_bytes_wait() {
        let mut outbox = Outbox::default();
        outbox.add(window(1), Duration::ZERO);
        outbox.add(window(2), Duration::from_secs(10));
        outbox.expire(KEEP);
        assert_eq!((outbox.len(), outbox.lost()), (1, 1));
        let large = WindowReport {
            void_reason: "x".repeat(BYTES / 2),
            ..window(3)
        };
        for _ in 0..3 {
            outbox.add(large.clone(), Duration::from_secs(11));
        }
        assert_eq!((outbox.len(), outbox.lost()), (1, 4));
        assert_eq!(drain(&mut outbox), [3]);
    }
}
