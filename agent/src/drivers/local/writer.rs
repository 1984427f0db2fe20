//! Writes an image file: in large pieces aside from the runtime's threads, with its checksum on the way, and with holes where there
//! are only zeros.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use gyre_model::{Error, Result, Uuid};

use super::files::{discard, publish};
use super::hex;
use crate::failure::{self, blocking};
use crate::image_format::Probe;
use crate::ports::{Examined, ImageWriter};

const PIECE: usize = 1 << 20;

struct Writing {
    file: File,
    hash: ring::digest::Context,
    probe: Probe,
}

impl Writing {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.probe.take(piece);
        if piece.iter().all(|byte| *byte == 0) {
            self.file.seek(SeekFrom::Current(i64::try_from(piece.len()).map_err(io::Error::other)?))?;
            return Ok(());
        }
        self.file.write_all(piece)
    }
}

/// An image file that is being written.
pub(super) struct FileWriter {
    /// Away while a piece is written; gone when that failed or the image is sealed.
    writing: Option<Writing>,
    buffer: Vec<u8>,
    part: PathBuf,
    target: PathBuf,
    sealed: bool,
    kept: bool,
}

impl FileWriter {
    pub(super) fn create(target: PathBuf, image: Uuid, upload: bool) -> Result<Self> {
        let suffix = if upload { "upload-part" } else { "part" };
        let folder = target.parent().unwrap_or(Path::new("/"));
        let part = folder.join(format!(".{image}.{}.{suffix}", Uuid::new_v4().simple()));
        let file = File::create_new(&part).map_err(|error| failure::io("create", &part, &error))?;
        let hash = ring::digest::Context::new(&ring::digest::SHA256);
        let writing = Some(Writing { file, hash, probe: Probe::default() });
        Ok(Self { writing, buffer: Vec::with_capacity(PIECE), part, target, sealed: false, kept: false })
    }

    async fn flush(&mut self) -> Result<()> {
        let Some(mut writing) = self.writing.take() else {
            return Err(Error::internal("an image's file is closed already"));
        };
        let piece = std::mem::take(&mut self.buffer);
        let part = self.part.clone();
        let (writing, mut piece) = blocking(move || {
            writing.write(&piece).map_err(|error| failure::io("write", &part, &error))?;
            Ok((writing, piece))
        })
        .await?;
        piece.clear();
        self.writing = Some(writing);
        self.buffer = piece;
        Ok(())
    }
}

#[async_trait]
impl ImageWriter for FileWriter {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        while !data.is_empty() {
            let some = data.split_to(data.len().min(PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(&some);
            if self.buffer.len() == PIECE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn seal(&mut self) -> Result<Examined> {
        self.flush().await?;
        let Some(writing) = self.writing.take() else {
            return Err(Error::internal("an image's file is closed already"));
        };
        let part = self.part.clone();
        let examined = blocking(move || {
            let Writing { file, hash, probe } = writing;
            // a hole at the end has no bytes of its own yet
            file.set_len(probe.length).map_err(|error| failure::io("write", &part, &error))?;
            file.sync_all().map_err(|error| failure::io("write", &part, &error))?;
            Ok(Examined { probe, sha256: hex(hash.finish().as_ref()) })
        })
        .await?;
        self.sealed = true;
        Ok(examined)
    }

    async fn keep(mut self: Box<Self>) -> Result<()> {
        if !self.sealed {
            return Err(Error::internal("an image is kept only after it was sealed"));
        }
        let (part, target) = (self.part.clone(), self.target.clone());
        blocking(move || publish(&part, &target, 0o400)).await?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.kept {
            discard(&self.part);
        }
    }
}
