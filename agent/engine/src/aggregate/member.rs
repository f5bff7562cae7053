//! Members: the inputs of a stage, each with a seat.

use super::Seat;
use crate::Nanos;
use crate::slab::Slab;
use crate::view::Number;
use hashbrown::HashTable;

/// One input of the stage. There are as many as series: 40 bytes.
#[derive(Debug)]
pub struct Member {
    /// Halves of its series' identity; whole they would cost 8 bytes of padding.
    identity: [u64; 2],
    /// Now when it last spoke.
    pub seen: Nanos,
    /// Its group.
    pub slot: u32,
    generation: u32,
    /// Of a summary: number of the member that has its count; [`ALONE`] for all others.
    pub twin: u32,
    /// Its newest point had the no-recorded-value flag.
    pub ended: bool,
    /// Its group is an overflow series.
    pub overflow: bool,
    seated: bool,
    /// Number of its weight.
    pub class: u16,
}

/// No twin.
pub const ALONE: u32 = u32::MAX;

/// A value that an input holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// Of its point.
    pub time: Nanos,
    /// Between the last two points then; 0 if unknown.
    pub gap: Nanos,
    /// The value; `None` where there is none.
    pub value: Option<Number>,
}

/// All members, by number.
#[derive(Debug, Default)]
pub struct Members {
    seats: Slab<Member>,
    free: Vec<u32>,
    /// Numbers by identity, which stands in the seat.
    by_identity: HashTable<u32>,
    /// Latest value as of the last closed window, of inputs of non-monotonic sums.
    latest: Slab<Held>,
}

impl Members {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_identity.len()
    }

    /// The member in a seat, unless the seat was given away or the member has expired.
    pub fn get(&self, seat: Seat, now: Nanos, expiry: Nanos) -> Option<&Member> {
        let member = self.seats.get(seat.member as usize)?;
        let valid = member.seated && member.generation == seat.generation;
        (valid && now.saturating_sub(member.seen) <= expiry).then_some(member)
    }

    /// The member in a seat that was just found valid.
    pub fn get_mut(&mut self, seat: Seat) -> Option<&mut Member> {
        self.seats.get_mut(seat.member as usize)
    }

    /// A member by number.
    pub fn by_number_mut(&mut self, number: u32) -> Option<&mut Member> {
        self.seats.get_mut(number as usize).filter(|m| m.seated)
    }

    /// A member by number.
    pub fn by_number(&self, number: u32) -> Option<&Member> {
        self.seats.get(number as usize).filter(|m| m.seated)
    }

    /// The group of a seat.
    pub fn slot(&self, seat: Seat) -> Option<u32> {
        let member = self.by_number(seat.member)?;
        (member.generation == seat.generation).then_some(member.slot)
    }

    /// The seat of an input, expired or not.
    pub fn find(&self, identity: u128) -> Option<Seat> {
        let halves = halves(identity);
        let same = |number: &u32| {
            let member = self.seats.get(*number as usize);
            member.is_some_and(|m| m.identity == halves)
        };
        let number = *self.by_identity.find(halves[0], same)?;
        let member = self.by_number(number)?;
        Some(Seat::new(number, member.generation))
    }

    /// Seats a new input.
    pub fn insert(
        &mut self,
        identity: u128,
        slot: u32,
        overflow: bool,
        now: Nanos,
    ) -> Option<Seat> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.seats.push(Member {
                    identity: halves(identity),
                    seen: now,
                    slot,
                    generation: 0,
                    twin: ALONE,
                    ended: false,
                    overflow,
                    seated: false,
                    class: 0,
                });
                u32::try_from(self.seats.len() - 1).ok()?
            }
        };
        let member = self.seats.get_mut(number as usize)?;
        *member = Member {
            identity: halves(identity),
            seen: now,
            slot,
            generation: member.generation,
            twin: ALONE,
            ended: false,
            overflow,
            seated: true,
            class: 0,
        };
        let seat = Seat::new(number, member.generation);
        let seats = &self.seats;
        let hash = |number: &u32| seats.get(*number as usize).map_or(0, |m| m.identity[0]);
        self.by_identity
            .insert_unique(halves(identity)[0], number, hash);
        Some(seat)
    }

    /// Frees a seat; its member's group.
    pub fn remove(&mut self, number: u32) -> Option<u32> {
        let member = self.seats.get_mut(number as usize).filter(|m| m.seated)?;
        member.seated = false;
        member.generation = member.generation.wrapping_add(1);
        if let Ok(entry) = self
            .by_identity
            .find_entry(member.identity[0], |known| *known == number)
        {
            entry.remove();
        }
        self.free.push(number);
        if let Some(held) = self.latest.get_mut(number as usize) {
            *held = Held::default();
        }
        Some(member.slot)
    }

    /// The last time at which one of the latest values is live.
    pub fn latest_until(&self) -> Nanos {
        let of = |held: &Held| held.time.saturating_add(held.gap.saturating_mul(2));
        let live = self.latest.iter().filter(|held| held.gap > 0);
        live.map(of).max().unwrap_or(0)
    }

    /// All members that have not been silent for longer than the expiry.
    pub fn unexpired(&self, now: Nanos, expiry: Nanos) -> impl Iterator<Item = &Member> {
        let live = move |m: &&Member| m.seated && now.saturating_sub(m.seen) <= expiry;
        self.seats.iter().filter(live)
    }

    /// Numbers of all members silent for longer than the expiry.
    pub fn expired(&self, now: Nanos, expiry: Nanos) -> Vec<u32> {
        let silent = |m: &Member| m.seated && now.saturating_sub(m.seen) > expiry;
        let numbered = (0u32..).zip(self.seats.iter());
        numbered
            .filter(|(_, m)| silent(m))
            .map(|(n, _)| n)
            .collect()
    }

    /// Latest values by member number, grown to cover all members.
    pub fn latest(&mut self) -> (&Slab<Member>, &mut Slab<Held>) {
        self.latest.grow_to(self.seats.len(), Held::default);
        (&self.seats, &mut self.latest)
    }

    /// Estimate of the bytes.
    pub fn bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Member>()
            + self.by_identity.capacity() * 5
            + self.latest.capacity() * size_of::<Held>()
    }
}

fn halves(identity: u128) -> [u64; 2] {
    [identity as u64, (identity >> 64) as u64]
}

impl Member {
    /// Identity of its series.
    pub fn identity(&self) -> u128 {
        u128::from(self.identity[0]) | (u128::from(self.identity[1]) << 64)
    }

    /// Whether the seat is taken.
    pub fn is_seated(&self) -> bool {
        self.seated
    }
}
