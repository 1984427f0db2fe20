//! Guessing passwords is made slow: a failed sign-in takes a coin from three purses, and an empty purse refuses further tries
//! until it has filled up again.
//!
//! - one for the account and the address together (as many as the configuration says, a minute),
//! - one for the address (three times as many), against trying many accounts,
//! - one for the account (ten times as many), against trying from many addresses; so high that nobody is easily locked out.
//!
//! The coin is taken before the password is checked, so that tries side by side count, and given back when it was right.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Most purses that are kept; full ones are forgotten first.
const MOST: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Purse {
    coins: f64,
    size: f64,
    since: Instant,
}

impl Purse {
    /// The coins in it by now: it fills up within a minute.
    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        self.coins = (self.coins + seconds * self.size / 60.0).min(self.size);
        self.since = now;
    }
}

/// Counts failed sign-ins.
#[derive(Debug)]
pub struct Throttle {
    size: f64,
    hasher: RandomState,
    purses: Mutex<HashMap<u64, Purse>>,
}

/// A sign-in that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    purses: [(u64, f64); 3],
}

impl Throttle {
    /// Allows this many failures a minute for one account from one address.
    pub fn new(failures: u32) -> Self {
        Self { size: f64::from(failures.max(1)), hasher: RandomState::new(), purses: Mutex::default() }
    }

    /// Begins a sign-in, or says how long to wait with it.
    pub fn begin(&self, address: IpAddr, account: &str, now: Instant) -> Result<Attempt, Duration> {
        let address = network_of(address);
        let attempt = Attempt {
            purses: [
                (self.hasher.hash_one((address, account)), self.size),
                (self.hasher.hash_one(address), 3.0 * self.size),
                (self.hasher.hash_one(account), 10.0 * self.size),
            ],
        };
        let mut purses = self.purses.lock();
        if purses.len() + 3 > MOST {
            purses.retain(|_, purse| {
                purse.fill(now);
                purse.coins < purse.size
            });
            if purses.len() + 3 > MOST {
                purses.clear();
            }
        }
        let mut wait = 0.0f64;
        for (key, size) in attempt.purses {
            let purse = purses.entry(key).or_insert(Purse { coins: size, size, since: now });
            purse.fill(now);
            wait = wait.max((1.0 - purse.coins) * 60.0 / size);
        }
        if wait > 0.0 {
            return Err(Duration::from_secs_f64(wait.ceil()));
        }
        for (key, _) in attempt.purses {
            if let Some(purse) = purses.get_mut(&key) {
                purse.coins -= 1.0;
            }
        }
        Ok(attempt)
    }

    /// Gives the coins of a sign-in back: the password was right, or could not be checked.
    pub fn forgive(&self, attempt: Attempt) {
        let mut purses = self.purses.lock();
        for (key, size) in attempt.purses {
            if let Some(purse) = purses.get_mut(&key) {
                purse.coins = (purse.coins + 1.0).min(size);
            }
        }
    }
}

/// An address as one caller has it: of IPv6 the network of 64 bits, since one caller has all of it.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6((u128::from(six) & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn failures_run_out_and_come_back() {
        let throttle = Throttle::new(10);
        let now = Instant::now();
        for _ in 0..10 {
            throttle.begin(HERE, "admin", now).unwrap();
        }
        assert_eq!(throttle.begin(HERE, "admin", now).unwrap_err(), Duration::from_secs(6));
        assert!(throttle.begin(HERE, "other", now).is_ok());
        assert!(throttle.begin("10.0.0.1".parse().unwrap(), "admin", now).is_ok());
        let later = now + Duration::from_secs(6);
        assert!(throttle.begin(HERE, "admin", later).is_ok());
        assert!(throttle.begin(HERE, "admin", later).is_err());
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let throttle = Throttle::new(10);
        let now = Instant::now();
        for _ in 0..1000 {
            let attempt = throttle.begin(HERE, "admin", now).unwrap();
            throttle.forgive(attempt);
        }
    }

    #[test]
    fn many_accounts_from_one_address_run_out_too() {
        let throttle = Throttle::new(10);
        let now = Instant::now();
        let tried = (0..100).filter(|account| throttle.begin(HERE, &account.to_string(), now).is_ok()).count();
        assert_eq!(tried, 30);
        let near: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(network_of(near), network_of("2001:db8::ffff".parse().unwrap()));
        assert_ne!(network_of(near), network_of("2001:db8:1::1".parse().unwrap()));
    }
}
