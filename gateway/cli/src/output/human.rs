//! Values as people read them.

use chrono::{DateTime, Local, Utc};

/// A size: "4 GiB", "1.5 GiB", "512 B".
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut scale = 1u64;
    while unit < 6 && bytes / scale >= 1024 {
        unit += 1;
        scale <<= 10;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    if tenths % 10 == 0 || tenths >= 1000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A point in time on the clock of this machine: "2026-11-22 08:47:48 +01:00".
pub fn local_time(seconds: i64, nanos: i32) -> String {
    DateTime::<Utc>::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0)).map_or_else(
        || format!("{seconds} s"),
        |time| time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string(),
    )
}

/// How long ago, or how far ahead: "12s ago", "3h ago", "in 14m".
pub fn relative_time(seconds: i64, now: i64) -> String {
    let distance = (now - seconds).unsigned_abs();
    let text = match distance {
        0..=119 => format!("{distance}s"),
        120..=7_199 => format!("{}m", distance / 60),
        7_200..=172_799 => format!("{}h", distance / 3_600),
        _ => format!("{}d", distance / 86_400),
    };
    if seconds > now { format!("in {text}") } else { format!("{text} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (4 << 30, "4 GiB"),
            (3 << 29, "1.5 GiB"),
            ((512 << 20) + (300 << 10), "512 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn times_are_distances() {
        assert_eq!(relative_time(100, 112), "12s ago");
        assert_eq!(relative_time(0, 7_300), "2h ago");
        assert_eq!(relative_time(840, 0), "in 14m");
    }
}
