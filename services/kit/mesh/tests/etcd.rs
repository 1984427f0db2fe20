//! Membership in a real etcd, which each test starts for itself on a free port.
#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod support;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, CompactionOptions, GetOptions, PutOptions};
use gyre_mesh::member::etcd::{Config, EtcdMembership, PREFIX};
use gyre_mesh::member::{Member, Membership, View};
use gyre_model::Uuid;
use rustix::process::{Pid, Signal, kill_process};
use support::until;
use tempfile::TempDir;

struct Etcd {
    child: Child,
    folder: TempDir,
    ports: [u16; 2],
}

impl Etcd {
    /// Starts one; none where it is not installed, which only a machine for tests may not forgive.
    async fn start() -> Option<Self> {
        let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            assert!(std::env::var("GYRE_TEST_REQUIRE").as_deref() != Ok("1"), "install etcd-server");
            eprintln!("skipped: install etcd-server");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|port| port.local_addr().unwrap().port());
        let child = spawn(&folder, ports);
        let mut etcd = Self { child, folder, ports };
        etcd.answers().await;
        Some(etcd)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    async fn client(&self) -> Client {
        Client::connect([self.url()], None).await.unwrap()
    }

    async fn answers(&mut self) {
        let waited = async {
            loop {
                let asked = async { self.client().await.get("health", None).await };
                if matches!(tokio::time::timeout(Duration::from_secs(1), asked).await, Ok(Ok(_))) {
                    return;
                }
                assert!(self.child.try_wait().unwrap().is_none(), "etcd ended");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waited).await.expect("etcd answers");
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it where it stands, or lets it go on.
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Loses all that it knows.
    async fn start_anew(&mut self) {
        std::fs::remove_dir_all(self.folder.path().join("etcd")).unwrap();
        self.start_again().await;
    }

    async fn members(&self) -> i64 {
        let under = Some(GetOptions::new().with_prefix().with_count_only());
        self.client().await.get(PREFIX, under).await.unwrap().count()
    }

    async fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.ports);
        self.answers().await;
    }

    async fn join(&self, ttl: Duration) -> Arc<EtcdMembership> {
        Arc::new(EtcdMembership::connect(Config::new(vec![self.url()], ttl, None)).await.unwrap())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(folder: &TempDir, ports: [u16; 2]) -> Child {
    let [client, peer] = ports.map(|port| format!("http://127.0.0.1:{port}"));
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.path().join("etcd"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--heartbeat-interval", "50", "--election-timeout", "250"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn member(service: &str) -> Member {
    Member::new(Uuid::new_v4(), service, "127.0.0.1:1")
}

const TTL: Duration = Duration::from_secs(2);

async fn sees(membership: &EtcdMembership, what: &str, is_so: impl Fn(&View) -> bool) -> Arc<View> {
    let mut views = membership.views().watch();
    let waited = tokio::time::timeout(Duration::from_secs(30), views.wait_for(|view| is_so(view))).await;
    waited.unwrap_or_else(|_| panic!("waited in vain: {what}")).unwrap().clone()
}

#[tokio::test]
async fn members_come_and_go_and_all_see_the_same_ring_at_the_same_epoch() {
    let Some(etcd) = Etcd::start().await else { return };
    let (a, b, c) = (etcd.join(TTL).await, etcd.join(TTL).await, etcd.join(TTL).await);
    assert!(!a.lease_valid(), "nobody is a member who did not join");
    // A node: one instance, several services.
    let (vm, other) = (member("vm"), member("vm"));
    let storage = Member { service: "storage".into(), ..vm.clone() };
    a.join(vec![vm.clone(), storage.clone()]).await.unwrap();
    assert!(a.lease_valid());
    b.join(vec![other.clone()]).await.unwrap();
    let epoch = b.views().now().epoch();
    for membership in [&a, &b, &c] {
        let view = sees(membership, "both", |view| view.epoch() == epoch).await;
        assert_eq!(view.members("vm").len(), 2);
        assert_eq!(**view.members("storage").first().unwrap(), storage);
        let key = Uuid::new_v4();
        assert_eq!(view.owner("vm", key), b.views().now().owner("vm", key));
    }

    a.leave().await;
    assert!(!a.lease_valid() && !a.views().now().has("vm", vm.uuid));
    let epoch = a.views().now().epoch();
    let view = sees(&c, "one left", |view| view.epoch() == epoch).await;
    assert_eq!((view.all().count(), view.has("vm", other.uuid)), (1, true));
}

#[tokio::test]
async fn who_dies_is_gone_when_the_lease_ran_out() {
    let Some(etcd) = Etcd::start().await else { return };
    let (dying, watching) = (etcd.join(TTL).await, etcd.join(TTL).await);
    let one = member("vm");
    dying.join(vec![one.clone()]).await.unwrap();
    sees(&watching, "the member", |view| view.has("vm", one.uuid)).await;
    let started = Instant::now();
    drop(dying);
    sees(&watching, "its end", |view| !view.has("vm", one.uuid)).await;
    assert!(started.elapsed() < TTL + Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn while_etcd_is_away_members_stay_and_the_lease_is_not_proved_and_then_all_is_as_before() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let (a, b) = (etcd.join(TTL).await, etcd.join(TTL).await);
    let (one, two) = (member("vm"), member("vm"));
    a.join(vec![one.clone()]).await.unwrap();
    b.join(vec![two.clone()]).await.unwrap();
    sees(&a, "both", |view| view.members("vm").len() == 2).await;

    etcd.stop();
    let stopped = Instant::now();
    until("the lease is not proved", || !a.lease_valid()).await;
    assert!(stopped.elapsed() <= TTL, "noticed by the own clock, before etcd could: {:?}", stopped.elapsed());
    assert_eq!(a.views().now().members("vm").len(), 2, "members stay known");

    etcd.start_again().await;
    until("the lease is proved again", || a.lease_valid() && b.lease_valid()).await;
    for membership in [&a, &b] {
        sees(membership, "both again", |view| view.has("vm", one.uuid) && view.has("vm", two.uuid)).await;
    }
}

#[tokio::test]
async fn that_no_news_can_come_is_known_before_the_lease_is_over() {
    const LONG: Duration = Duration::from_secs(20);
    let Some(mut etcd) = Etcd::start().await else { return };
    let a = etcd.join(LONG).await;
    a.join(vec![member("vm")]).await.unwrap();
    assert!(!a.cut_off());
    etcd.stop();
    let stopped = Instant::now();
    until("it is cut off", || a.cut_off()).await;
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
    assert!(a.lease_valid(), "what it owns nobody takes meanwhile");
    etcd.start_again().await;
    until("it hears again", || !a.cut_off()).await;
}

/// The fewest members that are seen from now on.
fn fewest(membership: &EtcdMembership) -> tokio::sync::watch::Receiver<usize> {
    let mut views = membership.views().watch();
    let (fewest, seen) = tokio::sync::watch::channel(views.borrow().all().count());
    tokio::spawn(async move {
        while views.changed().await.is_ok() {
            let count = views.borrow_and_update().all().count();
            fewest.send_modify(|fewest| *fewest = count.min(*fewest));
        }
    });
    seen
}

#[tokio::test]
async fn while_etcd_is_frozen_nobody_works_and_afterwards_the_ring_does_not_flap() {
    let Some(etcd) = Etcd::start().await else { return };
    let (a, b) = (etcd.join(TTL).await, etcd.join(TTL).await);
    let (one, two) = (member("vm"), member("vm"));
    a.join(vec![one.clone()]).await.unwrap();
    b.join(vec![two.clone()]).await.unwrap();
    sees(&a, "both", |view| view.members("vm").len() == 2).await;
    let fewest = [fewest(&a), fewest(&b)];
    etcd.signal(Signal::STOP);
    let frozen = Instant::now();
    until("no lease is proved", || !a.lease_valid() && !b.lease_valid()).await;
    assert!(frozen.elapsed() <= TTL, "before etcd could give the lease to others: {:?}", frozen.elapsed());
    assert!(a.cut_off() && b.cut_off());
    tokio::time::sleep(TTL * 3).await;
    assert_eq!(a.views().now().members("vm").len(), 2, "members stay known");
    etcd.signal(Signal::CONT);
    until("the leases are proved again", || a.lease_valid() && b.lease_valid()).await;
    // by then everything that was held on to was settled
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(etcd.members().await, 2);
    for seen in fewest {
        assert_eq!(*seen.borrow(), 2, "nobody was gone for a moment");
    }
}

#[tokio::test]
async fn an_etcd_that_lost_its_data_is_told_again_and_who_is_gone_is_gone() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let (a, b, c) = (etcd.join(TTL).await, etcd.join(TTL).await, etcd.join(TTL).await);
    let (one, two, three) = (member("vm"), member("vm"), member("vm"));
    a.join(vec![one.clone()]).await.unwrap();
    b.join(vec![two.clone()]).await.unwrap();
    c.join(vec![three.clone()]).await.unwrap();
    sees(&a, "all", |view| view.members("vm").len() == 3).await;
    let mut client = etcd.client().await;
    for count in 0..50 {
        // the old revisions are far ahead of the new ones
        client.put("unrelated", count.to_string(), None).await.unwrap();
    }
    drop(client);
    etcd.stop();
    drop(c);
    let fewest = [fewest(&a), fewest(&b)];
    etcd.start_anew().await;
    for membership in [&a, &b] {
        sees(membership, "who is there", |view| !view.has("vm", three.uuid)).await;
        until("the lease is proved", || membership.lease_valid()).await;
        assert!(membership.views().now().has("vm", one.uuid) && membership.views().now().has("vm", two.uuid));
    }
    assert_eq!(etcd.members().await, 2);
    for seen in fewest {
        assert_eq!(*seen.borrow(), 2, "only who died was gone");
    }
    // and what comes now is seen
    let late = etcd.join(TTL).await;
    let four = member("vm");
    late.join(vec![four.clone()]).await.unwrap();
    sees(&a, "who came", |view| view.has("vm", four.uuid)).await;
    late.leave().await;
    sees(&a, "who left", |view| !view.has("vm", four.uuid)).await;
}

#[tokio::test]
async fn a_lost_lease_is_replaced_and_the_same_instance_comes_back() {
    let Some(etcd) = Etcd::start().await else { return };
    let (a, b) = (etcd.join(TTL).await, etcd.join(TTL).await);
    let one = member("vm");
    a.join(vec![one.clone()]).await.unwrap();
    let mut client = etcd.client().await;
    let first = sees(&b, "the member", |view| view.has("vm", one.uuid)).await.epoch();

    // Somebody takes the lease away.
    for lease in client.leases().await.unwrap().leases() {
        client.lease_revoke(lease.id()).await.unwrap();
    }
    let again = sees(&b, "back", |view| view.epoch() > first + 1 && view.has("vm", one.uuid)).await.epoch();
    until("the new lease is proved", || a.lease_valid()).await;

    // Somebody deletes the key and leaves the lease.
    client.delete(format!("{PREFIX}vm/{}", one.uuid), None).await.unwrap();
    sees(&b, "back again", |view| view.epoch() > again + 1 && view.has("vm", one.uuid)).await;
    assert!(a.lease_valid());
}

#[tokio::test]
async fn what_was_compacted_away_is_listed() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let watching = etcd.join(TTL).await;
    let (gone, stays) = (member("vm"), member("vm"));
    let mut client = etcd.client().await;
    let key = |member: &Member| format!("{PREFIX}vm/{}", member.uuid);
    client.put(key(&gone), gone.to_json(), None).await.unwrap();
    sees(&watching, "the first", |view| view.has("vm", gone.uuid)).await;

    // While the watcher is cut off: changes, and their history is thrown away.
    etcd.stop();
    let proxy_free = etcd.ports[0];
    let aside = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    etcd.ports[0] = aside;
    etcd.start_again().await;
    let mut client = etcd.client().await;
    client.put(key(&stays), stays.to_json(), None).await.unwrap();
    let deleted = client.delete(key(&gone), None).await.unwrap();
    let revision = deleted.header().unwrap().revision();
    client.put("unrelated", "1", Some(PutOptions::new())).await.unwrap();
    client.compact(revision + 1, Some(CompactionOptions::new().with_physical())).await.unwrap();
    etcd.stop();
    etcd.ports[0] = proxy_free;
    etcd.start_again().await;

    let view = sees(&watching, "the second", |view| view.has("vm", stays.uuid)).await;
    assert!(!view.has("vm", gone.uuid));
    assert!(view.epoch() >= revision, "the deletion counts: {} < {revision}", view.epoch());
}

#[tokio::test]
async fn a_stranger_under_the_prefix_is_passed_over() {
    let Some(etcd) = Etcd::start().await else { return };
    let watching = etcd.join(TTL).await;
    let mut client = etcd.client().await;
    client.put(format!("{PREFIX}vm/not-a-uuid"), "{}", None).await.unwrap();
    client.put(format!("{PREFIX}vm/{}", Uuid::new_v4()), "not json", None).await.unwrap();
    let one = member("vm");
    client.put(format!("{PREFIX}vm/{}", one.uuid), one.to_json(), None).await.unwrap();
    let view = sees(&watching, "the member", |view| view.has("vm", one.uuid)).await;
    assert_eq!(view.all().count(), 1);
}
