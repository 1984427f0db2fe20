//! Simulated storage: sizes, checksums, and the beginnings of images, so that the checks of the real thing apply to uploads.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::StreamExt;
use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::ImageSource;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::drivers::local::hex;
use crate::failure;
use crate::image_format::{Format, Probe};
use crate::journal::{Journal, Thing};
use crate::ports::{Examined, Fetch, Fetched, ImageBytes, ImageWriter, Stage, Storage};
use crate::progress::Progress;
use crate::qcow2;

/// What a simulated file system has.
const TOTAL_BYTES: u64 = 16 << 40;
/// The disk of an image that is made up.
const MADE_UP_BYTES: u64 = 1 << 30;

#[derive(Default)]
struct World {
    images: HashMap<(PathBuf, Uuid, Stage), Arc<Examined>>,
    cached: HashSet<(PathBuf, Uuid)>,
    volumes: HashMap<PathBuf, u64>,
}

#[derive(Clone)]
pub(super) struct SimStorage {
    world: Arc<Mutex<World>>,
    journal: Journal,
}

/// A cached image, of which nothing but its being there is known, as the journal keeps it.
#[derive(Serialize, Deserialize)]
struct KeptCached {
    folder: PathBuf,
    #[serde(with = "crate::journal::id")]
    image: Uuid,
}

/// An image as the journal keeps it.
#[derive(Serialize, Deserialize)]
struct KeptImage {
    folder: PathBuf,
    #[serde(with = "crate::journal::id")]
    image: Uuid,
    stage: Stage,
    examined: Examined,
}

const IMAGE: &str = "image";
const CACHED: &str = "cached";
const VOLUME: &str = "volume";

fn image_id((folder, image, stage): &(PathBuf, Uuid, Stage)) -> String {
    format!("{image} {stage:?} {}", folder.display())
}

impl SimStorage {
    /// With what the journal kept.
    pub(super) fn new(journal: Journal, kept: Vec<Thing>) -> Self {
        let mut world = World::default();
        for Thing { kind, id, value } in kept {
            let read = match kind.as_str() {
                IMAGE => serde_json::from_value(value).map(|KeptImage { folder, image, stage, examined }| {
                    world.images.insert((folder, image, stage), Arc::new(examined));
                }),
                CACHED => serde_json::from_value(value).map(|KeptCached { folder, image }| {
                    world.cached.insert((folder, image));
                }),
                VOLUME => serde_json::from_value(value).map(|size| {
                    world.volumes.insert(PathBuf::from(&id), size);
                }),
                _ => Ok(()),
            };
            if let Err(error) = read {
                tracing::warn!(kind, id, %error, "something on a simulated disk cannot be read");
            }
        }
        Self { world: Arc::new(Mutex::new(world)), journal }
    }

    fn put(&self, key: (PathBuf, Uuid, Stage), examined: Arc<Examined>) {
        let (folder, image, stage) = key.clone();
        let kept = KeptImage { folder, image, stage, examined: (*examined).clone() };
        self.world.lock().images.insert(key.clone(), examined);
        self.journal.keep(IMAGE, image_id(&key), kept);
    }

    fn take(&self, key: &(PathBuf, Uuid, Stage)) -> Option<Arc<Examined>> {
        let taken = self.world.lock().images.remove(key)?;
        self.journal.discard(IMAGE, image_id(key));
        Some(taken)
    }
}

struct SimWriter {
    world: SimStorage,
    key: (PathBuf, Uuid, Stage),
    probe: Probe,
    hash: Option<ring::digest::Context>,
    sealed: Option<Arc<Examined>>,
}

#[async_trait]
impl ImageWriter for SimWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.probe.take(&data);
        if let Some(hash) = &mut self.hash {
            hash.update(&data);
        }
        Ok(())
    }

    async fn seal(&mut self) -> Result<Examined> {
        let hash = self.hash.take().ok_or_else(|| Error::internal("an image was sealed twice"))?;
        let examined = Examined { probe: std::mem::take(&mut self.probe), sha256: hex(hash.finish().as_ref()) };
        self.sealed = Some(Arc::new(examined.clone()));
        Ok(examined)
    }

    async fn keep(self: Box<Self>) -> Result<()> {
        if let Some(sealed) = self.sealed {
            self.world.put(self.key, sealed);
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for SimStorage {
    async fn prepare(&self, _folder: &Path) -> Result<(u64, u64)> {
        let used: u64 = self.world.lock().images.values().map(|image| image.probe.length).sum();
        Ok((TOTAL_BYTES, TOTAL_BYTES.saturating_sub(used)))
    }

    async fn image_write(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Box<dyn ImageWriter>> {
        Ok(Box::new(SimWriter {
            world: self.clone(),
            key: (folder.to_owned(), image, stage),
            probe: Probe::default(),
            hash: Some(ring::digest::Context::new(&ring::digest::SHA256)),
            sealed: None,
        }))
    }

    async fn image_examine(
        &self,
        folder: &Path,
        image: Uuid,
        stage: Stage,
        _progress: &Progress,
    ) -> Result<Option<Examined>> {
        Ok(self.world.lock().images.get(&(folder.to_owned(), image, stage)).map(|examined| (**examined).clone()))
    }

    async fn image_read(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<ImageBytes>> {
        if !self.world.lock().images.contains_key(&(folder.to_owned(), image, stage)) {
            return Ok(None);
        }
        Err(failure::precondition(
            "IMAGE_SIMULATED",
            format!("image {image} is on a simulated host, which keeps no bytes; use an image server on a real host"),
        ))
    }

    async fn image_probe(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<Probe>> {
        let world = self.world.lock();
        let known = world.images.get(&(folder.to_owned(), image, stage)).map(|examined| examined.probe.clone());
        // a cached image has no bytes here; an empty probe says so
        Ok(known.or_else(|| {
            let cached = stage == Stage::Cached && world.cached.contains(&(folder.to_owned(), image));
            cached.then(Probe::default)
        }))
    }

    async fn upload_keep(&self, folder: &Path, image: Uuid) -> Result<()> {
        if let Some(examined) = self.take(&(folder.to_owned(), image, Stage::Uploaded)) {
            self.put((folder.to_owned(), image, Stage::Kept), examined);
        }
        Ok(())
    }

    async fn upload_delete(&self, folder: &Path, image: Uuid) -> Result<()> {
        self.take(&(folder.to_owned(), image, Stage::Uploaded));
        Ok(())
    }

    async fn image_delete(&self, folder: &Path, image: Uuid) -> Result<()> {
        for stage in [Stage::Kept, Stage::Uploaded] {
            self.take(&(folder.to_owned(), image, stage));
        }
        Ok(())
    }

    async fn cache_shortcut(&self, folder: &Path, image: Uuid, source: &ImageSource, same_host: bool) -> Result<bool> {
        let kept = self.world.lock().images.get(&(PathBuf::from(&source.folder), image, Stage::Kept)).cloned();
        match kept {
            Some(kept) if same_host => {
                let key = (folder.to_owned(), image, Stage::Cached);
                if !self.world.lock().images.contains_key(&key) {
                    self.put(key, kept);
                }
            }
            // Nothing is moved between hosts: what the image is like does not matter here. And one that this process does not know
            // was there before it started.
            _ => {
                if self.world.lock().cached.insert((folder.to_owned(), image)) {
                    let id = format!("{image} {}", folder.display());
                    self.journal.keep(CACHED, id, KeptCached { folder: folder.to_owned(), image });
                }
            }
        }
        Ok(true)
    }

    async fn volume_create(
        &self,
        folder: &Path,
        volume: Uuid,
        size: u64,
        _image: Option<(Uuid, Format)>,
    ) -> Result<PathBuf> {
        qcow2::check_size(size)?;
        let path = folder.join(format!("{volume}.qcow2"));
        let there = *self.world.lock().volumes.entry(path.clone()).or_insert(size);
        if there != size {
            return Err(crate::drivers::local::volume_differs(&path));
        }
        self.journal.keep(VOLUME, path.display().to_string(), size);
        Ok(path)
    }

    async fn volume_delete(&self, folder: &Path, volume: Uuid) -> Result<()> {
        let path = folder.join(format!("{volume}.qcow2"));
        if self.world.lock().volumes.remove(&path).is_some() {
            self.journal.discard(VOLUME, path.display().to_string());
        }
        Ok(())
    }

    fn simulated_files(&self) -> Vec<PathBuf> {
        let world = self.world.lock();
        let image = |(folder, image, stage): &(PathBuf, Uuid, Stage)| match stage {
            Stage::Uploaded => Some(folder.join(format!("{image}.upload"))),
            Stage::Kept => Some(folder.join(image.to_string())),
            Stage::Cached => None,
        };
        world.images.keys().filter_map(image).chain(world.volumes.keys().cloned()).collect()
    }
}

/// Fetches for simulated hosts. Hosts under `.invalid` (a name that never exists) make their images up; all else is fetched, under
/// the operator's rules, so that bad images and bad URLs are refused as they are by a real host.
pub(super) struct SimFetch(pub(super) Arc<dyn Fetch>);

#[async_trait]
impl Fetch for SimFetch {
    async fn url(&self, url: &str, format: Format) -> Result<Fetched> {
        let made_up =
            url.parse::<http::Uri>().ok().is_some_and(|uri| uri.host().is_some_and(|host| host.ends_with(".invalid")));
        if !made_up {
            return self.0.url(url, format).await;
        }
        let bytes = match format {
            Format::Qcow2 => qcow2::image(MADE_UP_BYTES, None)?,
            Format::Raw => vec![0; 1 << 20],
        };
        Ok(Fetched { length: Some(bytes.len() as u64), data: futures::stream::iter([Ok(Bytes::from(bytes))]).boxed() })
    }

    async fn peer(&self, source: &ImageSource) -> Result<Fetched> {
        Err(Error::new(
            Kind::Internal,
            "IMAGE_SIMULATED",
            format!("a simulated host fetches nothing from {}; this is a fault of the simulator", source.address),
        ))
    }
}
