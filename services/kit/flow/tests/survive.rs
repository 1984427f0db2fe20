//! What operations bear: instances that die, rings that move, hosts that are away, cancels at any moment; and what is seen of it.
//!
//! Two instances stand in one process, each with a view of the mesh of its own. The database is a SQLite file; with
//! `GYRE_TEST_POSTGRES` (the URL of a database whose user may make others) it is a new PostgreSQL database for each test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_flow::{Context, Flow, Steps, Submit};
use gyre_mesh::Mesh;
use gyre_mesh::member::{LocalMembership, Member};
use gyre_mesh::serve::layered;
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::common::v1::debt_service_client::DebtServiceClient;
use gyre_proto::common::v1::lane_service_client::LaneServiceClient;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{
    CancelOperationRequest, Debt, ExplainOperationRequest, ExplainOperationResponse, GetOperationRequest, Lane,
    LaneKind, ListDebtsRequest, ListLanesRequest, Operation, OperationEventKind as Event, OperationState,
    RetryOperationRequest, WaitOperationRequest, WatchOperationRequest,
};
use gyre_proto::host::v1::{Cluster, GetZoneRequest, Host, HostState, HostStatus, Zone};
use gyre_query::Change;
use gyre_store::{Sql, Store};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tonic::service::Routes;

const MAKE: &str = "
name: make
resource: zone
steps:
  - step: one
  - step: two
    retry: { attempts: 3, first_ms: 1 }
  - step: three
  - step: four
    no_undo: it is the last
";

/// From its second step on there is no way back.
const FINISH: &str = "
name: finish
resource: zone
steps:
  - step: one
  - step: two
    point_of_no_return: true
  - step: four
    no_undo: it is the last
";

/// What the steps do, by name, and what they did.
#[derive(Default)]
struct World {
    log: Mutex<Vec<String>>,
    faults: Mutex<Vec<(&'static str, Error)>>,
    /// Steps that take a permit before they do anything.
    gates: Mutex<HashMap<&'static str, Arc<Semaphore>>>,
}

impl World {
    fn gate(&self, step: &'static str) -> Arc<Semaphore> {
        Arc::clone(self.gates.lock().entry(step).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    fn fail(&self, step: &'static str, error: Error) {
        self.faults.lock().push((step, error));
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    async fn run(&self, step: &'static str) -> Result<()> {
        let gate = self.gates.lock().get(step).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.map_err(Error::internal)?.forget();
        }
        self.log.lock().push(step.to_owned());
        let mut faults = self.faults.lock();
        match faults.iter().position(|(name, _)| *name == step) {
            Some(at) => Err(faults.remove(at).1),
            None => Ok(()),
        }
    }
}

async fn one(world: Arc<World>, _: Context) -> Result<()> {
    world.run("one").await
}

async fn unone(world: Arc<World>, context: Context) -> Result<()> {
    world.run("unone").await?;
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| gyre_query::delete::<Zone>(conn, change, uuid).map(|_| ()));
    Ok(())
}

/// Leaves a row for the next commit before it fails, if it does.
async fn two(world: Arc<World>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, _| {
        conn.execute(Sql::new("UPDATE zone SET description = description || 'two ' WHERE uuid = ").bind(uuid))?;
        Ok(())
    });
    world.run("two").await
}

async fn untwo(world: Arc<World>, _: Context) -> Result<()> {
    world.run("untwo").await
}

/// Has a commit of its own.
async fn three(world: Arc<World>, context: Context) -> Result<()> {
    let wanted = world.gates.lock().contains_key("three");
    if wanted {
        context.commit("before-three", |_, _| Ok(())).await?;
    }
    world.run("three").await
}

async fn unthree(world: Arc<World>, _: Context) -> Result<()> {
    world.run("unthree").await
}

async fn four(world: Arc<World>, _: Context) -> Result<()> {
    world.run("four").await
}

/// An instance.
struct Site {
    flow: Flow,
    mesh: Mesh,
    membership: Arc<LocalMembership>,
    world: Arc<World>,
    address: String,
}

async fn database() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (gyre_store::testing::store(folder.path()).await.unwrap(), folder)
}

impl Site {
    fn start(store: &Store) -> Self {
        let world = Arc::new(World::default());
        let membership = Arc::new(LocalMembership::new());
        let mesh = Mesh::new(Uuid::new_v4(), membership.clone(), None);
        let flow = Flow::new("host", mesh.clone(), store.clone());
        let steps = Steps::new()
            .step("one", &world, one, unone)
            .step("two", &world, two, untwo)
            .step("three", &world, three, unthree)
            .without_undo("four", &world, four);
        flow.register(steps, &[MAKE, FINISH]).unwrap();
        mesh.serve_local("host", layered(flow.answer(Routes::default()), &mesh, "host"));
        let address = format!("{}:1", mesh.instance());
        flow.start();
        Self { flow, mesh, membership, world, address }
    }

    /// One that is alone.
    async fn alone() -> (Self, Store, tempfile::TempDir) {
        let (store, folder) = database().await;
        let site = Self::start(&store);
        see(1, &[&site], &[&site]);
        (site, store, folder)
    }

    fn client(&self) -> OperationServiceClient<gyre_mesh::MeshChannel> {
        OperationServiceClient::new(self.mesh.channel("host"))
    }

    async fn submit_as(&self, caller: Caller, zone: Uuid, make: bool) -> Operation {
        let input = GetZoneRequest { uuid: zone.to_string() };
        let submit = Submit { caller, workflow: "make", resource: zone, request_id: "", input: &input };
        let rows = move |conn: &mut gyre_store::Conn, change: &Change| {
            if make {
                let zone = Zone { uuid: zone.to_string(), name: "z".into(), ..Zone::default() };
                gyre_query::insert(conn, change, &zone)?;
            }
            Ok(())
        };
        self.flow.submit(submit, rows).await.unwrap()
    }

    async fn finish(&self, zone: Uuid) -> Operation {
        let input = GetZoneRequest { uuid: zone.to_string() };
        let caller = Caller::system();
        let submit = Submit { caller, workflow: "finish", resource: zone, request_id: "", input: &input };
        self.flow.submit(submit, |_, _| Ok(())).await.unwrap()
    }

    async fn submit(&self, zone: Uuid) -> Operation {
        self.submit_as(Caller::system(), zone, false).await
    }

    async fn wait(&self, operation: &Operation) -> Operation {
        let timeout = Some(gyre_proto::Duration { seconds: 30, nanos: 0 });
        let request = WaitOperationRequest { uuid: operation.uuid.clone(), timeout };
        self.client().wait_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }

    async fn get(&self, operation: &Operation) -> Operation {
        let request = GetOperationRequest { uuid: operation.uuid.clone() };
        self.client().get_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }

    async fn cancel(&self, operation: &Operation) -> Operation {
        let request = CancelOperationRequest { uuid: operation.uuid.clone() };
        self.client().cancel_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }

    async fn explain(&self, operation: &Operation) -> ExplainOperationResponse {
        let request = ExplainOperationRequest { uuid: operation.uuid.clone() };
        self.client().explain_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }

    async fn until(&self, operation: &Operation, state: OperationState) -> Operation {
        let begun = Instant::now();
        loop {
            let now = self.get(operation).await;
            if now.state() == state {
                return now;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "not {state:?} but {now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn did(&self, step: &str) {
        let begun = Instant::now();
        while !self.world.log().iter().any(|done| done == step) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{step} was not done: {:?}", self.world.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn lanes(&self, request: ListLanesRequest) -> (Vec<Lane>, usize) {
        let mut client = LaneServiceClient::new(self.mesh.channel("host"));
        let answer = client.list_lanes(Caller::system().request(request)).await.unwrap().into_inner();
        (answer.lanes, answer.unanswered.len())
    }

    async fn debts(&self, caller: Caller, filter: &str) -> Vec<Debt> {
        let mut client = DebtServiceClient::new(self.mesh.channel("host"));
        let request = ListDebtsRequest { filter: filter.into(), ..Default::default() };
        client.list_debts(caller.request(request)).await.unwrap().into_inner().debts
    }
}

/// Lets instances see others as the members, and reach each other.
fn see(epoch: i64, who: &[&Site], members: &[&Site]) {
    for site in who {
        for other in members {
            site.mesh.serve_address(&other.address, other.mesh.local_service("host").unwrap());
        }
        let member = |other: &&Site| Member::new(other.mesh.instance(), "host", other.address.as_str());
        site.membership.set(epoch, members.iter().map(member).collect());
    }
}

/// A UUID that an instance owns.
fn owned_by(site: &Site) -> Uuid {
    loop {
        let uuid = Uuid::new_v4();
        if site.mesh.owns("host", uuid) {
            return uuid;
        }
    }
}

/// Two instances that see each other, and a third thing: the database.
async fn pair() -> (Site, Site, Store, tempfile::TempDir) {
    let (store, folder) = database().await;
    let (first, second) = (Site::start(&store), Site::start(&store));
    see(1, &[&first, &second], &[&first, &second]);
    (first, second, store, folder)
}

fn kinds(events: &ExplainOperationResponse) -> Vec<Event> {
    events.events.iter().map(gyre_proto::common::v1::OperationEvent::kind).collect()
}

#[tokio::test]
async fn a_workflow_without_faults_costs_two_commits() {
    let (site, _store, _folder) = Site::alone().await;
    let operation = site.submit_as(Caller::system(), Uuid::new_v4(), true).await;
    let ended = site.wait(&operation).await;
    assert_eq!(ended.state(), OperationState::Succeeded);
    // every commit of the engine raises the generation: the first made it 1
    assert_eq!(ended.generation, 2);
}

#[tokio::test]
async fn rows_of_a_try_that_failed_are_not_written() {
    let (site, store, _folder) = Site::alone().await;
    site.world.fail("two", Error::unavailable("AWAY", "away"));
    site.world.fail("two", Error::unavailable("AWAY", "away"));
    let zone = Uuid::new_v4();
    let operation = site.submit_as(Caller::system(), zone, true).await;
    assert_eq!(site.wait(&operation).await.state(), OperationState::Succeeded);
    let read = move |conn: &mut gyre_store::Conn| gyre_query::get::<Zone>(conn, &Caller::system(), zone);
    assert_eq!(store.read("zone", read).await.unwrap().description, "two ");
}

#[tokio::test]
async fn a_timeline_tells_what_was_tried_and_undone() {
    let (site, _store, _folder) = Site::alone().await;
    site.world.fail("two", Error::unavailable("AWAY", "away"));
    site.world.fail("three", Error::new(Kind::InvalidArgument, "BAD", "bad"));
    let operation = site.submit(Uuid::new_v4()).await;
    assert_eq!(site.wait(&operation).await.state(), OperationState::Failed);
    let told = site.explain(&operation).await;
    assert_eq!(
        kinds(&told),
        [
            Event::Began,
            Event::StepStarted,
            Event::StepDone,
            Event::StepStarted,
            Event::StepFailed,
            Event::StepRetried,
            Event::StepStarted,
            Event::StepDone,
            Event::StepStarted,
            Event::StepFailed,
            Event::UndoBegan,
            Event::StepUndoStarted,
            Event::StepUndoDone,
            Event::StepUndoStarted,
            Event::StepUndoDone,
            Event::StepUndoStarted,
            Event::StepUndoDone,
            Event::Ended,
        ]
    );
    let failed = &told.events[4];
    assert_eq!((failed.step.as_str(), failed.attempt), ("two", 1));
    assert!(failed.message.contains("AWAY") && failed.duration.is_some());
    assert!(told.events.iter().all(|event| event.fence == 1 && event.instance_uuid == operation.instance_uuid));
    assert_eq!(told.events.last().unwrap().message, "failed");
}

#[tokio::test]
async fn a_takeover_is_seen_in_the_timeline() {
    let (first, second, _store, _folder) = pair().await;
    first.world.gate("three");
    let zone = owned_by(&first);
    let operation = first.submit(zone).await;
    first.did("two").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    see(2, &[&second], &[&second]);
    assert_eq!(second.wait(&operation).await.state(), OperationState::Succeeded);
    let told = second.explain(&operation).await;
    let at = told.events.iter().position(|event| event.kind() == Event::Taken).unwrap();
    let (before, after) = told.events.split_at(at);
    assert!(before.len() >= 5, "what the first instance committed with its third step is there: {told:?}");
    assert!(before.iter().all(|event| event.fence == 1 && event.instance_uuid == first.mesh.instance().to_string()));
    assert!(after.iter().all(|event| event.fence == 2 && event.instance_uuid == second.mesh.instance().to_string()));
    assert_eq!(second.world.log(), ["three", "four"]);
}

#[tokio::test]
async fn many_operations_of_a_dead_instance_are_taken_within_seconds() {
    const COUNT: usize = 1_000;
    let (first, second, store, _folder) = pair().await;
    first.world.gate("one");
    let mut operations = Vec::new();
    for _ in 0..COUNT {
        operations.push(first.submit(Uuid::new_v4()).await);
    }
    second.world.gate("one");
    let begun = Instant::now();
    see(2, &[&second], &[&second]);
    let me = second.mesh.instance();
    loop {
        let sql = Sql::new("SELECT COUNT(*) FROM operation WHERE fence = 2 AND instance_uuid = ").bind(me);
        let taken = store.read("count", move |conn| conn.query_one(sql)?.unwrap().int(0)).await.unwrap();
        if taken == i64::try_from(COUNT).unwrap() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{taken} of {COUNT} were taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{COUNT} operations were taken in {:?}", begun.elapsed());
    // a lease of 5 s, and 10 s in all
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    second.world.gate("one").add_permits(COUNT);
    for operation in &operations {
        assert_eq!(second.wait(operation).await.state(), OperationState::Succeeded);
    }
}

#[tokio::test]
async fn what_waits_is_cancelled_at_once_wherever_it_stands() {
    let (site, store, _folder) = Site::alone().await;
    site.world.gate("two");
    let zone = Uuid::new_v4();
    let running = site.submit(zone).await;
    let waiting: Vec<_> = [site.submit(zone).await, site.submit(zone).await, site.submit(zone).await].into();
    for at in [1, 0] {
        let begun = Instant::now();
        site.cancel(&waiting[at]).await;
        let ended = site.wait(&waiting[at]).await;
        assert_eq!((ended.state(), ended.generation), (OperationState::Cancelled, 2), "in one commit");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    assert_eq!(site.get(&running).await.state(), OperationState::Running);
    assert_eq!(site.get(&waiting[2]).await.state(), OperationState::Queued);
    assert_eq!(kinds(&site.explain(&waiting[0]).await)[..2], [Event::Queued, Event::CancelAsked]);
    site.world.gate("two").add_permits(2);
    assert_eq!(site.wait(&running).await.state(), OperationState::Succeeded);
    assert_eq!(site.wait(&waiting[2]).await.state(), OperationState::Succeeded);
    assert_eq!(site.world.log().iter().filter(|step| *step == "unone").count(), 2);
    drop(store);
}

#[tokio::test]
async fn calls_find_the_instance_that_works_also_when_the_ring_has_moved() {
    let (store, _folder) = database().await;
    let (first, second) = (Site::start(&store), Site::start(&store));
    see(1, &[&first], &[&first]);
    first.world.gate("two");
    // the second instance joins, and owns the resource from now on
    let (zone, gone) = {
        see(2, &[&first, &second], &[&first, &second]);
        let zone = owned_by(&second);
        see(3, &[&first], &[&first]);
        (zone, second.mesh.instance())
    };
    let operation = first.submit(zone).await;
    let waiting = first.submit(zone).await;
    first.did("one").await;
    see(4, &[&first, &second], &[&first, &second]);
    assert!(second.mesh.owns("host", zone) && second.mesh.instance() == gone);
    let now = second.get(&operation).await;
    assert!(now.steps[0].attempts == 1 && now.generation == 1, "from the memory of the first: {now:?}");
    assert!(kinds(&second.explain(&operation).await).contains(&Event::StepDone));
    second.cancel(&waiting).await;
    assert_eq!(second.wait(&waiting).await.state(), OperationState::Cancelled);
    second.cancel(&operation).await;
    let ended = second.wait(&operation).await;
    assert_eq!((ended.state(), ended.fence), (OperationState::Cancelled, 1));
    assert!(second.world.log().is_empty());
}

#[tokio::test]
async fn a_watcher_sees_one_stream_while_owners_change() {
    let (first, second, _store, _folder) = pair().await;
    let third = {
        let store = first.flow.store().clone();
        Site::start(&store)
    };
    let all = [&first, &second, &third];
    see(2, &all, &all);
    for site in all {
        site.world.gate("two");
        site.world.gate("three");
    }
    let operation = first.submit(owned_by(&first)).await;
    let request = WatchOperationRequest { uuid: operation.uuid.clone() };
    let mut stream = third.client().watch_operation(Caller::system().request(request)).await.unwrap().into_inner();
    let watcher = tokio::spawn(async move {
        let mut seen: Vec<Operation> = Vec::new();
        while let Some(next) = stream.message().await.unwrap() {
            if let Some(last) = seen.last() {
                assert!(next.fence >= last.fence, "{next:?} after {last:?}");
                if next.fence == last.fence {
                    assert!(next.percent >= last.percent, "{next:?} after {last:?}");
                }
            }
            seen.push(next);
        }
        seen
    });
    first.world.gate("two").add_permits(1);
    first.did("two").await;
    // the first is cut off, and still holds the stream; then the second, which took over
    see(3, &[&second], &[&second]);
    second.until(&operation, OperationState::Running).await;
    while second.get(&operation).await.fence < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    see(4, &[&third], &[&second, &third]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    see(5, &[&third], &[&third]);
    third.world.gate("two").add_permits(1);
    third.world.gate("three").add_permits(1);
    let seen = tokio::time::timeout(Duration::from_secs(20), watcher).await.unwrap().unwrap();
    assert_eq!(seen.last().unwrap().state(), OperationState::Succeeded);
    let mut fences: Vec<_> = seen.iter().map(|state| state.fence).collect();
    fences.dedup();
    assert_eq!(fences, [1, 2, 3]);
}

async fn host(store: &Store, status: HostStatus) -> Uuid {
    let uuid = Uuid::new_v4();
    let (zone, cluster) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let write = move |conn: &mut gyre_store::Conn| {
        let change = Change::by(Caller::system());
        gyre_query::insert(conn, &change, &Zone { uuid: zone.clone(), ..Zone::default() })?;
        let row = Cluster { uuid: cluster.clone(), zone_uuid: zone.clone(), ..Cluster::default() };
        gyre_query::insert(conn, &change, &row)?;
        let mut host = Host { uuid: uuid.to_string(), zone_uuid: zone, cluster_uuid: cluster, ..Host::default() };
        host.set_state(HostState::Enabled);
        host.set_status(status);
        gyre_query::insert(conn, &change, &host).map(drop)
    };
    store.write("host", write).await.unwrap();
    uuid
}

fn away(host: Uuid) -> Error {
    Error::unavailable("HOST_NOT_CONNECTED", "the host is away").with("host_uuid", host.to_string())
}

#[tokio::test]
async fn a_debt_waits_for_its_host_and_is_paid_when_it_is_back() {
    let (site, store, _folder) = Site::alone().await;
    let host = host(&store, HostStatus::Disconnected).await;
    site.world.fail("three", Error::new(Kind::InvalidArgument, "BAD", "bad"));
    site.world.fail("untwo", away(host));
    let user = Caller::of(Uuid::new_v4(), false);
    let zone = Uuid::new_v4();
    let operation = site.submit_as(user, zone, true).await;
    site.until(&operation, OperationState::Stuck).await;
    assert_eq!(site.world.log().iter().filter(|step| *step == "untwo").count(), 1, "one try was enough");
    let debts = site.debts(user, &format!("host_uuid = \"{host}\" AND service = \"host\"")).await;
    assert_eq!(debts.len(), 1);
    let debt = &debts[0];
    assert_eq!((debt.uuid.as_str(), debt.step.as_str(), debt.undoing), (operation.uuid.as_str(), "two", true));
    assert_eq!((debt.reason.as_str(), debt.attempts, debt.awaits_host), ("HOST_NOT_CONNECTED", 1, true));
    assert!(site.debts(Caller::of(Uuid::new_v4(), false), "").await.is_empty(), "others do not see it");
    // what it holds stays held: others wait, and its rows are there
    let next = site.submit(zone).await;
    assert_eq!(next.state(), OperationState::Queued);
    let read = move |conn: &mut gyre_store::Conn| gyre_query::find::<Zone>(conn, &Caller::system(), zone);
    assert!(store.read("zone", read).await.unwrap().is_some());

    let begun = Instant::now();
    let back = move |conn: &mut gyre_store::Conn| {
        conn.execute(Sql::new("UPDATE host SET status = 'CONNECTED' WHERE uuid = ").bind(host))?;
        Ok(())
    };
    store.write("host-back", back).await.unwrap();
    assert_eq!(site.wait(&operation).await.state(), OperationState::Failed);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(site.debts(Caller::system(), "").await.is_empty());
    assert!(store.read("zone", read).await.unwrap().is_none());
    assert_eq!(site.wait(&next).await.state(), OperationState::Succeeded);
    let told = kinds(&site.explain(&operation).await);
    for kind in [Event::Stuck, Event::Taken, Event::Resumed] {
        assert!(told.contains(&kind), "{kind:?} in {told:?}");
    }
}

#[tokio::test]
async fn what_is_stuck_past_the_point_of_no_return_goes_on_running() {
    let (site, store, _folder) = Site::alone().await;
    let host = host(&store, HostStatus::Disconnected).await;
    site.world.fail("two", away(host));
    let gate = site.world.gate("four");
    let operation = site.finish(Uuid::new_v4()).await;
    site.until(&operation, OperationState::Stuck).await;
    let back = move |conn: &mut gyre_store::Conn| {
        conn.execute(Sql::new("UPDATE host SET status = 'CONNECTED' WHERE uuid = ").bind(host))?;
        Ok(())
    };
    store.write("host-back", back).await.unwrap();
    // whoever a step calls looks at the row: it must say that the operation goes forward
    site.until(&operation, OperationState::Running).await;
    let uuid = gyre_model::parse_uuid(&operation.uuid).unwrap();
    let read = move |conn: &mut gyre_store::Conn| gyre_query::get::<Operation>(conn, &Caller::system(), uuid);
    assert_eq!(store.read("operation", read).await.unwrap().state(), OperationState::Running);
    gate.add_permits(1);
    assert_eq!(site.wait(&operation).await.state(), OperationState::Succeeded);
}

#[tokio::test]
async fn a_cancel_is_kept_up_to_the_point_of_no_return_and_refused_past_it() {
    let (site, store, _folder) = Site::alone().await;
    // accepted by somebody who could not tell the instance: it stands in the database alone
    let gate = site.world.gate("one");
    let operation = site.finish(Uuid::new_v4()).await;
    let uuid = gyre_model::parse_uuid(&operation.uuid).unwrap();
    let accept = move |conn: &mut gyre_store::Conn| {
        let sql = Sql::new("UPDATE operation_work SET cancel = ").bind(true).sql(" WHERE operation_uuid = ").bind(uuid);
        conn.execute(sql)?;
        Ok(())
    };
    store.write("accept-cancel", accept).await.unwrap();
    gate.add_permits(1);
    assert_eq!(site.wait(&operation).await.state(), OperationState::Cancelled);
    assert_eq!(site.world.log(), ["one", "unone"]);
    gate.add_permits(1);
    let gate = site.world.gate("four");
    let operation = site.finish(Uuid::new_v4()).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while !site.world.log().iter().any(|step| step == "two") {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let cancel = CancelOperationRequest { uuid: operation.uuid.clone() };
    let refused = site.client().cancel_operation(Caller::system().request(cancel)).await.unwrap_err();
    let refused = Error::from(refused);
    assert_eq!(refused.reason(), "NOT_CANCELLABLE");
    assert!(refused.message().contains("point of no return"), "{refused}");
    gate.add_permits(1);
    assert_eq!(site.wait(&operation).await.state(), OperationState::Succeeded);
}

#[tokio::test]
async fn rows_that_are_refused_past_the_point_of_no_return_are_a_debt() {
    let (site, store, _folder) = Site::alone().await;
    let operation = site.finish(Uuid::new_v4()).await;
    assert_eq!(site.wait(&operation).await.state(), OperationState::Succeeded);
    // what `two` leaves for the last commit is refused from now on
    let refuse = "ALTER TABLE zone RENAME COLUMN description TO elsewhere";
    let rename = |text: &'static str| {
        move |conn: &mut gyre_store::Conn| conn.execute(Sql::new(text)).map(drop).map_err(Into::into)
    };
    store.write("rename", rename(refuse)).await.unwrap();
    let operation = site.finish(Uuid::new_v4()).await;
    site.until(&operation, OperationState::Stuck).await;
    assert_eq!(site.debts(Caller::system(), "").await.len(), 1);
    store.write("rename", rename("ALTER TABLE zone RENAME COLUMN elsewhere TO description")).await.unwrap();
    let retry = RetryOperationRequest { uuid: operation.uuid.clone() };
    site.client().retry_operation(Caller::system().request(retry)).await.unwrap();
    assert_eq!(site.wait(&operation).await.state(), OperationState::Succeeded);
}

#[tokio::test]
async fn a_debt_is_tried_again_when_somebody_says_so() {
    let (first, second, _store, _folder) = pair().await;
    first.world.fail("two", Error::new(Kind::InvalidArgument, "BAD", "bad"));
    for _ in 0..6 {
        first.world.fail("untwo", Error::new(Kind::Internal, "ODD", "odd"));
    }
    let operation = first.submit(owned_by(&first)).await;
    first.until(&operation, OperationState::Stuck).await;
    let request = RetryOperationRequest { uuid: operation.uuid.clone() };
    // what is answered, and what is watched from then on, is the new try and not the old outcome
    first.world.gate("untwo");
    let retried = second.client().retry_operation(Caller::system().request(request.clone())).await.unwrap();
    assert_eq!(retried.into_inner().state(), OperationState::Undoing);
    let watch = WatchOperationRequest { uuid: operation.uuid.clone() };
    let mut seen = second.client().watch_operation(Caller::system().request(watch)).await.unwrap().into_inner();
    assert_eq!(seen.message().await.unwrap().unwrap().state(), OperationState::Undoing);
    first.world.gate("untwo").add_permits(1);
    assert_eq!(second.wait(&operation).await.state(), OperationState::Failed);
    let refused = second.client().retry_operation(Caller::system().request(request)).await.unwrap_err();
    assert_eq!(Error::from(refused).reason(), "NOT_STUCK");
    assert!(second.world.log().is_empty(), "the instance that has it goes on with it");
}

#[tokio::test]
async fn users_go_before_housekeeping_and_lanes_are_seen_from_anywhere() {
    let (first, second, _store, _folder) = pair().await;
    first.world.gate("one");
    let zone = owned_by(&first);
    let user = Caller::of(Uuid::new_v4(), false);
    let running = first.submit(zone).await;
    let housekeeping = first.submit(zone).await;
    let wanted = first.submit_as(user, zone, false).await;
    let (lanes, unanswered) = second.lanes(ListLanesRequest::default()).await;
    assert_eq!((lanes.len(), unanswered), (1, 0));
    let lane = &lanes[0];
    assert_eq!((lane.kind(), lane.service.as_str(), lane.width), (LaneKind::Resource, "host", 1));
    assert_eq!((lane.running, lane.waiting, lane.waiting_housekeeping), (1, 2, 1));
    assert_eq!((lane.key_uuid.clone(), lane.head.clone()), (zone.to_string(), running.uuid.clone()));
    assert_eq!(lane.instance_uuid, first.mesh.instance().to_string());
    assert!(lane.oldest_wait.is_some());
    let other = ListLanesRequest { key_uuid: Uuid::new_v4().to_string(), ..Default::default() };
    assert!(second.lanes(other).await.0.is_empty());

    first.world.gate("one").add_permits(3);
    let ends = [first.wait(&running).await, first.wait(&wanted).await, first.wait(&housekeeping).await];
    let times: Vec<_> = ends.iter().map(|end| end.end_time.unwrap()).map(|time| (time.seconds, time.nanos)).collect();
    assert!(times.is_sorted(), "{times:?}");
    let begun = Instant::now();
    while !second.lanes(ListLanesRequest::default()).await.0.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "idle lanes stay");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // somebody who does not answer is named
    see(2, &[&second], &[&second]);
    let gone = Member::new(Uuid::new_v4(), "host", "127.0.0.1:9");
    let me = Member::new(second.mesh.instance(), "host", second.address.as_str());
    second.membership.set(3, vec![gone, me]);
    assert_eq!(second.lanes(ListLanesRequest::default()).await.1, 1);
}

#[tokio::test]
async fn lanes_of_a_service_that_is_none_are_refused() {
    let (site, _store, _folder) = Site::alone().await;
    let mut client = LaneServiceClient::new(site.mesh.channel("host"));
    let request = ListLanesRequest { service: "nope".into(), ..Default::default() };
    let error = Error::from(client.list_lanes(Caller::system().request(request)).await.unwrap_err());
    assert_eq!(error.kind(), Kind::InvalidArgument);
    let said = &error.violations()[0];
    assert_eq!(said.field, "service");
    assert_eq!(
        said.description,
        "there is no service \"nope\": must be one of host, identity, network, storage, vm, or empty for all"
    );
    let request = ListLanesRequest { service: "host".into(), ..Default::default() };
    assert!(client.list_lanes(Caller::system().request(request)).await.is_ok());
}

#[tokio::test]
async fn operations_that_ended_are_forgotten_in_time() {
    let (site, store, _folder) = Site::alone().await;
    let operation = site.submit(Uuid::new_v4()).await;
    site.wait(&operation).await;
    assert_eq!(gyre_flow::tidy::tidy(&store, Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(gyre_flow::tidy::tidy(&store, Duration::ZERO).await.unwrap(), 1);
    let request = GetOperationRequest { uuid: operation.uuid };
    assert!(site.client().get_operation(Caller::system().request(request)).await.is_err());
}
