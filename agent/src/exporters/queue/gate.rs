//! Where the lanes of a queue wait for each other.
//!
//! Every worker puts the same numbered syncs into its lane. A lane at a sync hands out nothing more
//! until all are there: then everything before it, of every lane, was accepted or refused, and
//! nothing behind it has left. So a place in several streams is one place, and counts noted there are
//! exact.

use super::Account;
use std::time::Instant;

/// What the lanes of one queue share.
#[derive(Debug, Default)]
pub struct Gate {
    /// Accounts of the lanes that have come to the next sync.
    arrived: Vec<Option<Account>>,
    /// The last sync that all have passed.
    passed: u64,
    /// The account there.
    pub account: Account,
    /// Since when the queue has been full without a break.
    pub full_since: Option<Instant>,
}

impl Gate {
    /// A gate for so many lanes.
    pub fn new(lanes: usize) -> Gate {
        Gate {
            arrived: vec![None; lanes],
            ..Gate::default()
        }
    }

    /// A lane is at a sync, with nothing in flight. True once all are, or were.
    pub fn arrive(&mut self, lane: usize, sync: u64, account: Account) -> bool {
        if sync <= self.passed {
            return true;
        }
        if let Some(place) = self.arrived.get_mut(lane) {
            *place = Some(account);
        }
        if self.arrived.iter().any(Option::is_none) {
            return false;
        }
        self.passed = sync;
        self.account = Account::default();
        for account in self.arrived.iter_mut().filter_map(Option::take) {
            self.account.add(&account);
        }
        true
    }
}
