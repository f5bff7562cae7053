//! The bounded memory queue before one destination: bytes in order, with marks between them.
//!
//! A mark is a place in the stream (the end of a window). A batch never spans one, and once the
//! exporter reaches it everything before it has been accepted or refused, so that the counts noted
//! there are exact. Windows' own points are always taken: they were accepted long ago.

mod gate;

use crate::settings::Batch;
use bytes::Bytes;
use gate::Gate;
use phoenix_engine::prometheus::Unfit;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Waiting bytes and the account of what became of those before them: one lane a worker, so that
/// workers share no lock.
#[derive(Debug)]
pub struct Queue {
    lanes: Vec<Lane>,
    gate: Mutex<Gate>,
    /// Waiting bytes of all lanes.
    bytes: AtomicUsize,
    full: AtomicBool,
    /// For who takes from every lane.
    any: Notify,
    turn: AtomicUsize,
    limit: usize,
}

#[derive(Debug, Default)]
struct Lane {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    account: Account,
    passed: VecDeque<Passed>,
    closed: bool,
}

#[derive(Debug)]
enum Item {
    Points {
        bytes: Bytes,
        points: u64,
        since: Instant,
        run: Option<Run>,
    },
    Mark(u64),
    Sync(u64),
}

/// Which step of which experiment wrote a stretch of bytes: experiment and revision.
pub type Run = Arc<str>;

/// What became of all points ever put in: `written = accepted + refused + waiting`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Points put in.
    pub written: u64,
    /// Points that the next hop took.
    pub accepted: u64,
    /// Points that it refused for good, and those that have no form there.
    pub refused: u64,
    /// Of these, points that it refused for what they are: not for a lack of credentials, nor given up.
    pub unwanted: u64,
    /// Of the refused, points that have no form there, by `Unfit as usize`.
    pub unfit: [u64; Unfit::ALL.len()],
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
    /// Adds another lane's account.
    pub fn add(&mut self, other: &Account) {
        self.written += other.written;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unwanted += other.unwanted;
        add_unfit(&mut self.unfit, other.unfit);
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.requests += other.requests;
        self.bytes_accepted += other.bytes_accepted;
        self.bytes_sent += other.bytes_sent;
    }

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
    /// The lane that they are of.
    pub lane: usize,
    /// The run that they are of, where that is told.
    pub run: Option<Run>,
}

impl Queue {
    /// An empty queue of one lane that is full at `limit` bytes.
    pub fn new(limit: usize) -> Queue {
        Queue::with_lanes(limit, 1)
    }

    /// An empty queue with a lane for each worker, full at `limit` bytes in all.
    pub fn with_lanes(limit: usize, lanes: usize) -> Queue {
        let lanes = lanes.max(1);
        Queue {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            gate: Mutex::new(Gate::new(lanes)),
            bytes: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            any: Notify::new(),
            turn: AtomicUsize::new(0),
            limit,
        }
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    // A lane's lock is held for a few instructions, by its worker's own thread, by the exporter and by
    // readers of figures.
    fn state(&self, lane: usize) -> MutexGuard<'_, State> {
        let lane = &self.lanes[lane.min(self.lanes.len() - 1)];
        lane.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Taken at syncs, and when the queue becomes full or is so no more.
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.changed.notify_one();
        }
        self.any.notify_one();
    }

    /// Puts bytes at the end of the first lane, whether there is room or not; see `is_full`.
    pub fn push(&self, bytes: Bytes, points: u64) {
        self.push_to(0, bytes, points);
    }

    /// Puts bytes at the end of a lane, whether there is room or not; see `is_full`.
    pub fn push_to(&self, lane: usize, bytes: Bytes, points: u64) {
        self.push_of(lane, bytes, points, None);
    }

    /// As `push_to`, of a run: no request is of two.
    pub fn push_of(&self, lane: usize, bytes: Bytes, points: u64, run: Option<Run>) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state(lane);
        state.account.written += points;
        state.account.bytes += bytes.len();
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        state.items.push_back(Item::Points {
            bytes,
            points,
            since: Instant::now(),
            run,
        });
        drop(state);
        self.note_full();
        self.changed(lane);
    }

    /// Counts points that could not be put in as refused.
    pub fn lose(&self, lane: usize, points: u64) {
        let mut state = self.state(lane);
        state.account.written += points;
        state.account.refused += points;
    }

    /// Puts a mark at the end of the first lane. Of several lanes, the account at a mark is that of
    /// the last sync before it: put one right before, into every lane.
    pub fn mark(&self, mark: u64) {
        self.state(0).items.push_back(Item::Mark(mark));
        self.changed(0);
    }

    /// Puts a sync at the end of a lane. Every lane gets the same ones in the same order, numbered
    /// upwards from 1.
    pub fn sync(&self, lane: usize, sync: u64) {
        if self.lanes.len() > 1 {
            self.state(lane).items.push_back(Item::Sync(sync));
            self.changed(lane);
        }
    }

    /// The next mark that was reached, each once.
    pub fn passed(&self) -> Option<Passed> {
        self.state(0).passed.pop_front()
    }

    /// Whether new requests must be refused.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.limit
    }

    /// How long it has been full without a break.
    pub fn full_for(&self) -> Option<Duration> {
        self.gate().full_since.map(|since| since.elapsed())
    }

    /// Bytes at which it is full.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What became of all points so far.
    pub fn account(&self) -> Account {
        let mut sum = Account::default();
        for lane in 0..self.lanes.len() {
            sum.add(&self.account_of(lane));
        }
        sum
    }

    /// What became of all points of a lane so far.
    pub fn account_of(&self, lane: usize) -> Account {
        self.state(lane).account
    }

    /// Counts a try that failed.
    pub fn count_error(&self, lane: usize) {
        self.state(lane).account.errors += 1;
    }

    /// No more will be put into a lane; `next` ends once it is empty, and does not wait for full
    /// batches.
    pub fn close(&self, lane: usize) {
        self.state(lane).closed = true;
        self.changed(lane);
    }

    /// Whether a drain has begun.
    pub fn is_closed(&self) -> bool {
        (0..self.lanes.len()).any(|lane| self.state(lane).closed)
    }

    /// Says of refused points that it was for what they are; once they were counted as refused.
    pub fn count_unwanted(&self, lane: usize, points: u64) {
        self.state(lane).account.unwanted += points;
    }

    /// Says of refused points that they have no form there; once they were counted as refused.
    pub fn count_unfit(&self, lane: usize, unfit: [u64; Unfit::ALL.len()]) {
        add_unfit(&mut self.state(lane).account.unfit, unfit);
    }

    /// Notes what became of a request that `next` gave.
    pub fn resolve(&self, request: &Outgoing, refused: u64, sent: usize) {
        let mut state = self.state(request.lane);
        let refused = refused.min(request.points);
        state.account.refused += refused;
        state.account.accepted += request.points - refused;
        let held = request.held.min(state.account.bytes);
        state.account.bytes -= held;
        self.bytes.fetch_sub(held, Ordering::Relaxed);
        if sent > 0 {
            state.account.requests += 1;
            state.account.bytes_accepted += request.bytes as u64;
            state.account.bytes_sent += sent as u64;
        }
        drop(state);
        self.note_full();
    }

    fn note_full(&self) {
        let full = self.is_full();
        if self.full.swap(full, Ordering::Relaxed) != full {
            self.gate().full_since = full.then(Instant::now);
        }
    }

    /// Waits for the next request of any lane: full, or old enough, or cut by a mark. `None`: all are
    /// closed and empty.
    pub async fn next(&self, limits: &Batch) -> Option<Outgoing> {
        self.take(None, limits).await
    }

    /// As `next`, for one lane.
    pub async fn next_of(&self, lane: usize, limits: &Batch) -> Option<Outgoing> {
        self.take(Some(lane), limits).await
    }

    async fn take(&self, of: Option<usize>, limits: &Batch) -> Option<Outgoing> {
        loop {
            let wait = match of {
                Some(lane) => self.step(lane, limits),
                None => self.step_any(limits),
            };
            let wait = match wait {
                Step::Request(request) => return Some(request),
                Step::Ended => return None,
                Step::Wait(wait) => wait,
            };
            let lane = of.and_then(|lane| self.lanes.get(lane));
            let changed = lane.map_or(&self.any, |lane| &lane.changed).notified();
            match wait {
                None => changed.await,
                Some(age) => {
                    let _elapsed = tokio::time::timeout(age, changed).await;
                }
            }
        }
    }

    fn step_any(&self, limits: &Batch) -> Step {
        let count = self.lanes.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (mut ended, mut soonest) = (0, None);
        for lane in (0..count).map(|n| (turn + n) % count) {
            match self.step(lane, limits) {
                Step::Request(request) => return Step::Request(request),
                Step::Ended => ended += 1,
                Step::Wait(Some(age)) => {
                    soonest = Some(soonest.map_or(age, |s: Duration| s.min(age)));
                }
                Step::Wait(None) => {}
            }
        }
        if ended == count {
            Step::Ended
        } else {
            Step::Wait(soonest)
        }
    }

    fn step(&self, lane: usize, limits: &Batch) -> Step {
        let mut state = self.state(lane);
        while let Some(item) = state.items.front() {
            match item {
                Item::Points { .. } => break,
                Item::Mark(mark) => {
                    let mark = *mark;
                    let several = self.lanes.len() > 1;
                    let mut account = if several {
                        self.gate().account
                    } else {
                        state.account
                    };
                    account.written = account.accepted + account.refused;
                    state.passed.push_back(Passed { mark, account });
                }
                Item::Sync(sync) => {
                    let mut gate = self.gate();
                    if !gate.arrive(lane, *sync, state.account) {
                        return Step::Wait(None);
                    }
                    drop(gate);
                    self.lanes.iter().for_each(|l| l.changed.notify_one());
                    self.any.notify_one();
                }
            }
            state.items.pop_front();
        }
        state.take(lane, limits)
    }
}

fn add_unfit(sum: &mut [u64; Unfit::ALL.len()], more: [u64; Unfit::ALL.len()]) {
    sum.iter_mut()
        .zip(more)
        .for_each(|(sum, more)| *sum += more);
}

enum Step {
    Request(Outgoing),
    Wait(Option<Duration>),
    Ended,
}

impl State {
    /// The next request, if the first item is points.
    fn take(&mut self, lane: usize, limits: &Batch) -> Step {
        let Some(Item::Points { since, run, .. }) = self.items.front() else {
            return if self.closed {
                Step::Ended
            } else {
                Step::Wait(None)
            };
        };
        let (age, run) = (since.elapsed(), run.clone());
        let (mut count, mut bytes, mut points, mut full) = (0, 0, 0, self.closed);
        for item in &self.items {
            let Item::Points {
                bytes: b,
                points: p,
                run: of,
                ..
            } = item
            else {
                full = true;
                break;
            };
            let over = points + p > limits.points || bytes + b.len() > limits.bytes;
            if count > 0 && (over || *of != run) {
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
            lane,
            run,
        };
        for item in self.items.drain(..count) {
            if let Item::Points { bytes, .. } = item {
                request.parts.push(bytes);
            }
        }
        Step::Request(request)
    }
}
