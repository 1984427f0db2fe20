//! Turns between accounts: a queue for each, served one after the other (round robin), and how much of something scarce one may have.
//! Pure structures, for whoever has the lock.
//!
//! # Theory
//! 1. Whoever waits, waits behind its own account's others, and behind one of each other account: an account that floods a queue
//!    makes its own queue long, and no other's. (J. Nagle, "On packet switches with infinite storage", RFC 970, 1985. Each item counts
//!    as one: what is scarce is counted while it is held, see 3, so what takes long counts for longer.)
//! 2. Of one account, what has begun goes before what is to begin: ending frees what the next need. It does not go before other
//!    accounts, so nobody gets more by beginning much.
//! 3. One account may have as much of something as [`fits`]: less than twice of what is still free. Alone it gets two thirds, two that
//!    come and go get two fifths each, and something is left for whoever comes next, without a number to set for it. Who came
//!    first may have more for a while: it gets nothing back until it has less. (A. Choudhury and E. Hahne, "Dynamic queue length
//!    thresholds for shared-memory packet switches", 1998.)
//!
//! Not solved: who has many accounts has many turns, and with some five of them that take all they get, nothing is left for the next at
//! that moment: it has the next turn.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Whether one account that has so many places may have another, with so many free.
pub fn fits(held: usize, free: usize) -> bool {
    held < free.saturating_mul(2)
}

/// What waits, by account.
#[derive(Debug)]
pub struct Turns<K, T> {
    lines: HashMap<K, Line<T>>,
    /// Accounts with something that waits; the first is next.
    order: VecDeque<K>,
    length: usize,
}

#[derive(Debug)]
struct Line<T> {
    begun: VecDeque<T>,
    fresh: VecDeque<T>,
}

impl<T> Line<T> {
    fn front(&self) -> Option<&T> {
        self.begun.front().or_else(|| self.fresh.front())
    }

    fn pop(&mut self) -> Option<T> {
        self.begun.pop_front().or_else(|| self.fresh.pop_front())
    }

    fn len(&self) -> usize {
        self.begun.len() + self.fresh.len()
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { begun: VecDeque::new(), fresh: VecDeque::new() }
    }
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), order: VecDeque::new(), length: 0 }
    }
}

impl<K: Hash + Eq + Copy, T> Turns<K, T> {
    /// Puts something at the end of its account's line: of what has begun, or of what is to begin.
    pub fn push(&mut self, key: K, item: T, begun: bool) {
        let line = self.lines.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Line::default()
        });
        if begun {
            line.begun.push_back(item)
        } else {
            line.fresh.push_back(item)
        }
        self.length += 1;
    }

    /// What [`Turns::pop`] would answer.
    pub fn next(&self) -> Option<&T> {
        self.lines.get(self.order.front()?)?.front()
    }

    /// Takes out whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_where(|_| true).map(|(_, item)| item)
    }

    /// Takes out whose turn it is among the accounts that may.
    pub fn pop_where(&mut self, may: impl Fn(&K) -> bool) -> Option<(K, T)> {
        let at = self.order.iter().position(may)?;
        let key = self.order.remove(at)?;
        let line = self.lines.get_mut(&key)?;
        let item = line.pop();
        if line.len() == 0 {
            self.lines.remove(&key);
        } else {
            self.order.push_back(key);
        }
        self.length -= usize::from(item.is_some());
        item.map(|item| (key, item))
    }

    /// Whether something waits of an account that may.
    pub fn any(&self, may: impl FnMut(&K) -> bool) -> bool {
        self.order.iter().any(may)
    }

    /// How much waits of an account.
    pub fn of(&self, key: &K) -> usize {
        self.lines.get(key).map_or(0, Line::len)
    }

    /// Takes out what waits of an account and is to go; in the order in which it came, what has begun first.
    pub fn extract(&mut self, key: &K, mut goes: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        if let Some(line) = self.lines.get_mut(key) {
            for part in [&mut line.begun, &mut line.fresh] {
                for item in std::mem::take(part) {
                    if goes(&item) { out.push(item) } else { part.push_back(item) }
                }
            }
        }
        self.length -= out.len();
        if self.lines.get(key).is_some_and(|line| line.len() == 0) {
            self.lines.remove(key);
            self.order.retain(|other| other != key);
        }
        out
    }

    /// Takes out the first ones of each line for as long as they are to go; `begun`: also of what has begun.
    pub fn expire(&mut self, begun: bool, mut goes: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for line in self.lines.values_mut() {
            while let Some(item) = line.fresh.pop_front_if(|item| goes(item)) {
                out.push(item);
            }
            while begun && let Some(item) = line.begun.pop_front_if(|item| goes(item)) {
                out.push(item);
            }
        }
        self.length -= out.len();
        if !out.is_empty() {
            self.tidy();
        }
        out
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> Vec<T> {
        self.expire(true, |_| true)
    }

    /// Forgets accounts of which nothing waits.
    fn tidy(&mut self) {
        self.lines.retain(|_, line| line.len() > 0);
        let lines = &self.lines;
        self.order.retain(|key| lines.contains_key(key));
    }

    /// The first of each line, in no order.
    pub fn fronts(&self) -> impl Iterator<Item = &T> {
        self.lines.values().flat_map(|line| line.begun.front().into_iter().chain(line.fresh.front()))
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(turns: &mut Turns<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn who_floods_waits_for_itself() {
        let mut turns = Turns::default();
        for item in 0..1000 {
            turns.push('a', item, false);
        }
        assert_eq!((turns.pop(), turns.pop()), (Some(0), Some(1)));
        turns.push('b', 5000, false);
        turns.push('b', 5001, false);
        turns.push('c', 6000, false);
        assert_eq!((turns.len(), turns.of(&'b'), turns.next()), (1001, 2, Some(&2)));
        let order = drained(&mut turns);
        assert_eq!(order[..6], [2, 5000, 6000, 3, 5001, 4]);
        assert_eq!((order.len(), turns.len(), turns.is_empty()), (1001, 0, true));
    }

    #[test]
    fn what_has_begun_goes_first_within_its_account_alone() {
        let mut turns = Turns::default();
        for (key, item, begun) in [('a', 1, false), ('a', 2, true), ('a', 3, true), ('b', 4, false), ('b', 5, false)] {
            turns.push(key, item, begun);
        }
        assert_eq!(drained(&mut turns), [2, 4, 3, 5, 1]);
    }

    #[test]
    fn who_may_not_is_passed_over_and_keeps_its_place() {
        let mut turns = Turns::default();
        for (key, item) in [('a', 1), ('a', 2), ('b', 3), ('c', 4)] {
            turns.push(key, item, false);
        }
        assert!(turns.any(|key| *key == 'c') && !turns.any(|key| *key == 'd'));
        assert_eq!(turns.pop_where(|key| *key != 'a'), Some(('b', 3)));
        assert_eq!(turns.pop_where(|key| *key == 'd'), None);
        assert_eq!(drained(&mut turns), [1, 4, 2]);
    }

    #[test]
    fn what_waits_no_more_is_taken_out() {
        let mut turns = Turns::default();
        for (key, item, begun) in [('a', 1, false), ('a', 2, true), ('a', 9, false), ('b', 3, true), ('c', 4, false)] {
            turns.push(key, item, begun);
        }
        let mut fronts: Vec<_> = turns.fronts().copied().collect();
        fronts.sort_unstable();
        assert_eq!(fronts, [1, 2, 3, 4]);
        let mut gone = turns.expire(false, |item| *item < 9);
        gone.sort_unstable();
        assert_eq!((gone, turns.len()), (vec![1, 4], 3));
        assert_eq!(turns.extract(&'a', |item| *item == 9), [9]);
        assert_eq!(turns.extract(&'x', |_| true), [0; 0]);
        let mut left = turns.drain();
        left.sort_unstable();
        assert_eq!((left, turns.len(), turns.next()), (vec![2, 3], 0, None));
    }

    #[test]
    fn something_is_left_for_the_next() {
        for accounts in 1..20 {
            let (mut free, mut held) = (100, vec![0; accounts]);
            loop {
                let mut taken = 0;
                for held in &mut held {
                    if fits(*held, free) {
                        (*held, free, taken) = (*held + 1, free - 1, taken + 1);
                    }
                }
                if taken == 0 {
                    break;
                }
            }
            assert!(free > 0 && held.iter().all(|held| *held > 0), "{accounts}: {held:?}, {free} are free");
        }
        // one that takes all it gets
        let (mut held, mut free) = (0, 3);
        while fits(held, free) {
            (held, free) = (held + 1, free - 1);
        }
        assert_eq!((held, free), (2, 1));
        assert!(fits(0, 1) && !fits(0, 0));
    }
}
