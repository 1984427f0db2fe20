//! What the engine itself costs for each step: workflows of many steps that do nothing against workflows of one, on the same
//! database. Both cost two commits, so the difference is the engine's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gyre_flow::{Context, Flow, Steps, Submit};
use gyre_mesh::Mesh;
use gyre_model::{Caller, Uuid};
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::operation_service_server::OperationServiceServer;
use gyre_proto::common::v1::{OperationState, WaitOperationRequest};
use gyre_proto::host::v1::GetZoneRequest;
use gyre_store::{Store, StoreConfig};
use serde::Serialize;
use tonic::service::Routes;

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Steps of the long workflow.
    pub steps: usize,
    /// Operations of each workflow.
    pub operations: usize,
    /// An operation of one step, from the call to its end, in microseconds: the median.
    pub one_step_us: f64,
    /// An operation of many steps, the same.
    pub many_steps_us: f64,
    /// The engine's cost of a step in microseconds.
    pub step_us: f64,
}

async fn nothing(_: Arc<()>, _: Context) -> gyre_model::Result<()> {
    Ok(())
}

fn definition(name: &str, names: &[&'static str]) -> String {
    let steps: String = names.iter().map(|step| format!("  - step: {step}\n    no_undo: it does nothing\n")).collect();
    format!("name: {name}\nresource: zone\nsteps:\n{steps}")
}

/// Measures it on a database of its own.
///
/// # Errors
/// When an operation fails.
pub async fn run(steps: usize, operations: usize) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&StoreConfig::new(format!("sqlite://{}/gyre.db", folder.path().display())))?;
    store.migrate().await?;
    let mesh = Mesh::local();
    let flow = Flow::new("host", mesh.clone(), store);
    // names live as long as the process, as those of real steps do
    let names: Vec<&'static str> = (0..steps.max(2)).map(|at| &*String::leak(format!("step-{at}"))).collect();
    let service = Arc::new(());
    let registered = names.iter().fold(Steps::new(), |all, name| all.without_undo(name, &service, nothing));
    flow.register(registered, &[&definition("one", &names[..1]), &definition("many", &names)])?;
    mesh.host("host", Routes::new(OperationServiceServer::new(flow.api()))).await?;
    flow.start();
    let mut client = OperationServiceClient::new(mesh.channel("host"));
    let mut medians = Vec::new();
    for workflow in ["one", "many"] {
        let mut samples = Vec::with_capacity(operations);
        for _ in 0..operations.max(1) {
            let begun = Instant::now();
            let zone = Uuid::new_v4();
            let input = GetZoneRequest { uuid: zone.to_string() };
            let submit = Submit { caller: Caller::system(), workflow, resource: zone, request_id: "", input: &input };
            let uuid = flow.submit(submit, |_, _| Ok(())).await?.uuid;
            let timeout = Some(gyre_proto::Duration { seconds: 60, nanos: 0 });
            let wait = Caller::system().request(WaitOperationRequest { uuid, timeout });
            let ended = client.wait_operation(wait).await?.into_inner();
            ensure!(ended.state() == OperationState::Succeeded, "{ended:?}");
            samples.push(begun.elapsed());
        }
        samples.sort_unstable();
        medians.push(samples[samples.len() / 2]);
    }
    flow.shutdown(Duration::from_secs(5)).await;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (one, many) = (us(medians[0]), us(medians[1]));
    Ok(Figures {
        steps: names.len(),
        operations,
        one_step_us: one,
        many_steps_us: many,
        step_us: (many - one) / (names.len() - 1) as f64,
    })
}
