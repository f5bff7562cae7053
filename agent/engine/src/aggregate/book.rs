//! Who sits where: members in groups, joined once a series, freed when silent.

use super::group::{Group, Groups};
use super::head::Heads;
use super::member::{ALONE, Members};
use super::rules::{Kind, Part, Rules, overflow_attribute};
use super::window::Windows;
use super::{Joined, NOT_AGGREGATED, Seat, TABLE_FULL};
use crate::Nanos;
use crate::view::SeriesView;
use std::sync::Arc;

/// Inputs of a stage for each output that the limit allows: more inputs than outputs are what an
/// aggregation is for, but their number is bounded too.
const MEMBERS_PER_OUTPUT: usize = 2;

/// Members, groups and heads of one stage.
#[derive(Debug, Default)]
pub struct Book {
    /// Inputs.
    pub members: Members,
    /// Outputs.
    pub groups: Groups,
    /// Whether any group ever was a sum of latest values.
    pub has_levels: bool,
    heads: Heads,
    /// Weights of inputs by class, from class 1 on; class 0 is weight 1.
    weights: Vec<f64>,
    /// Groups that are overflow series; they do not count towards the limit.
    overflows: usize,
    /// The clock of the last sweep, and up to when windows were closed then: another would free nothing more.
    swept: (Nanos, Nanos),
}

/// What a join happens in.
#[derive(Clone, Copy)]
pub struct Join<'a> {
    /// How the series' points add up.
    pub kind: Kind,
    /// What of the series is taken.
    pub part: Part,
    /// The stage's rules.
    pub rules: &'a Rules,
    /// The open windows.
    pub windows: &'a Windows,
    /// Start of an output whose first input this is.
    pub start: Nanos,
    /// What its increments count.
    pub weight: f64,
    /// The engine's now.
    pub now: Nanos,
    /// What has expired is judged by this.
    pub clock: Nanos,
}

/// Makes of a summary's identity that of its count.
const COUNT: u128 = 1 << 127;

impl Book {
    /// Seats for both halves of a summary: the seat of its sum, which knows that of its count.
    pub fn join_summary(
        &mut self,
        series: &SeriesView<'_>,
        identity: u128,
        join: Join<'_>,
    ) -> Joined {
        let part = |part| Join { part, ..join };
        let sum = match self.join(series, identity, &part(Part::Sum)) {
            Joined::Seat(seat) => seat,
            passes => return passes,
        };
        match self.join(series, identity ^ COUNT, &part(Part::Count)) {
            Joined::Seat(count) => {
                if let Some(member) = self.members.get_mut(sum) {
                    member.twin = count.member;
                }
                Joined::Seat(sum)
            }
            passes => {
                self.vacate(sum.member);
                passes
            }
        }
    }

    /// A seat for a series; the one that it has, if it has one.
    pub fn join(&mut self, series: &SeriesView<'_>, identity: u128, join: &Join<'_>) -> Joined {
        let joined = self.sit(series, identity, join);
        if let Joined::Seat(seat) = joined {
            let class = self.class(join.weight);
            if let Some(member) = self.members.get_mut(seat) {
                member.class = class;
            }
        }
        joined
    }

    /// The number of a weight. There are as many as products of the pipeline's fractions.
    fn class(&mut self, weight: f64) -> u16 {
        if weight == 1.0 {
            return 0;
        }
        let known = self.weights.iter().position(|known| *known == weight);
        let at = known.unwrap_or_else(|| {
            self.weights.push(weight);
            self.weights.len() - 1
        });
        u16::try_from(at + 1).unwrap_or(0)
    }

    /// The weight of a class.
    pub fn weight(&self, class: u16) -> f64 {
        let at = usize::from(class).checked_sub(1);
        at.and_then(|at| self.weights.get(at))
            .copied()
            .unwrap_or(1.0)
    }

    fn sit(&mut self, series: &SeriesView<'_>, identity: u128, join: &Join<'_>) -> Joined {
        if let Some(seat) = self.members.find(identity) {
            let live = self
                .members
                .get(seat, join.clock, join.rules.expiry)
                .is_some();
            // A value that waits in an open window keeps its seat, however long the window is.
            let waits = !live && join.windows.holds(seat.member);
            if let (true, Some(member)) = (waits, self.members.get_mut(seat)) {
                member.seen = join.now;
            }
            if live || waits {
                return Joined::Seat(seat);
            }
            self.vacate(seat.member);
        }
        if self.members.len() >= join.rules.limit.saturating_mul(MEMBERS_PER_OUTPUT) {
            return Joined::Passes(TABLE_FULL);
        }
        let Some(slot) = self.slot(series, join) else {
            // Another output has the same 128-bit hash.
            return Joined::Passes(NOT_AGGREGATED);
        };
        let Some(group) = self.groups.get_mut(slot) else {
            return Joined::Passes(NOT_AGGREGATED);
        };
        self.has_levels |= join.kind == Kind::Level;
        group.url_agrees &= *group.head.resource_url == *series.resource_schema_url.as_bytes();
        let overflow = group.overflow;
        match self.members.insert(identity, slot, overflow, join.now) {
            Some(seat) => {
                group.members += 1;
                Joined::Seat(seat)
            }
            None => Joined::Passes(TABLE_FULL),
        }
    }

    /// The group of a series' output, made if need be.
    fn slot(&mut self, series: &SeriesView<'_>, join: &Join<'_>) -> Option<u32> {
        let draft = self
            .heads
            .draft(series, (join.kind, join.part), join.rules, None);
        if let Some(slot) = self.groups.find(draft.identity, self.heads.canonical()) {
            if !self.is_silent(slot, join) {
                return Some(slot);
            }
            // Its epoch is over: it is freed now, not at some later sweep.
            if self.swept != (join.clock, join.windows.closed_to) {
                self.sweep(join.clock, join.rules.expiry, join.windows);
            }
            if self
                .groups
                .find(draft.identity, self.heads.canonical())
                .is_some()
            {
                return Some(slot);
            }
        }
        if self.groups.len() - self.overflows < join.rules.limit {
            let head = Arc::new(self.heads.build(&draft, join.rules));
            return self
                .groups
                .insert(Group::new(head, join.kind, join.start, join.now));
        }
        let mark = overflow_attribute();
        let draft = self
            .heads
            .draft(series, (join.kind, join.part), join.rules, Some(&mark));
        if let Some(slot) = self.groups.find(draft.identity, self.heads.canonical()) {
            return Some(slot);
        }
        let head = Arc::new(self.heads.build(&draft, join.rules));
        let mut group = Group::new(head, join.kind, join.start, join.now);
        group.overflow = true;
        self.overflows += 1;
        self.groups.insert(group)
    }

    /// A seat that all inputs of an output and of one weight share: for those whose latest value does not matter.
    pub fn join_shared(&mut self, series: &SeriesView<'_>, join: &Join<'_>) -> Joined {
        let kind = (join.kind, join.part);
        let draft = self.heads.draft(series, kind, join.rules, None);
        // One seat has one weight.
        let weight = match join.weight {
            1.0 => 0,
            weight => u128::from(weight.to_bits()),
        };
        self.join(series, draft.identity ^ weight, join)
    }

    /// Frees the seats of members that go on elsewhere, and outputs that nothing was added to yet: one
    /// that comes later has another start.
    pub fn leave(&mut self, numbers: &[u32], windows: &Windows) {
        for number in numbers {
            let slot = self.members.by_number(*number).map(|member| member.slot);
            self.vacate(*number);
            let unused = |group: &Group| group.members == 0 && group.fresh;
            let Some(slot) = slot.filter(|slot| self.groups.get(*slot).is_some_and(unused)) else {
                continue;
            };
            if !windows.touches(slot) {
                let group = self.groups.remove(slot);
                self.overflows -= usize::from(group.is_some_and(|group| group.overflow));
            }
        }
    }

    fn is_silent(&self, slot: u32, join: &Join<'_>) -> bool {
        let silent = |g: &Group| join.clock.saturating_sub(g.seen) > join.rules.expiry;
        self.groups.get(slot).is_some_and(silent) && !join.windows.touches(slot)
    }

    /// Notes that a member speaks, or says that it has ended.
    pub fn speaks(&mut self, seat: Seat, valued: bool, now: Nanos) {
        let Some(member) = self.members.get_mut(seat) else {
            return;
        };
        member.seen = now;
        member.ended = !valued;
        let twin = member.twin;
        if twin != ALONE
            && let Some(twin) = self.members.by_number_mut(twin)
        {
            (twin.seen, twin.ended) = (now, !valued);
        }
    }

    /// The member and the group that take a summary's count.
    pub fn twin(&mut self, seat: Seat) -> Option<(u32, &mut Group)> {
        let twin = self.members.get_mut(seat)?.twin;
        let slot = self.members.by_number(twin)?.slot;
        Some((slot, self.groups.get_mut(slot)?))
    }

    fn vacate(&mut self, number: u32) {
        if let Some(slot) = self.members.remove(number)
            && let Some(group) = self.groups.get_mut(slot)
        {
            group.members = group.members.saturating_sub(1);
        }
    }

    /// Frees members and groups that have been silent for longer than the expiry.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos, windows: &Windows) {
        self.swept = (now, windows.closed_to);
        for number in self.members.expired(now, expiry) {
            // The number is not given to another while a value waits under it. Of an output that somebody always
            // speaks for, a window is always open: that keeps nobody.
            if !windows.holds(number) {
                self.vacate(number);
            }
        }
        let mut overflows = 0;
        self.groups.remove_if(|slot, group| {
            let silent = now.saturating_sub(group.seen) > expiry;
            let gone = group.members == 0 && silent && !windows.touches(slot);
            overflows += usize::from(gone && group.overflow);
            gone
        });
        self.overflows -= overflows;
        self.heads.sweep();
    }

    /// The last window's end at which a latest value of a non-monotonic sum can be live.
    pub fn levels_until(&self) -> Nanos {
        self.members.latest_until()
    }

    /// Estimate of the bytes.
    pub fn bytes(&self) -> usize {
        self.members.bytes() + self.groups.bytes() + self.heads.bytes()
    }
}
