//! Choosing where a try goes, and what happens after it failed.

use std::time::Instant;

use gyre_model::{Error, Result};
use http::Response;
use tonic::Status;
use tonic::body::Body;
use uuid::Uuid;

use super::patience::{Failure, Patience};
use super::{MeshChannel, Target};
use crate::member::{LOCAL, Member, View};
use crate::reason;
use crate::serve::deadline::Deadline;
use crate::telemetry::metrics;

/// The tries of one call.
pub(super) struct Retries<'a> {
    channel: &'a MeshChannel,
    deadline: Deadline,
    route: Option<Uuid>,
    patience: Patience,
    /// Members that failed since the last wait.
    failed: Vec<Uuid>,
    /// The member of the present try.
    present: Option<Uuid>,
    /// The epoch of the view that the present try was chosen by.
    epoch: i64,
    last: Option<Error>,
}

/// Why an answer is not one, where the peer only refused to take the call.
pub(super) fn refusal(response: &Response<Body>) -> Option<Error> {
    let code = response.headers().get(Status::GRPC_STATUS)?;
    if code != "14" {
        return None;
    }
    let error = Error::from(Status::from_header_map(response.headers())?);
    matches!(error.reason(), reason::NOT_OWNER | reason::DRAINING | reason::LEASE_LOST).then_some(error)
}

fn counted_as(error: &Error) -> &'static str {
    match error.reason() {
        reason::NOT_OWNER => "not_owner",
        reason::DRAINING => "draining",
        reason::LEASE_LOST => "lease_lost",
        _ => "unreachable",
    }
}

impl<'a> Retries<'a> {
    pub(super) fn new(channel: &'a MeshChannel, deadline: Deadline, route: Option<Uuid>) -> Self {
        Self {
            channel,
            deadline,
            route,
            patience: Patience::new(Instant::now()),
            failed: Vec::new(),
            present: None,
            epoch: 0,
            last: None,
        }
    }

    /// Where the next try goes, and the epoch that this follows from.
    ///
    /// # Errors
    /// When there is nobody.
    pub(super) fn target(&mut self) -> Result<(Target, i64)> {
        let mesh = &self.channel.mesh;
        let view = mesh.current().peek();
        self.epoch = view.epoch();
        self.present = None;
        if let Some(address) = self.channel.address.as_deref() {
            let target = match mesh.local_address(address) {
                Some(local) => Target::Here(local),
                None if address == LOCAL => return Err(self.nobody("nothing here is called local")),
                None => Target::Peer(mesh.peers().get(address, &view)?),
            };
            return Ok((target, self.epoch));
        }
        let service = self.channel.service;
        let member = match self.route {
            Some(route) => view.owner(service, route).cloned(),
            None => match self.anyone(&view) {
                Some(target) => return Ok((target, self.epoch)),
                None => None,
            },
        };
        let member = member.ok_or_else(|| self.nobody(&format!("no instance of the service {service} is there")))?;
        self.present = Some(member.uuid);
        Ok((self.member_target(&member, &view)?, self.epoch))
    }

    fn nobody(&self, text: &str) -> Error {
        Error::unavailable(reason::NO_MEMBER, text).with("service", self.channel.service)
    }

    fn member_target(&self, member: &Member, view: &View) -> Result<Target> {
        let mesh = &self.channel.mesh;
        if member.uuid == mesh.instance() {
            let local = mesh.local_service(self.channel.service);
            return local.map(Target::Here).ok_or_else(|| self.nobody("this process has no such service"));
        }
        mesh.peers().get(&member.address, view).map(Target::Peer)
    }

    /// This process if it serves; else the member with the fewest calls under way, those that failed a moment ago last.
    fn anyone(&mut self, view: &View) -> Option<Target> {
        let mesh = &self.channel.mesh;
        let (service, here) = (self.channel.service, mesh.instance());
        let members = view.members(service);
        let local = mesh.local_service(service);
        if let Some(local) = &local
            && !self.failed.contains(&here)
            && (members.is_empty() || view.has(service, here))
        {
            self.present = Some(here);
            return Some(Target::Here(local.clone()));
        }
        let (member, peer) = members
            .iter()
            .filter(|member| member.uuid != here && !self.failed.contains(&member.uuid))
            .filter_map(|member| Some((member.uuid, mesh.peers().get(&member.address, view).ok()?)))
            .min_by_key(|(_, peer)| (peer.suspect(), peer.load()))?;
        self.present = Some(member);
        Some(Target::Peer(peer))
    }

    /// After nobody was there: waits for a change.
    ///
    /// # Errors
    /// When the wait was too long.
    pub(super) async fn wait_for_member(&mut self, none: Error) -> Result<()> {
        if self.channel.mesh.refusing().is_cancelled() {
            // This process ends: nobody who is to come will help it.
            return Err(none);
        }
        if !self.failed.is_empty() {
            // Everybody was tried: the next round may begin after a wait.
            self.failed.clear();
            self.pause(None).await?;
            return Ok(());
        }
        if self.channel.address.is_some() || !self.patience.for_members(Instant::now()) {
            return Err(none);
        }
        metrics::retried("no_member");
        self.last = Some(none);
        self.pause(None).await
    }

    /// After a try failed: returns when the next should be made.
    ///
    /// # Errors
    /// When there should be none.
    pub(super) async fn failed(&mut self, failure: Error) -> Result<()> {
        if self.channel.address.is_some() {
            return Err(failure);
        }
        metrics::retried(counted_as(&failure));
        tracing::debug!(service = self.channel.service, route = ?self.route, error = %failure, "call is tried again");
        let why = match (failure.reason(), self.present) {
            (reason::LEASE_LOST, _) => Failure::Leaseless,
            (reason::PEER_UNREACHABLE, Some(owner)) => Failure::Unreached(owner),
            _ => Failure::Other,
        };
        self.patience.failed(Instant::now(), why);
        let newer =
            failure.metadata().get("epoch").and_then(|epoch| epoch.parse().ok()).filter(|epoch| *epoch > self.epoch);
        self.last = Some(failure);
        if self.route.is_none() {
            // Somebody else will do, at once; when there is nobody left, `target` finds none and a wait follows.
            self.failed.extend(self.present);
            return Ok(());
        }
        self.pause(newer).await
    }

    /// Waits for another view, or for one of at least this epoch, but not long.
    async fn pause(&mut self, epoch: Option<i64>) -> Result<()> {
        let now = Instant::now();
        if self.channel.mesh.membership().cut_off() && !self.patience.while_cut_off(now) {
            return Err(self.no_lease("since etcd does not answer"));
        }
        if !self.patience.for_lease(now) {
            return Err(self.no_lease("and nobody has taken its place yet"));
        }
        if !self.patience.for_owner(now) {
            return Err(self.not_reached());
        }
        let Some(pause) = self.patience.pause(now, self.epoch, epoch, self.deadline.at()) else {
            return Err(self.give_up());
        };
        let mut views = self.channel.mesh.views();
        let newer = views.wait_for(|view| view.epoch() >= pause.epoch);
        // Either way it is time to look again.
        let _ = tokio::time::timeout_at(pause.until.into(), newer).await;
        if self.deadline.passed() {
            let over = self.deadline.exceeded();
            return Err(self.with_last(over));
        }
        Ok(())
    }

    /// Why a call is not tried for longer while etcd is away, from here or from those who should take it.
    fn no_lease(&mut self, why: &str) -> Error {
        let last = self.give_up();
        let text = format!(
            "the instance that this call needs cannot prove its membership, {why}; try again: {}",
            last.message()
        );
        Error::unavailable(reason::NO_LEASE, text).with("cause", last.reason()).with("service", self.channel.service)
    }

    /// Why a call is not tried for longer at an owner that the other members still hear from.
    fn not_reached(&mut self) -> Error {
        let last = self.give_up();
        let text = format!(
            "the instance that this call needs cannot be reached from here, and is not replaced since it still has its lease; \
             try again: {}",
            last.message()
        );
        Error::unavailable(reason::PEER_UNREACHABLE, text).with("service", self.channel.service)
    }

    /// The error of the last try.
    pub(super) fn give_up(&mut self) -> Error {
        self.last.take().unwrap_or_else(|| self.nobody("the call could not be sent"))
    }

    /// Says with the end of time why it was not enough.
    pub(super) fn with_last(&mut self, error: Error) -> Error {
        match self.last.take() {
            Some(last) if error.reason() == reason::DEADLINE_EXCEEDED => {
                let text = format!("{}; the last try failed: {}", error.message(), last.message());
                Error::new(error.kind(), reason::DEADLINE_EXCEEDED, text).with("cause", last.reason())
            }
            _ => error,
        }
    }
}
