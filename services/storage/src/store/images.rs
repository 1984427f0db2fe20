//! Images: their rows, whose they are, and where they can be had from.

use gyre_model::error::Violation;
use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::Resource as _;
use gyre_proto::agent::v1::{ImageFacts, ImageSource};
use gyre_proto::host::v1::Host;
use gyre_proto::storage::v1::{Image, ImageFormat, ImageServer, ImageState};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::image_servers::choose;
use super::{SYSTEM, count, lock, modify, opt_uuid, uuid_of};

/// The URL of an image that is sent with `UploadImage`.
pub(crate) const UPLOAD: &str = "upload";

/// Where an image is kept.
pub(crate) struct Place {
    /// The host of its image server.
    pub host: Uuid,
    /// The address of that host's agent.
    pub address: String,
    /// Its folder.
    pub folder: String,
}

/// A new image as it is written: what only Gyre sets is set.
///
/// # Errors
/// A checksum that is none; `SHARED_BY_ADMIN_ONLY`.
pub(crate) fn fresh(asked: Image, uuid: Uuid, caller: &Caller) -> Result<Image> {
    let hex = |letter: u8| letter.is_ascii_hexdigit();
    if !asked.sha256.is_empty() && (asked.sha256.len() != 64 || !asked.sha256.bytes().all(hex)) {
        let description = format!("must be the 64 hex digits of a SHA-256, got {:?}", asked.sha256);
        return Err(Error::invalid_fields(vec![Violation { field: "image.sha256".into(), description }]));
    }
    check_sharing(caller, false, asked.shared)?;
    let state = if asked.url == UPLOAD { ImageState::Uploading } else { ImageState::Creating };
    Ok(Image {
        uuid: uuid.to_string(),
        account_uuid: caller.account_uuid.to_string(),
        state: state.into(),
        size_bytes: 0,
        file_bytes: 0,
        sha256: asked.sha256.to_ascii_lowercase(),
        ..asked
    })
}

/// Writes a new image, on the image server that is named or on the best one.
pub(crate) fn insert(conn: &mut Conn, change: &Change, image: &Image) -> Result<()> {
    let server = choose(conn, opt_uuid("image.image_server_uuid", &image.image_server_uuid)?)?;
    gyre_query::insert(conn, change, &Image { image_server_uuid: server.uuid, ..image.clone() })?;
    Ok(())
}

/// Lets only administrators share images with every account, or take that back.
pub(crate) fn check_sharing(caller: &Caller, before: bool, after: bool) -> Result<()> {
    if before == after || caller.admin {
        return Ok(());
    }
    let text = "only administrators may say that every account sees an image: leave \"shared\" out";
    Err(Error::new(Kind::PermissionDenied, "SHARED_BY_ADMIN_ONLY", text)
        .violation("image.shared", "is for administrators"))
}

/// An image that the caller may change: a shared one is seen by all, and changed by its owner and administrators.
pub(crate) fn own(conn: &mut Conn, caller: &Caller, uuid: Uuid) -> Result<Image> {
    let image: Image = gyre_query::get(conn, caller, uuid)?;
    if caller.admin || uuid_of("account_uuid", &image.account_uuid)? == caller.account_uuid {
        return Ok(image);
    }
    let text = format!("image {uuid} is shared with you, but only its owner may change it");
    Err(Error::new(Kind::PermissionDenied, "IMAGE_NOT_YOURS", text).with("uuid", uuid.to_string()))
}

fn state_name(state: ImageState) -> String {
    state.as_str_name().trim_start_matches("IMAGE_STATE_").to_lowercase()
}

/// Refuses an image that is not in the state that it must be in.
fn wrong_state(reason: &'static str, image: &Image, remedy: &str) -> Error {
    let state = state_name(image.state());
    Error::new(Kind::FailedPrecondition, reason, format!("image {} is {state}: {remedy}", image.uuid))
        .with("state", state)
}

/// An image that the caller sees and a disk can start from; it stays so until the end of the transaction.
///
/// # Errors
/// `NOT_FOUND`, `IMAGE_NOT_READY`.
pub(crate) fn hold_ready(conn: &mut Conn, caller: &Caller, uuid: Uuid) -> Result<Image> {
    gyre_query::get::<Image>(conn, caller, uuid)?;
    lock::<Image>(conn, uuid)?;
    let image: Image = gyre_query::get(conn, caller, uuid)?;
    match image.state() {
        ImageState::Ready => Ok(image),
        _ => Err(wrong_state("IMAGE_NOT_READY", &image, "wait until it is ready, or choose another")),
    }
}

/// Refuses an upload of an image that does not wait for one.
pub(crate) fn check_uploading(image: &Image) -> Result<()> {
    match image.state() {
        ImageState::Uploading => Ok(()),
        _ => Err(wrong_state("IMAGE_NOT_UPLOADING", image, "make a new image with the URL \"upload\"")),
    }
}

/// Takes the upload as sent: the image is being checked from now on.
pub(crate) fn uploaded(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    lock::<Image>(conn, uuid)?;
    check_uploading(&gyre_query::get(conn, &SYSTEM, uuid)?)?;
    set_state(conn, change, uuid, ImageState::Creating)
}

/// Puts an image into a state. One that is gone is fine.
pub(crate) fn set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: ImageState) -> Result<()> {
    let before: Option<Image> = gyre_query::find(conn, &SYSTEM, uuid)?;
    if before.is_some_and(|before| before.state() != state) {
        modify::<Image>(conn, change, uuid, |image| image.set_state(state))?;
    }
    Ok(())
}

/// Writes what was found of an image that is whole.
pub(crate) fn ready(conn: &mut Conn, change: &Change, uuid: Uuid, facts: &ImageFacts) -> Result<()> {
    modify::<Image>(conn, change, uuid, |image| {
        image.set_state(ImageState::Ready);
        image.size_bytes = facts.size_bytes;
        image.file_bytes = facts.file_bytes;
        image.sha256 = facts.sha256.to_ascii_lowercase();
    })?;
    Ok(())
}

/// Refuses to delete an image while a disk is made from it.
pub(crate) fn check_unused(conn: &mut Conn, uuid: Uuid) -> Result<()> {
    let making = Sql::new("SELECT COUNT(*) FROM volume WHERE state = 'CREATING' AND image_uuid = ").bind(uuid);
    match count(conn, making)? {
        0 => Ok(()),
        volumes => {
            let text = format!("{volumes} volumes are being made from image {uuid}: wait until they are done");
            Err(Error::new(Kind::FailedPrecondition, "IMAGE_IN_USE", text).with("volumes", volumes.to_string()))
        }
    }
}

/// Says that an image is being deleted, unless it is in use.
pub(crate) fn mark_deleting(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    // first the lock, then the look: a volume that is inserted now waits, and finds the image not ready
    set_state(conn, change, uuid, ImageState::Deleting)?;
    check_unused(conn, uuid)
}

/// Deletes the row of an image that nothing refers to any more.
pub(crate) fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    if !lock::<Image>(conn, uuid)? {
        return Ok(());
    }
    gyre_flow::delete::remove(conn, change, Image::KIND, uuid).map(drop)
}

/// Where an image is kept.
pub(crate) fn place(conn: &mut Conn, image: &Image) -> Result<Place> {
    let server = uuid_of("image_server_uuid", &image.image_server_uuid)?;
    let ImageServer { host_uuid, path, .. } = gyre_query::get(conn, &SYSTEM, server)?;
    let host = uuid_of("host_uuid", &host_uuid)?;
    let Host { address, .. } = gyre_query::get(conn, &SYSTEM, host)?;
    Ok(Place { host, address, folder: path })
}

/// What an image is called by agents.
pub(crate) fn format_name(image: &Image) -> &'static str {
    match image.format() {
        ImageFormat::Qcow2 => "qcow2",
        ImageFormat::Raw | ImageFormat::Unspecified => "raw",
    }
}

/// Where a host gets an image from.
pub(crate) fn source(conn: &mut Conn, uuid: Uuid) -> Result<ImageSource> {
    let image: Image = gyre_query::get(conn, &SYSTEM, uuid)?;
    let place = place(conn, &image)?;
    Ok(ImageSource {
        image_uuid: uuid.to_string(),
        host_uuid: place.host.to_string(),
        address: place.address,
        folder: place.folder,
        format: format_name(&image).to_owned(),
        sha256: image.sha256,
        file_bytes: image.file_bytes,
    })
}
