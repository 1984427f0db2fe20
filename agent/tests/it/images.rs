//! Images on a real file system: from files, from a web server, from another agent; and what is refused.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use gyre_agent::{Agent, PeerTls, UrlPolicy};
use gyre_model::Uuid;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{
    CreateVolume, DeleteImage, DeleteVolume, FinishUpload, ImageFacts, ImageSource, ImportImage, PrepareStorage,
    ReadImageRequest, WriteImageRequest, task_outcome,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::common::{Session, client, has, open};
use crate::machines::Place;

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn import(place: &Place, image: Uuid, url: &str, format: &str, sha256: &str) -> Work {
    Work::ImportImage(ImportImage {
        image_uuid: image.to_string(),
        folder: place.path("images").display().to_string(),
        url: url.into(),
        format: format.into(),
        sha256: sha256.into(),
    })
}

async fn facts(session: &mut Session, work: Work) -> ImageFacts {
    match session.run(work).await.expect("kept") {
        Some(task_outcome::Result::Image(facts)) => facts,
        other => panic!("an image's facts are expected, got {other:?}"),
    }
}

/// What a folder holds, hidden files too.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn raw(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; 3 << 20];
    bytes[..512].fill(seed);
    bytes[(2 << 20)..(2 << 20) + 777].fill(seed);
    bytes
}

/// A web server with a good image, redirects and traps.
async fn web(image: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let image = image.clone();
            let answer = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let image = image.clone();
                async move {
                    let to = |location: &str| {
                        Response::builder().status(302).header("location", location).body(Full::new(Bytes::new()))
                    };
                    let response = match request.uri().path() {
                        "/image" => Response::builder().body(Full::new(Bytes::from(image))),
                        "/moved" => to("image"),
                        "/away" => to("http://169.254.169.254/latest/meta-data"),
                        "/escape" => to("file:///etc/passwd"),
                        "/round" => to("/round"),
                        "/gzip" => {
                            Response::builder().header("content-encoding", "gzip").body(Full::new(Bytes::from(image)))
                        }
                        "/busy" => Response::builder().status(503).body(Full::new(Bytes::new())),
                        _ => Response::builder().status(404).body(Full::new(Bytes::new())),
                    };
                    Ok::<_, Infallible>(response.expect("a response"))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

#[tokio::test]
async fn an_image_comes_from_a_file_and_bad_ones_leave_nothing() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let from = place.path("from");
    let bytes = raw(7);
    std::fs::write(from.join("good image.raw"), &bytes).expect("image");
    std::fs::write(from.join("odd.raw"), &bytes[..1000]).expect("image");
    std::fs::write(from.join("empty.raw"), b"").expect("image");
    std::os::unix::fs::symlink("/etc/passwd", from.join("link.raw")).expect("link");
    rustix::fs::mkfifoat(rustix::fs::CWD, from.join("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
    let url = |name: &str| format!("file://{}/{name}", from.display());

    let image = Uuid::new_v4();
    let found = facts(&mut session, import(&place, image, &url("good%20image.raw"), "raw", &sha256(&bytes))).await;
    assert_eq!((found.size_bytes, found.file_bytes, found.sha256), (3 << 20, 3 << 20, sha256(&bytes)));
    assert_eq!(std::fs::read(place.path("images").join(image.to_string())).expect("kept"), bytes, "holes are zeros");
    // again, as after a crash: looked at, not fetched
    std::fs::remove_file(from.join("good image.raw")).expect("gone");
    facts(&mut session, import(&place, image, &url("good%20image.raw"), "raw", &sha256(&bytes))).await;

    let kept = names(&place.path("images"));
    std::fs::write(from.join("good.raw"), &bytes).expect("image");
    for (name, format, sum, reason) in [
        ("good.raw", "qcow2", "", "IMAGE_NOT_QCOW2"),
        ("good.raw", "raw", "00", "IMAGE_CHECKSUM_MISMATCH"),
        ("good.raw", "vmdk", "", "IMAGE_FORMAT_UNKNOWN"),
        ("odd.raw", "raw", "", "IMAGE_SIZE_INVALID"),
        ("empty.raw", "raw", "", "IMAGE_EMPTY"),
        ("none.raw", "raw", "", "IMAGE_FILE_MISSING"),
        ("link.raw", "raw", "", "IMAGE_URL_NOT_ALLOWED"),
        ("pipe", "raw", "", "IMAGE_FILE_UNEXPECTED"),
        ("../../etc/passwd", "raw", "", "IMAGE_URL_INVALID"),
    ] {
        let work = import(&place, Uuid::new_v4(), &url(name), format, sum);
        assert_eq!(session.reason(work).await, reason, "{name} as {format}");
        assert_eq!(names(&place.path("images")), kept, "{name} as {format} leaves nothing");
    }
    let outside = import(&place, Uuid::new_v4(), "file:///etc/passwd", "raw", "");
    assert_eq!(session.reason(outside).await, "IMAGE_URL_NOT_ALLOWED");

    let delete = Work::DeleteImage(DeleteImage {
        image_uuid: image.to_string(),
        folder: place.path("images").display().to_string(),
    });
    session.run(delete.clone()).await.expect("deleted");
    session.run(delete).await.expect("idempotent");
    assert!(names(&place.path("images")).is_empty());
    agent.shutdown().await;
}

#[tokio::test]
async fn an_image_comes_from_the_web_where_the_operator_allows_it() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let bytes = raw(9);
    let server = web(bytes.clone()).await;
    let mut config = place.config();
    config.images = UrlPolicy::new(&[format!("http://{server}/")], &[]).expect("sound");
    config.max_image_bytes = 4 << 20;
    let agent = Agent::start(config).await.expect("starts");
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let url = |path: &str| format!("http://{server}/{path}");
    let found = facts(&mut session, import(&place, Uuid::new_v4(), &url("image"), "raw", "")).await;
    assert_eq!(found.sha256, sha256(&bytes));
    assert!(
        session.progress.iter().any(|progress| progress.message.contains("fetched 3 of 3 MiB")),
        "{:?}",
        session.progress
    );
    facts(&mut session, import(&place, Uuid::new_v4(), &url("moved"), "raw", &sha256(&bytes))).await;
    let kept = names(&place.path("images"));
    for (path, reason) in [
        ("away", "IMAGE_URL_NOT_ALLOWED"),
        ("escape", "IMAGE_URL_INVALID"),
        ("round", "IMAGE_FETCH_FAILED"),
        ("gzip", "IMAGE_FETCH_FAILED"),
        ("busy", "IMAGE_FETCH_FAILED"),
        ("none", "IMAGE_FETCH_FAILED"),
    ] {
        assert_eq!(session.reason(import(&place, Uuid::new_v4(), &url(path), "raw", "")).await, reason, "{path}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let elsewhere = format!("http://{closed}/image");
    assert_eq!(session.reason(import(&place, Uuid::new_v4(), &elsewhere, "raw", "")).await, "IMAGE_URL_NOT_ALLOWED");
    assert_eq!(names(&place.path("images")), kept);
    agent.shutdown().await;
    drop(agent);

    let mut config = place.config();
    config.images = UrlPolicy::new(&[format!("http://{server}/"), format!("http://{closed}/")], &[]).expect("sound");
    config.max_image_bytes = 1 << 20;
    let agent = Agent::start(config).await.expect("starts");
    let mut session = open(&agent, session.host, 2).await.expect("admitted");
    assert_eq!(session.reason(import(&place, Uuid::new_v4(), &url("image"), "raw", "")).await, "IMAGE_TOO_LARGE");
    assert_eq!(session.reason(import(&place, Uuid::new_v4(), &elsewhere, "raw", "")).await, "IMAGE_FETCH_FAILED");
    assert_eq!(names(&place.path("images")), kept);
    agent.shutdown().await;
}

#[tokio::test]
async fn an_upload_is_kept_once_it_is_checked() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let agent = place.agent().await;
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let folder = place.path("images").display().to_string();
    let host = session.host.to_string();
    let (bytes, image) = (raw(3), Uuid::new_v4().to_string());
    let upload = async |image: &str, bytes: &[u8], breaks: bool| {
        let first = WriteImageRequest {
            image_uuid: image.into(),
            folder: folder.clone(),
            host_uuid: host.clone(),
            data: Bytes::new(),
        };
        let mut pieces: Vec<_> = vec![first];
        pieces.extend(
            bytes
                .chunks(100_000)
                .map(|data| WriteImageRequest { data: Bytes::copy_from_slice(data), ..Default::default() }),
        );
        if breaks {
            // a call that ends before its stream does
            let pieces = futures::StreamExt::chain(tokio_stream::iter(pieces), futures::stream::pending());
            let mut agent = client(&agent);
            let call = agent.write_image(pieces);
            return tokio::time::timeout(std::time::Duration::from_millis(300), call).await.map(|_| 0).unwrap_or(-1);
        }
        client(&agent).write_image(tokio_stream::iter(pieces)).await.expect("written").into_inner().bytes
    };
    let finish = |image: &str, format: &str, sha256: &str| {
        Work::FinishUpload(FinishUpload {
            image_uuid: image.into(),
            folder: folder.clone(),
            format: format.into(),
            sha256: sha256.into(),
        })
    };
    assert_eq!(session.reason(finish(&image, "raw", "")).await, "IMAGE_UPLOAD_MISSING");
    assert_eq!(upload(&image, &bytes, true).await, -1);
    assert!(names(&place.path("images")).is_empty(), "an upload that breaks leaves nothing");
    assert_eq!(upload(&image, &bytes, false).await, bytes.len() as i64);
    let found = facts(&mut session, finish(&image, "raw", &sha256(&bytes).to_uppercase())).await;
    assert_eq!(found.sha256, sha256(&bytes));
    facts(&mut session, finish(&image, "raw", "")).await;
    assert_eq!(names(&place.path("images")), std::slice::from_ref(&image));

    let bad = Uuid::new_v4().to_string();
    upload(&bad, &bytes, false).await;
    assert_eq!(session.reason(finish(&bad, "qcow2", "")).await, "IMAGE_NOT_QCOW2");
    assert_eq!(names(&place.path("images")), std::slice::from_ref(&image), "a refused upload leaves nothing");

    let read = ReadImageRequest { image_uuid: image, folder, host_uuid: session.host.to_string() };
    let mut stream = client(&agent).read_image(read.clone()).await.expect("opens").into_inner();
    let mut back = Vec::new();
    while let Some(piece) = stream.message().await.expect("goes on") {
        back.extend_from_slice(&piece.data);
    }
    assert_eq!(back, bytes);
    let none = ReadImageRequest { image_uuid: bad, ..read };
    assert_eq!(client(&agent).read_image(none).await.expect_err("missing").code(), tonic::Code::NotFound);
    agent.shutdown().await;
}

#[tokio::test]
async fn volumes_stand_on_images_of_this_host_and_of_others() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let (here, there) = (Place::new(), Place::new());
    let server = there.agent().await;
    let mut far = open(&server, Uuid::new_v4(), 1).await.expect("admitted");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let serving = tonic::transport::Server::builder()
        .add_service(server.service())
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);

    let mut config = here.config();
    config.peers = PeerTls::Loopback;
    let agent = Agent::start(config).await.expect("starts");
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let storage = here.path("storage");
    let bytes = raw(5);
    let (image, format) = (Uuid::new_v4(), "raw".to_owned());
    for place in [&here, &there] {
        std::fs::write(place.path("from/x.raw"), &bytes).expect("image");
    }
    let url = |place: &Place| format!("file://{}", place.path("from/x.raw").display());
    facts(&mut far, import(&there, image, &url(&there), "raw", "")).await;
    let create = |image: Uuid, from: Uuid, folder: std::path::PathBuf, size_bytes: i64, sha256: &str| {
        let source = ImageSource {
            image_uuid: image.to_string(),
            host_uuid: from.to_string(),
            address: address.clone(),
            folder: folder.display().to_string(),
            format: format.clone(),
            sha256: sha256.into(),
            file_bytes: bytes.len() as i64,
        };
        let (volume_uuid, folder) = (Uuid::new_v4().to_string(), storage.display().to_string());
        CreateVolume { volume_uuid, folder, size_bytes, image: Some(source) }
    };
    let Some(task_outcome::Result::Storage(space)) =
        session.run(Work::PrepareStorage(PrepareStorage { path: storage.display().to_string() })).await.expect("ready")
    else {
        panic!("facts of the storage")
    };
    assert!(space.total_bytes > 0 && space.available_bytes > 0);

    // from the other host, by many at once: moved once
    let works: Vec<_> =
        (0..5).map(|_| create(image, far.host, there.path("images"), 8 << 20, &sha256(&bytes))).collect();
    let tasks = works.iter().map(|work| session.task(&work.volume_uuid, Work::CreateVolume(work.clone()))).collect();
    session.submit(tasks).await;
    for _ in &works {
        let outcome = session.outcome().await;
        assert!(outcome.error.is_none(), "{outcome:?}");
    }
    assert_eq!(std::fs::read(storage.join("cache").join(image.to_string())).expect("cached"), bytes);
    assert_eq!(names(&storage.join("cache")), [image.to_string()]);
    // again: alike is fine, other sizes are not
    session.run(Work::CreateVolume(works[0].clone())).await.expect("idempotent");
    let other = CreateVolume { size_bytes: 16 << 20, ..works[0].clone() };
    assert_eq!(session.reason(Work::CreateVolume(other)).await, "VOLUME_DIFFERS");
    if has("qemu-img", "qemu-utils") {
        let volume = storage.join(format!("{}.qcow2", works[0].volume_uuid));
        let check = std::process::Command::new("qemu-img").arg("check").arg(&volume).output().expect("runs");
        assert!(check.status.success(), "{check:?}");
        let info =
            std::process::Command::new("qemu-img").args(["info", "--output=json"]).arg(&volume).output().expect("runs");
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).expect("JSON");
        assert_eq!(info["backing-filename-format"], "raw");
        assert_eq!(info["virtual-size"], 8 << 20);
    }

    // on this host: the cache shares the bytes
    let local = Uuid::new_v4();
    facts(&mut session, import(&here, local, &url(&here), "raw", "")).await;
    let work = create(local, session.host, here.path("images"), 8 << 20, "");
    session.run(Work::CreateVolume(work.clone())).await.expect("made");
    let inode = |path: std::path::PathBuf| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("file"));
    assert_eq!(
        inode(here.path("images").join(local.to_string())),
        inode(storage.join("cache").join(local.to_string()))
    );

    let files = names(&storage);
    for (work, reason) in [
        (create(local, session.host, here.path("images"), 1 << 20, ""), "VOLUME_SMALLER_THAN_IMAGE"),
        (create(local, session.host, here.path("images"), 1000, ""), "VOLUME_SMALLER_THAN_IMAGE"),
        (create(Uuid::new_v4(), session.host, here.path("images"), 8 << 20, ""), "IMAGE_MISSING"),
        (create(Uuid::new_v4(), far.host, there.path("images"), 8 << 20, ""), "NOT_FOUND"),
        (CreateVolume { size_bytes: 1000, image: None, ..works[0].clone() }, "VOLUME_SIZE_INVALID"),
        (CreateVolume { folder: "relative".into(), ..works[0].clone() }, "INVALID_FIELD"),
        (CreateVolume { folder: "/a/../b".into(), ..works[0].clone() }, "INVALID_FIELD"),
    ] {
        assert_eq!(session.reason(Work::CreateVolume(work)).await, reason);
    }
    let second = Uuid::new_v4();
    facts(&mut far, import(&there, second, &url(&there), "raw", "")).await;
    let wrong = create(second, far.host, there.path("images"), 8 << 20, &"0".repeat(64));
    assert_eq!(session.reason(Work::CreateVolume(wrong)).await, "IMAGE_CHECKSUM_MISMATCH");
    assert_eq!(names(&storage), files, "what failed leaves nothing");
    assert_eq!(names(&storage.join("cache")).len(), 2);

    let delete = Work::DeleteVolume(DeleteVolume {
        volume_uuid: work.volume_uuid.clone(),
        folder: storage.display().to_string(),
    });
    session.run(delete.clone()).await.expect("deleted");
    session.run(delete).await.expect("idempotent");
    agent.shutdown().await;
    server.shutdown().await;
}

/// A file system of its own, with little room.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("folder");
        let mounted =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let place = Place::new();
    let Some(small) = Small::mount(place.path("small")) else {
        eprintln!("skipped: file systems cannot be mounted here; run as root");
        return;
    };
    let agent = place.agent().await;
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let bytes: Vec<u8> = (0..3_u32 << 20).map(|at| (at % 251) as u8).collect();
    std::fs::write(place.path("from/big.raw"), &bytes).expect("image");
    let folder = small.0.display().to_string();
    let work = Work::ImportImage(ImportImage {
        image_uuid: Uuid::new_v4().to_string(),
        folder: folder.clone(),
        url: format!("file://{}", place.path("from/big.raw").display()),
        format: "raw".into(),
        sha256: String::new(),
    });
    let error = session.run(work).await.expect_err("no room");
    assert_eq!(error.reason(), "DISK_FULL");
    assert!(error.message().contains("the image needs 3 MiB"), "{error}");
    // an upload's size is not known before: it fails when the last byte is taken
    let first = WriteImageRequest {
        image_uuid: Uuid::new_v4().to_string(),
        folder: folder.clone(),
        host_uuid: session.host.to_string(),
        data: Bytes::new(),
    };
    let rest = bytes
        .chunks(1 << 18)
        .map(|data| WriteImageRequest { data: Bytes::copy_from_slice(data), ..Default::default() });
    let pieces: Vec<_> = [first].into_iter().chain(rest).collect();
    let status = client(&agent).write_image(tokio_stream::iter(pieces)).await.expect_err("no room");
    assert_eq!(gyre_model::Error::from(status).reason(), "DISK_FULL");
    assert!(names(&small.0).is_empty(), "nothing is left behind: {:?}", names(&small.0));
    // even a volume needs a little
    std::fs::write(small.0.join("ballast"), vec![1; (1 << 20) - 4096]).expect("written");
    let create = CreateVolume { volume_uuid: Uuid::new_v4().to_string(), folder, size_bytes: 1 << 30, image: None };
    assert_eq!(session.reason(Work::CreateVolume(create)).await, "DISK_FULL");
    assert_eq!(names(&small.0), ["ballast"]);
    agent.shutdown().await;
}
