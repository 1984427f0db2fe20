//! Webhooks: rows, with a key beside each. A courier does the rest ([`crate::webhooks`]).
//!
//! The secret is in the first answer and nowhere else, and a request id stands for the request without it.

use gyre_flow::letters::sign;
use gyre_flow::{Delete, once, once_new};
use gyre_mesh::serve::caller;
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::common::v1::Operation;
use gyre_proto::identity::v1::webhook_service_server::WebhookService;
use gyre_proto::identity::v1::{
    CreateWebhookRequest, DeadLetter, DeleteWebhookRequest, GetWebhookRequest, ListWebhooksRequest,
    ListWebhooksResponse, RedeliverDeadLettersRequest, RedeliverDeadLettersResponse, RotateWebhookSecretRequest,
    TestWebhookRequest, TestWebhookResponse, UpdateWebhookRequest, Webhook, WebhookState,
};
use gyre_proto::{ListRequest, Message as _, Resource as _};
use gyre_query::stream;
use gyre_store::{Conn, Sql};
use tonic::{Request, Response, Status};

use super::{Api, given, new_uuid, uuid};
use crate::webhooks::{self, MOST_OF_ACCOUNT, key, queue, rules::Rules};

/// Dead letters that are taken up in one transaction.
const TOGETHER: usize = 200;

/// Refuses one more where an account has as many as it may.
fn check_count(conn: &mut Conn, account: Uuid) -> Result<()> {
    let sql = Sql::new("SELECT COUNT(*) FROM webhook WHERE account_uuid = ").bind(account);
    if conn.query_one(sql)?.map_or(Ok(0), |row| row.int(0))? < MOST_OF_ACCOUNT {
        return Ok(());
    }
    let text = format!("an account may have {MOST_OF_ACCOUNT} webhooks: delete one, or let one serve several kinds");
    Err(Error::new(Kind::ResourceExhausted, "TOO_MANY_WEBHOOKS", text))
}

/// The key of a new webhook: the one that is given, or a new one.
fn secret(given: &str) -> Result<Vec<u8>> {
    if given.is_empty() {
        return sign::random();
    }
    let must = "must be \"whsec_\" and the base64 of 24 to 64 bytes; leave it out and Gyre makes one";
    sign::given(given).ok_or_else(|| Error::invalid("webhook.secret", must))
}

/// What an update makes of the state.
fn settle(before: &Webhook, webhook: &mut Webhook) {
    let anew = before.disabled != webhook.disabled || before.url != webhook.url;
    if anew {
        webhook.set_state(if webhook.disabled { WebhookState::Disabled } else { WebhookState::Active });
        webhook.last_error.clear();
        webhook.failing_since = None;
    }
}

impl Api {
    async fn webhook(&self, caller: Caller, text: &str) -> Result<(Uuid, Webhook, key::Keys)> {
        let uuid = uuid(Webhook::KIND, text)?;
        let read = move |conn: &mut Conn| {
            let webhook: Webhook = gyre_query::get(conn, &caller, uuid)?;
            Ok((webhook, key::find(conn, uuid)?))
        };
        let (webhook, keys) = self.inner.store.read("webhook-keys", read).await?;
        Ok((uuid, webhook, keys))
    }
}

#[tonic::async_trait]
impl WebhookService for Api {
    async fn create_webhook(
        &self,
        request: Request<CreateWebhookRequest>,
    ) -> std::result::Result<Response<Webhook>, Status> {
        let caller = caller(&request)?;
        let mut request = request.into_inner();
        let mut webhook = given("webhook", request.webhook.clone())?;
        if let Some(webhook) = &mut request.webhook {
            webhook.secret.clear();
        }
        webhooks::target(&self.inner, &webhook.url)?;
        Rules::of(&webhook, &caller)?;
        let secret = secret(&std::mem::take(&mut webhook.secret))?;
        let (uuid, account) = (new_uuid(&webhook.uuid), caller.account_uuid);
        webhook.uuid = uuid.to_string();
        webhook.account_uuid = account.to_string();
        webhook.last_error.clear();
        webhook.failing_since = None;
        webhook.set_state(if webhook.disabled { WebhookState::Disabled } else { WebhookState::Active });
        let (id, key) = (request.request_id.clone(), secret.clone());
        let made = once_new(&self.inner.store, caller, "CreateWebhook", &id, &request, move |conn, change| {
            check_count(conn, account)?;
            let stored = gyre_query::insert(conn, change, &webhook)?;
            queue::begin(conn, uuid, key)?;
            Ok(stored)
        });
        let (mut made, new): (Webhook, bool) = made.await?;
        if new {
            made.secret = sign::shown(&secret);
        }
        self.inner.webhooks.changed(uuid);
        Ok(Response::new(made))
    }

    async fn get_webhook(&self, request: Request<GetWebhookRequest>) -> std::result::Result<Response<Webhook>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(Webhook::KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("webhook-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> std::result::Result<Response<ListWebhooksResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = self.inner.store.search("webhook-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    async fn update_webhook(
        &self,
        request: Request<UpdateWebhookRequest>,
    ) -> std::result::Result<Response<Webhook>, Status> {
        let caller = caller(&request)?;
        let mut request = request.into_inner();
        let patch = given("webhook", request.webhook.clone())?;
        if let Some(webhook) = &mut request.webhook {
            webhook.secret.clear();
        }
        let uuid = uuid(Webhook::KIND, &patch.uuid)?;
        if !patch.url.is_empty() {
            webhooks::target(&self.inner, &patch.url)?;
        }
        let (id, mask) = (request.request_id.clone(), request.update_mask.clone());
        let changed = once(&self.inner.store, caller, "UpdateWebhook", &id, &request, move |conn, change| {
            let current: Webhook = gyre_query::get(conn, &caller, uuid)?;
            let mut webhook = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            Rules::of(&webhook, &caller)?;
            settle(&current, &mut webhook);
            if current.url != webhook.url {
                queue::hurry(conn, uuid)?;
            }
            gyre_query::update_from(conn, change, &current, &webhook)
        });
        let changed = changed.await?;
        self.inner.webhooks.changed(uuid);
        Ok(Response::new(changed))
    }

    async fn delete_webhook(
        &self,
        request: Request<DeleteWebhookRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-webhook", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, |_, _: &Webhook| Ok(())).await?))
    }

    async fn test_webhook(
        &self,
        request: Request<TestWebhookRequest>,
    ) -> std::result::Result<Response<TestWebhookResponse>, Status> {
        let caller = caller(&request)?;
        let (_, webhook, keys) = self.webhook(caller, &request.get_ref().uuid).await?;
        let error = webhooks::ping(&self.inner, &webhook, &keys).await.err();
        Ok(Response::new(TestWebhookResponse { delivered: error.is_none(), error: error.unwrap_or_default() }))
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<RotateWebhookSecretRequest>,
    ) -> std::result::Result<Response<Webhook>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(Webhook::KIND, &request.uuid)?;
        let secret = sign::random()?;
        let (id, key) = (request.request_id.clone(), secret.clone());
        let changed = once_new(&self.inner.store, caller, "RotateWebhookSecret", &id, &request, move |conn, change| {
            let webhook: Webhook = gyre_query::get(conn, &caller, uuid)?;
            key::rotate(conn, uuid, key)?;
            // shows in the log as a change in which nothing differs
            gyre_query::update_from(conn, change, &webhook, &webhook)
        });
        let (mut changed, new): (Webhook, bool) = changed.await?;
        if new {
            changed.secret = sign::shown(&secret);
        }
        Ok(Response::new(changed))
    }

    async fn redeliver_dead_letters(
        &self,
        request: Request<RedeliverDeadLettersRequest>,
    ) -> std::result::Result<Response<RedeliverDeadLettersResponse>, Status> {
        let caller = caller(&request)?;
        let RedeliverDeadLettersRequest { uuid, filter, .. } = request.into_inner();
        let (uuid, ..) = self.webhook(caller, &uuid).await?;
        let own = format!("webhook_uuid = \"{uuid}\"");
        let filter = if filter.is_empty() { own } else { format!("{own} AND ({filter})") };
        let (mut count, mut after) = (0, None);
        loop {
            let filter = filter.clone();
            // what a caller words as it likes is asked beside the one writer
            let look = move |conn: &mut Conn| stream::page(conn, &caller, DeadLetter::KIND, &filter, after, TOGETHER);
            let page = self.inner.store.search("webhook-dead-letters", look).await?;
            let next = (page.len() == TOGETHER).then(|| page.last().map(|found| found.uuid)).flatten();
            let take = move |conn: &mut Conn| {
                let change = gyre_query::Change::by(caller);
                let mut taken = 0;
                for found in &page {
                    let letter = DeadLetter::decode(found.message.as_slice()).map_err(Error::internal)?;
                    match queue::redeliver(conn, &change, &letter) {
                        Ok(_) => taken += 1,
                        // stays, and says so where it is asked for alone
                        Err(error) if error.reason() == "CHANGE_EXPIRED" => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(taken)
            };
            count += self.inner.store.write_again("webhook-redeliver", take).await?;
            if next.is_none() {
                break;
            }
            after = next;
        }
        self.inner.webhooks.changed(uuid);
        Ok(Response::new(RedeliverDeadLettersResponse { count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_url_begins_anew() {
        let failing = Webhook { url: "a".into(), last_error: "away".into(), ..Webhook::default() };
        let mut failing = failing;
        failing.set_state(WebhookState::Failing);
        let mut same = failing.clone();
        settle(&failing, &mut same);
        assert_eq!(same.state(), WebhookState::Failing);
        let mut moved = Webhook { url: "b".into(), ..failing.clone() };
        settle(&failing, &mut moved);
        assert_eq!((moved.state(), moved.last_error.as_str()), (WebhookState::Active, ""));
        let mut off = Webhook { disabled: true, ..failing.clone() };
        settle(&failing, &mut off);
        assert_eq!(off.state(), WebhookState::Disabled);
    }
}
