//! What one worker's closed windows hold, on its way to the writer side.

use super::book::Book;
use super::gauge::Gauges;
use super::group::Group;
use super::head::Head;
use super::member::{Held, Member};
use super::number::Total;
use super::rules::Kind;
use super::window::{Cell, Content, Window};
use crate::Nanos;
use hashbrown::HashSet;
use std::sync::Arc;

/// Closed windows, in order.
#[derive(Debug, Default)]
pub struct Partials {
    pub(super) windows: Vec<Closed>,
}

impl Partials {
    /// Whether no window was closed.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Takes another worker's windows: windows of the same stamp become one.
    pub fn unite(&mut self, other: Partials) {
        for closed in other.windows {
            let at = self.windows.partition_point(|w| w.stamp < closed.stamp);
            match self.windows.get_mut(at) {
                Some(same) if same.stamp == closed.stamp => {
                    same.start = same.start.min(closed.start);
                    same.absorbed += closed.absorbed;
                    same.parts.extend(closed.parts);
                }
                _ => self.windows.insert(at, closed),
            }
        }
    }
}

/// One closed window.
#[derive(Debug)]
pub(super) struct Closed {
    /// Time of its outputs' points.
    pub stamp: Nanos,
    /// Start of what it covers: of delta outputs.
    pub start: Nanos,
    /// Points taken in.
    pub absorbed: u64,
    /// One an output that an input spoke for.
    pub parts: Vec<Partial>,
}

/// One output's part of one closed window.
#[derive(Debug)]
pub(super) struct Partial {
    pub head: Arc<Head>,
    pub kind: Kind,
    /// Start of the output if this is its first part.
    pub start: Nanos,
    /// The first part since the group was made.
    pub fresh: bool,
    /// All of its inputs have ended, one of them in this window.
    pub ended: bool,
    /// Whether all inputs had the same resource schema_url.
    pub url_agrees: bool,
    pub cell: Cell,
}

impl Partial {
    /// Takes another worker's part of the same output and window.
    pub fn merge(&mut self, mut other: Partial) {
        self.start = self.start.min(other.start);
        self.fresh &= other.fresh;
        self.ended &= other.ended;
        self.url_agrees &= other.url_agrees && self.head.resource_url == other.head.resource_url;
        self.cell.merge(&mut other.cell);
    }
}

/// Empties a window into partials. `stamp`: the time of its outputs.
pub(super) fn drain(
    window: &mut Window,
    book: &mut Book,
    (start, stamp): (Nanos, Nanos),
    (now, expiry): (Nanos, Nanos),
) -> Closed {
    give_gauges(window, book);
    give_levels(window, book, stamp, |member| {
        now.saturating_sub(member.seen) <= expiry
    });
    let ended = ended(window, book, now, expiry);
    window.touched.sort_unstable();
    let mut closed = Closed {
        stamp,
        start,
        absorbed: window.absorbed,
        parts: Vec::with_capacity(window.touched.len()),
    };
    for slot in &window.touched {
        let cell = window.cells.get_mut(*slot as usize).map(std::mem::take);
        if let (Some(cell), Some(group)) = (cell, book.groups.get_mut(*slot)) {
            group.seen = group.seen.max(cell.last_seen);
            closed.parts.push(Partial {
                head: group.head.clone(),
                kind: group.kind,
                start: group.start,
                fresh: std::mem::take(&mut group.fresh),
                ended: ended.contains(slot),
                url_agrees: group.url_agrees,
                cell,
            });
        }
    }
    closed
}

/// Slots of groups all of whose inputs have ended, one of them in this window.
fn ended(window: &Window, book: &Book, now: Nanos, expiry: Nanos) -> HashSet<u32> {
    let flagged = |slot: &&u32| window.cells.get(**slot as usize).is_some_and(|c| c.flagged);
    let mut ended: HashSet<u32> = window.touched.iter().filter(flagged).copied().collect();
    if ended.is_empty() {
        return ended;
    }
    // Rare, so that counting on every point would cost more than looking at all members now.
    let mut fed = HashSet::new();
    for member in book.members.unexpired(now, expiry) {
        fed.insert(member.slot);
        if !member.ended {
            ended.remove(&member.slot);
        }
    }
    ended.retain(|slot| fed.contains(slot));
    ended
}

fn kind_of(book: &Book, member: u32) -> Option<(&Member, &Group)> {
    let member = book.members.by_number(member)?;
    Some((member, book.groups.get(member.slot)?))
}

/// Each input of a gauge gives its last value.
fn give_gauges(window: &mut Window, book: &Book) {
    for number in &window.spoke {
        let held = window.values.get(*number as usize).copied();
        let (Some((member, group)), Some(held)) = (kind_of(book, *number), held) else {
            continue;
        };
        let (Kind::Gauge(_), Some(value)) = (group.kind, held.value) else {
            continue;
        };
        if let Some(cell) = window.cells.get_mut(member.slot as usize) {
            if !matches!(cell.content, Content::Gauges(_)) {
                cell.content = Content::Gauges(Box::<Gauges>::default());
            }
            if let Content::Gauges(gauges) = &mut cell.content {
                gauges.input(held.time, member.identity(), value);
            }
        }
    }
}

/// Each live input of a non-monotonic sum gives its latest value. Live: it spoke in the window, or
/// within twice its last gap before the window's end.
fn give_levels(
    window: &mut Window,
    book: &mut Book,
    stamp: Nanos,
    unexpired: impl Fn(&Member) -> bool,
) {
    if !book.has_levels {
        return;
    }
    let groups = &book.groups;
    let (members, latest) = book.members.latest();
    for (number, (member, latest)) in members.iter().zip(latest).enumerate() {
        let is_level = |g: &Group| g.kind == Kind::Level;
        if !member.is_seated() || !groups.get(member.slot).is_some_and(is_level) {
            continue;
        }
        let spoken = window
            .values
            .get(number)
            .filter(|held| held.value.is_some());
        let live = match spoken {
            Some(held) => {
                *latest = *held;
                true
            }
            None => unexpired(member) && is_live(latest, stamp),
        };
        let cell = window.cells.get_mut(member.slot as usize);
        if let (true, Some(value), Some(cell)) = (live, latest.value, cell)
            && cell.touched
        {
            cell.content.merge(Content::Total(Total::from(value)));
        }
    }
}

fn is_live(latest: &Held, end: Nanos) -> bool {
    latest.gap > 0 && end.saturating_sub(latest.time) <= latest.gap.saturating_mul(2)
}
