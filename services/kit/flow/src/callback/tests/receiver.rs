//! A receiver of callbacks: speaks as much HTTP as is needed, answers as it is told, and keeps what came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What came.
#[derive(Debug, Clone)]
pub struct Letter {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Letter {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered: the head of each answer in turn, the last again and again; nothing at all where it is empty.
pub type Answers = Arc<Mutex<Vec<String>>>;

pub struct Receiver {
    pub address: SocketAddr,
    pub letters: Arc<Mutex<Vec<Letter>>>,
    pub connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub async fn new(answers: &[&str]) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answers).await
    }

    pub async fn at(address: SocketAddr, answers: &[&str]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Answers = Arc::new(Mutex::new(answers.iter().map(|answer| (*answer).to_owned()).collect()));
        let (letters, connections) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<usize>>::default());
        let (kept, count) = (Arc::clone(&letters), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *count.lock() += 1;
                tokio::spawn(converse(stream, Arc::clone(&answers), Arc::clone(&kept)));
            }
        });
        Self { address, letters, connections, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.address)
    }

    /// Waits until so many letters came.
    pub async fn wait(&self, count: usize) -> Vec<Letter> {
        for _ in 0..1000 {
            let letters = self.letters.lock().clone();
            if letters.len() >= count {
                return letters;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {count} letters came", self.letters.lock().len());
    }
}

pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answers: Answers,
    letters: Arc<Mutex<Vec<Letter>>>,
) {
    let mut read = Vec::new();
    let (end, length) = loop {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        break (end, length.unwrap_or(0));
    };
    while read.len() < end + 4 + length {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    letters.lock().push(Letter { line, headers, body: read[end + 4..].to_vec() });
    let answer = {
        let mut answers = answers.lock();
        if answers.len() > 1 { Some(answers.remove(0)) } else { answers.first().cloned() }
    };
    match answer {
        Some(answer) => {
            let text = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            // whoever asked may have gone
            let _ = stream.write_all(text.as_bytes()).await;
        }
        None => std::future::pending().await,
    }
}
