//! Kinds of primary storage. A driver decides where room is counted, and what hosts are asked to do; it waits for nobody.
//!
//! What a new driver promises: [`Driver::take`] never takes more than there is, whoever takes at the same time; all room
//! statements keep the storage's own counters equal to the sums; the work that it names is idempotent.

mod local;

use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{ImageSource, StorageFacts};
use gyre_proto::storage::v1::{PrimaryStorage, PrimaryStorageType, Volume};
use gyre_store::Conn;

pub(crate) use local::Local;

/// The room for volumes of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes that may be promised in all.
    pub capacity: i64,
    /// Bytes that are promised.
    pub used: i64,
}

impl Room {
    /// Bytes that may still be promised.
    pub fn free(self) -> i64 {
        self.capacity.saturating_sub(self.used).max(0)
    }
}

/// A kind of primary storage.
pub(crate) trait Driver: Send + Sync {
    /// What makes the storage ready on a host. Again changes nothing.
    fn prepare(&self, storage: &PrimaryStorage) -> Work;

    /// Writes what a host told of the storage. Again writes what is so now.
    fn prepared(&self, conn: &mut Conn, storage: Uuid, host: Uuid, facts: &StorageFacts) -> Result<()>;

    /// The room for volumes on a host as it is now: a hint for choosing. Nothing where the host is not prepared.
    fn look(&self, conn: &mut Conn, storage: &PrimaryStorage, host: Uuid) -> Result<Option<Room>>;

    /// Takes room for a volume on a host. False where there is not enough, or the storage takes no new disks any more.
    fn take(&self, conn: &mut Conn, storage: Uuid, host: Uuid, bytes: i64) -> Result<bool>;

    /// Gives room back.
    fn give_back(&self, conn: &mut Conn, storage: Uuid, host: Uuid, bytes: i64) -> Result<()>;

    /// What makes a volume. Again changes nothing.
    fn create_volume(&self, storage: &PrimaryStorage, volume: &Volume, image: Option<ImageSource>) -> Work;

    /// What deletes a volume, or what there is of it. Again changes nothing.
    fn delete_volume(&self, storage: &PrimaryStorage, volume: &Volume) -> Work;
}

/// The driver of a primary storage.
///
/// # Errors
/// `PRIMARY_STORAGE_TYPE_UNKNOWN`.
pub(crate) fn of(storage: &PrimaryStorage) -> Result<&'static dyn Driver> {
    match storage.r#type() {
        PrimaryStorageType::Local => Ok(&Local),
        PrimaryStorageType::Unspecified => {
            let text = format!("no driver knows the type of primary storage {}: choose LOCAL", storage.uuid);
            Err(Error::new(Kind::InvalidArgument, "PRIMARY_STORAGE_TYPE_UNKNOWN", text)
                .violation("primary_storage.type", "must be LOCAL"))
        }
    }
}
