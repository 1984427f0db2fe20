//! Proto3 JSON of any message by its name, through the generated codecs (five times cheaper than through descriptors, and they
//! scale over threads).

use prost::Message;
use prost::bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Turns one kind of message from wire bytes into JSON and back.
#[derive(Clone, Copy)]
pub struct JsonCodec {
    /// Reads JSON text and answers wire bytes. The error says where and what.
    pub parse: fn(&[u8]) -> Result<Bytes, serde_json::Error>,
    /// Appends the JSON of wire bytes to a text.
    pub print: fn(&[u8], &mut Vec<u8>) -> Result<(), String>,
}

impl JsonCodec {
    /// The codec of a message type.
    pub const fn of<M: Message + Default + Serialize + DeserializeOwned>() -> Self {
        Self { parse: parse::<M>, print: print::<M> }
    }

    /// The codec of the message with this full name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        crate::CODECS.binary_search_by_key(&name, |(known, _)| known).ok().map(|at| &crate::CODECS[at].1)
    }
}

fn parse<M: Message + Default + DeserializeOwned>(json: &[u8]) -> Result<Bytes, serde_json::Error> {
    let message: M = serde_json::from_slice(json)?;
    let mut wire = BytesMut::with_capacity(message.encoded_len());
    // A BytesMut grows as needed, so that encoding into it cannot fail.
    let _ = message.encode(&mut wire);
    Ok(wire.freeze())
}

fn print<M: Message + Default + Serialize>(wire: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
    let mut wire = wire;
    let message = M::decode(&mut wire as &mut dyn Buf).map_err(|error| error.to_string())?;
    serde_json::to_writer(json, &message).map_err(|error| error.to_string())
}
