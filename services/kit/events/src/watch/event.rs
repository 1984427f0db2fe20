//! Events as they are sent.

use gyre_model::Uuid;
use gyre_proto::common::v1::{WatchEventType, WatchResponse};
use gyre_proto::{Any, Bytes};
use gyre_query::stream::Found;
use gyre_query::table::Table;

use crate::matcher::Matcher;
use crate::position::Position;
use crate::row::{CHANGE, Row};

/// An event about no resource.
pub(super) fn event(ty: WatchEventType, place: Option<&Position>) -> WatchResponse {
    WatchResponse { r#type: ty.into(), position: text(place), uuid: String::new(), resource: None }
}

fn text(place: Option<&Position>) -> String {
    place.map(|place| place.to_string()).unwrap_or_default()
}

fn about(
    table: &Table,
    ty: WatchEventType,
    place: Option<&Position>,
    uuid: Uuid,
    message: Option<Bytes>,
) -> WatchResponse {
    let resource = message.map(|value| Any { type_url: format!("type.googleapis.com/{}", table.kind.message), value });
    WatchResponse { r#type: ty.into(), position: text(place), uuid: uuid.to_string(), resource }
}

/// An event about a resource that was read.
pub(super) fn found(table: &Table, ty: WatchEventType, place: Option<&Position>, found: Found) -> WatchResponse {
    about(table, ty, place, found.uuid, Some(found.message.into()))
}

/// An event about one that is gone, or that is no longer for the watcher to see.
/// As what it is told, that is known where the log has it.
pub(super) fn gone(table: &Table, place: &Position, uuid: Uuid, last: Option<Bytes>) -> WatchResponse {
    about(table, WatchEventType::Removed, Some(place), uuid, last)
}

/// The event that a row is.
pub(super) fn changed(
    table: &Table,
    matcher: &Matcher,
    row: &Row,
    place: &Position,
    was: bool,
    is: bool,
) -> Option<WatchResponse> {
    if table.kind.kind == CHANGE {
        let image = row.change()?;
        let uuid = table.column("uuid").and_then(|(at, _)| image.values.get(at));
        let uuid = match uuid {
            Some(gyre_store::Value::Id(uuid)) => uuid.0,
            _ => Uuid::nil(),
        };
        return Some(about(table, WatchEventType::Added, Some(place), uuid, Some(image.message.clone())));
    }
    let (ty, image) = match (was, is) {
        (false, true) => (WatchEventType::Added, row.after()),
        (true, true) => (WatchEventType::Modified, row.after()),
        // as it is now where that may be seen, or else as it last was
        (true, false) => {
            let after = row.after().filter(|image| matcher.sees(image));
            (WatchEventType::Removed, after.or_else(|| row.before()))
        }
        (false, false) => return None,
    };
    Some(about(table, ty, Some(place), row.uuid, image.map(|image| matcher.shown(table, &image.message))))
}
