//! Volumes: qcow2 files on primary storage, empty or on top of an image in the storage's cache.

use gyre_model::{Error, Kind, Result};
use gyre_proto::agent::v1::{CreateVolume, DeleteVolume, PrepareStorage, StorageFacts, VolumeFacts};

use crate::failure;
use crate::image_format;
use crate::images::{Images, folder};
use crate::ports::{Ports, Stage};
use crate::progress::Progress;

/// The volumes of one host.
#[derive(Clone)]
pub struct Volumes {
    ports: Ports,
    images: Images,
}

impl Volumes {
    /// The volumes of a host.
    pub fn new(ports: Ports, images: Images) -> Self {
        Self { ports, images }
    }

    /// Makes a folder ready.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub async fn prepare(&self, work: &PrepareStorage) -> Result<StorageFacts> {
        let (total, available) = self.ports.storage.prepare(&folder("path", &work.path)?).await?;
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(StorageFacts { total_bytes: bytes(total), available_bytes: bytes(available) })
    }

    /// Makes a volume. One that is there and alike is fine.
    ///
    /// # Errors
    /// Why it cannot be made; nothing of it is left behind then.
    pub async fn create(&self, work: &CreateVolume, same_host: bool, progress: &Progress) -> Result<VolumeFacts> {
        let volume = failure::uuid("volume_uuid", &work.volume_uuid)?;
        let folder = folder("folder", &work.folder)?;
        let size = u64::try_from(work.size_bytes).unwrap_or(0);
        let image = match &work.image {
            None => None,
            Some(source) => {
                let (image, format) = self.images.cache(&folder, source, same_host, &progress.part(0, 90)).await?;
                if let Some(probe) = self.ports.storage.image_probe(&folder, image, Stage::Cached).await?
                    && !probe.head.is_empty()
                {
                    let disk = image_format::check(format, &probe)?;
                    if size < disk {
                        return Err(Error::new(
                            Kind::FailedPrecondition,
                            "VOLUME_SMALLER_THAN_IMAGE",
                            format!("the volume has {size} bytes, the disk in image {image} has {disk}; ask for at least that"),
                        )
                        .with("image_bytes", disk.to_string()));
                    }
                }
                Some((image, format))
            }
        };
        progress.tell(90, "making the volume");
        let path = self.ports.storage.volume_create(&folder, volume, size, image).await?;
        Ok(VolumeFacts { path: path.to_string_lossy().into_owned() })
    }

    /// Deletes a volume, or what there is of it.
    ///
    /// # Errors
    /// Its file cannot be deleted.
    pub async fn delete(&self, work: &DeleteVolume) -> Result<()> {
        let volume = failure::uuid("volume_uuid", &work.volume_uuid)?;
        self.ports.storage.volume_delete(&folder("folder", &work.folder)?, volume).await
    }
}
