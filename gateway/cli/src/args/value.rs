//! What people write for a value: sizes, times, durations, names of enum values. Bounds and forms are the API's rules, checked on
//! the whole request before it is sent; here only what a whole request no longer shows is refused, such as a zero that was given.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gyre_model::catalog::{FieldInfo, FieldType, catalog};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

/// A value as it was given.
#[derive(Debug, Clone)]
pub enum Given {
    /// What it is on the wire.
    Value(Value),
    /// A resource of this kind, by UUID or name.
    Reference(&'static str, String),
    /// An entry of a map.
    Entry(String, String),
    /// Nothing: an empty list.
    Nothing,
}

/// Reads a value of a field, which may name a resource of a kind.
///
/// # Errors
/// What it must be.
pub fn parse(
    field: &'static FieldInfo,
    descriptor: &FieldDescriptor,
    refers_to: &'static str,
    text: &str,
) -> Result<Given, String> {
    if field.repeated && text.is_empty() {
        return Ok(Given::Nothing);
    }
    if !refers_to.is_empty() {
        return Ok(Given::Reference(refers_to, text.to_owned()));
    }
    let value = match field.ty {
        FieldType::Text => Value::String(text.to_owned()),
        FieldType::Bool => Value::Bool(boolean(text)?),
        FieldType::Int | FieldType::Uint => integer(field, descriptor, text)?,
        FieldType::Float => {
            let number: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
            if descriptor.kind() == Kind::Float { Value::F32(number as f32) } else { Value::F64(number) }
        }
        FieldType::Bytes => Value::Bytes(match text.strip_prefix('@') {
            Some(path) => std::fs::read(path).map_err(|error| format!("{path}: {error}"))?.into(),
            None => text.to_owned().into_bytes().into(),
        }),
        FieldType::Enum(_) => {
            let number = field.value_number(&text.replace('-', "_")).ok_or("unknown value")?;
            Value::EnumNumber(number)
        }
        FieldType::Time => pair("google.protobuf.Timestamp", time(text)?)?,
        FieldType::Duration => {
            let duration = duration(text)?;
            let seconds = i64::try_from(duration.as_secs()).map_err(|_| "is too long".to_owned())?;
            pair("google.protobuf.Duration", (seconds, i32::try_from(duration.subsec_nanos()).unwrap_or(0)))?
        }
        FieldType::Message(_) => {
            let kind = descriptor.kind();
            let message = kind.as_message().ok_or("cannot be given here")?;
            let mut json = serde_json::Deserializer::from_str(text);
            Value::Message(DynamicMessage::deserialize(message.clone(), &mut json).map_err(|error| error.to_string())?)
        }
        FieldType::Map => {
            let (key, value) = text.split_once('=').ok_or("must look like key=value")?;
            return Ok(Given::Entry(key.to_owned(), value.to_owned()));
        }
    };
    Ok(Given::Value(value))
}

/// A text as it stands, which may begin with a hyphen; but not one that looks like a flag whose own value was forgotten.
///
/// # Errors
/// What to do about it.
pub fn loose(text: &str) -> Result<String, String> {
    match text.strip_prefix("--").and_then(|rest| rest.chars().next()) {
        Some(letter) if letter.is_ascii_alphabetic() => {
            Err("looks like a flag, and a value is missing before it; a text that begins so can be given with -f"
                .to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn integer(field: &FieldInfo, descriptor: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let bytes = field.name.ends_with("_bytes");
    let number: i64 = if bytes {
        i64::try_from(size(text)?).map_err(|_| "is too large".to_owned())?
    } else {
        text.parse().map_err(|_| "must be a whole number".to_owned())?
    };
    let shown = |number: i64| match u64::try_from(number) {
        Ok(size) if bytes => crate::output::human_size(size).replace(' ', ""),
        _ => number.to_string(),
    };
    match (field.rule.min, field.rule.max) {
        (Some(min), Some(max)) if !(min..=max).contains(&number) => {
            return Err(format!("must be between {} and {}", shown(min), shown(max)));
        }
        (Some(min), None) if number < min => return Err(format!("must be at least {}", shown(min))),
        (None, Some(max)) if number > max => return Err(format!("must be at most {}", shown(max))),
        _ => {}
    }
    let wide = || "does not fit the field".to_owned();
    Ok(match descriptor.kind() {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(i32::try_from(number).map_err(|_| wide())?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::try_from(number).map_err(|_| wide())?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::try_from(number).map_err(|_| wide())?),
        _ => Value::I64(number),
    })
}

/// Reads a size: plain bytes, or with a unit. KiB, MiB, GiB, TiB (or K, M, G, T) count by 1024; KB, MB, GB, TB by 1000.
///
/// # Errors
/// What it must look like.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "must be a size such as 4GiB, 512MiB or 1048576".to_owned();
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 9 || (unit == 1 && number.contains('.')) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let bytes = whole.checked_mul(unit).ok_or("is too large")?;
    if part.is_empty() {
        return if number.ends_with('.') { Err(wrong()) } else { Ok(bytes) };
    }
    let parts: u64 = part.parse().map_err(|_| wrong())?;
    let scale = 10u128.pow(u32::try_from(part.len()).unwrap_or(9));
    let more = u64::try_from(u128::from(parts) * u128::from(unit) / scale).map_err(|_| wrong())?;
    bytes.checked_add(more).ok_or_else(|| "is too large".to_owned())
}

/// Reads a duration: "250ms", "30s", "5m", "12h", "90d", or plain seconds.
///
/// # Errors
/// What it must look like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a duration such as 250ms, 30s, 5m, 12h or 90d".to_owned();
    // JSON has durations as seconds with a fraction.
    if let Some(seconds) = text.strip_suffix('s').filter(|seconds| seconds.contains('.')) {
        let plain = seconds.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        let seconds: f64 = seconds.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "is too long".to_owned())
}

fn time(text: &str) -> Result<(i64, i32), String> {
    let wrong = || "must be a time such as 2026-12-31T23:59:59Z, or from now: +90d".to_owned();
    let time = match text.strip_prefix('+') {
        Some(later) => {
            let later = chrono::Duration::from_std(duration(later)?).map_err(|_| wrong())?;
            Utc::now().checked_add_signed(later).ok_or_else(wrong)?
        }
        None => DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?.with_timezone(&Utc),
    };
    Ok((time.timestamp(), i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0)))
}

/// A message of seconds and nanoseconds.
fn pair(name: &str, (seconds, nanos): (i64, i32)) -> Result<Value, String> {
    let descriptor = catalog().pool().get_message_by_name(name).ok_or("cannot be given here")?;
    let mut message = DynamicMessage::new(descriptor);
    message.set_field_by_number(1, Value::I64(seconds));
    message.set_field_by_number(2, Value::I32(nanos));
    Ok(Value::Message(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("4GiB", 4 << 30),
            ("512MiB", 512 << 20),
            ("1.5G", 3 << 29),
            ("2 TiB", 2 << 40),
            ("10kb", 10_000),
            ("64K", 65_536),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "4XB", "1.5", "-1", "1.", "4 4", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "s", "1.5h", "5 m", "99999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_points_or_distances() {
        assert_eq!(time("2026-01-01T00:00:00.5Z"), Ok((1_767_225_600, 500_000_000)));
        assert!(time("+1h").unwrap().0 > Utc::now().timestamp() + 3500);
        assert!(time("tomorrow").is_err());
    }
}
