//! Images: their rows, whose they are, and where they can be had from.

use gyre_flow::bin;
use gyre_model::error::Violation;
use gyre_model::{Caller, Error, Kind, Result, Uuid, time};
use gyre_proto::Resource as _;
use gyre_proto::agent::v1::{ImageFacts, ImageSource};
use gyre_proto::host::v1::Host;
use gyre_proto::storage::v1::{Image, ImageFormat, ImageServer, ImageState};
use gyre_query::Change;
use gyre_store::{Conn, Dialect, Sql};

use super::image_servers::choose;
use super::{Hold, SYSTEM, count, held, hold, modify, opt_uuid, uuid_of};

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
    if conn.dialect() == Dialect::Postgres {
        held::<Image>(conn, uuid, Hold::Shared)?;
    }
    let image: Image = gyre_query::get(conn, caller, uuid)?;
    match image.state() {
        ImageState::Ready => Ok(image),
        ImageState::Destroyed => Err(bin::in_bin(&image, &image.name)),
        ImageState::Unspecified | ImageState::Creating | ImageState::Uploading | ImageState::Deleting => {
            Err(wrong_state("IMAGE_NOT_READY", &image, "wait until it is ready, or choose another"))
        }
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
    check_uploading(&hold(conn, uuid)?)?;
    set_state(conn, change, uuid, ImageState::Creating)
}

/// Puts an image into a state. One that is gone is fine.
pub(crate) fn set_state(conn: &mut Conn, change: &Change, uuid: Uuid, state: ImageState) -> Result<()> {
    let Some(before) = held::<Image>(conn, uuid, Hold::Alone)? else { return Ok(()) };
    if before.state() != state {
        let mut image = before.clone();
        image.set_state(state);
        gyre_query::update_from(conn, change, &before, &image)?;
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

/// Whether a deletion puts an image into the bin, where it has one: one of which there is something to recover.
pub(crate) fn can_be_recovered(image: &Image) -> bool {
    !matches!(image.state(), ImageState::Uploading | ImageState::Deleting)
}

/// Refuses to put an image into the bin that is not whole.
pub(crate) fn check_binnable(image: &Image) -> Result<()> {
    match image.state() {
        ImageState::Ready => Ok(()),
        ImageState::Destroyed => {
            let remedy = "recover it, or say expunge to delete it for good";
            Err(wrong_state("WRONG_STATE", image, &format!("it is in the bin already; {remedy}")))
        }
        ImageState::Unspecified | ImageState::Creating | ImageState::Uploading | ImageState::Deleting => {
            Err(wrong_state("WRONG_STATE", image, "only what is ready can be put in the bin; say expunge"))
        }
    }
}

/// Refuses what must be in the bin and is not.
pub(crate) fn check_binned(image: &Image) -> Result<()> {
    match image.state() {
        ImageState::Destroyed => Ok(()),
        _ => Err(wrong_state("WRONG_STATE", image, "this can be done when it is destroyed, which is in the bin")),
    }
}

/// Refuses to expunge what is not in the bin. What was half deleted when that failed goes, too.
pub(crate) fn check_expungeable(image: &Image) -> Result<()> {
    if image.state() == ImageState::Deleting { Ok(()) } else { check_binned(image) }
}

/// Puts an image into the bin. One that is there already is fine.
pub(crate) fn bin(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let before: Image = hold(conn, uuid)?;
    let mut image = before.clone();
    if image.state() == ImageState::Destroyed {
        return Ok(());
    }
    check_binnable(&image)?;
    image.set_state(ImageState::Destroyed);
    image.destroy_time = Some(time::now());
    gyre_query::update_from(conn, change, &before, &image).map(drop)
}

/// Takes an image out of the bin. One that is ready is fine.
pub(crate) fn recover(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let before: Image = hold(conn, uuid)?;
    let mut image = before.clone();
    if image.state() == ImageState::Ready {
        return Ok(());
    }
    check_binned(&image)?;
    image.set_state(ImageState::Ready);
    image.destroy_time = None;
    gyre_query::update_from(conn, change, &before, &image).map(drop)
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

/// Says that an image is being deleted, unless it is in use; where that is asked for, only one in the bin.
pub(crate) fn mark_deleting(conn: &mut Conn, change: &Change, uuid: Uuid, binned: bool) -> Result<()> {
    if binned && let Some(image) = held(conn, uuid, Hold::Alone)? {
        check_expungeable(&image)?;
    }
    // first it is held, then the look: a volume that is inserted now waits, and finds the image not ready
    set_state(conn, change, uuid, ImageState::Deleting)?;
    check_unused(conn, uuid)
}

/// Deletes the row of an image that nothing refers to any more.
pub(crate) fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    if held::<Image>(conn, uuid, Hold::Alone)?.is_none() {
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
    let image = gyre_query::get(conn, &SYSTEM, uuid)?;
    source_of(conn, image)
}

/// The same for one that is read already.
pub(crate) fn source_of(conn: &mut Conn, image: Image) -> Result<ImageSource> {
    let place = place(conn, &image)?;
    Ok(ImageSource {
        image_uuid: image.uuid.clone(),
        host_uuid: place.host.to_string(),
        address: place.address,
        folder: place.folder,
        format: format_name(&image).to_owned(),
        sha256: image.sha256,
        file_bytes: image.file_bytes,
    })
}
