//! Images and volumes in folders of the host's file system.
//!
//! `<folder>/<image>` is an image of an image server, `<folder>/.<image>.upload` an upload that was not checked yet,
//! `<folder>/cache/<image>` an image in the cache of a primary storage, and `<folder>/<volume>.qcow2` a volume. Everything is written
//! as a `.part` file first, made durable, and renamed. Images are never written again, so a cache on the same file system shares
//! them by a hard link.

mod files;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use gyre_model::{Error, Kind, Result, Uuid};
use gyre_proto::agent::v1::ImageSource;

use self::files::{Reader, discard, examine, head_and_tail, open_plain, publish, remove, remove_parts};
use self::writer::FileWriter;
use crate::failure::{self, blocking};
use crate::image_format::{Format, Probe};
use crate::ports::{Examined, ImageBytes, ImageWriter, Stage, Storage};
use crate::progress::Progress;
use crate::qcow2;

/// Writes bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A volume's file is there but was made for something else.
pub fn volume_differs(path: &Path) -> Error {
    Error::new(
        Kind::AlreadyExists,
        "VOLUME_DIFFERS",
        format!("{} is there already with another size or image; delete it first", path.display()),
    )
}

/// The driver.
#[derive(Debug, Default, Clone, Copy)]
pub struct LocalStorage;

fn place(folder: &Path, image: Uuid, stage: Stage) -> PathBuf {
    match stage {
        Stage::Kept => folder.join(image.to_string()),
        Stage::Uploaded => folder.join(format!(".{image}.upload")),
        Stage::Cached => folder.join("cache").join(image.to_string()),
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| failure::io("make the folder", folder, &error))
}

fn make_volume(folder: &Path, volume: Uuid, size: u64, image: Option<(Uuid, Format)>) -> Result<PathBuf> {
    let path = folder.join(format!("{volume}.qcow2"));
    let backing = image.map(|(image, format)| (place(folder, image, Stage::Cached), format));
    let backing = backing.as_ref().map(|(path, format)| (path.to_string_lossy(), *format));
    let bytes = qcow2::image(size, backing.as_ref().map(|(path, format)| (path.as_ref(), *format)))?;
    if let Some(file) = open_plain(&path)? {
        let there = qcow2::describe(&head_and_tail(&file, &path)?.head);
        let wanted = (size, backing.map(|(path, _)| path.into_owned()));
        return if there == Some(wanted) { Ok(path) } else { Err(volume_differs(&path)) };
    }
    make_folder(folder)?;
    let part = folder.join(format!(".{volume}.part"));
    // a part file of a run that was killed is overwritten: work on one volume never overlaps
    let written = fs::write(&part, &bytes).map_err(|error| failure::io("write the volume", &part, &error));
    let result = written.and_then(|()| publish(&part, &path, 0o600));
    if result.is_err() {
        discard(&part);
    }
    result.map(|()| path)
}

fn share(folder: &Path, image: Uuid, source: &ImageSource) -> Result<bool> {
    let from = place(&crate::images::folder("image.folder", &source.folder)?, image, Stage::Kept);
    let to = place(folder, image, Stage::Cached);
    make_folder(&folder.join("cache"))?;
    match fs::hard_link(&from, &to) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(crate::images::missing(image, source)),
        Err(_) => {}
    }
    let part = folder.join("cache").join(format!(".{image}.part"));
    let clone = || {
        let source = fs::File::open(&from)?;
        let target = fs::File::create(&part)?;
        rustix::fs::ioctl_ficlone(&target, &source).map_err(io::Error::from)
    };
    if clone().is_err() {
        // another file system, or one that cannot share: the bytes must be copied
        discard(&part);
        return Ok(false);
    }
    publish(&part, &to, 0o400).map(|()| true)
}

#[async_trait]
impl Storage for LocalStorage {
    async fn prepare(&self, folder: &Path) -> Result<(u64, u64)> {
        let folder = folder.to_owned();
        blocking(move || {
            make_folder(&folder)?;
            let asked = rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
            asked.map_err(|error| failure::io("write in the folder", &folder, &error.into()))?;
            let space = rustix::fs::statvfs(&folder)
                .map_err(|error| failure::io("ask for the free space of", &folder, &error.into()))?;
            Ok((space.f_blocks.saturating_mul(space.f_frsize), space.f_bavail.saturating_mul(space.f_frsize)))
        })
        .await
    }

    async fn image_write(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Box<dyn ImageWriter>> {
        let target = place(folder, image, stage);
        let writer = blocking(move || {
            let folder = target.parent().unwrap_or(Path::new("/"));
            make_folder(folder)?;
            remove_parts(folder, image, stage == Stage::Uploaded)?;
            FileWriter::create(target, image, stage == Stage::Uploaded)
        });
        Ok(Box::new(writer.await?))
    }

    async fn image_examine(
        &self,
        folder: &Path,
        image: Uuid,
        stage: Stage,
        progress: &Progress,
    ) -> Result<Option<Examined>> {
        examine(place(folder, image, stage), progress.clone()).await
    }

    async fn image_read(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<ImageBytes>> {
        let path = place(folder, image, stage);
        blocking(move || Ok(open_plain(&path)?.map(|file| Reader::new(file, path)))).await?.map_or(Ok(None), |reader| {
            let length = reader.length()?;
            Ok(Some(ImageBytes { length, data: reader.stream() }))
        })
    }

    async fn image_probe(&self, folder: &Path, image: Uuid, stage: Stage) -> Result<Option<Probe>> {
        let path = place(folder, image, stage);
        blocking(move || open_plain(&path)?.map(|file| head_and_tail(&file, &path)).transpose()).await
    }

    async fn upload_keep(&self, folder: &Path, image: Uuid) -> Result<()> {
        let (from, to) = (place(folder, image, Stage::Uploaded), place(folder, image, Stage::Kept));
        blocking(move || publish(&from, &to, 0o400)).await
    }

    async fn upload_delete(&self, folder: &Path, image: Uuid) -> Result<()> {
        let path = place(folder, image, Stage::Uploaded);
        blocking(move || remove(&path)).await
    }

    async fn image_delete(&self, folder: &Path, image: Uuid) -> Result<()> {
        let folder = folder.to_owned();
        blocking(move || {
            remove(&place(&folder, image, Stage::Kept))?;
            remove(&place(&folder, image, Stage::Uploaded))?;
            remove_parts(&folder, image, false)
        })
        .await
    }

    async fn cache_shortcut(&self, folder: &Path, image: Uuid, source: &ImageSource, same_host: bool) -> Result<bool> {
        if !same_host {
            return Ok(false);
        }
        let (folder, source) = (folder.to_owned(), source.clone());
        blocking(move || share(&folder, image, &source)).await
    }

    async fn volume_create(
        &self,
        folder: &Path,
        volume: Uuid,
        size: u64,
        image: Option<(Uuid, Format)>,
    ) -> Result<PathBuf> {
        let folder = folder.to_owned();
        blocking(move || make_volume(&folder, volume, size, image)).await
    }

    async fn volume_delete(&self, folder: &Path, volume: Uuid) -> Result<()> {
        let folder = folder.to_owned();
        blocking(move || {
            discard(&folder.join(format!(".{volume}.part")));
            remove(&folder.join(format!("{volume}.qcow2")))
        })
        .await
    }
}
