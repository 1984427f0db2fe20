//! From the text of a path segment or a query parameter to wire bytes: how one field is written is planned at start, so that a
//! call costs a look-up and an append.
//!
//! Forms are those of proto3 JSON without the quotes: 64-bit numbers as digits, bytes as base64, times as RFC 3339, durations
//! as "1.5s", masks as "name,hostUuid", enums by full or short name or by number.

use base64::Engine as _;
use bytes::{BufMut, BytesMut};
use chrono::DateTime;
use gyre_model::catalog::{FieldInfo, FieldType, catalog};
use gyre_model::wire;
use gyre_proto::{FieldMask, Message as _};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How the text of a field is read and written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    Enum(&'static FieldInfo),
    Time,
    Duration,
    Mask,
}

/// A field that texts are written to.
#[derive(Debug)]
pub struct Target {
    /// The field numbers to it.
    pub numbers: Vec<u32>,
    /// Its path as the .proto has it: "vm.host_uuid".
    pub path: String,
    /// Whether it takes more than one value.
    pub repeated: bool,
    form: Form,
}

impl Target {
    /// The field at a path of a message. The error tells why texts cannot be written there.
    pub fn plan(message: &MessageDescriptor, path: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        let mut message = message.clone();
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let field = message
                .get_field_by_name(name)
                .ok_or_else(|| format!("{} has no field {name}", message.full_name()))?;
            numbers.push(field.number());
            if names.peek().is_none() {
                let form = form(&field).ok_or_else(|| format!("{path} cannot be written as text"))?;
                return Ok(Self { numbers, path: path.to_owned(), repeated: field.is_list(), form });
            }
            match field.kind() {
                Kind::Message(inner) if !field.is_list() && !field.is_map() => message = inner,
                _ => return Err(format!("{name} of {path} is no message")),
            }
        }
        Err("an empty path".to_owned())
    }

    /// Whether it is a mask of fields.
    pub fn is_mask(&self) -> bool {
        matches!(self.form, Form::Mask)
    }

    /// Whether it is the field of these numbers, or inside of it.
    pub fn is_within(&self, numbers: &[u32]) -> bool {
        self.numbers.starts_with(numbers)
    }

    /// Appends a value, leaving away the first `skip` levels of messages. The error tells what the value must be.
    pub fn put(&self, out: &mut BytesMut, text: &str, skip: usize) -> Result<(), String> {
        let Some((last, parents)) = self.numbers.get(skip..).and_then(|numbers| numbers.split_last()) else {
            return Ok(());
        };
        if parents.is_empty() {
            return self.form.put(out, *last, text);
        }
        let mut value = BytesMut::with_capacity(text.len() + 8 * self.numbers.len());
        self.form.put(&mut value, *last, text)?;
        for number in parents.iter().rev() {
            let inner = value.split();
            wire::put_bytes(&mut value, *number, &inner);
        }
        out.put_slice(&value);
        Ok(())
    }
}

fn form(field: &FieldDescriptor) -> Option<Form> {
    if field.is_map() {
        return None;
    }
    Some(match field.kind() {
        Kind::Bool => Form::Bool,
        Kind::Int32 => Form::Int32,
        Kind::Int64 => Form::Int64,
        Kind::Uint32 => Form::Uint32,
        Kind::Uint64 => Form::Uint64,
        Kind::Sint32 => Form::Sint32,
        Kind::Sint64 => Form::Sint64,
        Kind::Fixed32 => Form::Fixed32,
        Kind::Fixed64 => Form::Fixed64,
        Kind::Sfixed32 => Form::Sfixed32,
        Kind::Sfixed64 => Form::Sfixed64,
        Kind::Float => Form::Float,
        Kind::Double => Form::Double,
        Kind::String => Form::Text,
        Kind::Bytes => Form::Bytes,
        Kind::Enum(_) => {
            let message = catalog().message(field.parent_message().full_name())?;
            Form::Enum(message.by_number(field.number()).filter(|info| matches!(info.ty, FieldType::Enum(_)))?)
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => Form::Time,
            "google.protobuf.Duration" => Form::Duration,
            "google.protobuf.FieldMask" => Form::Mask,
            _ => return None,
        },
    })
}

fn whole<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("must be a whole number {what}"))
}

const INT32: &str = "of 32 bits";
const INT64: &str = "of 64 bits";
const UINT32: &str = "from 0 to 4294967295";
const UINT64: &str = "from 0 to 18446744073709551615";

impl Form {
    #[allow(clippy::cast_sign_loss)] // two's complement is what the wire wants
    fn put(self, out: &mut BytesMut, number: u32, text: &str) -> Result<(), String> {
        match self {
            Self::Bool => match text {
                "true" => wire::put_number(out, number, 1),
                "false" => wire::put_number(out, number, 0),
                _ => return Err("must be true or false".to_owned()),
            },
            Self::Int32 => wire::put_number(out, number, i64::from(whole::<i32>(text, INT32)?) as u64),
            Self::Int64 => wire::put_number(out, number, whole::<i64>(text, INT64)? as u64),
            Self::Uint32 => wire::put_number(out, number, u64::from(whole::<u32>(text, UINT32)?)),
            Self::Uint64 => wire::put_number(out, number, whole::<u64>(text, UINT64)?),
            Self::Sint32 => wire::put_number(out, number, zigzag(i64::from(whole::<i32>(text, INT32)?))),
            Self::Sint64 => wire::put_number(out, number, zigzag(whole::<i64>(text, INT64)?)),
            Self::Fixed32 => wire::put_fixed32(out, number, whole::<u32>(text, UINT32)?),
            Self::Fixed64 => wire::put_fixed64(out, number, whole::<u64>(text, UINT64)?),
            Self::Sfixed32 => wire::put_fixed32(out, number, whole::<i32>(text, INT32)? as u32),
            Self::Sfixed64 => wire::put_fixed64(out, number, whole::<i64>(text, INT64)? as u64),
            Self::Float => {
                let value: f32 = text.parse().map_err(|_| "must be a number".to_owned())?;
                wire::put_fixed32(out, number, value.to_bits());
            }
            Self::Double => {
                let value: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
                wire::put_fixed64(out, number, value.to_bits());
            }
            Self::Text => wire::put_bytes(out, number, text.as_bytes()),
            Self::Bytes => wire::put_bytes(out, number, &base64_of(text)?),
            Self::Enum(info) => {
                let value = text.parse::<i32>().ok().or_else(|| info.value_number(text)).ok_or_else(|| {
                    let names: Vec<_> = info.values.iter().skip(1).map(|(.., short)| *short).collect();
                    format!("must be one of {}", names.join(", "))
                })?;
                wire::put_number(out, number, i64::from(value) as u64);
            }
            Self::Time => {
                let time = DateTime::parse_from_rfc3339(text)
                    .map_err(|_| "must be a time such as 2026-01-31T12:00:00Z".to_owned())?;
                let time = gyre_proto::Timestamp {
                    seconds: time.timestamp(),
                    nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
                };
                wire::put_bytes(out, number, &time.encode_to_vec());
            }
            Self::Duration => {
                let (seconds, nanos) =
                    duration_of(text).ok_or_else(|| "must be a duration in seconds such as 30s or 1.5s".to_owned())?;
                wire::put_bytes(out, number, &gyre_proto::Duration { seconds, nanos }.encode_to_vec());
            }
            Self::Mask => wire::put_bytes(out, number, &FieldMask::parse(text).encode_to_vec()),
        }
        Ok(())
    }
}

#[allow(clippy::cast_sign_loss)] // that is what zigzag is about
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn base64_of(text: &str) -> Result<Vec<u8>, String> {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LOOSE: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LOOSE);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LOOSE);
    STANDARD.decode(text).or_else(|_| URL.decode(text)).map_err(|_| "must be base64".to_owned())
}

/// Reads "-1.5s": seconds and nanoseconds with the same sign.
fn duration_of(text: &str) -> Option<(i64, i32)> {
    let digits = text.strip_suffix('s')?;
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || part.len() > 9 || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|seconds| *seconds <= 315_576_000_000)?;
    let nanos: i32 = format!("{part:0<9}").parse().ok()?;
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

#[cfg(test)]
mod tests {
    use gyre_proto::common::v1::WaitOperationRequest;
    use gyre_proto::vm::v1::{CreateVmRequest, UpdateVmRequest, Vm};

    use super::*;

    fn target(message: &str, path: &str) -> Target {
        Target::plan(&catalog().pool().get_message_by_name(message).unwrap(), path).unwrap()
    }

    #[test]
    fn texts_become_fields() {
        let mut wire = BytesMut::new();
        target("gyre.vm.v1.CreateVmRequest", "vm.uuid").put(&mut wire, "abc", 0).unwrap();
        target("gyre.vm.v1.CreateVmRequest", "vm.cpu_count").put(&mut wire, "-3", 0).unwrap();
        target("gyre.vm.v1.CreateVmRequest", "vm.memory_bytes").put(&mut wire, "9223372036854775807", 0).unwrap();
        target("gyre.vm.v1.CreateVmRequest", "vm.state").put(&mut wire, "running", 0).unwrap();
        target("gyre.vm.v1.CreateVmRequest", "vm.l3_network_uuids").put(&mut wire, "n1", 0).unwrap();
        target("gyre.vm.v1.CreateVmRequest", "vm.l3_network_uuids").put(&mut wire, "n2", 0).unwrap();
        target("gyre.vm.v1.CreateVmRequest", "vm.create_time").put(&mut wire, "1970-01-01T00:00:01.5Z", 0).unwrap();
        let vm = CreateVmRequest::decode(wire.as_ref()).unwrap().vm.unwrap();
        assert_eq!((vm.uuid.as_str(), vm.cpu_count, vm.memory_bytes, vm.state), ("abc", -3, i64::MAX, 3));
        assert_eq!(vm.l3_network_uuids, ["n1", "n2"]);
        assert_eq!(vm.create_time, Some(gyre_proto::Timestamp { seconds: 1, nanos: 500_000_000 }));
    }

    #[test]
    fn a_level_can_be_left_away() {
        let mut wire = BytesMut::new();
        target("gyre.vm.v1.UpdateVmRequest", "vm.uuid").put(&mut wire, "abc", 1).unwrap();
        assert_eq!(Vm::decode(wire.as_ref()).unwrap().uuid, "abc");
    }

    #[test]
    fn masks_and_durations_have_their_json_form() {
        let mut wire = BytesMut::new();
        target("gyre.vm.v1.UpdateVmRequest", "update_mask").put(&mut wire, "name,hostUuid", 0).unwrap();
        let update = UpdateVmRequest::decode(wire.as_ref()).unwrap();
        assert_eq!(update.update_mask.unwrap().paths, ["name", "host_uuid"]);
        let mut wire = BytesMut::new();
        target("gyre.common.v1.WaitOperationRequest", "timeout").put(&mut wire, "1.5s", 0).unwrap();
        let wait = WaitOperationRequest::decode(wire.as_ref()).unwrap();
        assert_eq!(wait.timeout, Some(gyre_proto::Duration { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(duration_of("-0.000000001s"), Some((0, -1)));
        for wrong in ["", "s", "1", "1.s1", "1.5", "--1s", "1e3s", "999999999999999999999s", ".5s"] {
            assert_eq!(duration_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wrong_values_are_told_what_they_must_be() {
        let mut wire = BytesMut::new();
        for (path, wrong) in [
            ("vm.cpu_count", "many"),
            ("vm.cpu_count", "3000000000"),
            ("vm.memory_bytes", "1.5"),
            ("vm.state", "SLEEPING"),
            ("vm.create_time", "today"),
        ] {
            let error = target("gyre.vm.v1.CreateVmRequest", path).put(&mut wire, wrong, 0).unwrap_err();
            assert!(error.starts_with("must be"), "{error}");
        }
        assert!(wire.is_empty());
    }
}
