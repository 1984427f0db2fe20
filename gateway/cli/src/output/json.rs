//! JSON and YAML of what is answered. Whole numbers are written without a fraction also where a field holds any JSON (the images of
//! a resource in the log of changes), whose numbers come as floating point.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::failure::{Failure, Result};

/// The largest whole number up to which a double has all of them.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= LARGEST_WHOLE).then_some(value as i64)
}

/// As another writes it, but for whole numbers.
struct Whole<F>(F);

macro_rules! same {
    ($($name:ident($($argument:ident: $ty:ty),*);)*) => {
        $(fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: $ty)*) -> io::Result<()> {
            self.0.$name(writer $(, $argument)*)
        })*
    };
}

impl<F: Formatter> Formatter for Whole<F> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        match whole(value) {
            Some(number) => self.0.write_i64(writer, number),
            None => self.0.write_f64(writer, value),
        }
    }

    same! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }
}

fn written(value: &impl Serialize, formatter: impl Formatter) -> Result<String> {
    let mut text = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut text, Whole(formatter)))
        .map_err(|error| Failure::general(error.to_string()))?;
    String::from_utf8(text).map_err(|error| Failure::general(error.to_string()))
}

/// JSON for people, over several lines.
///
/// # Errors
/// What has no form in JSON.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    written(value, PrettyFormatter::new())
}

/// JSON on one line.
///
/// # Errors
/// What has no form in JSON.
pub fn line(value: &impl Serialize) -> Result<String> {
    written(value, CompactFormatter)
}

/// YAML.
///
/// # Errors
/// What has no form in YAML.
pub fn yaml(value: &impl Serialize) -> Result<String> {
    fn with_whole_numbers(value: &mut serde_yaml_ng::Value) {
        use serde_yaml_ng::Value;
        match value {
            Value::Number(number) => {
                if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
                    *number = whole.into();
                }
            }
            Value::Sequence(all) => all.iter_mut().for_each(with_whole_numbers),
            Value::Mapping(all) => all.values_mut().for_each(with_whole_numbers),
            _ => {}
        }
    }
    let said = |error: serde_yaml_ng::Error| Failure::general(error.to_string());
    let mut value = serde_yaml_ng::to_value(value).map_err(said)?;
    with_whole_numbers(&mut value);
    serde_yaml_ng::to_string(&value).map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_no_fraction() {
        let value = serde_json::json!({"a": [1.0, -2.0, 2.5, 3], "b": {"c": 1e300, "d": "1.0"}});
        assert_eq!(line(&value).unwrap(), r#"{"a":[1,-2,2.5,3],"b":{"c":1e+300,"d":"1.0"}}"#);
        let pretty = pretty(&value).unwrap();
        assert!(pretty.starts_with("{\n  \"a\": [\n    1,\n"), "{pretty}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap()["a"][2], 2.5);
        let yaml = yaml(&value).unwrap();
        assert!(yaml.starts_with("a:\n- 1\n- -2\n- 2.5\n- 3\n"), "{yaml}");
    }
}
