//! Images: fetched or uploaded onto an image server, checked, kept, and brought into the caches of primary storages.
//!
//! 1. An image is written beside its name and gets its name last, when it is whole, durable, has the right checksum and its header
//!    passed [`image_format::check`]. So a file under an image's name is always sound, and a failure leaves nothing behind.
//! 2. Whoever needs the same image in the same cache at the same time waits for one transfer and hears its progress.
//! 3. How many transfers run at once is bounded by the runner for image work, and here for cache fills.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::StreamExt;
use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::{DeleteImage, FinishUpload, ImageFacts, ImageSource, ImportImage};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::failure;
use crate::image_format::{self, Format};
use crate::ports::{Examined, Fetched, Ports, Stage};
use crate::progress::Progress;

/// Room that is left free on a file system when images are brought to it.
const SPARE_BYTES: u64 = 64 << 20;

type Fill = Shared<BoxFuture<'static, Result<()>>>;

struct Filling {
    fill: Fill,
    watchers: Arc<Mutex<Vec<Progress>>>,
}

/// The images of one host. Clones share them.
#[derive(Clone)]
pub struct Images {
    ports: Ports,
    max_bytes: u64,
    transfers: Arc<Semaphore>,
    tracker: TaskTracker,
    filling: Arc<Mutex<HashMap<(PathBuf, Uuid), Filling>>>,
}

/// Reads a folder's path in a task.
pub fn folder(field: &str, path: &str) -> Result<PathBuf> {
    let path_buf = PathBuf::from(path);
    let plain = path_buf.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if path_buf.is_absolute() && plain {
        return Ok(path_buf);
    }
    Err(Error::invalid(field, format!("must be an absolute path without \"..\", got {path:?}")))
}

/// What an image must be.
struct Claim<'a> {
    format: Format,
    sha256: &'a str,
}

impl Claim<'_> {
    fn verify(&self, found: &Examined) -> Result<ImageFacts> {
        let size = image_format::check(self.format, &found.probe)?;
        if !self.sha256.is_empty() && !self.sha256.eq_ignore_ascii_case(&found.sha256) {
            return Err(Error::new(
                Kind::FailedPrecondition,
                "IMAGE_CHECKSUM_MISMATCH",
                format!(
                    "the image's SHA-256 is {}, it should be {}; fetch it again, or correct the checksum",
                    found.sha256, self.sha256
                ),
            )
            .with("sha256", found.sha256.clone()));
        }
        Ok(ImageFacts {
            size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
            file_bytes: i64::try_from(found.probe.length).unwrap_or(i64::MAX),
            sha256: found.sha256.clone(),
        })
    }
}

impl Images {
    /// The images of a host.
    pub fn new(ports: Ports, max_bytes: u64, transfers: usize, tracker: TaskTracker) -> Self {
        let transfers = Arc::new(Semaphore::new(transfers.max(1)));
        Self { ports, max_bytes, transfers, tracker, filling: Arc::default() }
    }

    /// The most bytes that an image's file may have.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The refusal of a file that is too large.
    pub fn too_large(&self, bytes: u64) -> Error {
        Error::new(
            Kind::FailedPrecondition,
            "IMAGE_TOO_LARGE",
            format!("the image has {bytes} bytes or more, this host takes at most {}", self.max_bytes),
        )
    }

    async fn room(&self, folder: &Path, bytes: u64) -> Result<()> {
        if bytes > self.max_bytes {
            return Err(self.too_large(bytes));
        }
        let (_, available) = self.ports.storage.prepare(folder).await?;
        if available < bytes.saturating_add(SPARE_BYTES) {
            return Err(Error::new(
                Kind::ResourceExhausted,
                "DISK_FULL",
                format!(
                    "{} has {} MiB free, the image needs {} MiB; free some space or choose another storage",
                    folder.display(),
                    available >> 20,
                    bytes.div_ceil(1 << 20),
                ),
            )
            .with("path", folder.display().to_string()));
        }
        Ok(())
    }

    /// Writes what comes, checks it, and keeps it.
    async fn receive(
        &self,
        mut fetched: Fetched,
        (folder, image, stage): (&Path, Uuid, Stage),
        claim: &Claim<'_>,
        progress: &Progress,
    ) -> Result<ImageFacts> {
        self.room(folder, fetched.length.unwrap_or(0)).await?;
        let mut writer = self.ports.storage.image_write(folder, image, stage).await?;
        let mut done = 0_u64;
        while let Some(data) = fetched.data.next().await {
            let data = data?;
            done += data.len() as u64;
            if done > self.max_bytes {
                return Err(self.too_large(done));
            }
            writer.write(data).await?;
            progress.tell_bytes(done, fetched.length, "fetched");
        }
        if let Some(length) = fetched.length
            && length != done
        {
            return Err(Error::unavailable(
                "IMAGE_FETCH_FAILED",
                format!("the image ended after {done} of {length} bytes; try again"),
            ));
        }
        let facts = claim.verify(&writer.seal().await?)?;
        writer.keep().await?;
        Ok(facts)
    }

    /// Fetches an image from a URL. One that is there already is looked at again.
    ///
    /// # Errors
    /// Why it cannot be had; nothing is left behind.
    pub async fn import(&self, work: &ImportImage, progress: &Progress) -> Result<ImageFacts> {
        let image = failure::uuid("image_uuid", &work.image_uuid)?;
        let folder = folder("folder", &work.folder)?;
        let claim = Claim { format: Format::parse(&work.format)?, sha256: &work.sha256 };
        // kept by a run of this task that nobody heard the end of
        if let Some(found) = self.ports.storage.image_examine(&folder, image, Stage::Kept, progress).await? {
            match claim.verify(&found) {
                Ok(facts) => return Ok(facts),
                Err(error) => {
                    tracing::warn!(%image, %error, "what is kept of the image is not what it should be; fetching it anew");
                    self.ports.storage.image_delete(&folder, image).await?;
                }
            }
        }
        progress.tell(0, "fetching the image");
        let fetched = self.ports.fetch.url(&work.url, claim.format).await?;
        self.receive(fetched, (&folder, image, Stage::Kept), &claim, progress).await
    }

    /// Checks an upload and keeps it.
    ///
    /// # Errors
    /// Why it cannot be kept; it is deleted then.
    pub async fn finish_upload(&self, work: &FinishUpload, progress: &Progress) -> Result<ImageFacts> {
        let image = failure::uuid("image_uuid", &work.image_uuid)?;
        let folder = folder("folder", &work.folder)?;
        let claim = Claim { format: Format::parse(&work.format)?, sha256: &work.sha256 };
        let storage = &self.ports.storage;
        if let Some(found) = storage.image_examine(&folder, image, Stage::Uploaded, progress).await? {
            return match claim.verify(&found) {
                Ok(facts) => {
                    storage.upload_keep(&folder, image).await?;
                    Ok(facts)
                }
                Err(error) => {
                    storage.upload_delete(&folder, image).await?;
                    Err(error)
                }
            };
        }
        match storage.image_examine(&folder, image, Stage::Kept, progress).await? {
            Some(found) => claim.verify(&found),
            None => Err(failure::precondition(
                "IMAGE_UPLOAD_MISSING",
                format!("nothing was uploaded for image {image}; upload it first"),
            )),
        }
    }

    /// Deletes an image, or what there is of it.
    ///
    /// # Errors
    /// Its files cannot be deleted.
    pub async fn delete(&self, work: &DeleteImage) -> Result<()> {
        let image = failure::uuid("image_uuid", &work.image_uuid)?;
        self.ports.storage.image_delete(&folder("folder", &work.folder)?, image).await
    }

    /// Sees to it that an image is in the cache of a primary storage. Whoever asks for the same image meanwhile joins.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn cache(
        &self,
        folder: &Path,
        source: &ImageSource,
        same_host: bool,
        progress: &Progress,
    ) -> Result<(Uuid, Format)> {
        let image = failure::uuid("image.image_uuid", &source.image_uuid)?;
        let format = Format::parse(&source.format)?;
        if self.ports.storage.image_probe(folder, image, Stage::Cached).await?.is_some() {
            return Ok((image, format));
        }
        let fill = {
            let mut filling = self.filling.lock();
            let entry = filling
                .entry((folder.to_owned(), image))
                .or_insert_with(|| self.begin_fill(folder.to_owned(), image, format, source.clone(), same_host));
            entry.watchers.lock().push(progress.clone());
            entry.fill.clone()
        };
        fill.await.map(|()| (image, format))
    }

    /// Begins to fill a cache. It goes on even when all who wait are cancelled: the next one will want it.
    fn begin_fill(
        &self,
        folder: PathBuf,
        image: Uuid,
        format: Format,
        source: ImageSource,
        same_host: bool,
    ) -> Filling {
        let watchers: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let told = watchers.clone();
        let all = Progress::new(move |percent, message| {
            told.lock().iter().for_each(|watcher| watcher.tell(percent, message));
        });
        let images = self.clone();
        let filled = self.tracker.spawn(async move {
            let result = images.fill(&folder, image, format, &source, same_host, &all).await;
            images.filling.lock().remove(&(folder, image));
            result
        });
        Filling { fill: filled.map(failure::joined).boxed().shared(), watchers }
    }

    async fn fill(
        &self,
        folder: &Path,
        image: Uuid,
        format: Format,
        source: &ImageSource,
        same_host: bool,
        progress: &Progress,
    ) -> Result<()> {
        if self.ports.storage.cache_shortcut(folder, image, source, same_host).await? {
            return Ok(());
        }
        progress.tell(0, "waiting for other transfers");
        let _permit = self.transfers.acquire().await.map_err(Error::internal)?;
        let claim = Claim { format, sha256: &source.sha256 };
        let fetched = if same_host {
            let from = crate::images::folder("image.folder", &source.folder)?;
            let bytes = self
                .ports
                .storage
                .image_read(&from, image, Stage::Kept)
                .await?
                .ok_or_else(|| missing(image, source))?;
            Fetched { length: Some(bytes.length), data: bytes.data }
        } else {
            self.ports.fetch.peer(source).await?
        };
        tracing::info!(%image, from = source.address, bytes = ?fetched.length, "bringing an image into the cache");
        self.receive(fetched, (folder, image, Stage::Cached), &claim, progress).await.map(|_| ())
    }
}

/// An image that is not where it should be.
pub fn missing(image: Uuid, source: &ImageSource) -> Error {
    failure::precondition(
        "IMAGE_MISSING",
        format!("image {image} is not in {} of its image server; import or upload it again", source.folder),
    )
}
