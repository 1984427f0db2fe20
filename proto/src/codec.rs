//! The codec of all generated clients and servers: tonic's for protocol buffers, but for the size of its buffers.
//!
//! tonic gives every call two buffers of 8 KiB, one for what is written and one for what is read, and keeps them as long as the call
//! lasts. Calls that last are what Gyre has most of: each operation under way waits on streams, and so does each of its watchers,
//! thousands at once. These buffers begin small and grow to the largest message that passed: messages are made room for in one
//! step, so that a small beginning costs a large message no more than that.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// What a buffer begins with: most requests fit.
const FIRST: usize = 256;
/// From how many bytes on what was written is sent before more is: tonic's own choice.
const TOGETHER: usize = 32 << 10;

/// Writes messages `T` and reads messages `U`.
#[derive(Debug, Clone)]
pub struct ProtoCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ProtoCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ProtoCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProtoEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProtoEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(FIRST, TOGETHER)
}

/// Writes messages, each into room of its size.
#[derive(Debug, Clone)]
pub struct ProtoEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ProtoEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(format!("a message cannot be written: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}
