//! Webhooks: changes of the log are posted to URLs that accounts name.
//!
//! # Theory
//! The record is what the database holds: how far in the log a webhook is (`webhook_work`), what waits to be posted
//! (`webhook_delivery`), and what was given up (`dead_letter`). The ground rules:
//!
//! 1. The instance that owns a webhook's UUID on the ring runs its courier ([`courier`]), one task. When it dies the next owner's goes on from what
//!    the database holds; nothing is only in memory.
//! 2. The courier first routes: it reads the log from the webhook's place, and one commit writes the changes that are wanted as
//!    deliveries and moves the place on, by comparing and setting it. So each change becomes a delivery once, whoever else routes.
//! 3. Then it posts. A delivery is deleted after a 2xx: it is made at least once, and again where its courier died in between. All of one
//!    resource stand in one lane, and only the first of a lane is tried: what fails holds back what follows in its lane, and nothing else.
//! 4. A try is recorded under the number of tries before it; the second of two records of one try finds no row. Two couriers that meet
//!    while the ring moves may post the same delivery twice; receivers tell by `webhook-id`.
//! 5. What fails is tried again ([`gyre_flow::letters::schedule`]) until the setting `webhook.give-up-after` has passed since the change.
//!    Then one commit makes a dead letter of it, and its lane goes on.
//! 6. At most [`MOST_WAITING`] deliveries of a webhook wait: then it routes no further, and the rest waits in the log. So a receiver that
//!    is away for long costs neither memory nor an endless table.
//! 7. The keeper ([`start`]) starts couriers, and wakes them: it follows the log with all watchers of the process, and knows of each row whose
//!    webhooks it may concern. A courier that nobody wakes costs nothing but a look every [`LOOK`].
//! 8. Changes of webhooks and dead letters are not sent: a failure would bring forth another.

mod body;
mod courier;
pub(crate) mod key;
mod metrics;
pub(crate) mod queue;
pub(crate) mod rules;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gyre_events::{Follower, Interest, Row, Subscription};
use gyre_flow::letters::{Failed, Letter, Places, Poster};
use gyre_mesh::egress::Target;
use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::identity::v1::Webhook;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Inner, NAME};
use key::Keys;

/// Most deliveries of a webhook that wait.
pub(crate) const MOST_WAITING: i64 = 10_000;
/// Most dead letters of a webhook that are kept.
pub(crate) const MOST_DEAD: usize = 10_000;
/// Most webhooks of an account.
pub(crate) const MOST_OF_ACCOUNT: i64 = 50;
/// The setting: how long after a change its delivery is tried.
pub(crate) const GIVE_UP_AFTER: &str = "webhook.give-up-after";
/// How often the keeper looks which webhooks there are.
const PERIOD: Duration = Duration::from_secs(2);
/// How often a courier looks whose webhook nothing concerned: so its place keeps up with the log.
const LOOK: Duration = Duration::from_secs(60);

/// What this process knows of webhooks.
#[derive(Default)]
pub(crate) struct Webhooks {
    wake: Notify,
    couriers: Mutex<HashMap<Uuid, Courier>>,
    places: Arc<Places>,
    poster: Poster,
}

/// A courier as its keeper knows it.
struct Courier {
    wake: Arc<Notify>,
    running: Arc<AtomicBool>,
    account: Uuid,
    admin: bool,
}

impl Webhooks {
    /// Says that a webhook was made or changed here, or that something is to be delivered again.
    pub fn changed(&self, uuid: Uuid) {
        if let Some(courier) = self.couriers.lock().get(&uuid) {
            courier.wake.notify_one();
        }
        self.wake.notify_one();
    }

    /// Wakes the couriers that a row may concern.
    fn tell(&self, row: &Row) {
        for courier in self.couriers.lock().values() {
            if courier.admin || row.account == Some(courier.account) {
                courier.wake.notify_one();
            }
        }
    }

    fn wake_all(&self) {
        self.couriers.lock().values().for_each(|courier| courier.wake.notify_one());
    }
}

/// Starts to look after the webhooks that this process owns.
pub(crate) fn start(inner: &Arc<Inner>) {
    let keeper = Arc::clone(inner);
    inner.flow.tasks().spawn_until_stop("webhooks", async move {
        let mut following: Option<Subscription> = None;
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = keeper.webhooks.wake.notified() => {}
                () = follow(&keeper, &mut following) => {}
            }
            if let Err(error) = tend(&keeper).await {
                tracing::warn!(%error, "cannot look after webhooks");
            }
            let idle = keeper.webhooks.couriers.lock().is_empty();
            if idle {
                following = None;
            } else if following.is_none() {
                let follower = Follower::of(&keeper.store);
                let all = follower.subscribe(keeper.flow.tasks(), &keeper.store, Interest::All).await;
                following = all.inspect_err(|error| tracing::debug!(%error, "the log is not followed")).ok();
                // what came before
                keeper.webhooks.wake_all();
            }
        }
    });
}

/// Wakes couriers as rows come, until somebody should look which webhooks there are.
async fn follow(keeper: &Inner, following: &mut Option<Subscription>) {
    let Some(subscription) = following else { return std::future::pending().await };
    loop {
        match subscription.next().await {
            Ok(delivery) => {
                keeper.webhooks.tell(&delivery.row);
                if matches!(delivery.row.kind, "webhook" | "account") && delivery.row.is_change() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the log is followed anew");
                *following = None;
                return;
            }
        }
    }
}

/// Starts the couriers that are missing. Those that are to end find that out themselves.
async fn tend(inner: &Arc<Inner>) -> Result<()> {
    let (flow, mesh) = (&inner.flow, inner.flow.mesh());
    let all = inner.store.read("webhooks", queue::all).await?;
    let mut couriers = inner.webhooks.couriers.lock();
    couriers.retain(|_, courier| courier.running.load(Ordering::Acquire));
    metrics::couriers(couriers.len());
    if !mesh.may_work() {
        return Ok(());
    }
    for standing in all {
        if let Some(courier) = couriers.get_mut(&standing.webhook) {
            courier.admin = standing.admin;
            continue;
        }
        if !mesh.owns(NAME, standing.webhook) {
            continue;
        }
        let (wake, running) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
        let courier = Courier {
            wake: Arc::clone(&wake),
            running: Arc::clone(&running),
            account: standing.account,
            admin: standing.admin,
        };
        couriers.insert(standing.webhook, courier);
        flow.tasks().spawn("courier", courier::run(Arc::clone(inner), standing.webhook, wake, running));
    }
    Ok(())
}

/// Reads where a webhook points, and sees whether that may be allowed.
///
/// # Errors
/// `INVALID_ARGUMENT`, `WEBHOOK_NOT_ALLOWED`.
pub(crate) fn target(inner: &Inner, url: &str) -> Result<Target> {
    let shown: String = url.chars().take(200).collect();
    let target = Target::parse(url).map_err(|must| Error::invalid("webhook.url", format!("{must}, got {shown:?}")))?;
    if inner.flow.mesh().callbacks().check(&target) {
        return Ok(target);
    }
    let text = format!(
        "the operator allows no requests to {shown:?}: name another URL, or have the operator start all services and gateways with \
         --callback-allow {} (GYRE_CALLBACK_ALLOW)",
        target.rule()
    );
    Err(Error::new(Kind::PermissionDenied, "WEBHOOK_NOT_ALLOWED", text)
        .violation("webhook.url", "leads where nothing may go"))
}

/// Posts a ping. The answer says why it was not delivered.
pub(crate) async fn ping(inner: &Inner, webhook: &Webhook, keys: &Keys) -> Result<(), String> {
    let target = target(inner, &webhook.url).map_err(|error| error.message().to_owned())?;
    let letter = Letter::sign(keys.valid(), Uuid::new_v4().to_string(), body::ping(webhook));
    let posted = inner.webhooks.poster.post(&inner.flow.mesh().callbacks(), &target, letter).await;
    posted.map_err(|failed| match failed {
        Failed::Gone => "the receiver answers 410 Gone".to_owned(),
        Failed::Try(why) => why,
    })
}
