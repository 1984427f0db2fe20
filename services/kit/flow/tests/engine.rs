//! Operations as their callers see them: done, undone, queued, cancelled, gone on with after a crash.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gyre_flow::{Context, Flow, Steps, Submit, Var};
use gyre_mesh::Mesh;
use gyre_model::{Acting, Caller, Error, Kind, Result, Uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::operation_service_server::OperationServiceServer;
use gyre_proto::common::v1::{
    CancelOperationRequest, ExplainOperationRequest, Operation, OperationEventKind, OperationState, OperationStepState,
    WaitOperationRequest, WatchOperationRequest,
};
use gyre_proto::host::v1::{GetZoneRequest, Zone};
use gyre_query::Change;
use gyre_store::{Conn, Store, StoreConfig};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tonic::service::Routes;

const BUILD: &str = "
name: build-zone
resource: zone
steps:
  - step: record
  - step: wall
    retry: { attempts: 3, first_ms: 1 }
  - step: roof
  - step: done
    no_undo: it is the last
";

const HEIGHT: Var<i32> = Var::new("height");

const RAZE: &str = "
name: raze-zone
resource: zone
steps:
  - step: empty
    no_undo: nothing is changed
  - step: level
    point_of_no_return: true
";

/// What the steps did, and what they are told to do.
struct World {
    log: Mutex<Vec<String>>,
    /// Steps that fail, each with the error, as often as it is there.
    faults: Mutex<Vec<(&'static str, Error)>>,
    /// The step `wall` takes one of these.
    gate: Semaphore,
    /// The right with which `wall` last acted, as its calls carry it.
    caller: Mutex<Option<Caller>>,
    /// What the step `done` has at hand, whose last commit takes long where `slow` says so.
    held: Mutex<Option<Context>>,
    slow: AtomicBool,
    committing: AtomicBool,
}

impl World {
    fn note(&self, what: &str) {
        self.log.lock().push(what.to_owned());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    fn fault(&self, step: &str) -> Result<()> {
        let mut faults = self.faults.lock();
        match faults.iter().position(|(name, _)| *name == step) {
            Some(at) => Err(faults.remove(at).1),
            None => Ok(()),
        }
    }
}

async fn record(world: Arc<World>, _: Context) -> Result<()> {
    world.note("record");
    Ok(())
}

async fn unrecord(world: Arc<World>, context: Context) -> Result<()> {
    world.note("unrecord");
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| gyre_query::delete::<Zone>(conn, change, uuid).map(|_| ()));
    Ok(())
}

async fn wall(world: Arc<World>, context: Context) -> Result<()> {
    *world.caller.lock() = Some(context.caller());
    let permit = world.gate.acquire().await.map_err(Error::internal)?;
    permit.forget();
    world.note("wall");
    context.progress(50, "half a wall");
    context.set(&HEIGHT, &3)?;
    world.fault("wall")
}

async fn unwall(world: Arc<World>, _: Context) -> Result<()> {
    world.note("unwall");
    world.fault("unwall")
}

async fn roof(world: Arc<World>, context: Context) -> Result<()> {
    world.note(&format!("roof on {}", context.need(&HEIGHT)?));
    world.fault("roof")
}

async fn unroof(world: Arc<World>, _: Context) -> Result<()> {
    world.note("unroof");
    Ok(())
}

async fn done(world: Arc<World>, context: Context) -> Result<()> {
    world.note("done");
    let uuid = context.resource_uuid();
    *world.held.lock() = Some(context.clone());
    context.on_commit(move |conn, change| {
        if world.slow.load(Ordering::SeqCst) {
            world.committing.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(300));
            world.committing.store(false, Ordering::SeqCst);
        }
        let mut zone: Zone = gyre_query::get(conn, &Caller::system(), uuid)?;
        zone.description = "built".into();
        gyre_query::update(conn, change, &zone).map(|_| ())
    });
    Ok(())
}

async fn empty(world: Arc<World>, _: Context) -> Result<()> {
    world.note("empty");
    Ok(())
}

async fn level(world: Arc<World>, context: Context) -> Result<()> {
    world.note("level");
    world.fault("level")?;
    unrecord(world, context).await
}

struct Site {
    flow: Flow,
    mesh: Mesh,
    store: Store,
    world: Arc<World>,
    _folder: Option<tempfile::TempDir>,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::new(format!("sqlite://{}/gyre.db", folder.path().display()))).unwrap();
        store.migrate().await.unwrap();
        let mut site = Self::on(store).await;
        site._folder = Some(folder);
        site
    }

    /// An instance on a database.
    async fn on(store: Store) -> Self {
        let world = Arc::new(World {
            log: Mutex::default(),
            faults: Mutex::default(),
            gate: Semaphore::new(0),
            caller: Mutex::default(),
            held: Mutex::default(),
            slow: AtomicBool::default(),
            committing: AtomicBool::default(),
        });
        let mesh = Mesh::local();
        let flow = Flow::new("host", mesh.clone(), store.clone());
        let steps = Steps::new()
            .step("record", &world, record, unrecord)
            .step("wall", &world, wall, unwall)
            .gives(&HEIGHT)
            .step("roof", &world, roof, unroof)
            .needs(&HEIGHT)
            .without_undo("done", &world, done)
            .without_undo("empty", &world, empty)
            .without_undo("level", &world, level);
        flow.register(steps, &[BUILD, RAZE]).unwrap();
        mesh.host("host", Routes::new(OperationServiceServer::new(flow.api()))).await.unwrap();
        flow.start();
        Self { flow, mesh, store, world, _folder: None }
    }

    fn client(&self) -> OperationServiceClient<gyre_mesh::MeshChannel> {
        OperationServiceClient::new(self.mesh.channel("host"))
    }

    async fn submit(&self, workflow: &'static str, zone: Uuid, request_id: &str, make: bool) -> Result<Operation> {
        let input = GetZoneRequest { uuid: zone.to_string() };
        let submit = Submit { caller: Caller::system(), workflow, resource: zone, request_id, input: &input };
        let rows = move |conn: &mut Conn, change: &Change| {
            if make {
                let zone = Zone { uuid: zone.to_string(), name: "z".into(), ..Zone::default() };
                gyre_query::insert(conn, change, &zone)?;
            }
            Ok(())
        };
        self.flow.submit(submit, rows).await
    }

    async fn wait(&self, operation: &Operation) -> Operation {
        let request = WaitOperationRequest {
            uuid: operation.uuid.clone(),
            timeout: Some(gyre_proto::Duration { seconds: 20, nanos: 0 }),
        };
        self.client().wait_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }

    async fn zone(&self, uuid: Uuid) -> Option<Zone> {
        self.store.read("zone", move |conn| gyre_query::find(conn, &Caller::system(), uuid)).await.unwrap()
    }
}

#[tokio::test]
async fn an_operation_is_done_and_watched() {
    let site = Site::new().await;
    let zone = Uuid::new_v4();
    let operation = site.submit("build-zone", zone, "a", true).await.unwrap();
    assert_eq!(operation.state(), OperationState::Running);
    let request = WatchOperationRequest { uuid: operation.uuid.clone() };
    let mut stream = site.client().watch_operation(Caller::system().request(request)).await.unwrap().into_inner();
    site.world.gate.add_permits(1);
    let mut last = Operation::default();
    while let Some(next) = stream.message().await.unwrap() {
        assert!(next.percent >= last.percent, "{} after {}", next.percent, last.percent);
        last = next;
    }
    assert_eq!((last.state(), last.percent), (OperationState::Succeeded, 100));
    assert!(last.steps.iter().all(|step| step.state() == OperationStepState::Done));
    assert_eq!(site.world.log(), ["record", "wall", "roof on 3", "done"]);
    assert_eq!(site.zone(zone).await.unwrap().description, "built");
}

#[tokio::test]
async fn a_step_that_fails_is_undone_with_all_before_it() {
    let site = Site::new().await;
    site.world.gate.add_permits(10);
    let fault = Error::new(Kind::ResourceExhausted, "NO_TILES", "there are no tiles");
    site.world.faults.lock().push(("roof", fault));
    let zone = Uuid::new_v4();
    let operation = site.submit("build-zone", zone, "a", true).await.unwrap();
    let ended = site.wait(&operation).await;
    assert_eq!(ended.state(), OperationState::Failed);
    let error = ended.error.unwrap();
    assert_eq!((error.reason.as_str(), error.code.as_str()), ("NO_TILES", "RESOURCE_EXHAUSTED"));
    assert_eq!(site.world.log(), ["record", "wall", "roof on 3", "unroof", "unwall", "unrecord"]);
    assert!(site.zone(zone).await.is_none());
}

#[tokio::test]
async fn passing_faults_are_tried_again_in_both_directions() {
    let site = Site::new().await;
    site.world.gate.add_permits(10);
    let away = || Error::unavailable("AWAY", "away");
    site.world.faults.lock().extend([("wall", away()), ("unwall", away()), ("wall", away())]);
    site.world.faults.lock().push(("roof", Error::new(Kind::InvalidArgument, "BAD", "bad")));
    let operation = site.submit("build-zone", Uuid::new_v4(), "a", true).await.unwrap();
    let ended = site.wait(&operation).await;
    assert_eq!(ended.state(), OperationState::Failed);
    assert_eq!(
        site.world.log(),
        ["record", "wall", "wall", "wall", "roof on 3", "unroof", "unwall", "unwall", "unrecord"]
    );
    assert_eq!(ended.steps[1].attempts, 3);
}

#[tokio::test]
async fn the_same_request_is_one_operation_and_another_is_refused() {
    let site = Site::new().await;
    site.world.gate.add_permits(1);
    let zone = Uuid::new_v4();
    let first = site.submit("build-zone", zone, "a", true).await.unwrap();
    let again = site.submit("build-zone", zone, "a", true).await.unwrap();
    assert_eq!(first.uuid, again.uuid);
    site.wait(&first).await;
    assert_eq!(site.submit("build-zone", zone, "a", true).await.unwrap().uuid, first.uuid);
    let error = site.submit("build-zone", Uuid::new_v4(), "a", true).await.unwrap_err();
    assert_eq!(error.reason(), "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn operations_on_one_resource_run_one_after_the_other() {
    let site = Site::new().await;
    let zone = Uuid::new_v4();
    let build = site.submit("build-zone", zone, "a", true).await.unwrap();
    let raze = site.submit("raze-zone", zone, "b", false).await.unwrap();
    assert_eq!(raze.state(), OperationState::Queued);
    site.world.gate.add_permits(1);
    assert_eq!(site.wait(&raze).await.state(), OperationState::Succeeded);
    assert_eq!(site.wait(&build).await.state(), OperationState::Succeeded);
    assert_eq!(site.world.log(), ["record", "wall", "roof on 3", "done", "empty", "level", "unrecord"]);
    assert!(site.zone(zone).await.is_none());
}

#[tokio::test]
async fn a_cancelled_operation_is_undone() {
    let site = Site::new().await;
    let zone = Uuid::new_v4();
    let operation = site.submit("build-zone", zone, "a", true).await.unwrap();
    let queued = site.submit("raze-zone", zone, "b", false).await.unwrap();
    for one in [&queued, &operation] {
        let request = CancelOperationRequest { uuid: one.uuid.clone() };
        site.client().cancel_operation(Caller::system().request(request)).await.unwrap();
    }
    assert_eq!(site.wait(&operation).await.state(), OperationState::Cancelled);
    assert_eq!(site.wait(&queued).await.state(), OperationState::Cancelled);
    assert!(site.zone(zone).await.is_none());
    let request = CancelOperationRequest { uuid: operation.uuid.clone() };
    let error = Error::from(site.client().cancel_operation(Caller::system().request(request)).await.unwrap_err());
    assert_eq!(error.reason(), "NOT_CANCELLABLE");
}

#[tokio::test]
async fn a_late_call_of_a_step_writes_nothing() {
    let site = Site::new().await;
    let operation = site.submit("build-zone", Uuid::new_v4(), "a", true).await.unwrap();
    let caller = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Some(caller) = *site.world.caller.lock() {
                return caller;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let acting = caller.acting.unwrap();
    assert_eq!((acting.operation.to_string(), acting.fence, acting.undoing), (operation.uuid.clone(), 1, false));
    let late = async |caller: Caller, request_id: &str| {
        let zone = Zone { uuid: Uuid::new_v4().to_string(), name: "late".into(), ..Zone::default() };
        let write = move |conn: &mut Conn, change: &Change| gyre_query::insert(conn, change, &zone);
        gyre_flow::once(&site.store, caller, "create-zone", request_id, &GetZoneRequest::default(), write).await
    };
    late(caller, "in time").await.unwrap();
    let other = Caller::system().acting(Acting { fence: 2, ..acting });
    assert_eq!(late(other, "not yet").await.unwrap_err().reason(), "FENCED");
    let request = CancelOperationRequest { uuid: operation.uuid.clone() };
    site.client().cancel_operation(Caller::system().request(request)).await.unwrap();
    assert_eq!(site.wait(&operation).await.state(), OperationState::Cancelled);
    for undoing in [false, true] {
        let caller = Caller::system().acting(Acting { undoing, ..acting });
        assert_eq!(late(caller, "too late").await.unwrap_err().reason(), "FENCED");
    }
}

#[tokio::test]
async fn transactions_that_were_in_each_others_way_are_run_again_and_nobody_hears_of_it() {
    let site = Site::new().await;
    let conflicts = |count: usize| {
        let left = Arc::new(std::sync::atomic::AtomicUsize::new(count));
        move |conn: &mut Conn, change: &Change, uuid: Uuid| {
            let zone = Zone { uuid: uuid.to_string(), name: "met".into(), ..Zone::default() };
            gyre_query::insert(conn, change, &zone)?;
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Err(Error::from(gyre_store::DbError::Conflict("deadlock detected".into()))),
                Err(_) => Ok(zone),
            }
        }
    };
    let uuid = Uuid::new_v4();
    let twice = conflicts(2);
    let write = move |conn: &mut Conn, change: &Change| twice(conn, change, uuid);
    let request = GetZoneRequest::default();
    let made = gyre_flow::once(&site.store, Caller::system(), "create-zone", "a", &request, write).await.unwrap();
    assert_eq!(made.uuid, uuid.to_string());
    assert!(site.zone(uuid).await.is_some());

    site.world.gate.add_permits(1);
    let (uuid, twice) = (Uuid::new_v4(), conflicts(2));
    let input = GetZoneRequest { uuid: uuid.to_string() };
    let submit =
        Submit { caller: Caller::system(), workflow: "build-zone", resource: uuid, request_id: "b", input: &input };
    let write = move |conn: &mut Conn, change: &Change| twice(conn, change, uuid).map(drop);
    let operation = site.flow.submit(submit, write).await.unwrap();
    assert_eq!(site.wait(&operation).await.state(), OperationState::Succeeded);

    // those that always meet are told so in the end
    let (uuid, always) = (Uuid::new_v4(), conflicts(1_000));
    let write = move |conn: &mut Conn, change: &Change| always(conn, change, uuid);
    let error = gyre_flow::once(&site.store, Caller::system(), "create-zone", "c", &request, write).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Aborted, "CONFLICT"));
    assert!(site.zone(uuid).await.is_none());
}

#[tokio::test]
async fn past_the_point_of_no_return_the_rest_is_tried_until_it_succeeds() {
    let site = Site::new().await;
    site.world.gate.add_permits(1);
    let zone = Uuid::new_v4();
    let build = site.submit("build-zone", zone, "a", true).await.unwrap();
    site.wait(&build).await;
    for _ in 0..3 {
        site.world.faults.lock().push(("level", Error::new(Kind::Internal, "ODD", "odd")));
    }
    let raze = site.submit("raze-zone", zone, "b", false).await.unwrap();
    assert_eq!(site.wait(&raze).await.state(), OperationState::Succeeded);
    assert!(site.zone(zone).await.is_none());
}

#[tokio::test]
async fn another_instance_goes_on_where_one_died_and_the_dead_one_can_commit_nothing() {
    let first = Site::new().await;
    let zone = Uuid::new_v4();
    let operation = first.submit("build-zone", zone, "a", true).await.unwrap();
    let waiting = first.submit("raze-zone", zone, "b", false).await.unwrap();
    // the first instance hangs in its step; to the second it is no member
    let second = Site::on(first.store.clone()).await;
    second.world.gate.add_permits(10);
    assert_eq!(second.wait(&operation).await.state(), OperationState::Succeeded);
    assert_eq!(second.wait(&waiting).await.state(), OperationState::Succeeded);
    assert_eq!(second.world.log(), ["record", "wall", "roof on 3", "done", "empty", "level", "unrecord"]);
    // it wakes up, and finds its fence too low
    first.world.gate.add_permits(10);
    let ended = second.wait(&operation).await;
    assert_eq!(ended.fence, 2);
    first.flow.shutdown(Duration::from_secs(5)).await;
    assert_eq!(second.wait(&operation).await, ended);
}

#[tokio::test]
async fn who_took_over_undoes_also_what_only_the_one_before_knows_of() {
    let first = Site::new().await;
    let operation = first.submit("build-zone", Uuid::new_v4(), "a", true).await.unwrap();
    // how far the first came is not durable: it may have put the roof on
    let second = Site::on(first.store.clone()).await;
    second.world.faults.lock().push(("wall", Error::new(Kind::InvalidArgument, "BAD", "bad")));
    second.world.gate.add_permits(1);
    assert_eq!(second.wait(&operation).await.state(), OperationState::Failed);
    assert_eq!(second.world.log(), ["record", "wall", "unroof", "unwall", "unrecord"]);
}

#[tokio::test]
async fn what_only_waited_when_its_instance_died_has_nothing_to_undo_but_what_it_did() {
    let first = Site::new().await;
    let zone = Uuid::new_v4();
    let before = first.submit("build-zone", zone, "a", true).await.unwrap();
    let waited = first.submit("build-zone", zone, "b", false).await.unwrap();
    let second = Site::on(first.store.clone()).await;
    second.world.gate.add_permits(1);
    assert_eq!(second.wait(&before).await.state(), OperationState::Succeeded);
    // the roof is the other operation's
    second.world.faults.lock().push(("wall", Error::new(Kind::InvalidArgument, "BAD", "bad")));
    second.world.gate.add_permits(1);
    let ended = second.wait(&waited).await;
    assert_eq!((ended.state(), ended.fence), (OperationState::Failed, 2));
    assert_eq!(second.world.log()[4..], ["record", "wall", "unwall", "unrecord"]);
}

#[tokio::test]
async fn an_end_is_shown_to_nobody_before_it_is_durable() {
    let site = Site::new().await;
    site.world.slow.store(true, Ordering::SeqCst);
    site.world.gate.add_permits(1);
    let operation = site.submit("build-zone", Uuid::new_v4(), "a", true).await.unwrap();
    let mut looks = 0;
    let end = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let before = site.world.committing.load(Ordering::SeqCst);
            // whatever changes meanwhile makes those who look get a new copy
            let held = site.world.held.lock().clone().filter(|_| before);
            if let Some(context) = held {
                context.progress(100, "late");
            }
            let request = gyre_proto::common::v1::GetOperationRequest { uuid: operation.uuid.clone() };
            let seen = site.client().get_operation(Caller::system().request(request)).await.unwrap().into_inner();
            let request = ExplainOperationRequest { uuid: operation.uuid.clone() };
            let told = site.client().explain_operation(Caller::system().request(request)).await.unwrap().into_inner();
            let ended = told.events.iter().any(|event| event.kind() == OperationEventKind::Ended);
            if before && site.world.committing.load(Ordering::SeqCst) {
                looks += 1;
                assert_eq!((seen.state(), seen.end_time, ended), (OperationState::Running, None, false));
            } else if seen.end_time.is_some() {
                return seen.state();
            }
        }
    });
    assert_eq!(end.await.unwrap(), OperationState::Succeeded);
    assert!(looks > 0);
}

#[tokio::test]
async fn what_waits_goes_before_what_comes_later() {
    let site = Site::new().await;
    let zone = Uuid::new_v4();
    let uuid = Uuid::new_v4();
    let build = site.submit("build-zone", zone, "a", true).await.unwrap();
    let waits = site.submit("raze-zone", zone, "b", false).await.unwrap();
    // the moment between the end of one and the turn of the next: nothing holds the resource
    let parked = move |conn: &mut Conn, to: Uuid| {
        let sql = gyre_store::Sql::new("UPDATE operation SET resource_uuid = ")
            .bind(to)
            .sql(" WHERE workflow = 'build-zone'");
        conn.execute(sql).map(drop).map_err(Error::from)
    };
    site.store.write("park", move |conn| parked(conn, uuid)).await.unwrap();
    let late = site.submit("build-zone", zone, "c", false).await.unwrap();
    assert_eq!((waits.state(), late.state()), (OperationState::Queued, OperationState::Queued));
    site.world.gate.add_permits(2);
    for operation in [&build, &waits, &late] {
        site.wait(operation).await;
    }
}

#[tokio::test]
async fn whoever_shows_or_tests_all_workflows_can_list_them() {
    let site = Site::new().await;
    let all = site.flow.workflows();
    assert_eq!(all.iter().map(|workflow| workflow.name.as_str()).collect::<Vec<_>>(), ["build-zone", "raze-zone"]);
    assert_eq!((all[0].service, all[0].resource.as_str()), ("host", "zone"));
    let undone: Vec<_> = all[0].steps.iter().map(|step| (step.name.as_str(), step.undo)).collect();
    assert_eq!(undone, [("record", true), ("wall", true), ("roof", true), ("done", false)]);
    assert_eq!(all[0].steps[3].no_undo.as_deref(), Some("it is the last"));
    assert!(all[1].steps[1].point_of_no_return && !all[1].steps[0].point_of_no_return);
}
