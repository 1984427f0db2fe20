//! Protocol buffer messages as bytes, without their types: routing, filling in ids and checking rules look at a few fields of a
//! message on its way and leave the rest as it came. The encoding is that of
//! <https://protobuf.dev/programming-guides/encoding/>; frames are those of gRPC over HTTP/2.

use bytes::{BufMut, Bytes, BytesMut};

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A varint: integers, bools, enums.
    Varint(u64),
    /// Eight bytes: fixed64, double.
    Fixed64(u64),
    /// Four bytes: fixed32, float.
    Fixed32(u32),
    /// Text, bytes, a message, packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of a message in the order in which they stand. Ends at the first byte that is not a field; [`Fields::broken`]
/// tells whether it did.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    broken: bool,
}

/// The fields of a message.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message, broken: false }
}

impl Fields<'_> {
    /// Whether something stood there that is not a field.
    pub fn broken(&self) -> bool {
        self.broken
    }
}

/// Reads a varint and answers what follows it.
pub fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn field(bytes: &[u8]) -> Option<(u32, Value<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
    match key & 7 {
        0 => varint(rest).map(|(value, rest)| (number, Value::Varint(value), rest)),
        1 => rest.split_first_chunk().map(|(value, rest)| (number, Value::Fixed64(u64::from_le_bytes(*value)), rest)),
        2 => {
            let (length, rest) = varint(rest)?;
            let length = usize::try_from(length).ok()?;
            (length <= rest.len()).then(|| (number, Value::Bytes(&rest[..length]), &rest[length..]))
        }
        5 => rest.split_first_chunk().map(|(value, rest)| (number, Value::Fixed32(u32::from_le_bytes(*value)), rest)),
        _ => None,
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.broken {
            return None;
        }
        match field(self.rest) {
            Some((number, value, rest)) => {
                self.rest = rest;
                Some((number, value))
            }
            None => {
                self.broken = true;
                None
            }
        }
    }
}

/// The text at a path of field numbers; of several the last that is not empty (messages that are repeated on the wire merge).
pub fn string_at<'a>(message: &'a [u8], path: &[u32]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    let mut found = None;
    for (number, value) in fields(message) {
        if number != *first {
            continue;
        }
        let Value::Bytes(bytes) = value else { continue };
        let text = if rest.is_empty() { std::str::from_utf8(bytes).ok() } else { string_at(bytes, rest) };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            found = Some(text);
        }
    }
    found
}

/// Whether the message at a path stands there at all (an empty path always does).
pub fn has(message: &[u8], path: &[u32]) -> bool {
    match path.split_first() {
        None => true,
        Some((first, rest)) => fields(message).any(|(number, value)| {
            number == *first
                && match value {
                    Value::Bytes(bytes) => has(bytes, rest),
                    _ => rest.is_empty(),
                }
        }),
    }
}

/// Appends a field as it was read.
pub fn put(out: &mut impl BufMut, number: u32, value: Value<'_>) {
    match value {
        Value::Varint(value) => put_number(out, number, value),
        Value::Fixed64(value) => put_fixed64(out, number, value),
        Value::Fixed32(value) => put_fixed32(out, number, value),
        Value::Bytes(bytes) => put_bytes(out, number, bytes),
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Appends a varint field.
pub fn put_number(out: &mut impl BufMut, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends an eight-byte field.
pub fn put_fixed64(out: &mut impl BufMut, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.put_u64_le(value);
}

/// Appends a four-byte field.
pub fn put_fixed32(out: &mut impl BufMut, number: u32, value: u32) {
    put_varint(out, u64::from(number) << 3 | 5);
    out.put_u32_le(value);
}

/// Appends a field of bytes: text, bytes or an encoded message.
pub fn put_bytes(out: &mut impl BufMut, number: u32, value: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.put_slice(value);
}

/// Appends a text at a path of field numbers: on reading it merges with what stands there already.
pub fn append_string(out: &mut BytesMut, path: &[u32], text: &str) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut value = BytesMut::with_capacity(text.len() + 4 * path.len());
    put_bytes(&mut value, *last, text.as_bytes());
    for number in parents.iter().rev() {
        let inner = value.split();
        put_bytes(&mut value, *number, &inner);
    }
    out.put_slice(&value);
}

/// The length of a gRPC frame's head: a flag for compression and four bytes of length.
pub const FRAME_HEAD: usize = 5;

/// Puts a message into an uncompressed gRPC frame.
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(FRAME_HEAD + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Takes the message out of the first frame: the flag for compression, the message, and the length of the whole frame. Nothing
/// where the frame is not complete.
pub fn unframe(bytes: &[u8]) -> Option<(bool, &[u8], usize)> {
    let (head, rest) = bytes.split_first_chunk::<FRAME_HEAD>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    (rest.len() >= length).then(|| (head[0] != 0, &rest[..length], FRAME_HEAD + length))
}

#[cfg(test)]
mod tests {
    use gyre_proto::Message;
    use gyre_proto::vm::v1::{CreateVmRequest, Vm};

    use super::*;

    #[test]
    fn a_text_is_found_and_appended_at_a_path() {
        let request = CreateVmRequest {
            vm: Some(Vm { name: "web".into(), cpu_count: 2, ..Vm::default() }),
            request_id: String::new(),
        };
        let mut wire = BytesMut::from(request.encode_to_vec().as_slice());
        assert_eq!(string_at(&wire, &[1, 1]), None);
        append_string(&mut wire, &[1, 1], "abc");
        append_string(&mut wire, &[2], "once");
        assert_eq!(string_at(&wire, &[1, 1]), Some("abc"));
        let read = CreateVmRequest::decode(wire.as_ref()).unwrap();
        let vm = read.vm.unwrap();
        assert_eq!((vm.uuid.as_str(), vm.name.as_str(), vm.cpu_count), ("abc", "web", 2));
        assert_eq!(read.request_id, "once");
    }

    #[test]
    fn garbage_ends_the_fields() {
        let mut all = fields(&[0x0a, 0xff, 0x01]);
        assert!(all.next().is_none() && all.broken());
        assert!(varint(&[0xff; 11]).is_none());
    }

    #[test]
    fn frames_hold_messages() {
        let framed = frame(b"abc");
        assert_eq!(unframe(&framed), Some((false, b"abc".as_slice(), 8)));
        assert_eq!(unframe(&framed[..7]), None);
    }
}
