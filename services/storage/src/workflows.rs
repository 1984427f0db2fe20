//! The workflows of this service: a file each in `workflows/`, and the steps that they are made of, a module for each resource.
//!
//! Ground rules of the steps:
//! 1. A create's rows stand before its first step; the step `record-…` is there to take them back.
//! 2. A delete is marked in a commit of its own, before a host is asked; the row goes in the last commit.
//! 3. What a host did is found out again by the same task, so only [`crate::hosts::asked`] is remembered.

mod image_servers;
mod images;
mod primary_storages;
mod volumes;

use std::path::Path;
use std::sync::Arc;

use gyre_flow::{Context, Flow, Steps};
use gyre_model::Result;

use crate::hosts::Limits;

const DEFINITIONS: [&str; 23] = [
    include_str!("workflows/allocate-volume.yaml"),
    include_str!("workflows/measure-room.yaml"),
    include_str!("workflows/create-primary-storage.yaml"),
    include_str!("workflows/delete-primary-storage.yaml"),
    include_str!("workflows/create-image-server.yaml"),
    include_str!("workflows/delete-image-server.yaml"),
    include_str!("workflows/create-image.yaml"),
    include_str!("workflows/await-upload.yaml"),
    include_str!("workflows/finish-upload.yaml"),
    include_str!("workflows/delete-image.yaml"),
    include_str!("workflows/create-volume.yaml"),
    include_str!("workflows/create-root-volume.yaml"),
    include_str!("workflows/confirm-volume.yaml"),
    include_str!("workflows/delete-volume.yaml"),
    include_str!("workflows/destroy-volume.yaml"),
    include_str!("workflows/bin-image.yaml"),
    include_str!("workflows/recover-image.yaml"),
    include_str!("workflows/expunge-image.yaml"),
    include_str!("workflows/bin-volume.yaml"),
    include_str!("workflows/recover-volume.yaml"),
    include_str!("workflows/expunge-volume.yaml"),
    include_str!("workflows/sweep-volume.yaml"),
    include_str!("workflows/sweep-image.yaml"),
];

/// Registers all of them.
pub(crate) fn register(flow: &Flow, limits: Limits, directory: Option<&Path>) -> Result<()> {
    let limits = Arc::new(limits);
    let steps = primary_storages::add(Steps::new().deleting(), &limits);
    let steps = image_servers::add(steps, &limits);
    let steps = images::add(steps, &limits);
    let steps = volumes::add(steps, &limits);
    flow.register_with(steps, &DEFINITIONS, directory)
}

/// A step whose work the call has done already.
async fn nothing(_: Arc<Limits>, _: Context) -> Result<()> {
    Ok(())
}
