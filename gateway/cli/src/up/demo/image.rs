//! The demo's image.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _};
use gyre_proto::storage::v1::image_service_client::ImageServiceClient;
use gyre_proto::storage::v1::{CreateImageRequest, GetImageRequest, Image, ImageState, UploadImageRequest};

use super::DemoSetup;
use super::ensure::ensure_by_operation;
use super::step::{by_name, found, settled, waited};
use crate::client::Client;
use crate::commands::pieces;
use crate::failure::Failure;
use crate::ui::Ui;

/// The image: made, then uploaded, where that did not happen yet.
pub async fn image(client: &Client, setup: &DemoSetup, ui: &Ui, server: String) -> anyhow::Result<String> {
    let uuid = ensure_by_operation!(
        client,
        ui,
        "image",
        &setup.image_name,
        ImageServiceClient.create_image(CreateImageRequest {
            image: Image {
                name: setup.image_name.clone(),
                image_server_uuid: server,
                url: "upload".to_owned(),
                format: setup.image_format.into(),
                shared: true,
                ..Image::default()
            }
        })
    );
    let request = client.request(GetImageRequest { uuid: uuid.clone() });
    let image = ImageServiceClient::new(client.channel()).get_image(request).await.map_err(Failure::from)?.into_inner();
    if image.state() == ImageState::Uploading {
        let operation = upload(client, setup, ui, &uuid)
            .await
            .with_context(|| format!("the image {} cannot be uploaded", setup.image_file.display()))?;
        waited(client, ui, &operation).await?;
    }
    Ok(uuid)
}

async fn upload(
    client: &Client,
    setup: &DemoSetup,
    ui: &Ui,
    uuid: &str,
) -> anyhow::Result<gyre_proto::common::v1::Operation> {
    let file = tokio::fs::File::open(&setup.image_file).await?;
    let total = file.metadata().await?.len();
    let step = Arc::new(ui.step("upload image"));
    let fault = Arc::new(Mutex::new(None));
    let broken = Arc::clone(&fault);
    let head = UploadImageRequest { uuid: uuid.to_owned(), data: bytes::Bytes::new() };
    let body = pieces(file, Some(total), Arc::clone(&step), move |error| {
        *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    })
    .map(|data| UploadImageRequest { uuid: String::new(), data });
    let request = client.open_request(stream::iter([head]).chain(body));
    let answer = ImageServiceClient::new(client.channel()).upload_image(request).await;
    if let Some(error) = fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error.into());
    }
    let operation = answer.map_err(Failure::from)?.into_inner();
    if let Some(step) = Arc::into_inner(step) {
        step.done("");
    }
    Ok(operation)
}
