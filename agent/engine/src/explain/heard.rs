//! The requests that were fed since somebody asked what happens to a series.
//!
//! Nobody asks for most of an agent's life: then nothing is kept, and a request's memory goes back as
//! soon as its points have left.

use crate::Nanos;
use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes of requests that are kept.
const KEEP: usize = 4 << 20;
/// Requests that are kept.
const REQUESTS: usize = 256;
/// For how long after the last question: the next one comes soon or not at all.
const AFTER: Nanos = 600 * 1_000_000_000;

/// The newest requests, kept (shared, not copied) while somebody asks.
#[derive(Debug, Default)]
pub struct Heard {
    requests: VecDeque<Bytes>,
    bytes: usize,
    /// Since when, and until when, the engine's now; `None`: nobody asked.
    listens: Option<[Nanos; 2]>,
}

impl Heard {
    /// Somebody asks: requests are kept from now on.
    pub fn listen(&mut self, now: Nanos) {
        let since = self.listens.map_or(now, |[since, _]| since);
        self.listens = Some([since, now.saturating_add(AFTER)]);
    }

    /// For how long requests have been kept; only the newest of them are still there.
    pub fn since(&self, now: Nanos) -> Nanos {
        self.listens
            .map_or(0, |[since, _]| now.saturating_sub(since))
    }

    /// Keeps a request, if somebody asks; forgets the oldest beyond the limit.
    #[inline]
    pub fn hear(&mut self, request: &Bytes, now: Nanos) {
        if let Some([_, until]) = self.listens {
            self.keep(request, now, until);
        }
    }

    #[cold]
    fn keep(&mut self, request: &Bytes, now: Nanos, until: Nanos) {
        if now > until {
            *self = Heard::default();
            return;
        }
        if request.len() > KEEP {
            return;
        }
        self.bytes += request.len();
        self.requests.push_back(request.clone());
        while self.bytes > KEEP || self.requests.len() > REQUESTS {
            let Some(oldest) = self.requests.pop_front() else {
                return;
            };
            self.bytes -= oldest.len();
        }
    }

    /// What is kept.
    pub fn newest_first(&self) -> impl Iterator<Item = &Bytes> {
        self.requests.iter().rev()
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_kept_from_the_first_question_until_long_after_the_last() {
        let mut heard = Heard::default();
        let request = Bytes::from_static(&[0; 100]);
        heard.hear(&request, 5);
        assert_eq!((heard.bytes(), heard.since(5)), (0, 0));
        heard.listen(10);
        heard.hear(&request, 20);
        heard.listen(30);
        heard.hear(&request, 30 + AFTER);
        assert_eq!((heard.bytes(), heard.since(40)), (200, 30));
        heard.hear(&request, 31 + AFTER);
        assert_eq!((heard.bytes(), heard.since(31 + AFTER)), (0, 0));
    }

    #[test]
    fn the_newest_requests_are_kept_inside_the_limits() {
        let mut heard = Heard::default();
        heard.listen(0);
        for n in 0..REQUESTS + 10 {
            heard.hear(&Bytes::from(vec![n as u8]), 1);
        }
        assert_eq!(heard.bytes(), REQUESTS);
        assert_eq!(heard.newest_first().next().map(|r| r[0]), Some(9));
        heard.hear(&Bytes::from(vec![0; KEEP - 1]), 1);
        assert_eq!(heard.bytes(), KEEP);
        heard.hear(&Bytes::from(vec![0; KEEP + 1]), 1);
        assert_eq!(heard.bytes(), KEEP);
    }
}
