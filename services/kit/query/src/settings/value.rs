//! Values of settings as people write them, and their bounds.

use std::time::Duration;

use gyre_model::catalog::{SettingRule, SettingType};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A size in bytes.
    Bytes(i64),
    /// A length of time.
    Duration(Duration),
    /// A text, or one of some words.
    Text(String),
}

/// Units of sizes.
const SIZES: [(&str, i64); 11] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];

/// Units of time, in milliseconds.
const TIMES: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

fn bytes(text: &str) -> Option<i64> {
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(*factor)
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor).map(Duration::from_millis)
}

impl Value {
    /// Reads a value of this type, without a look at bounds.
    fn parse(ty: SettingType, text: &str) -> Result<Self, &'static str> {
        match ty {
            SettingType::Bool => match text {
                "true" => Ok(Self::Bool(true)),
                "false" => Ok(Self::Bool(false)),
                _ => Err("must be true or false"),
            },
            SettingType::Int => text.parse().map(Self::Int).map_err(|_| "must be a whole number"),
            SettingType::Bytes => bytes(text).map(Self::Bytes).ok_or("must be a size such as 4GiB, 512MiB or 1048576"),
            SettingType::Duration => {
                duration(text).map(Self::Duration).ok_or("must be a time such as 250ms, 30s, 5m, 12h or 90d")
            }
            SettingType::Text | SettingType::Enum | SettingType::Unspecified => Ok(Self::Text(text.to_owned())),
        }
    }

    /// Reads a value of a setting.
    ///
    /// # Errors
    /// What it must be, with its bounds, for people.
    pub fn read(rule: &SettingRule, text: &str) -> Result<Self, String> {
        let value = Self::parse(rule.r#type(), text).map_err(|fault| format!("{fault}{}", bounds(rule)))?;
        if rule.r#type() == SettingType::Enum && !rule.values.iter().any(|known| known == text) {
            return Err(format!("must be one of {}", rule.values.join(", ")));
        }
        if let Self::Text(text) = &value
            && text.chars().any(char::is_control)
        {
            return Err("must not contain control characters".to_owned());
        }
        let size = |text: &str| Self::parse(rule.r#type(), text).ok().and_then(|bound| bound.size());
        let low = size(&rule.min).is_some_and(|min| value.size() < Some(min));
        let high = size(&rule.max).is_some_and(|max| value.size() > Some(max));
        if low || high { Err(format!("must be{}", bounds(rule))) } else { Ok(value) }
    }

    /// What bounds are compared by: of texts their length.
    fn size(&self) -> Option<i128> {
        Some(match self {
            Self::Bool(_) | Self::Text(_) => return None,
            Self::Int(number) | Self::Bytes(number) => i128::from(*number),
            Self::Duration(time) => i128::try_from(time.as_millis()).unwrap_or(i128::MAX),
        })
    }

    /// As people write it, in one form.
    pub fn print(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Bytes(0) => "0".to_owned(),
            Self::Bytes(number) => {
                let units = [("TiB", 1_i64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
                let unit = units.iter().find(|(_, factor)| number % factor == 0);
                unit.map_or(number.to_string(), |(name, factor)| format!("{}{name}", number / factor))
            }
            Self::Duration(time) => print_duration(*time),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A length of time in the largest unit of which it is a whole number.
pub fn print_duration(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.iter().find(|(_, factor)| millis > 0 && millis % factor == 0) {
        Some((name, factor)) => format!("{}{name}", millis / factor),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

fn bounds(rule: &SettingRule) -> String {
    match (rule.min.as_str(), rule.max.as_str()) {
        ("", "") => String::new(),
        (min, "") => format!(" at least {min}"),
        ("", max) => format!(" at most {max}"),
        (min, max) => format!(" between {min} and {max}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(ty: SettingType, min: &str, max: &str) -> SettingRule {
        SettingRule { r#type: ty.into(), min: min.into(), max: max.into(), ..SettingRule::default() }
    }

    #[test]
    fn values_are_read_and_printed_in_one_form() {
        for (ty, text, printed) in [
            (SettingType::Bool, "true", "true"),
            (SettingType::Int, "-7", "-7"),
            (SettingType::Bytes, "4GiB", "4GiB"),
            (SettingType::Bytes, "4096mib", "4GiB"),
            (SettingType::Bytes, "1000", "1000"),
            (SettingType::Bytes, "0", "0"),
            (SettingType::Duration, "90s", "90s"),
            (SettingType::Duration, "120s", "2m"),
            (SettingType::Duration, "48h", "2d"),
            (SettingType::Duration, "1500ms", "1500ms"),
            (SettingType::Duration, "0s", "0s"),
            (SettingType::Text, "any thing", "any thing"),
        ] {
            assert_eq!(Value::read(&rule(ty, "", ""), text).unwrap().print(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_bounds() {
        for (ty, min, max, text, told) in [
            (SettingType::Bool, "", "", "yes", "must be true or false"),
            (SettingType::Int, "1", "64", "65", "must be between 1 and 64"),
            (SettingType::Int, "1", "", "none", "must be a whole number at least 1"),
            (SettingType::Bytes, "", "1TiB", "2TiB", "must be at most 1TiB"),
            (SettingType::Bytes, "", "", "-1", "must be a size such as 4GiB, 512MiB or 1048576"),
            (SettingType::Bytes, "", "", "99999999PiB", "must be a size such as 4GiB, 512MiB or 1048576"),
            (SettingType::Duration, "1s", "1h", "90m", "must be between 1s and 1h"),
            (SettingType::Duration, "", "", "30", "must be a time such as 250ms, 30s, 5m, 12h or 90d"),
            (SettingType::Text, "", "", "a\u{7}", "must not contain control characters"),
        ] {
            assert_eq!(Value::read(&rule(ty, min, max), text).unwrap_err(), told);
        }
        let words = SettingRule { values: vec!["a".into(), "b".into()], ..rule(SettingType::Enum, "", "") };
        assert_eq!(Value::read(&words, "c").unwrap_err(), "must be one of a, b");
        assert_eq!(Value::read(&words, "b").unwrap(), Value::Text("b".into()));
    }
}
