//! Image servers: their rows.

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::Resource as _;
use gyre_proto::agent::v1::StorageFacts;
use gyre_proto::host::v1::Host;
use gyre_proto::storage::v1::ImageServer;
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::{SYSTEM, modify, path_in_use, plain_path, uuid_of};

/// A new image server as it is written: what only Gyre sets is set.
pub(crate) fn fresh(asked: ImageServer, uuid: Uuid) -> ImageServer {
    ImageServer { uuid: uuid.to_string(), path: plain_path(&asked.path), total_bytes: 0, available_bytes: 0, ..asked }
}

/// Writes a new image server, whose folder is yet to be prepared.
pub(crate) fn insert(conn: &mut Conn, change: &Change, server: &ImageServer) -> Result<()> {
    let host = uuid_of("image_server.host_uuid", &server.host_uuid)?;
    gyre_query::get::<Host>(conn, &SYSTEM, host)?;
    let same = Sql::new("host_uuid = ").bind(host).sql(" AND path = ").bind(server.path.as_str());
    if let Some(other) = gyre_query::select::<ImageServer>(conn, same)?.first() {
        return Err(path_in_use(ImageServer::KIND, &other.uuid, &server.path));
    }
    gyre_query::insert(conn, change, server)?;
    Ok(())
}

/// Writes what the host told of the folder. One that is gone is fine.
pub(crate) fn measured(conn: &mut Conn, change: &Change, uuid: Uuid, facts: &StorageFacts) -> Result<()> {
    modify::<ImageServer>(conn, change, uuid, |server| {
        server.total_bytes = facts.total_bytes;
        server.available_bytes = facts.available_bytes;
    })?;
    Ok(())
}

/// The image server for a new image: the one that is named, or the one with most room whose host is connected.
pub(crate) fn choose(conn: &mut Conn, named: Option<Uuid>) -> Result<ImageServer> {
    match named {
        Some(uuid) => {
            let server: ImageServer = gyre_query::get(conn, &SYSTEM, uuid)?;
            if server.total_bytes == 0 {
                let text = format!("the folder of image server {uuid} is not prepared yet: wait for its operation");
                return Err(Error::new(Kind::FailedPrecondition, "IMAGE_SERVER_NOT_READY", text));
            }
            Ok(server)
        }
        None => {
            let connected =
                "(CASE WHEN host_uuid IN (SELECT uuid FROM host WHERE status = 'CONNECTED') THEN 0 ELSE 1 END)";
            let best = format!("total_bytes > 0 ORDER BY {connected}, available_bytes DESC, uuid LIMIT 1");
            gyre_query::select(conn, Sql::new(best))?.into_iter().next().ok_or_else(|| {
                let text = "there is no image server that could keep the image: create one on a host";
                Error::new(Kind::FailedPrecondition, "NO_IMAGE_SERVER", text)
            })
        }
    }
}

/// Deletes an image server that holds nothing.
pub(crate) fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    gyre_flow::delete::remove(conn, change, ImageServer::KIND, uuid).map(drop)
}
