//! The order in a lane: first come, first served, users before Gyre's own housekeeping, which is never passed over for ever.
//! A pure structure, so that a simulation can drive it.

use std::collections::VecDeque;

/// How many users may go before housekeeping that waits.
pub const PASSES: u32 = 8;

/// On whose behalf something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody asked for it.
    User,
    /// Gyre itself wants it: a reconciler, a clean-up.
    Housekeeping,
}

/// What waits in one lane.
#[derive(Debug, Clone)]
pub struct Queue<T> {
    users: VecDeque<T>,
    housekeeping: VecDeque<T>,
    passed: u32,
    /// Nothing else is next until it is known whether its turn has come.
    kept: Option<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { users: VecDeque::new(), housekeeping: VecDeque::new(), passed: 0, kept: None }
    }
}

impl<T: PartialEq + Clone> Queue<T> {
    /// Puts something at the end of its class.
    pub fn push(&mut self, item: T, class: Class) {
        match class {
            Class::User => self.users.push_back(item),
            Class::Housekeeping => self.housekeeping.push_back(item),
        }
    }

    /// Whose turn is next. Somebody who comes meanwhile may change it, until [`Queue::remove`].
    pub fn next(&self) -> Option<&T> {
        if self.kept.is_some() {
            return self.kept.as_ref();
        }
        match (self.users.front(), self.housekeeping.front()) {
            (Some(_), Some(waiting)) if self.passed >= PASSES => Some(waiting),
            (Some(user), _) => Some(user),
            (None, waiting) => waiting,
        }
    }

    /// Its turn was asked for, and the answer was lost: it may hold by now what the others wait for, so they must not go before it.
    pub fn keep(&mut self, item: &T) {
        if self.users.contains(item) || self.housekeeping.contains(item) {
            self.kept = Some(item.clone());
        }
    }

    /// Whatever turn was asked for has not come.
    pub fn release(&mut self) {
        self.kept = None;
    }

    /// Takes something out: its turn has come, or it waits no more. Answers whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        if self.kept.as_ref() == Some(item) {
            self.kept = None;
        }
        if let Some(at) = self.users.iter().position(|waiting| waiting == item) {
            self.users.remove(at);
            if !self.housekeeping.is_empty() {
                self.passed += 1;
            }
            return true;
        }
        let Some(at) = self.housekeeping.iter().position(|waiting| waiting == item) else { return false };
        self.housekeeping.remove(at);
        self.passed = 0;
        true
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.users.len() + self.housekeeping.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue<u32>) -> Vec<u32> {
        let mut order = Vec::new();
        while let Some(next) = queue.next().copied() {
            queue.remove(&next);
            order.push(next);
        }
        order
    }

    #[test]
    fn users_go_first_and_housekeeping_is_not_forgotten() {
        let mut queue = Queue::default();
        queue.push(100, Class::Housekeeping);
        queue.push(101, Class::Housekeeping);
        for user in 0..20 {
            queue.push(user, Class::User);
        }
        let order = drain(&mut queue);
        assert_eq!(order[..9], [0, 1, 2, 3, 4, 5, 6, 7, 100]);
        assert_eq!(order[17], 101);
        assert_eq!(order.len(), 22);
    }

    #[test]
    fn nobody_goes_before_one_whose_turn_may_have_come() {
        let mut queue = Queue::default();
        queue.push(100, Class::Housekeeping);
        queue.keep(&100);
        queue.push(1, Class::User);
        assert_eq!(queue.next(), Some(&100));
        queue.release();
        assert_eq!(queue.next(), Some(&1));
        queue.keep(&1);
        queue.remove(&1);
        queue.keep(&1);
        assert_eq!(drain(&mut queue), [100]);
    }

    #[test]
    fn what_waits_no_more_is_passed_over() {
        let mut queue = Queue::default();
        queue.push(1, Class::User);
        queue.push(2, Class::User);
        assert!(queue.remove(&1) && !queue.remove(&1));
        assert_eq!(drain(&mut queue), [2]);
        assert!(queue.is_empty());
    }
}
