//! Values as people write them: `4GiB`, `true`, `RUNNING`, a UUID, `2026-01-31`, `now-2h`.

use chrono::{NaiveDate, NaiveDateTime};
use gyre_model::catalog::FieldInfo;
use gyre_model::{Result, parse_uuid, time};
use gyre_store::{Type, Value};

use super::parse::Given;
use super::wrong;

const SECOND: i64 = 1_000_000;
/// The years 1 to 9999, in microseconds since 1970: both databases know them.
const FIRST: i64 = -62_135_596_800 * SECOND;
const LAST: i64 = 253_402_300_800 * SECOND - 1;

/// What a field is compared with, of the field's type.
pub(crate) fn literal(field: &FieldInfo, ty: Type, whole_names: bool, given: &Given, now: i64) -> Result<Value> {
    let text = given.text.text.as_str();
    let expected = |what: &str| wrong(given.at, format_args!("{} is {what}, got {text:?}", field.name));
    match ty {
        Type::Bool if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Type::Bool if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        Type::Bool => Err(expected("true or false")),
        Type::Int => number(text).map(Value::Int).ok_or_else(|| expected("a whole number or a size such as 4GiB")),
        Type::Float => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Value::Float)
            .ok_or_else(|| expected("a number")),
        Type::Id => parse_uuid(text).map(Value::from).ok_or_else(|| expected("a UUID")),
        Type::Time => point(text, now)
            .map(Value::time)
            .ok_or_else(|| expected("a time such as 2026-01-31T12:00:00Z, 2026-01-31 or -7d")),
        Type::Text if field.values.is_empty() => Ok(Value::from(text)),
        Type::Text => {
            let number = field.value_number(text);
            let known = number.and_then(|number| field.values.iter().find(|(known, ..)| *known == number));
            known.map(|(_, whole, short)| Value::from(if whole_names { *whole } else { *short })).ok_or_else(|| {
                let names: Vec<_> = field.values.iter().skip(1).map(|(.., short)| *short).collect();
                expected(&format!("one of {}", names.join(", ")))
            })
        }
        Type::Bytes | Type::Json => Err(expected("not to be compared")),
    }
}

/// A whole number, with a unit of bytes where one follows, in either case and with or without a blank: 4GiB, 1.5G, 10 mb.
pub(crate) fn number(text: &str) -> Option<i64> {
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(digits);
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "p" | "pib" => 1 << 50,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "pb" => 1_000_000_000_000_000,
        _ => return None,
    };
    let amount = if unit.is_empty() { amount } else { amount.strip_suffix(' ').unwrap_or(amount) };
    match amount.split_once('.') {
        None => amount.parse::<i64>().ok()?.checked_mul(factor),
        Some((whole, part)) if factor > 1 && (1..=9).contains(&part.len()) => {
            let digits = |text: &str| text.bytes().all(|letter| letter.is_ascii_digit());
            let (whole_number, scale) = (whole.parse::<u32>().ok()?, 10_i128.pow(u32::try_from(part.len()).ok()?));
            let part_number = part.parse::<u32>().ok().filter(|_| digits(whole) && digits(part))?;
            let scaled = i128::from(whole_number) * scale + i128::from(part_number);
            i64::try_from(scaled.checked_mul(i128::from(factor))? / scale).ok()
        }
        Some(_) => None,
    }
}

/// A point in time, in microseconds since 1970: RFC 3339, a date, a date and a time of day (both UTC), or relative to now.
pub(crate) fn point(text: &str, now: i64) -> Option<i64> {
    let micros = relative(text, now).or_else(|| time::parse(text)).or_else(|| {
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let moment = |text: &str, form: &str| NaiveDateTime::parse_from_str(text, form).ok();
        let moment = match text.len() {
            10 => day(text),
            16 => moment(&text.replacen('T', " ", 1), "%Y-%m-%d %H:%M"),
            19.. => moment(&text.replacen('T', " ", 1), "%Y-%m-%d %H:%M:%S%.f"),
            _ => None,
        };
        Some(moment?.and_utc().timestamp_micros())
    });
    micros.filter(bounded)
}

/// Whether both databases know this point in time.
pub(crate) fn bounded(micros: &i64) -> bool {
    (FIRST..=LAST).contains(micros)
}

/// `now`, `now-1h`, `now+30m`, `-7d`.
fn relative(text: &str, now: i64) -> Option<i64> {
    let offset = match text.strip_prefix("now") {
        Some("") => return Some(now),
        Some(offset) => offset,
        None => text,
    };
    let sign = match offset.as_bytes().first()? {
        b'-' => -1,
        b'+' => 1,
        _ => return None,
    };
    let (amount, unit) = offset.get(1..)?.split_at_checked(offset.len().checked_sub(2)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let amount = i64::from(amount.parse::<u32>().ok()?);
    now.checked_add(sign * amount.checked_mul(seconds * SECOND)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("4GiB", Some(4 << 30)),
            ("1.5GiB", Some(3 << 29)),
            ("10MB", Some(10_000_000)),
            ("1.5", None),
            ("-1.5G", None),
            ("4 GiB", Some(4 << 30)),
            ("256 mib", Some(256 << 20)),
            ("4  GiB", None),
            ("4 ", None),
            ("4GB!", None),
            ("9000000P", None),
            ("", None),
            ("1.", None),
            ("1.+5G", None),
        ] {
            assert_eq!(number(text), bytes, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = 1_767_225_600 * SECOND;
        for (text, seconds) in [
            ("2026-01-01T00:00:00Z", Some(0)),
            ("2026-01-01T01:00:00+01:00", Some(0)),
            ("2026-01-01", Some(0)),
            ("2026-01-01 00:01", Some(60)),
            ("2026-01-01T00:01", Some(60)),
            ("2026-01-01 00:00:07.5", Some(7)),
            ("now", Some(0)),
            ("now-1h", Some(-3_600)),
            ("now+2m", Some(120)),
            ("-7d", Some(-604_800)),
            ("7d", None),
            ("-d", None),
            ("-4000000000w", None),
            ("2026-13-01", None),
            ("yesterday", None),
            ("-", None),
            ("-é", None),
        ] {
            assert_eq!(point(text, now).map(|micros| (micros - now) / SECOND), seconds, "{text}");
        }
        assert_eq!(point("0000-01-01T00:00:00Z", now), None);
    }
}
