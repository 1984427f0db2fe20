//! When a letter is tried again.

use gyre_model::Uuid;

const SECOND: i64 = 1_000_000;
/// The wait after the first failure.
const FIRST: i64 = 5 * SECOND;
/// The longest wait.
const LONGEST: i64 = 3600 * SECOND;

/// When to try again after this many failures; nothing where that would be after `until`. All times in microseconds. Up to a tenth is
/// added, by the letter's name: what failed together does not come back together.
pub fn next(name: Uuid, failures: i64, until: i64, now: i64) -> Option<i64> {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0).min(20);
    let wait = (FIRST << doublings).min(LONGEST);
    let share = i64::from(name.as_bytes()[15]) * wait / 2560;
    let next = now + wait + share;
    (next <= until).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * SECOND;

    #[test]
    fn waits_double_up_to_an_hour_for_a_day() {
        let (uuid, mut now, mut waits) = (Uuid::nil(), 0, Vec::new());
        while let Some(next) = next(uuid, i64::try_from(waits.len()).unwrap() + 1, DAY, now) {
            waits.push((next - now) / SECOND);
            now = next;
        }
        assert_eq!(waits[..11], [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
        assert!(waits[11..].iter().all(|wait| *wait == 3600));
        assert!((DAY - LONGEST..=DAY).contains(&now), "{now}");
        let late = next(Uuid::from_bytes([255; 16]), 1, DAY, 0).unwrap();
        assert!((FIRST..FIRST * 11 / 10).contains(&late), "{late}");
        assert_eq!(next(uuid, 1, DAY, DAY), None);
        assert!(next(uuid, i64::MAX, DAY, 0).is_some());
    }
}
