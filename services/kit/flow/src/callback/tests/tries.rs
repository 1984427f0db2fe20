//! Single tries: where they may go, and what counts as delivered.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use gyre_mesh::egress::{Allow, Target};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::receiver::{Receiver, converse};
use crate::letters::post::{Failed, Letter, Poster, Resolve};

/// Answers each question with the next of these, and the last again and again.
struct Names(Mutex<Vec<Vec<IpAddr>>>, Mutex<usize>);

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect());
        Arc::new(Self(Mutex::new(answers.collect()), Mutex::default()))
    }

    fn asked(&self) -> usize {
        *self.1.lock()
    }
}

impl Resolve for Names {
    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        *self.1.lock() += 1;
        let mut answers = self.0.lock();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn allow(rules: &[String]) -> Allow {
    Allow::new(rules.iter().map(|rule| rule.parse().unwrap()))
}

fn letter() -> Letter {
    Letter { id: "id".into(), timestamp: 1, signature: "v1,x".into(), body: "{}".into() }
}

async fn post(names: &Arc<Names>, rules: &[String], url: &str) -> Result<(), Failed> {
    let poster = Poster::new(Arc::clone(names) as Arc<dyn Resolve>);
    poster.post(&allow(rules), &Target::parse(url).unwrap(), letter()).await
}

fn why(result: Result<(), Failed>) -> String {
    match result.unwrap_err() {
        Failed::Try(why) => why,
        Failed::Gone => panic!("gone"),
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_nobody_is_called() {
    let receiver = Receiver::new(&["200 OK"]).await;
    let port = receiver.address.port();
    let url = format!("http://hooks.example.com:{port}/");
    for inside in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00::1"] {
        for rules in [vec!["public".to_owned()], vec!["*.example.com:*".to_owned()]] {
            let names = Names::new(&[&[inside]]);
            let why = why(post(&names, &rules, &url).await);
            assert_eq!(why, format!("the operator allows no requests to where hooks.example.com:{port} leads"));
            assert_eq!(names.asked(), 1);
        }
    }
    assert_eq!(*receiver.connections.lock(), 0);
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_called() {
    let receiver = Receiver::new(&["200 OK"]).await;
    let (port, rules) = (receiver.address.port(), [format!("127.0.0.1:{}", receiver.address.port())]);
    let url = format!("http://rebinding.example:{port}/");
    // a second question would be answered otherwise
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    post(&names, &rules, &url).await.unwrap();
    assert_eq!(names.asked(), 1);
    assert_eq!(receiver.letters.lock()[0].header("host"), format!("rebinding.example:{port}"));
    // the next try judges what it is told then
    assert!(why(post(&names, &rules, &url).await).contains("allows no requests"));
    // of several addresses only those that are allowed
    let names = Names::new(&[&["127.0.0.2", "10.0.0.1", "127.0.0.1", "::1"]]);
    post(&names, &rules, &url).await.unwrap();
    assert_eq!((receiver.letters.lock().len(), *receiver.connections.lock()), (2, 2));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inside = Receiver::new(&["200 OK"]).await;
    let answer = format!("307 Temporary Redirect\r\nlocation: {}", inside.url());
    let receiver = Receiver::new(&[&answer]).await;
    let rules = ["127.0.0.0/8".to_owned()];
    let why = why(post(&Names::new(&[&[]]), &rules, &receiver.url()).await);
    assert_eq!(why, "the receiver answers 307 Temporary Redirect; redirects are not followed");
    assert_eq!((receiver.letters.lock().len(), *inside.connections.lock()), (1, 0));
}

#[tokio::test]
async fn only_what_is_taken_is_delivered() {
    let rules = ["127.0.0.0/8".to_owned()];
    for (answer, taken) in [
        ("200 OK", Ok(())),
        ("204 No Content", Ok(())),
        ("400 Bad Request", Err("the receiver answers 400 Bad Request".to_owned())),
        ("503 Service Unavailable", Err("the receiver answers 503 Service Unavailable".to_owned())),
    ] {
        let receiver = Receiver::new(&[answer]).await;
        let result = post(&Names::new(&[&[]]), &rules, &receiver.url()).await;
        assert_eq!(result, taken.map_err(Failed::Try), "{answer}");
        let letters = receiver.letters.lock();
        assert_eq!(letters[0].line, "POST /hook?x=1 HTTP/1.1");
        assert_eq!((letters[0].header("webhook-id"), letters[0].header("content-type")), ("id", "application/json"));
    }
    let gone = Receiver::new(&["410 Gone"]).await;
    assert_eq!(post(&Names::new(&[&[]]), &rules, &gone.url()).await, Err(Failed::Gone));
    let url = gone.url();
    drop(gone);
    tokio::task::yield_now().await;
    assert!(why(post(&Names::new(&[&[]]), &rules, &url).await).starts_with("cannot connect to 127.0.0.1:"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let mut sent = 0;
        while stream.write_all(format!("x-{sent}: {}\r\n", "a".repeat(1000)).as_bytes()).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let why = why(post(&Names::new(&[&[]]), &["127.0.0.1".to_owned()], &url).await);
    assert!(why.starts_with("no answer: "), "{why}");
    server.await.unwrap();
}

#[tokio::test]
async fn tls_is_verified_against_the_name_of_the_url() {
    let made = rcgen::generate_simple_self_signed(vec!["hooks.example.com".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let letters = Arc::<Mutex<Vec<_>>>::default();
    let kept = Arc::clone(&letters);
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, Arc::new(Mutex::new(vec!["200 OK".to_owned()])), Arc::clone(&kept)).await;
            }
        }
    });
    let client = |trusted: bool| {
        let mut roots = rustls::RootCertStore::empty();
        if trusted {
            roots.add(made.cert.der().clone()).unwrap();
        }
        rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    let rules = allow(&["127.0.0.1".to_owned()]);
    for (trusted, host, good) in
        [(true, "hooks.example.com", true), (true, "other.example.com", false), (false, "hooks.example.com", false)]
    {
        let poster = Poster::trusting(Names::new(&[&["127.0.0.1"]]), client(trusted));
        let target = Target::parse(&format!("https://{host}:{port}/")).unwrap();
        let result = poster.post(&rules, &target, letter()).await;
        assert_eq!(result.is_ok(), good, "{host}: {result:?}");
        assert!(good || why(result).starts_with("TLS failed: "));
    }
    assert_eq!(letters.lock().len(), 1);
    serving.abort();
}
