//! Operations while a real PostgreSQL is cut off in a commit, or away for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

#[path = "../../store/tests/support/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gyre_flow::{Context, Flow, Steps, Submit};
use gyre_mesh::Mesh;
use gyre_model::{Caller, Result, Uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::operation_service_server::OperationServiceServer;
use gyre_proto::common::v1::{Operation, OperationState, WatchOperationRequest};
use gyre_proto::host::v1::{GetZoneRequest, Zone};
use gyre_store::{Sql, Store, StoreConfig};
use postgres::{Postgres, Way};
use tokio::sync::Semaphore;
use tonic::service::Routes;

const BUILD: &str = "
name: build-zone
resource: zone
steps:
  - step: found
    no_undo: the test looks at it
  - step: wait
    no_undo: nothing is changed
  - step: finish
    no_undo: it is the last
";

/// The step `wait` takes one of these.
struct World(Semaphore);

/// Could not be done twice: the zone is there then.
async fn found(_: Arc<World>, context: Context) -> Result<()> {
    let zone = Zone { uuid: context.resource_uuid().to_string(), name: "z".into(), ..Zone::default() };
    context.commit("found", move |conn, change| gyre_query::insert(conn, change, &zone).map(|_| ())).await
}

async fn wait(world: Arc<World>, context: Context) -> Result<()> {
    world.0.acquire().await.unwrap().forget();
    // whatever is asked of the database meanwhile is answered when it is there again
    context.read("look", |conn| Ok(conn.query(Sql::new("SELECT 1 FROM zone"))?.len())).await.map(drop)
}

async fn finish(_: Arc<World>, context: Context) -> Result<()> {
    let uuid = context.resource_uuid();
    context.on_commit(move |conn, change| {
        let mut zone: Zone = gyre_query::get(conn, &Caller::system(), uuid)?;
        zone.description += "built";
        gyre_query::update(conn, change, &zone).map(|_| ())
    });
    Ok(())
}

struct Site {
    flow: Flow,
    mesh: Mesh,
    world: Arc<World>,
}

impl Site {
    async fn on(store: Store) -> Self {
        let world = Arc::new(World(Semaphore::new(0)));
        let mesh = Mesh::local();
        let flow = Flow::new("host", mesh.clone(), store);
        let steps = Steps::new()
            .without_undo("found", &world, found)
            .without_undo("wait", &world, wait)
            .without_undo("finish", &world, finish);
        flow.register(steps, &[BUILD]).unwrap();
        mesh.host("host", Routes::new(OperationServiceServer::new(flow.api()))).await.unwrap();
        flow.start();
        Self { flow, mesh, world }
    }

    async fn submit(&self, zone: Uuid) -> Result<Operation> {
        let input = GetZoneRequest { uuid: zone.to_string() };
        let submit =
            Submit { caller: Caller::system(), workflow: "build-zone", resource: zone, request_id: "a", input: &input };
        self.flow.submit(submit, |_, _| Ok(())).await
    }

    async fn watch(&self, operation: &Operation) -> tonic::Streaming<Operation> {
        let mut client = OperationServiceClient::new(self.mesh.channel("host"));
        let request = WatchOperationRequest { uuid: operation.uuid.clone() };
        client.watch_operation(Caller::system().request(request)).await.unwrap().into_inner()
    }
}

/// What is watched comes to its end without an error.
async fn end(mut stream: tonic::Streaming<Operation>) -> Operation {
    let mut last = Operation::default();
    let watched = async {
        while let Some(next) = stream.message().await.expect("a watcher sees no error") {
            last = next;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), watched).await.expect("it ends");
    last
}

async fn database(server: &Postgres) -> Store {
    let store = Store::open(&StoreConfig::new(server.url())).unwrap();
    store.migrate().await.unwrap();
    store
}

async fn run(store: &Store, text: String) {
    store.write("run", move |conn| Ok(conn.execute(Sql::new(text))?)).await.unwrap();
}

/// Waits until the server is in the middle of a commit.
async fn commits(direct: &Store) {
    let until = Instant::now() + Duration::from_secs(30);
    let text = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'";
    while direct.read("look", move |conn| conn.query_one(Sql::new(text))?.unwrap().int(0)).await.unwrap() == 0 {
        assert!(Instant::now() < until, "nobody commits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_recognized_and_not_made_twice() {
    let Some(server) = Postgres::start() else { return };
    let direct = database(&server).await;
    // every commit of the engine's takes its time after the rows are written
    run(
        &direct,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END'"
            .into(),
    )
    .await;
    run(&direct, "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON operation_work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()".into()).await;
    let way = Way::to(server.port);
    let site = Site::on(Store::open(&StoreConfig::new(Postgres::url_at(way.port))).unwrap()).await;
    site.world.0.add_permits(9);
    let zone = Uuid::new_v4();
    let operation = site.submit(zone).await.unwrap();
    let watched = tokio::spawn(end(site.watch(&operation).await));
    // the step's own commit, and the last
    for _ in 0..2 {
        commits(&direct).await;
        way.cut();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let ended = watched.await.unwrap();
    assert_eq!(ended.state(), OperationState::Succeeded, "{:?}", ended.error);
    assert!(ended.steps.iter().all(|step| step.attempts == 1), "nothing was done twice: {:?}", ended.steps);
    assert_eq!(ended.fence, 1, "nobody had to take it over");
    let zone: Zone = direct.read("zone", move |conn| gyre_query::get(conn, &Caller::system(), zone)).await.unwrap();
    assert_eq!((zone.description.as_str(), zone.generation), ("built", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_and_watchers_wait_for_a_database_that_is_away() {
    let Some(mut server) = Postgres::start() else { return };
    let site = Site::on(database(&server).await).await;
    let operation = site.submit(Uuid::new_v4()).await.unwrap();
    let watched = tokio::spawn(end(site.watch(&operation).await));
    server.kill();
    // the step is on its way, and longer away than it has tries for
    site.world.0.add_permits(1_000);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let refused = site.submit(Uuid::new_v4()).await.unwrap_err();
    assert_eq!(refused.reason(), "DATABASE_AWAY");
    server.run();
    let ended = watched.await.unwrap();
    assert_eq!(ended.state(), OperationState::Succeeded, "{:?}", ended.error);
}
