//! Serial consoles: what guests print goes through QEMU into a log file, which is read here; what is typed goes through the serial
//! socket. The log is bounded: a guest that prints without end loses what it printed long ago, not the host's disk.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use gyre_model::{Error, Kind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::process::Process;
use crate::failure::{self, blocking};
use crate::ports::ConsoleStream;

const PIECE: u64 = 64 << 10;
/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);
const TYPE: Duration = Duration::from_secs(10);

/// Before a run: a log that is long is put aside.
pub fn rotate(log: &Path, most: u64) -> Result<()> {
    let length = fs::metadata(log).map_or(0, |metadata| metadata.len());
    if length <= most {
        return Ok(());
    }
    fs::rename(log, aside(log)).map_err(|error| failure::io("put aside", log, &error))
}

/// During a run: QEMU appends to the file, so it is copied and emptied.
pub fn bound(log: &Path, most: u64) -> Result<()> {
    let cut = || {
        let length = fs::metadata(log)?.len();
        if length <= most {
            return Ok(());
        }
        let mut file = File::options().read(true).write(true).open(log)?;
        file.seek(SeekFrom::Start(length - most))?;
        std::io::copy(&mut (&file).take(most), &mut File::create(aside(log))?)?;
        file.set_len(0)
    };
    cut().map_err(|error| failure::io("bound", log, &error))
}

fn aside(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

struct Following {
    path: PathBuf,
    file: Option<(File, u64)>,
    at: u64,
}

impl Following {
    /// The next bytes, none when there are none now; nothing when the machine was removed.
    fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // the log is missing for a moment when it is put aside
                let there = self.path.parent().is_some_and(Path::exists);
                return Ok(there.then(Bytes::new));
            }
            Err(error) => return Err(error),
        };
        if self.file.as_ref().is_none_or(|(_, inode)| *inode != metadata.ino()) {
            if self.file.is_some() {
                self.at = 0;
            }
            self.file = Some((File::open(&self.path)?, metadata.ino()));
        }
        if metadata.len() < self.at {
            self.at = 0;
        }
        let Some((file, _)) = &mut self.file else { return Ok(Some(Bytes::new())) };
        file.seek(SeekFrom::Start(self.at))?;
        let mut data = Vec::new();
        file.take(PIECE).read_to_end(&mut data)?;
        self.at += data.len() as u64;
        Ok(Some(data.into()))
    }
}

/// Reads a log: its last bytes, then, when it is followed, what comes.
pub fn read(log: PathBuf, tail: u64, follow: bool) -> Result<ConsoleStream> {
    let length = fs::metadata(&log).map_err(|error| failure::io("read the console", &log, &error))?.len();
    let following = Following { path: log, file: None, at: length.saturating_sub(tail) };
    let pieces = stream::try_unfold(following, move |mut following| async move {
        loop {
            let (data, back) = blocking(move || {
                let data =
                    following.next().map_err(|error| failure::io("read the console", &following.path, &error))?;
                Ok((data, following))
            })
            .await?;
            following = back;
            let Some(data) = data else { return Ok(None) };
            if !data.is_empty() {
                return Ok(Some((data, following)));
            }
            if !follow {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    Ok(pieces.boxed())
}

/// Types. The connection stays, so that the guest gets what it has not read yet; what comes back is in the log already.
pub async fn write(process: &Process, data: Bytes, tracker: &TaskTracker, stop: &CancellationToken) -> Result<()> {
    let broken = |error: std::io::Error| {
        Error::new(
            Kind::Unavailable,
            "CONSOLE_BROKEN",
            format!("the console of machine {} cannot be typed into: {error}; try again", process.vm),
        )
    };
    let talk = async {
        let mut typing = process.typing.lock().await;
        if let Some(writer) = typing.as_mut()
            && writer.write_all(&data).await.is_ok()
        {
            return Ok(());
        }
        let (mut reader, mut writer) = UnixStream::connect(process.run.folder.join("serial")).await?.into_split();
        let stop = stop.clone();
        tracker.spawn(async move {
            let mut ignored = vec![0; 4096];
            let drain = async { while reader.read(&mut ignored).await.is_ok_and(|read| read > 0) {} };
            stop.run_until_cancelled(drain).await;
        });
        writer.write_all(&data).await?;
        *typing = Some(writer);
        Ok(())
    };
    match tokio::time::timeout(TYPE, talk).await {
        Ok(result) => result.map_err(broken),
        Err(_) => Err(broken(std::io::Error::other("the guest does not read"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_log_is_read_from_its_tail_and_followed_across_cuts() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("console.log");
        let mut file = File::options().create(true).append(true).open(&log).expect("log");
        file.write_all(b"0123456789").expect("write");
        let mut all = read(log.clone(), 4, false).expect("reads");
        assert_eq!(all.next().await.expect("a piece").expect("bytes"), "6789");
        assert!(all.next().await.is_none());

        let mut followed = read(log.clone(), 2, true).expect("reads");
        assert_eq!(followed.next().await.expect("a piece").expect("bytes"), "89");
        file.write_all(b"more").expect("write");
        assert_eq!(followed.next().await.expect("a piece").expect("bytes"), "more");
        bound(&log, 5).expect("bounded");
        assert_eq!(fs::read(folder.path().join("console.log.1")).expect("aside"), b"9more");
        file.write_all(b"new").expect("write");
        assert_eq!(followed.next().await.expect("a piece").expect("bytes"), "new");
        drop(file);
        rotate(&log, 2).expect("rotated");
        assert_eq!(fs::read(folder.path().join("console.log.1")).expect("aside"), b"new");
        fs::write(&log, "again").expect("write");
        assert_eq!(followed.next().await.expect("a piece").expect("bytes"), "again");
        drop(folder);
        assert!(followed.next().await.is_none(), "a machine that was removed prints no more");
    }
}
