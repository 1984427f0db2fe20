//! What all steps of the demo have in common: look by name, make, wait.

use gyre_model::catalog::catalog;
use gyre_proto::common::v1::operation_service_client::OperationServiceClient;
use gyre_proto::common::v1::{ListOperationsRequest, Operation};

use crate::client::Client;
use crate::commands::{find, wait};
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// The UUID of a resource of this kind and name, if there is one; the first of several.
pub async fn by_name(client: &Client, kind: &str, name: &str) -> Result<Option<String>> {
    let kind = catalog().kind(kind).ok_or_else(|| Failure::general(format!("there is no kind {kind}")))?;
    Ok(find(client, kind, name).await?.into_iter().next())
}

/// Waits for an operation with a progress bar; answers the UUID of its resource.
pub async fn waited(client: &Client, ui: &Ui, operation: &Operation) -> Result<String> {
    let operation = wait::follow(client, ui, operation, None).await?;
    Ok(operation.resource_uuid)
}

/// Waits for whatever still works on a resource, such as what a run before this one began.
pub async fn settled(client: &Client, ui: &Ui, resource_uuid: &str) -> Result<()> {
    let request = ListOperationsRequest {
        filter: format!("resource_uuid = \"{resource_uuid}\""),
        order_by: "create_time desc".to_owned(),
        page_size: 10,
        ..ListOperationsRequest::default()
    };
    let answer =
        OperationServiceClient::new(client.channel()).list_operations(client.request(request)).await?.into_inner();
    for operation in answer.operations.iter().rev().filter(|operation| !wait::ended(operation)) {
        // What it failed at shows in the resource, which the step looks at next.
        if let Err(failure) = wait::follow(client, ui, operation, None).await
            && failure.exit() != crate::failure::Exit::Operation
        {
            return Err(failure);
        }
    }
    Ok(())
}

/// Says that something was there already.
pub fn found(ui: &Ui, what: &str, name: &str) {
    ui.say(&format!("{what} {name:?}: found"));
}

/// Says that something was made.
pub fn made(ui: &Ui, what: &str, name: &str) {
    ui.say(&format!("{what} {name:?}: made"));
}
