//! Lanes with work, in the whole mesh: whoever is asked asks all other members.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use gyre_mesh::member::Member;
use gyre_mesh::serve::caller;
use gyre_model::{Caller, Error, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::lane_service_client::LaneServiceClient;
use gyre_proto::common::v1::lane_service_server::LaneService;
use gyre_proto::common::v1::{Lane, LaneKind, ListLanesRequest, ListLanesResponse};
use tonic::{Request, Response, Status};

use crate::Flow;
use crate::live::Live;
use crate::queue::Class;

/// How long other members may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lanes in an answer when the request does not say.
const DEFAULT_LANES: usize = 1_000;
/// Most lanes in an answer.
const MOST_LANES: usize = 10_000;

/// The calls about lanes.
#[derive(Clone)]
pub(crate) struct LaneApi {
    pub flow: Flow,
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn since(begin: Instant) -> gyre_proto::Duration {
    let time = begin.elapsed();
    gyre_proto::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

/// The lane of one resource.
fn resource_lane(resource: Uuid, operations: &[(Uuid, Arc<Live>)]) -> Lane {
    let (running, waiting): (Vec<_>, Vec<_>) = operations.iter().partition(|(_, live)| live.begun());
    let oldest = waiting.iter().min_by_key(|(_, live)| (live.class == Class::Housekeeping, live.since));
    let head = running.first().or(oldest.as_ref().copied()).map(|(uuid, _)| uuid.to_string());
    Lane {
        kind: LaneKind::Resource.into(),
        key_uuid: resource.to_string(),
        width: 1,
        running: number(running.len()),
        waiting: number(waiting.len()),
        waiting_housekeeping: number(waiting.iter().filter(|(_, live)| live.class == Class::Housekeeping).count()),
        head: head.unwrap_or_default(),
        oldest_wait: waiting.iter().map(|(_, live)| live.since).min().map(since),
        ..Lane::default()
    }
}

/// What to say of a service that there is none of.
fn no_service(name: &str) -> Error {
    let all: BTreeSet<_> = gyre_model::catalog()
        .kinds()
        .map(|kind| kind.service)
        .filter(|name| super::service_named(name).is_some())
        .collect();
    let all = all.into_iter().collect::<Vec<_>>().join(", ");
    Error::invalid("service", format!("there is no service {:?}: must be one of {all}, or empty for all", cut(name)))
}

/// As much of a name as an error repeats.
fn cut(name: &str) -> String {
    name.chars().take(64).collect()
}

impl LaneApi {
    /// What this service works in this process.
    fn here(&self) -> Vec<Lane> {
        let inner = self.flow.inner();
        let mut by_resource: HashMap<Uuid, Vec<(Uuid, Arc<Live>)>> = HashMap::new();
        for (uuid, live) in inner.live.all() {
            by_resource.entry(live.resource).or_default().push((uuid, live));
        }
        let mut lanes: Vec<_> =
            by_resource.iter().map(|(resource, operations)| resource_lane(*resource, operations)).collect();
        for source in inner.lane_sources.read().iter() {
            lanes.extend(source());
        }
        for lane in &mut lanes {
            lane.service = inner.service.to_owned();
            lane.instance_uuid = inner.mesh.instance().to_string();
        }
        lanes
    }

    async fn ask(&self, caller: Caller, member: &Member, request: ListLanesRequest) -> Result<Vec<Lane>> {
        let mesh = self.flow.mesh();
        if member.uuid == mesh.instance() && member.service == self.flow.inner().service {
            return Ok(self.here());
        }
        let channel = super::channel_to(mesh, member);
        let mut request = caller.request(request);
        request.set_timeout(PATIENCE);
        Ok(LaneServiceClient::new(channel).list_lanes(request).await?.into_inner().lanes)
    }

    async fn everywhere(&self, caller: Caller, request: &ListLanesRequest) -> (Vec<Lane>, Vec<Arc<Member>>) {
        let view = self.flow.mesh().view();
        let works = |member: &&Arc<Member>| super::service_named(&member.service).is_some();
        let wanted = |member: &&Arc<Member>| request.service.is_empty() || request.service == member.service;
        let members: Vec<_> = view.all().filter(works).filter(wanted).cloned().collect();
        let inner = ListLanesRequest { here: true, max_lanes: number(MOST_LANES), ..request.clone() };
        let answers = join_all(members.iter().map(|member| self.ask(caller, member, inner.clone()))).await;
        let (mut lanes, mut unanswered) = (Vec::new(), Vec::new());
        for (member, answer) in members.into_iter().zip(answers) {
            match answer {
                Ok(some) => lanes.extend(some),
                Err(error) => {
                    tracing::warn!(%error, instance = %member.uuid, service = member.service, "no lanes from a member");
                    unanswered.push(member);
                }
            }
        }
        (lanes, unanswered)
    }
}

#[tonic::async_trait]
impl LaneService for LaneApi {
    async fn list_lanes(
        &self,
        request: Request<ListLanesRequest>,
    ) -> std::result::Result<Response<ListLanesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        if !request.service.is_empty() && super::service_named(&request.service).is_none() {
            return Err(no_service(&request.service).into());
        }
        let (mut lanes, unanswered) =
            if request.here { (self.here(), Vec::new()) } else { self.everywhere(caller, &request).await };
        if let Some(key) = parse_uuid(&request.key_uuid) {
            let key = key.to_string();
            lanes.retain(|lane| lane.key_uuid == key);
        }
        let waited = |lane: &Lane| lane.oldest_wait.map(|wait| (wait.seconds, wait.nanos));
        lanes.sort_by(|one, other| {
            let rank = |lane: &Lane| (waited(lane), lane.waiting, lane.running);
            rank(other).cmp(&rank(one)).then_with(|| one.key_uuid.cmp(&other.key_uuid))
        });
        let total = i64::try_from(lanes.len()).unwrap_or(i64::MAX);
        let most = match usize::try_from(request.max_lanes) {
            Ok(0) | Err(_) => DEFAULT_LANES,
            Ok(most) => most.min(MOST_LANES),
        };
        lanes.truncate(most);
        let unanswered: BTreeMap<_, _> =
            unanswered.iter().map(|member| ((member.service.clone(), member.uuid), member.as_ref().into())).collect();
        Ok(Response::new(ListLanesResponse { lanes, total, unanswered: unanswered.into_values().collect() }))
    }
}
