//! A receiver of webhooks: a real HTTP server on loopback that answers each letter as it is told, and keeps what came.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What came, and what was answered.
#[derive(Debug, Clone)]
pub struct Letter {
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    pub status: u16,
}

impl Letter {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The resource that changed.
    pub fn resource(&self) -> String {
        self.json()["data"]["resourceUuid"].as_str().unwrap_or_default().to_owned()
    }

    /// The generation after the change.
    pub fn generation(&self) -> i64 {
        let text = self.json()["data"]["after"]["generation"].clone();
        text.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

type Answer = Arc<Mutex<Box<dyn Fn(&Letter) -> u16 + Send + Sync>>>;

pub struct Receiver {
    url: String,
    letters: Arc<Mutex<Vec<Letter>>>,
    answer: Answer,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that takes everything.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/gyre", listener.local_addr().unwrap());
        let letters = Arc::<Mutex<Vec<Letter>>>::default();
        let answer: Answer = Arc::new(Mutex::new(Box::new(|_| 204)));
        let (kept, how) = (Arc::clone(&letters), Arc::clone(&answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(stream, Arc::clone(&kept), Arc::clone(&how)));
            }
        });
        Self { url, letters, answer, task }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Answers so from now on.
    pub fn answers(&self, answer: impl Fn(&Letter) -> u16 + Send + Sync + 'static) {
        *self.answer.lock() = Box::new(answer);
    }

    /// All that came.
    pub fn all(&self) -> Vec<Letter> {
        self.letters.lock().clone()
    }

    /// All that was taken.
    pub fn taken(&self) -> Vec<Letter> {
        self.all().into_iter().filter(|letter| letter.status < 300).collect()
    }

    /// Waits until what came is as it should be.
    pub async fn until(&self, what: &str, is: impl Fn(&[Letter]) -> bool) -> Vec<Letter> {
        for _ in 0..2000 {
            let all = self.all();
            if is(&all) {
                return all;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not {what}: {} letters came, {} were taken", self.all().len(), self.taken().len());
    }

    /// Waits until so many were taken.
    pub async fn until_taken(&self, count: usize) -> Vec<Letter> {
        let taken = |all: &[Letter]| all.iter().filter(|letter| letter.status < 300).count();
        self.until(&format!("{count} taken"), |all| taken(all) >= count).await;
        self.taken()
    }
}

async fn converse(mut stream: TcpStream, letters: Arc<Mutex<Vec<Letter>>>, answer: Answer) {
    let mut read = Vec::new();
    let (end, length, headers) = loop {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let headers: HashMap<_, _> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        break (end, headers.get("content-length").map_or(0, |length| length.parse().unwrap()), headers);
    };
    while read.len() < end + 4 + length {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let mut letter = Letter { headers, body: read[end + 4..].to_vec(), status: 0 };
    letter.status = answer.lock()(&letter);
    let text = format!("HTTP/1.1 {} As told\r\ncontent-length: 0\r\n\r\n", letter.status);
    letters.lock().push(letter);
    // whoever posted may have gone
    let _ = stream.write_all(text.as_bytes()).await;
}
