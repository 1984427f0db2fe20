//! Any call, by its descriptor.

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BufMut as _};
use gyre_mesh::Mesh;
use gyre_model::catalog::{HostedBy, MethodInfo};
use gyre_model::{Caller, catalog};
use gyre_proto::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::Value as Json;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Messages that are bytes already.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// A call that services of the mesh answer, by its name.
pub fn method(name: &str) -> Result<&'static MethodInfo> {
    let mut found = catalog().methods().filter(|info| info.name == name && matches!(info.host, HostedBy::Service(_)));
    found.next().with_context(|| format!("no service answers {name}"))
}

/// Makes a call, and answers the bytes of its answer.
pub async fn call(mesh: Mesh, caller: Caller, info: &'static MethodInfo, body: Json) -> Result<Vec<u8>> {
    let HostedBy::Service(service) = info.host else { bail!("{} is answered by no service", info.name) };
    let message = DynamicMessage::deserialize(info.descriptor.input(), body).context(info.name)?.encode_to_vec();
    let mut client = Grpc::new(mesh.channel(service));
    client.ready().await.map_err(|never| match never {})?;
    let path = http::uri::PathAndQuery::from_static(info.path);
    let answer = if info.client_streaming {
        let stream = tokio_stream::once(message);
        client.client_streaming(caller.request(stream), path, Raw).await
    } else {
        client.unary(caller.request(message), path, Raw).await
    };
    Ok(answer.map_err(gyre_model::Error::from)?.into_inner())
}
