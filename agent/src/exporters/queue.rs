//! The bounded memory queue before one destination: bytes in order, with marks between them.
//!
//! A mark is a place in the stream (the end of a window). A batch never spans one, and once the
//! exporter reaches it everything before it has been accepted or refused, so that the counts noted
//! there are exact. Windows' own points are always taken: they were accepted long ago.

use crate::settings::Batch;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Waiting bytes and the account of what became of those before them.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    account: Account,
    passed: VecDeque<Passed>,
    full_since: Option<Instant>,
    closed: bool,
}

#[derive(Debug)]
enum Item {
    Points {
        bytes: Bytes,
        points: u64,
        since: Instant,
    },
    Mark(u64),
}

/// What became of all points ever put in: `written = accepted + refused + waiting`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Points put in.
    pub written: u64,
    /// Points that the next hop took.
    pub accepted: u64,
    /// Points that it refused for good.
    pub refused: u64,
    /// Bytes that wait or are being sent.
    pub bytes: usize,
    /// Tries that failed, retried or not.
    pub errors: u64,
    /// Requests that were accepted.
    pub requests: u64,
    /// Uncompressed bytes of accepted requests.
    pub bytes_accepted: u64,
    /// Bytes of accepted requests as sent.
    pub bytes_sent: u64,
}

impl Account {
    /// Points that wait or are being sent.
    pub fn waiting(&self) -> u64 {
        self.written - self.accepted - self.refused
    }
}

/// A mark that the exporter has reached.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// The mark.
    pub mark: u64,
    /// The account there; `waiting` counts only what came after.
    pub account: Account,
}

/// Bytes of one export request, in order.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// Concatenated, they are the request.
    pub parts: Vec<Bytes>,
    /// Sum of their lengths.
    pub bytes: usize,
    /// Points in them.
    pub points: u64,
    /// Bytes that the queue gets back.
    pub held: usize,
}

impl Queue {
    /// An empty queue that is full at `limit` bytes.
    pub fn new(limit: usize) -> Queue {
        Queue {
            state: Mutex::default(),
            changed: Notify::new(),
            limit,
        }
    }

    // The lock is held for a few instructions, by the worker's own thread and by readers of figures.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes at the end, whether there is room or not; see `is_full`.
    pub fn push(&self, bytes: Bytes, points: u64) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state();
        state.account.written += points;
        state.account.bytes += bytes.len();
        state.items.push_back(Item::Points {
            bytes,
            points,
            since: Instant::now(),
        });
        self.note_full(&mut state);
        drop(state);
        self.changed.notify_one();
    }

    /// Counts points that could not be put in as refused.
    pub fn lose(&self, points: u64) {
        let mut state = self.state();
        state.account.written += points;
        state.account.refused += points;
    }

    /// Puts a mark at the end.
    pub fn mark(&self, mark: u64) {
        self.state().items.push_back(Item::Mark(mark));
        self.changed.notify_one();
    }

    /// The next mark that was reached, each once.
    pub fn passed(&self) -> Option<Passed> {
        self.state().passed.pop_front()
    }

    /// Whether new requests must be refused.
    pub fn is_full(&self) -> bool {
        self.state().account.bytes >= self.limit
    }

    /// How long it has been full without a break.
    pub fn full_for(&self) -> Option<Duration> {
        self.state().full_since.map(|since| since.elapsed())
    }

    /// Bytes at which it is full.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What became of all points so far.
    pub fn account(&self) -> Account {
        self.state().account
    }

    /// Counts a try that failed.
    pub fn count_error(&self) {
        self.state().account.errors += 1;
    }

    /// No more will be put in; `next` ends once it is empty, and does not wait for full batches.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Whether a drain has begun.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Notes what became of a request that `next` gave.
    pub fn resolve(&self, request: &Outgoing, refused: u64, sent: usize) {
        let mut state = self.state();
        let refused = refused.min(request.points);
        state.account.refused += refused;
        state.account.accepted += request.points - refused;
        state.account.bytes = state.account.bytes.saturating_sub(request.held);
        if sent > 0 {
            state.account.requests += 1;
            state.account.bytes_accepted += request.bytes as u64;
            state.account.bytes_sent += sent as u64;
        }
        self.note_full(&mut state);
    }

    fn note_full(&self, state: &mut State) {
        if state.account.bytes < self.limit {
            state.full_since = None;
        } else if state.full_since.is_none() {
            state.full_since = Some(Instant::now());
        }
    }

    /// Waits for the next request: full, or old enough, or cut by a mark. `None`: closed and empty.
    pub async fn next(&self, limits: &Batch) -> Option<Outgoing> {
        loop {
            let wait = match self.state().take(limits) {
                Step::Request(request) => return Some(request),
                Step::Ended => return None,
                Step::Wait(wait) => wait,
            };
            let changed = self.changed.notified();
            match wait {
                None => changed.await,
                Some(age) => {
                    let _elapsed = tokio::time::timeout(age, changed).await;
                }
            }
        }
    }
}

enum Step {
    Request(Outgoing),
    Wait(Option<Duration>),
    Ended,
}

impl State {
    fn take(&mut self, limits: &Batch) -> Step {
        while let Some(Item::Mark(mark)) = self.items.front() {
            let mut account = self.account;
            account.written = account.accepted + account.refused;
            self.passed.push_back(Passed {
                mark: *mark,
                account,
            });
            self.items.pop_front();
        }
        let Some(Item::Points { since, .. }) = self.items.front() else {
            return if self.closed {
                Step::Ended
            } else {
                Step::Wait(None)
            };
        };
        let age = since.elapsed();
        let (mut count, mut bytes, mut points, mut full) = (0, 0, 0, self.closed);
        for item in &self.items {
            let Item::Points {
                bytes: b,
                points: p,
                ..
            } = item
            else {
                full = true;
                break;
            };
            if count > 0 && (points + p > limits.points || bytes + b.len() > limits.bytes) {
                full = true;
                break;
            }
            (count, bytes, points) = (count + 1, bytes + b.len(), points + p);
            if points >= limits.points || bytes >= limits.bytes {
                full = true;
                break;
            }
        }
        if !full && age < limits.timeout {
            return Step::Wait(Some(limits.timeout - age));
        }
        let mut request = Outgoing {
            parts: Vec::with_capacity(count),
            bytes,
            points,
            held: bytes,
        };
        for item in self.items.drain(..count) {
            if let Item::Points { bytes, .. } = item {
                request.parts.push(bytes);
            }
        }
        Step::Request(request)
    }
}
