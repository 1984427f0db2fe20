//! Files: opened without following anything surprising, read in pieces, published under their names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use gyre_model::{Result, Uuid};
use tokio_util::sync::CancellationToken;

use super::hex;
use crate::failure::{self, blocking};
use crate::image_format::{HEAD, Probe, TAIL};
use crate::ports::Examined;
use crate::progress::Progress;

/// How much is read at once where a file is read whole.
const PIECE: usize = 1 << 20;
/// How much is sent at once.
const SENT: usize = 256 << 10;
/// Uploads that were given up are removed after this time.
const STALE: Duration = Duration::from_secs(3600);

/// Opens a regular file for reading; nothing when it is not there. Symbolic links are not followed.
pub(super) fn open_plain(path: &Path) -> Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure::io("open", path, &error)),
    };
    let metadata = file.metadata().map_err(|error| failure::io("look at", path, &error))?;
    if metadata.is_file() {
        return Ok(Some(file));
    }
    Err(failure::precondition("HOST_FILE_UNEXPECTED", format!("{} is not a plain file; remove it", path.display())))
}

/// Gives a durable file its name.
pub(super) fn publish(part: &Path, path: &Path, mode: u32) -> Result<()> {
    let publish = || {
        let file = File::open(part)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(part, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    publish().map_err(|error| failure::io("keep", path, &error))
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// Removes a file that was only begun, if it can.
pub(super) fn discard(path: &Path) {
    if let Err(error) = remove(path) {
        tracing::warn!(path = %path.display(), %error, "a part file stays behind");
    }
}

/// Removes what killed runs left of an image. Uploads may overlap, so only stale ones of them go.
pub(super) fn remove_parts(folder: &Path, image: Uuid, upload: bool) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure::io("list", folder, &error)),
    };
    let prefix = format!(".{image}.");
    let suffix = if upload { ".upload-part" } else { ".part" };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(&prefix) || !name.ends_with(suffix) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let stale = modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > STALE));
        if !upload || stale {
            discard(&entry.path());
        }
    }
    Ok(())
}

/// The beginning and the end of a file.
pub(super) fn head_and_tail(file: &File, path: &Path) -> Result<Probe> {
    let read = || {
        let length = file.metadata()?.len();
        let mut head = vec![0; usize::try_from(length).unwrap_or(HEAD).min(HEAD)];
        file.read_exact_at(&mut head, 0)?;
        let mut tail = vec![0; usize::try_from(length).unwrap_or(TAIL).min(TAIL)];
        let end = length - tail.len() as u64;
        file.read_exact_at(&mut tail, end)?;
        Ok(Probe { head, tail, length })
    };
    read().map_err(|error: io::Error| failure::io("read", path, &error))
}

/// Reads a whole file to say what it is; nothing when it is not there.
pub(super) async fn examine(path: PathBuf, progress: Progress) -> Result<Option<Examined>> {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    blocking(move || {
        let Some(mut file) = open_plain(&path)? else { return Ok(None) };
        let total = file.metadata().map_err(|error| failure::io("look at", &path, &error))?.len();
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let (mut probe, mut buffer) = (Probe::default(), vec![0; PIECE]);
        while !stop.is_cancelled() {
            let read = file.read(&mut buffer).map_err(|error| failure::io("read", &path, &error))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            probe.take(&buffer[..read]);
            progress.tell_bytes(probe.length, Some(total), "checked");
        }
        Ok(Some(Examined { probe, sha256: hex(hash.finish().as_ref()) }))
    })
    .await
}

/// Reads a file as a stream.
pub(super) struct Reader {
    file: File,
    path: PathBuf,
}

impl Reader {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    pub(super) fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| failure::io("look at", &self.path, &error))?.len())
    }

    pub(super) fn stream(self) -> BoxStream<'static, Result<Bytes>> {
        futures::stream::try_unfold(self, |mut reader| async move {
            blocking(move || {
                let mut buffer = vec![0; SENT];
                let read = reader.file.read(&mut buffer).map_err(|error| failure::io("read", &reader.path, &error))?;
                buffer.truncate(read);
                Ok((read > 0).then(|| (Bytes::from(buffer), reader)))
            })
            .await
        })
        .boxed()
    }
}
