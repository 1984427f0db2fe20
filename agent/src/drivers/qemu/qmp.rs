//! A client for QMP, QEMU's control protocol: lines of JSON on a unix socket. A greeting comes first, then answers (by id) and
//! events. A monitor serves one client at a time: to a second one it is silent until the first is gone, so connecting is bounded.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// The longest line that is read.
const LINE_BYTES: u64 = 4 << 20;
const GREETING: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(10);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused it.
    #[error("{description} ({class})")]
    Refused {
        /// QEMU's class of error.
        class: String,
        /// What QEMU says.
        description: String,
    },
    /// The connection is gone.
    #[error("the connection to qemu is closed")]
    Closed,
    /// No answer.
    #[error("qemu does not answer")]
    Silent,
    /// The connection failed.
    #[error("the connection to qemu failed")]
    Io(#[from] io::Error),
    /// What came is not QMP.
    #[error("qemu said something that is not QMP")]
    Garbage,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Such as "SHUTDOWN".
    pub name: String,
}

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// A connection. Clones share it.
#[derive(Clone)]
pub struct Qmp {
    writer: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    waiting: Waiting,
    next: Arc<AtomicU64>,
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<Value>, QmpError> {
    let mut line = Vec::new();
    let read = reader.take(LINE_BYTES).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(QmpError::Garbage);
    }
    serde_json::from_slice(&line).map(Some).map_err(|_| QmpError::Garbage)
}

impl Qmp {
    /// Connects, and waits for the greeting. The events come in the receiver, which ends with the connection; it must be read.
    pub async fn connect(path: &Path) -> Result<(Self, mpsc::Receiver<Event>, Reading), QmpError> {
        let (reader, writer) = UnixStream::connect(path).await?.into_split();
        let mut reader = BufReader::new(reader);
        let greeting = tokio::time::timeout(GREETING, line(&mut reader)).await.map_err(|_| QmpError::Silent)??;
        if greeting.is_none_or(|greeting| greeting.get("QMP").is_none()) {
            return Err(QmpError::Garbage);
        }
        let (sender, events) = mpsc::channel(256);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        let qmp = Self { writer, waiting: waiting.clone(), next: Arc::default() };
        Ok((qmp, events, Reading { reader, waiting, sender }))
    }

    /// Negotiates; the first command of a connection.
    pub async fn negotiate(&self) -> Result<(), QmpError> {
        self.execute("qmp_capabilities", Value::Null).await.map(drop)
    }

    /// Runs a command.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.execute_within(command, arguments, ANSWER).await
    }

    /// Runs a command that must be answered within a time.
    pub async fn execute_within(&self, command: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut request = json!({"execute": command, "id": id});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().as_mut().ok_or(QmpError::Closed)?.insert(id, sender);
        let _forget = Forget { waiting: &self.waiting, id };
        let talk = async {
            let line = format!("{request}\n");
            self.writer.lock().await.write_all(line.as_bytes()).await?;
            answer.await.map_err(|_| QmpError::Closed)
        };
        let mut answer = tokio::time::timeout(limit, talk).await.map_err(|_| QmpError::Silent)??;
        if let Some(error) = answer.get("error") {
            let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            return Err(QmpError::Refused { class: text("class"), description: text("desc") });
        }
        Ok(answer.get_mut("return").map(Value::take).unwrap_or_default())
    }

    /// Whether guests run: the status such as "running" or "paused".
    pub async fn status(&self) -> Result<String, QmpError> {
        let status = self.execute("query-status", Value::Null).await?;
        Ok(status.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }
}

struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// The reading side of a connection, to be run by whoever owns it.
pub struct Reading {
    reader: BufReader<OwnedReadHalf>,
    waiting: Waiting,
    sender: mpsc::Sender<Event>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        // all who wait for an answer hear that none comes
        *self.waiting.lock() = None;
    }
}

impl Reading {
    /// Reads until the connection ends.
    pub async fn run(mut self) {
        while let Ok(Some(mut message)) = line(&mut self.reader).await {
            if let Some(name) = message.get("event").and_then(Value::as_str) {
                let event = Event { name: name.to_owned() };
                if self.sender.send(event).await.is_err() {
                    return;
                }
            } else if let Some(id) = message.get("id").and_then(Value::as_u64) {
                let waiting = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
                if let Some(waiting) = waiting {
                    let _ = waiting.send(message.take());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// Speaks QMP as a script says: each pair is what must come, and what is answered.
    fn scripted(path: &Path, script: Vec<(&'static str, String)>) -> tokio::task::JoinHandle<()> {
        let listener = UnixListener::bind(path).expect("binds");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("accepts");
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"{\"QMP\": {\"version\": {}}}\n").await.expect("writes");
            for (expected, answer) in script {
                let line = lines.next_line().await.expect("reads").expect("a line");
                assert!(line.contains(expected), "{line}");
                writer.write_all(answer.as_bytes()).await.expect("writes");
            }
        })
    }

    #[tokio::test]
    async fn answers_events_and_refusals_are_told_apart() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("qmp");
        let script = vec![
            ("qmp_capabilities", "{\"return\": {}, \"id\": 0}\n".to_owned()),
            ("query-status", "{\"event\": \"STOP\"}\n{\"return\": {\"status\": \"paused\"}, \"id\": 1}\n".to_owned()),
            ("nonsense", "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}, \"id\": 2}\n".to_owned()),
        ];
        let server = scripted(&path, script);
        let (qmp, mut events, reading) = Qmp::connect(&path).await.expect("connects");
        let reading = tokio::spawn(reading.run());
        qmp.negotiate().await.expect("negotiates");
        assert_eq!(qmp.status().await.expect("a status"), "paused");
        assert_eq!(events.recv().await.expect("an event").name, "STOP");
        let error = qmp.execute("nonsense", Value::Null).await.expect_err("refused");
        assert_eq!(error.to_string(), "no (CommandNotFound)");
        server.await.expect("the script ends");
        reading.await.expect("ends with the connection");
        assert!(matches!(qmp.status().await, Err(QmpError::Closed | QmpError::Io(_))));
        assert!(events.recv().await.is_none());
    }

    #[tokio::test]
    async fn garbage_is_no_greeting() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("qmp");
        let listener = UnixListener::bind(&path).expect("binds");
        let (connected, mut accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        drop(connected);
        let (stream, _) = accepted.as_mut().expect("accepts");
        stream.shutdown().await.expect("closes");
        let greet = async {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            stream.write_all(b"SSH-2.0\n").await.expect("writes");
        };
        let (result, ()) = tokio::join!(Qmp::connect(&path), greet);
        assert!(matches!(result.map(|_| ()), Err(QmpError::Garbage)));
    }
}
