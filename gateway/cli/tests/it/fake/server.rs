//! tonic's server under calls that are known at run time only.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::stream::BoxStream;
use gyre_model::catalog::{MethodInfo, catalog};
use gyre_proto::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};

use super::State;
use super::calls::{bytes_of, text};

#[derive(Clone)]
pub struct Service(pub Arc<Mutex<State>>);

impl tower::Service<http::Request<axum::body::Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let Some(method) = catalog().method(request.uri().path()) else {
                return Ok(Status::unimplemented("no such call").into_http());
            };
            let handler = Handler { state, method };
            let mut grpc = tonic::server::Grpc::new(BytesCodec);
            Ok(match (method.client_streaming, method.server_streaming) {
                (true, _) => grpc.client_streaming(handler, request).await,
                (_, true) => grpc.server_streaming(handler, request).await,
                _ => grpc.unary(handler, request).await,
            })
        })
    }
}

#[derive(Clone)]
pub struct Handler {
    pub state: Arc<Mutex<State>>,
    pub method: &'static MethodInfo,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

impl tonic::server::UnaryService<Bytes> for Handler {
    type Response = Bytes;
    type Future = Answer<Bytes>;
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move {
            let message = handler.admit(&request)?;
            let answer = handler.unary(&message)?;
            Ok(Response::new(answer.encode_to_vec().into()))
        })
    }
}

impl tonic::server::ServerStreamingService<Bytes> for Handler {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Answer<Self::ResponseStream>;
    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move {
            let message = handler.admit(&request)?;
            Ok(Response::new(handler.stream(&message)?))
        })
    }
}

impl tonic::server::ClientStreamingService<Bytes> for Handler {
    type Response = Bytes;
    type Future = Answer<Bytes>;
    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move {
            let (metadata, extensions, mut stream) = request.into_parts();
            let first = stream.message().await?.unwrap_or_default();
            let message = handler.admit(&Request::from_parts(metadata, extensions, first))?;
            let mut pieces = vec![bytes_of(&message, "data")];
            while let Some(piece) = stream.message().await? {
                let piece = DynamicMessage::decode(message.descriptor(), piece).unwrap();
                pieces.push(bytes_of(&piece, "data"));
            }
            assert!(pieces.iter().all(|piece| piece.len() <= 1 << 20));
            handler.state.lock().unwrap().uploaded = pieces.concat();
            let uuid = text(&message, "uuid");
            handler.change("image", &uuid, |image| image.set_field_by_name("state", Value::EnumNumber(3)))?;
            Ok(Response::new(handler.operation("image", &uuid).encode_to_vec().into()))
        })
    }
}

struct BytesCodec;
impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}
impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}
impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
