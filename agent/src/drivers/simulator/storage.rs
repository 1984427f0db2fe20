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

use crate::drivers::local::hex;
use crate::failure;
use crate::image_format::{Format, Probe};
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

#[derive(Default, Clone)]
pub(super) struct SimStorage(Arc<Mutex<World>>);

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
            self.world.0.lock().images.insert(self.key, sealed);
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for SimStorage {
    async fn prepare(&self, _folder: &Path) -> Result<(u64, u64)> {
        let used: u64 = self.0.lock().images.values().map(|image| image.probe.length).sum();
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
        Ok(self.0.lock().images.get(&(folder.to_owned(), image, stage)).map(|examined| (**examined).clone()))
    }

    async fn image_read(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<ImageBytes>> {
        if !self.0.lock().images.contains_key(&(folder.to_owned(), image, stage)) {
            return Ok(None);
        }
        Err(failure::precondition(
            "IMAGE_SIMULATED",
            format!("image {image} is on a simulated host, which keeps no bytes; use an image server on a real host"),
        ))
    }

    async fn image_probe(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<Probe>> {
        let world = self.0.lock();
        let known = world.images.get(&(folder.to_owned(), image, stage)).map(|examined| examined.probe.clone());
        // a cached image has no bytes here; an empty probe says so
        Ok(known.or_else(|| {
            let cached = stage == Stage::Cached && world.cached.contains(&(folder.to_owned(), image));
            cached.then(Probe::default)
        }))
    }

    async fn upload_keep(&self, folder: &Path, image: Uuid) -> Result<()> {
        let mut world = self.0.lock();
        if let Some(examined) = world.images.remove(&(folder.to_owned(), image, Stage::Uploaded)) {
            world.images.insert((folder.to_owned(), image, Stage::Kept), examined);
        }
        Ok(())
    }

    async fn upload_delete(&self, folder: &Path, image: Uuid) -> Result<()> {
        self.0.lock().images.remove(&(folder.to_owned(), image, Stage::Uploaded));
        Ok(())
    }

    async fn image_delete(&self, folder: &Path, image: Uuid) -> Result<()> {
        let mut world = self.0.lock();
        for stage in [Stage::Kept, Stage::Uploaded] {
            world.images.remove(&(folder.to_owned(), image, stage));
        }
        Ok(())
    }

    async fn cache_shortcut(&self, folder: &Path, image: Uuid, source: &ImageSource, same_host: bool) -> Result<bool> {
        let mut world = self.0.lock();
        let kept = world.images.get(&(PathBuf::from(&source.folder), image, Stage::Kept)).cloned();
        match kept {
            Some(kept) if same_host => {
                world.images.insert((folder.to_owned(), image, Stage::Cached), kept);
            }
            // Nothing is moved between hosts: what the image is like does not matter here. And one that this process does not know
            // was there before it started.
            _ => {
                world.cached.insert((folder.to_owned(), image));
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
        let mut world = self.0.lock();
        let there = *world.volumes.entry(path.clone()).or_insert(size);
        if there == size { Ok(path) } else { Err(crate::drivers::local::volume_differs(&path)) }
    }

    async fn volume_delete(&self, folder: &Path, volume: Uuid) -> Result<()> {
        self.0.lock().volumes.remove(&folder.join(format!("{volume}.qcow2")));
        Ok(())
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
