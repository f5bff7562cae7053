//! What one worker's closed windows hold, on its way to the writer side.

use super::book::Book;
use super::gauge::Gauges;
use super::group::Group;
use super::head::Head;
use super::member::{Held, Member};
use super::number::Total;
use super::rules::Kind;
use super::window::{Cell, Content, Window, keep_common};
use crate::Nanos;
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// Closed windows, in order.
#[derive(Debug, Default)]
pub struct Partials {
    pub(super) windows: Vec<Closed>,
    /// Of several workers: outputs of which an input here can still speak.
    pub(super) alive: Vec<u128>,
    /// Of several workers: bounds that the inputs here have in common, of outputs in windows that close
    /// or are open.
    pub(super) bounds: HashMap<u128, Vec<f64>>,
}

impl Partials {
    /// Whether no window was closed.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Points taken into these windows.
    pub fn absorbed(&self) -> u64 {
        self.windows.iter().map(|closed| closed.absorbed).sum()
    }

    /// Takes another worker's windows, whose points that worker has counted: windows of the same
    /// stamp become one.
    pub fn unite(&mut self, other: Partials) {
        self.alive.extend(other.alive);
        for (output, bounds) in other.bounds {
            self.bounds
                .entry(output)
                .and_modify(|common| keep_common(common, &bounds))
                .or_insert(bounds);
        }
        for mut closed in other.windows {
            closed.absorbed = 0;
            let at = self.windows.partition_point(|w| w.stamp < closed.stamp);
            match self.windows.get_mut(at) {
                Some(same) if same.stamp == closed.stamp => same.unite(closed),
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
    /// The last of a stage that a swap ends: what comes behind it is told by another.
    pub cut: bool,
    /// One an output that an input spoke for, or that has a live value.
    pub parts: Vec<Partial>,
    /// Places in `parts` by output; made when windows are united.
    by_output: HashMap<u128, usize>,
}

impl Closed {
    fn unite(&mut self, other: Closed) {
        self.start = self.start.min(other.start);
        if self.by_output.is_empty() {
            let numbered = self.parts.iter().enumerate();
            self.by_output = numbered.map(|(at, p)| (p.head.identity, at)).collect();
        }
        for part in other.parts {
            match self.by_output.entry(part.head.identity) {
                Entry::Occupied(known) => {
                    if let Some(same) = self.parts.get_mut(*known.get()) {
                        same.merge(part);
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(self.parts.len());
                    self.parts.push(part);
                }
            }
        }
    }
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
    /// An input of it has not expired.
    pub fed: bool,
    /// An input of it can still speak: neither expired nor ended.
    pub alive: bool,
    /// Whether all inputs had the same resource schema_url.
    pub url_agrees: bool,
    /// `touched` is false where no input spoke: then it only counts beside parts where one did.
    pub cell: Cell,
}

impl Partial {
    /// Takes another worker's part of the same output and window.
    fn merge(&mut self, mut other: Partial) {
        if !self.cell.touched && other.cell.touched {
            // What an input that spoke brings along leads.
            std::mem::swap(self, &mut other);
        }
        self.start = self.start.min(other.start);
        self.fresh &= other.fresh;
        self.fed |= other.fed;
        self.alive |= other.alive;
        self.url_agrees &= other.url_agrees && self.head.resource_url == other.head.resource_url;
        self.cell.merge(&mut other.cell);
    }

    /// Whether all of its inputs have ended, one of them in this window.
    pub fn ended(&self, alive: &HashSet<u128>) -> bool {
        self.cell.flagged && self.fed && !self.alive && !alive.contains(&self.head.identity)
    }
}

/// Whether the inputs of each group can still speak.
#[derive(Debug)]
pub(super) struct Standing {
    fed: Vec<bool>,
    alive: Vec<bool>,
}

impl Standing {
    /// Of all groups.
    pub fn of_all(book: &Book, (now, expiry): (Nanos, Nanos)) -> Standing {
        let slots = book.groups.slots();
        let mut standing = Standing {
            fed: vec![false; slots],
            alive: vec![false; slots],
        };
        for member in book.members.unexpired(now, expiry) {
            let slot = member.slot as usize;
            if let (Some(fed), Some(alive)) =
                (standing.fed.get_mut(slot), standing.alive.get_mut(slot))
            {
                *fed = true;
                *alive |= !member.ended;
            }
        }
        standing
    }

    fn of(&self, slot: u32) -> (bool, bool) {
        let get = |list: &[bool]| list.get(slot as usize).copied().unwrap_or(false);
        (get(&self.fed), get(&self.alive))
    }

    /// Appends the identities of the outputs of which an input can still speak.
    pub fn tell(&self, book: &Book, alive: &mut Vec<u128>) {
        let numbered = (0u32..).zip(&self.alive).filter(|(_, alive)| **alive);
        let groups = numbered.filter_map(|(slot, _)| book.groups.get(slot));
        alive.extend(groups.map(|group| group.head.identity));
    }
}

/// Empties a window into partials. `stamp`: the time of its outputs; `standing`: of all groups,
/// where other workers have inputs of the same outputs.
pub(super) fn drain(
    window: &mut Window,
    book: &mut Book,
    (start, stamp): (Nanos, Nanos),
    ages: (Nanos, Nanos),
    standing: Option<&Standing>,
) -> Closed {
    give_gauges(window, book);
    let (now, expiry) = ages;
    let unexpired = |member: &Member| now.saturating_sub(member.seen) <= expiry;
    let mut silent = HashMap::new();
    let abroad = standing.map(|_| &mut silent);
    give_levels(window, book, stamp, unexpired, abroad);
    // Rare, so that counting on every point would cost more than looking at all members now.
    let flagged = |slot: &u32| window.cells.get(*slot as usize).is_some_and(|c| c.flagged);
    let own = (standing.is_none() && window.touched.iter().any(flagged))
        .then(|| Standing::of_all(book, ages));
    let standing_of = |slot| {
        standing
            .or(own.as_ref())
            .map_or((false, true), |s| s.of(slot))
    };
    window.touched.sort_unstable();
    let mut closed = Closed {
        stamp,
        start,
        absorbed: window.absorbed,
        cut: false,
        parts: Vec::with_capacity(window.touched.len()),
        by_output: HashMap::new(),
    };
    for slot in &window.touched {
        let cell = window.cells.get_mut(*slot as usize).map(std::mem::take);
        if let (Some(mut cell), Some(group)) = (cell, book.groups.get_mut(*slot)) {
            if let Some(bounds) = &group.bounds {
                cell.reduce_to(bounds);
            }
            group.seen = group.seen.max(cell.last_seen);
            let mut part = part_of(group, standing_of(*slot), cell);
            part.fresh = std::mem::take(&mut group.fresh);
            closed.parts.push(part);
        }
    }
    if standing.is_some() {
        for (slot, total) in silent {
            let cell = Cell {
                content: Content::Total(total),
                ..Cell::default()
            };
            let group = book.groups.get(slot);
            closed
                .parts
                .extend(group.map(|g| part_of(g, standing_of(slot), cell)));
        }
    }
    closed
}

fn part_of(group: &Group, (fed, alive): (bool, bool), cell: Cell) -> Partial {
    Partial {
        head: group.head.clone(),
        kind: group.kind,
        start: group.start,
        fresh: group.fresh,
        fed,
        alive,
        url_agrees: group.url_agrees,
        cell,
    }
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
/// within twice its last gap before the window's end. What groups have of which no input spoke goes
/// into `silent`.
fn give_levels(
    window: &mut Window,
    book: &mut Book,
    stamp: Nanos,
    unexpired: impl Fn(&Member) -> bool,
    mut silent: Option<&mut HashMap<u32, Total>>,
) {
    if !book.has_levels {
        return;
    }
    let groups = &book.groups;
    let (members, latest) = book.members.latest();
    for (number, (member, latest)) in members.iter().zip(latest.iter_mut()).enumerate() {
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
        let (true, Some(value)) = (live, latest.value) else {
            continue;
        };
        let total = Total::from(value);
        match window.cells.get_mut(member.slot as usize) {
            Some(cell) if cell.touched => cell.content.merge(Content::Total(total)),
            _ => {
                if let Some(silent) = &mut silent {
                    silent.entry(member.slot).or_default().add(total);
                }
            }
        }
    }
}

fn is_live(latest: &Held, end: Nanos) -> bool {
    latest.gap > 0 && end.saturating_sub(latest.time) <= latest.gap.saturating_mul(2)
}
