//! What is posted: an envelope as Standard Webhooks proposes, with the change in it as the API answers it.

use gyre_model::{Error, Result, time};
use gyre_proto::common::v1::Change;
use gyre_proto::identity::v1::Webhook;
use gyre_proto::json::JsonCodec;
use gyre_proto::{Message as _, Named as _};
use serde_json::json;

/// A change: `{"type": "vm.update", "timestamp": …, "data": …}`.
pub(super) fn change(change: &Change) -> Result<Vec<u8>> {
    let codec = JsonCodec::by_name(Change::NAME).ok_or_else(|| Error::internal(Change::NAME))?;
    let mut data = Vec::with_capacity(1024);
    (codec.print)(&change.encode_to_vec(), &mut data).map_err(Error::internal)?;
    let made = change.time.as_ref().map_or_else(time::now_micros, time::to_micros);
    let head = format!(r#"{{"type":{},"timestamp":"{}","data":"#, json!(name(change)), time::print(made));
    let mut body = Vec::with_capacity(head.len() + data.len() + 1);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&data);
    body.push(b'}');
    Ok(body)
}

/// What happened to what: `vm.update`; of what has no kind, what happened alone.
fn name(change: &Change) -> String {
    let action = change.action().as_str_name().trim_start_matches("CHANGE_ACTION_").to_lowercase();
    if change.kind.is_empty() { action } else { format!("{}.{action}", change.kind) }
}

/// A ping.
pub(super) fn ping(webhook: &Webhook) -> Vec<u8> {
    let now = time::print(time::now_micros());
    let data = json!({"webhookUuid": webhook.uuid, "name": webhook.name});
    json!({"type": "ping", "timestamp": now, "data": data}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use gyre_proto::common::v1::ChangeAction;

    use super::*;

    #[test]
    fn an_envelope_says_what_happened_and_when() {
        let mut told = Change { kind: "vm".into(), time: Some(time::from_micros(1_000_000)), ..Change::default() };
        told.set_action(ChangeAction::Update);
        let body: serde_json::Value = serde_json::from_slice(&change(&told).unwrap()).unwrap();
        assert_eq!(body["type"], "vm.update");
        assert_eq!(body["timestamp"], body["data"]["time"]);
        told.kind.clear();
        assert_eq!(name(&told), "update");
    }
}
