//! Sending a file as a stream of requests: the first carries the plain fields, all carry a piece.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use clap::ArgMatches;
use futures::stream::{self, Stream, StreamExt as _};
use gyre_model::catalog::FieldInfo;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::args::names;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::nouns::Verb;
use crate::ui::{Step, Ui};

/// How large a piece is: the most that the API takes in one message is 1 MiB.
const PIECE: usize = 256 << 10;

/// Sends the file that `--file` names.
pub async fn run(
    client: &Client,
    ui: &Ui,
    verb: &Verb,
    data: &'static FieldInfo,
    first: &DynamicMessage,
    matches: &ArgMatches,
) -> Result<DynamicMessage> {
    let path = matches
        .get_one::<std::path::PathBuf>(names::FILE)
        .ok_or_else(|| Failure::usage("which file? give it with --file"))?;
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let step = Arc::new(ui.step(format!("{} {}", verb.name, path.display())));
    let fault = Arc::new(std::sync::Mutex::new(None));
    let (reader, total): (Box<dyn AsyncRead + Send + Unpin>, _) = if path == Path::new("-") {
        (Box::new(tokio::io::stdin()), None)
    } else {
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let facts = file.metadata().await.map_err(failed)?;
        if facts.is_dir() {
            return Err(Failure::usage(format!("{} is a folder", path.display())));
        }
        (Box::new(file), facts.is_file().then_some(facts.len()))
    };
    let (empty, number) = (DynamicMessage::new(first.descriptor()), data.number);
    let head = stream::iter([Bytes::from(first.encode_to_vec())]);
    let broken = Arc::clone(&fault);
    let body = pieces(reader, total, Arc::clone(&step), move |error| {
        *broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
    })
    .map(move |piece| {
        let mut message = empty.clone();
        message.set_field_by_number(number, Value::Bytes(piece));
        Bytes::from(message.encode_to_vec())
    });
    let answer = client.send(verb.method, head.chain(body)).await;
    let fault = fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(error) = fault {
        return Err(failed(error));
    }
    let answer = answer?;
    if let Some(step) = Arc::into_inner(step) {
        step.done("");
    }
    Ok(answer)
}

/// A file in pieces, with progress. A file that cannot be read to its end stops the stream and is told to `fault`; the receiver
/// sees a short file, which is why the caller has to look there first.
pub fn pieces(
    reader: impl AsyncRead + Send + Unpin + 'static,
    total: Option<u64>,
    step: Arc<Step>,
    fault: impl FnOnce(std::io::Error) + Send + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::unfold((reader, 0u64, Some(fault)), move |(mut reader, done, mut fault)| {
        let step = Arc::clone(&step);
        async move {
            let mut piece = Vec::with_capacity(PIECE);
            match (&mut reader).take(PIECE as u64).read_to_end(&mut piece).await {
                Ok(0) => None,
                Ok(read) => {
                    let done = done + read as u64;
                    step.bytes(done, total);
                    Some((Bytes::from(piece), (reader, done, fault)))
                }
                Err(error) => {
                    if let Some(fault) = fault.take() {
                        fault(error);
                    }
                    None
                }
            }
        }
    })
}
