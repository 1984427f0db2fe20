//! Reading a request on its way: which UUID routes it, and filling in what the caller left to us.

use bytes::{Bytes, BytesMut};
use gyre_model::catalog::{Access, MethodInfo};
use gyre_model::id::ordered_uuid;
use gyre_model::{Result, parse_uuid, wire};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tonic::body::Body;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::body::Payload;
use super::{broken, reason};
use crate::serve::MAX_MESSAGE;

/// Reads a request: whole, or up to the end of its first message where the caller sends a stream.
pub(super) async fn read(info: &MethodInfo, body: Body, account: Uuid) -> Result<(Payload, Option<Uuid>)> {
    if info.client_streaming && info.route.is_none() {
        // Nothing in it matters on the way; its first message may come long after the answer's first.
        return Ok((Payload::stream(Bytes::new(), body), None));
    }
    let (first, rest, body) = read_message(info, body).await?;
    let (first, route) = fill(info, first, account);
    if info.client_streaming {
        let mut start = BytesMut::from(first.as_ref());
        start.extend_from_slice(&rest);
        return Ok((Payload::stream(start.freeze(), body), route));
    }
    if !rest.is_empty() {
        return Err(broken(reason::BROKEN_MESSAGE, format!("{} takes one message, more were sent", info.path)));
    }
    Ok((Payload::Whole(first), route))
}

/// Reads up to the end of the first message. Answers its frame, what came with its last bytes, and the rest.
async fn read_message(info: &MethodInfo, mut body: Body) -> Result<(Bytes, Bytes, Body)> {
    let mut read: Option<BytesMut> = None;
    let mut now = Bytes::new();
    loop {
        if let Some(length) = frame_length(info, &now)?
            && now.len() >= length
        {
            let rest = now.split_off(length);
            if !info.client_streaming && !body.is_end_stream() {
                // Reads past the end of the only message, so that a second one is noticed.
                while let Some(frame) = body.frame().await {
                    if frame.is_ok_and(|frame| frame.data_ref().is_some_and(|data| !data.is_empty())) {
                        let text = format!("{} takes one message, more were sent", info.path);
                        return Err(broken(reason::BROKEN_MESSAGE, text));
                    }
                }
            }
            return Ok((now, rest, body));
        }
        let Some(frame) = body.frame().await else {
            return Err(broken(reason::BROKEN_MESSAGE, format!("the message to {} is cut off", info.path)));
        };
        let frame = frame.map_err(|status| {
            broken(reason::BROKEN_MESSAGE, format!("the message to {} broke off: {}", info.path, status.message()))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if now.is_empty() {
            now = data;
        } else {
            let buffer = read.get_or_insert_with(|| BytesMut::from(now.as_ref()));
            buffer.extend_from_slice(&data);
            now = buffer.clone().freeze();
        }
    }
}

/// The length of the frame that begins here, once its head is there.
fn frame_length(info: &MethodInfo, bytes: &[u8]) -> Result<Option<usize>> {
    let Some((head, _)) = bytes.split_first_chunk::<{ wire::FRAME_HEAD }>() else { return Ok(None) };
    if head[0] != 0 {
        return Err(broken(
            reason::BROKEN_MESSAGE,
            format!("the message to {} is compressed; send it plain", info.path),
        ));
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > MAX_MESSAGE {
        let text = format!("the message to {} has {length} bytes, {MAX_MESSAGE} are the most", info.path);
        return Err(broken(reason::MESSAGE_TOO_LARGE, text));
    }
    Ok(Some(wire::FRAME_HEAD + length))
}

/// Fills in the request id and, in a create, the UUID. Answers the frame, and the UUID that routes it where there is one.
fn fill(info: &MethodInfo, framed: Bytes, account: Uuid) -> (Bytes, Option<Uuid>) {
    let message = &framed[wire::FRAME_HEAD..];
    let route = info.route.and_then(|path| wire::string_at(message, path));
    let mut more = BytesMut::new();
    let wish = info.request_id.and_then(|number| wire::string_at(message, &[number]));
    if let (None, Some(number)) = (wish, info.request_id) {
        wire::append_string(&mut more, &[number], &ordered_uuid().to_string());
    }
    let mut key = route.and_then(parse_uuid);
    if let (None, Some(path)) = (route, info.route)
        && creates(info)
        && wire::has(message, &path[..path.len() - 1])
    {
        // a repeat has to meet the owner of the first; who gave no request id repeats nothing
        let new = match wish {
            Some(id) => uuid_of_wish(account, info.path, id),
            None if info.access == Access::Account => ordered_uuid(),
            // what administrators set up is little, and of hosts samples are taken by their UUIDs, which have to lie without order
            None => Uuid::new_v4(),
        };
        wire::append_string(&mut more, path, &new.to_string());
        key = Some(new);
    }
    if more.is_empty() {
        return (framed, key);
    }
    let mut whole = BytesMut::with_capacity(message.len() + more.len());
    whole.extend_from_slice(message);
    whole.extend_from_slice(&more);
    (wire::frame(&whole), key)
}

/// Whether a call makes the resource that its route names: only there may the mesh choose the UUID.
fn creates(info: &MethodInfo) -> bool {
    info.name.starts_with("Create") && info.route.is_some_and(|path| path.len() == 2)
}

/// The UUID of what a wish makes: the same for the same wish, so that its repetition goes to the same owner.
fn uuid_of_wish(account: Uuid, path: &str, request_id: &str) -> Uuid {
    let text = [account.as_bytes().as_slice(), path.as_bytes(), &[0], request_id.as_bytes()].concat();
    uuid::Builder::from_u128(xxh3_128(&text))
        .with_variant(uuid::Variant::RFC4122)
        .with_version(uuid::Version::Random)
        .into_uuid()
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog;
    use gyre_proto::Message as _;
    use gyre_proto::host::v1::{CreateZoneRequest, DeleteZoneRequest, UpdateZoneRequest, Zone};
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn method(name: &str) -> &'static MethodInfo {
        catalog().method(&format!("/gyre.host.v1.ZoneService/{name}")).unwrap()
    }

    async fn create(request: CreateZoneRequest, account: Uuid) -> (CreateZoneRequest, Option<Uuid>) {
        let body = Body::new(Full::new(wire::frame(&request.encode_to_vec())));
        let (mut payload, route) = read(method("CreateZone"), body, account).await.unwrap();
        let bytes = payload.take().unwrap().collect().await.unwrap().to_bytes();
        let (_, message, length) = wire::unframe(&bytes).unwrap();
        assert_eq!(length, bytes.len());
        (CreateZoneRequest::decode(message).unwrap(), route)
    }

    #[tokio::test]
    async fn a_create_gets_a_request_id_and_the_uuid_of_its_wish() {
        let account = Uuid::new_v4();
        let request =
            CreateZoneRequest { zone: Some(Zone { name: "a".into(), ..Zone::default() }), ..Default::default() };
        let (filled, route) = create(request.clone(), account).await;
        let zone = filled.zone.unwrap();
        assert!(parse_uuid(&filled.request_id).is_some());
        assert_eq!(parse_uuid(&zone.uuid), route);
        assert_eq!((route.unwrap().get_version_num(), zone.name.as_str()), (4, "a"));

        let wish = CreateZoneRequest { request_id: "mine".into(), ..request };
        let (_, first) = create(wish.clone(), account).await;
        let (again, second) = create(wish.clone(), account).await;
        assert_eq!((first, again.request_id.as_str()), (second, "mine"));
        assert_ne!(create(wish, Uuid::new_v4()).await.1, first);
    }

    #[tokio::test]
    async fn what_the_caller_chose_stays_and_what_is_missing_is_not_made_up() {
        let chosen = Uuid::new_v4();
        let zone = Zone { uuid: chosen.simple().to_string(), ..Zone::default() };
        let request = CreateZoneRequest { zone: Some(zone), request_id: "r".into() };
        let (filled, route) = create(request.clone(), Uuid::nil()).await;
        assert_eq!((filled, route), (request, Some(chosen)));
        let (filled, route) =
            create(CreateZoneRequest { request_id: "r".into(), ..Default::default() }, Uuid::nil()).await;
        assert_eq!((filled.zone, route), (None, None));

        for (name, message) in [
            ("DeleteZone", DeleteZoneRequest::default().encode_to_vec()),
            ("UpdateZone", UpdateZoneRequest { zone: Some(Zone::default()), ..Default::default() }.encode_to_vec()),
        ] {
            let body = Body::new(Full::new(wire::frame(&message)));
            assert_eq!(read(method(name), body, Uuid::nil()).await.unwrap().1, None, "{name}");
        }
    }

    #[tokio::test]
    async fn messages_that_are_too_large_or_broken_or_compressed_are_refused() {
        let info = method("CreateZone");
        let refuse = async |bytes: Vec<u8>| {
            let body = Body::new(Full::new(Bytes::from(bytes)));
            read(info, body, Uuid::nil()).await.err().map(|error| error.reason().to_owned())
        };
        let large = [[0].as_slice(), &u32::to_be_bytes(MAX_MESSAGE as u32 + 1), &[0; 9]].concat();
        assert_eq!(refuse(large).await.as_deref(), Some(reason::MESSAGE_TOO_LARGE));
        assert_eq!(refuse(vec![0, 0, 0, 0, 9, 1]).await.as_deref(), Some(reason::BROKEN_MESSAGE));
        assert_eq!(refuse(vec![1, 0, 0, 0, 0]).await.as_deref(), Some(reason::BROKEN_MESSAGE));
        assert_eq!(refuse(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.as_deref(), Some(reason::BROKEN_MESSAGE));
        assert_eq!(refuse(vec![0, 0, 0, 0, 0]).await, None);
    }

    #[tokio::test]
    async fn a_message_in_many_parts_is_put_together() {
        let zone = Zone { name: "pieces".into(), ..Zone::default() };
        let bytes = wire::frame(&CreateZoneRequest { zone: Some(zone), request_id: "r".into() }.encode_to_vec());
        let parts: Vec<_> = bytes.chunks(3).map(Bytes::copy_from_slice).collect();
        let parts = parts.into_iter().map(|part| Ok::<_, tonic::Status>(http_body::Frame::data(part)));
        let body = Body::new(StreamBody::new(futures::stream::iter(parts)));
        let (mut payload, route) = read(method("CreateZone"), body, Uuid::nil()).await.unwrap();
        let bytes = payload.take().unwrap().collect().await.unwrap().to_bytes();
        let read = CreateZoneRequest::decode(wire::unframe(&bytes).unwrap().1).unwrap();
        assert_eq!(parse_uuid(&read.zone.unwrap().uuid), route);
    }
}
