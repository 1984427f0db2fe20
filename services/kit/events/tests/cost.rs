//! What watchers cost, and how soon they hear: for people, since a busy machine measures nothing.
//!
//! ```text
//! cargo test --release -p gyre-events --all-features --test cost -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gyre_events::watch::{Wanted, Watcher};
use gyre_mesh::tasks::Tasks;
use gyre_model::{Caller, Uuid, time};
use gyre_proto::Message as _;
use gyre_proto::common::v1::WatchEventType as Event;
use gyre_proto::identity::v1::Account;
use gyre_proto::storage::v1::Image;
use gyre_query::Change;

const WATCHERS: usize = 1_000;
const CHANGES: usize = 1_000;
const SECONDS: usize = 10;

/// The processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn run(watchers: usize) -> (Duration, Vec<i64>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let tasks = Tasks::new();
    let accounts: Vec<Uuid> = (0..watchers.max(1)).map(|_| Uuid::new_v4()).collect();
    let all = accounts.clone();
    let insert = move |conn: &mut gyre_store::Conn| {
        all.iter().try_for_each(|uuid| {
            let account = Account { uuid: uuid.to_string(), name: uuid.to_string(), ..Account::default() };
            gyre_query::insert(conn, &Change::by(Caller::system()), &account).map(drop)
        })
    };
    store.write("accounts", insert).await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let late = Arc::new(std::sync::Mutex::new(Vec::new()));
    for (at, account) in accounts.iter().enumerate().take(watchers) {
        // half look at their own, half at all of a name, as administrators do
        let (caller, filter) = match at % 2 {
            0 => (Caller::of(*account, false), "name = \"w*\" AND size_bytes >= 1MiB".to_owned()),
            _ => (Caller::system(), format!("name = \"w-{at}\" AND NOT url = \"\"")),
        };
        let wanted = Wanted { caller, kind: "image", filter, position: None };
        let mut watcher = Watcher::begin(&tasks, &store, wanted).await.unwrap();
        let (told, late) = (told.clone(), late.clone());
        tasks.spawn_until_stop("watcher", async move {
            while let Some(Ok(event)) = watcher.next().await {
                if event.r#type() == Event::Added {
                    let image = Image::decode(event.resource.unwrap().value).unwrap();
                    let after = time::now_micros() - time::to_micros(&image.create_time.unwrap());
                    told.fetch_add(1, Ordering::Relaxed);
                    late.lock().unwrap().push(after);
                }
            }
        });
    }
    let began = cpu();
    let start = Instant::now();
    let batch = CHANGES / 100;
    for tick in 0..SECONDS * 100 {
        let accounts = accounts.clone();
        let write = move |conn: &mut gyre_store::Conn| {
            for at in 0..batch {
                let number = tick * batch + at;
                let image = Image {
                    uuid: Uuid::new_v4().to_string(),
                    name: format!("w-{}", number % 2_000),
                    account_uuid: accounts[number % accounts.len()].to_string(),
                    size_bytes: 5 << 20,
                    url: "https://images.example.com/debian.qcow2".into(),
                    ..Image::default()
                };
                gyre_query::insert(conn, &Change::by(Caller::system()), &image)?;
            }
            Ok(())
        };
        store.write("insert", write).await.unwrap();
        let next = start + Duration::from_millis(10 * (tick as u64 + 1));
        tokio::time::sleep_until(next.into()).await;
    }
    let spent = cpu() - began;
    let mut late = std::mem::take(&mut *late.lock().unwrap());
    late.sort_unstable();
    tasks.shutdown(Duration::from_secs(5)).await;
    (spent, late, told.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn a_thousand_watchers_at_a_thousand_changes_a_second() {
    let (alone, ..) = run(0).await;
    let (all, late, told) = run(WATCHERS).await;
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    let share = |time: Duration| time.as_secs_f64() / SECONDS as f64 * 100.0;
    println!(
        "{WATCHERS} watchers, {CHANGES} changes a second for {SECONDS} s: {told} events; {:.0} % of a core, {:.0} % without them; \
         heard after p50 {:.1} ms, p99 {:.1} ms",
        share(all),
        share(alone),
        at(0.5),
        at(0.99)
    );
    assert!(told > CHANGES * SECONDS / 4);
}
