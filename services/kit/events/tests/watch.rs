//! Watchers: what they keep by the events that they get is the list, whenever their streams break.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gyre_events::Position;
use gyre_events::watch::{Wanted, Watcher};
use gyre_mesh::tasks::Tasks;
use gyre_model::{Caller, Result, Uuid, parse_uuid};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{WatchEventType as Event, WatchResponse};
use gyre_proto::host::v1::{Cluster, Zone};
use gyre_proto::identity::v1::Account;
use gyre_proto::storage::v1::Image;
use gyre_query::Change;
use gyre_store::{Conn, Store};

const ALICE: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    tasks: Tasks,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = gyre_store::testing::store(folder.path()).await.unwrap();
        Self { _folder: folder, store, tasks: Tasks::new() }
    }

    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&mut Conn, &Change) -> Result<T> + Send + 'static) -> T {
        let change = Change::by(Caller::system());
        self.store.write("test", move |conn| work(conn, &change)).await.unwrap()
    }

    async fn zone(&self, name: &str) -> Zone {
        let zone = Zone { uuid: Uuid::new_v4().to_string(), name: name.into(), ..Zone::default() };
        self.write(move |conn, change| gyre_query::insert(conn, change, &zone)).await
    }

    fn wanted(kind: &'static str, filter: &str) -> Wanted {
        Wanted { caller: Caller::system(), kind, filter: filter.into(), position: None }
    }

    async fn watch(&self, wanted: Wanted) -> Watcher {
        Watcher::begin(&self.tasks, &self.store, wanted).await.unwrap()
    }
}

async fn next(watcher: &mut Watcher) -> WatchResponse {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(20), watcher.next()).await.unwrap().unwrap().unwrap();
        if event.r#type() != Event::Progress {
            return event;
        }
    }
}

fn name(event: &WatchResponse) -> String {
    Zone::decode(event.resource.clone().unwrap_or_default().value).unwrap().name
}

#[tokio::test]
async fn a_list_is_told_and_then_its_changes() {
    let world = World::new().await;
    let first = world.zone("east-1").await;
    world.zone("west-1").await;
    let mut watcher = world.watch(World::wanted("zone", "name = \"east*\"")).await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), name(&event).as_str(), event.position.as_str()), (Event::Snapshot, "east-1", ""));
    let event = next(&mut watcher).await;
    assert_eq!(event.r#type(), Event::Synced);
    assert!(!event.position.is_empty());

    let began = Instant::now();
    let second = world.zone("east-2").await;
    world.zone("west-2").await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), event.uuid.as_str()), (Event::Added, second.uuid.as_str()));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let changed = Zone { description: "changed".into(), ..first.clone() };
    let changed = world.write(move |conn, change| gyre_query::update(conn, change, &changed)).await;
    assert_eq!((next(&mut watcher).await.r#type(), changed.generation), (Event::Modified, 2));
    let renamed = Zone { name: "north".into(), ..changed };
    world.write(move |conn, change| gyre_query::update(conn, change, &renamed)).await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), name(&event).as_str()), (Event::Removed, "north"));
    let position = event.position.clone();
    let uuid = parse_uuid(&second.uuid).unwrap();
    world.write(move |conn, change| gyre_query::delete::<Zone>(conn, change, uuid)).await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), name(&event).as_str()), (Event::Removed, "east-2"));

    // another one goes on from a position
    let position = Position::parse(&position, world.store.dialect()).unwrap();
    let wanted = Wanted { position: Some(position), ..World::wanted("zone", "name = \"east*\"") };
    let mut again = world.watch(wanted).await;
    let event = next(&mut again).await;
    assert_eq!((event.r#type(), event.uuid.as_str()), (Event::Removed, second.uuid.as_str()));
    assert_eq!(next(&mut again).await.r#type(), Event::Synced);
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_told() {
    let world = World::new().await;
    let begin = async |wanted: Wanted| Watcher::begin(&world.tasks, &world.store, wanted).await.err().unwrap();
    assert!(begin(World::wanted("zone", "nme = a")).await.message().contains("did you mean"));
    assert!(begin(World::wanted("cluster", "zone.nme = a")).await.message().contains("did you mean"));
    world.zone("a").await;
    let old = Position::start(world.store.dialect());
    world.zone("b").await;
    let now = gyre_model::time::now_micros() + 1_000_000;
    assert_eq!(world.write(move |conn, _| gyre_events::row::trim(conn, now)).await, 1);
    world.zone("c").await;
    let error = begin(Wanted { position: Some(old), ..World::wanted("zone", "") }).await;
    assert_eq!(error.reason(), "POSITION_EXPIRED");
    let now = world.store.read("head", gyre_events::row::head).await.unwrap();
    world.watch(Wanted { position: Some(now), ..World::wanted("zone", "") }).await;
}

/// What somebody keeps who believes each event, and finds fault with those that cannot be.
#[derive(Default)]
struct Kept(BTreeMap<String, i64>, bool);

impl Kept {
    fn take(&mut self, event: &WatchResponse) {
        let image = Image::decode(event.resource.clone().unwrap_or_default().value).unwrap();
        let known = self.0.get(&event.uuid).copied();
        match event.r#type() {
            Event::Snapshot | Event::Added => {
                assert_eq!(known, None, "{event:?} is there already");
                self.0.insert(event.uuid.clone(), image.generation);
            }
            Event::Modified => {
                assert_eq!(known, Some(image.generation - 1), "{event:?}");
                self.0.insert(event.uuid.clone(), image.generation);
            }
            Event::Removed => assert!(self.0.remove(&event.uuid).is_some(), "{event:?} is not there"),
            Event::Synced => self.1 = true,
            Event::Progress => {}
            Event::Reset | Event::Unspecified => panic!("{event:?}"),
        }
    }
}

/// Watches with a stream that breaks again and again, until what is kept is what is there.
async fn keep(
    world: std::sync::Arc<World>,
    wanted: Wanted,
    seed: u64,
    done: tokio::sync::watch::Receiver<bool>,
) -> usize {
    let mut chance = Chance(seed);
    let mut kept = Kept::default();
    let mut position = None;
    let mut breaks = 0;
    let begun = Instant::now();
    loop {
        let mut watcher = world.watch(Wanted { position: position.clone(), ..wanted.clone() }).await;
        for _ in 0..=chance.next(30) {
            let Ok(event) = tokio::time::timeout(Duration::from_millis(300), watcher.next()).await else { break };
            let event = event.unwrap().unwrap();
            kept.take(&event);
            if !event.position.is_empty() {
                position = Some(Position::parse(&event.position, world.store.dialect()).unwrap());
            }
        }
        breaks += 1;
        if position.is_none() {
            // it broke before the list was told whole
            kept = Kept::default();
        }
        if *done.borrow() {
            let (caller, filter) = (wanted.caller, wanted.filter.clone());
            let read = move |conn: &mut Conn| gyre_query::stream::keys(conn, &caller, "image", &filter, 10_000);
            let there = world.store.search("keys", read).await.unwrap();
            let there: BTreeMap<_, _> =
                there.into_iter().map(|(uuid, generation)| (uuid.to_string(), generation)).collect();
            if kept.0 == there && kept.1 {
                return breaks;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?} is kept, {there:?} is there", kept.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_goes_on_after_each_break_keeps_the_list() {
    let seed = std::env::var("GYRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_129);
    println!("GYRE_SEED={seed}");
    let world = std::sync::Arc::new(World::new().await);
    world
        .write(|conn, change| {
            [ALICE, BOB].iter().try_for_each(|uuid| {
                let account = Account { uuid: (*uuid).into(), name: (*uuid).into(), ..Account::default() };
                gyre_query::insert(conn, change, &account).map(drop)
            })
        })
        .await;
    let (done, doing) = tokio::sync::watch::channel(false);
    let mut watchers = Vec::new();
    for (at, (caller, filter)) in [
        (Caller::system(), ""),
        (Caller::system(), "name = \"w*\" AND shared = true"),
        (Caller::of(ALICE.parse().unwrap(), false), ""),
        (Caller::of(ALICE.parse().unwrap(), false), "NOT name = \"web\""),
        (Caller::of(BOB.parse().unwrap(), false), "shared = false"),
    ]
    .into_iter()
    .enumerate()
    {
        let wanted = Wanted { caller, kind: "image", filter: filter.into(), position: None };
        watchers.push(tokio::spawn(keep(world.clone(), wanted, seed + at as u64, doing.clone())));
    }
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut chance = Chance(seed ^ ((writer + 1) * 0x9E37_79B9));
                let mut mine: Vec<Image> = Vec::new();
                for _ in 0..150 {
                    let name = ["web", "worker", "db"][usize::try_from(chance.next(3)).unwrap()];
                    let shared = chance.next(3) == 0;
                    match chance.next(4) {
                        0 if !mine.is_empty() => {
                            let at = usize::try_from(chance.next(mine.len() as u64)).unwrap();
                            let uuid = parse_uuid(&mine.swap_remove(at).uuid).unwrap();
                            world.write(move |conn, change| gyre_query::delete::<Image>(conn, change, uuid)).await;
                        }
                        1 | 2 if !mine.is_empty() => {
                            let at = usize::try_from(chance.next(mine.len() as u64)).unwrap();
                            let image = Image { name: name.into(), shared, ..mine[at].clone() };
                            mine[at] = world.write(move |conn, change| gyre_query::update(conn, change, &image)).await;
                        }
                        _ => {
                            let account_uuid = [ALICE, BOB][usize::try_from(chance.next(2)).unwrap()].to_owned();
                            let uuid = Uuid::new_v4().to_string();
                            let image = Image { uuid, name: name.into(), shared, account_uuid, ..Image::default() };
                            mine.push(world.write(move |conn, change| gyre_query::insert(conn, change, &image)).await);
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.send(true).unwrap();
    for watcher in watchers {
        assert!(watcher.await.unwrap() > 3, "streams broke");
    }
}

#[tokio::test]
async fn a_filter_through_references_follows_what_they_lead_to() {
    let world = World::new().await;
    let (east, west) = (world.zone("east").await, world.zone("west").await);
    let cluster = |zone: &Zone, name: &str| Cluster {
        uuid: Uuid::new_v4().to_string(),
        name: name.into(),
        zone_uuid: zone.uuid.clone(),
        ..Cluster::default()
    };
    let (one, two) = (cluster(&east, "one"), cluster(&west, "two"));
    let both = [one.clone(), two.clone()];
    world
        .write(move |conn, change| both.iter().try_for_each(|one| gyre_query::insert(conn, change, one).map(drop)))
        .await;
    let mut watcher = world.watch(World::wanted("cluster", "zone.name = east")).await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), event.uuid.as_str()), (Event::Snapshot, one.uuid.as_str()));
    let position = next(&mut watcher).await.position;
    // the cluster is the same; the zone that it is in is called otherwise
    let renamed = Zone { name: "east".into(), ..west };
    world.write(move |conn, change| gyre_query::update(conn, change, &renamed)).await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), event.uuid.as_str()), (Event::Added, two.uuid.as_str()));
    let uuid = parse_uuid(&one.uuid).unwrap();
    world.write(move |conn, change| gyre_query::delete::<Cluster>(conn, change, uuid)).await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), event.uuid.as_str()), (Event::Removed, one.uuid.as_str()));
    // as it last was, since it is gone
    assert_eq!(name(&event), "one");
    // and as it is now, where only what it refers to has changed
    let uuid = parse_uuid(&two.zone_uuid).unwrap();
    world
        .write(move |conn, change| {
            let zone: Zone = gyre_query::get(conn, &Caller::system(), uuid)?;
            gyre_query::update(conn, change, &Zone { name: "south".into(), ..zone })
        })
        .await;
    let event = next(&mut watcher).await;
    assert_eq!((event.r#type(), name(&event).as_str()), (Event::Removed, "two"));

    let position = Position::parse(&position, world.store.dialect()).unwrap();
    let wanted = Wanted { position: Some(position), ..World::wanted("cluster", "zone.name = *st*") };
    let mut again = world.watch(wanted).await;
    let types = [next(&mut again).await.r#type(), next(&mut again).await.r#type()];
    assert_eq!(types, [Event::Reset, Event::Synced]);
}

#[tokio::test]
async fn what_left_a_list_is_shown_no_newer_than_it_could_be_seen() {
    let world = World::new().await;
    world
        .write(|conn, change| {
            [ALICE, BOB].iter().try_for_each(|uuid| {
                let account = Account { uuid: (*uuid).into(), name: (*uuid).into(), ..Account::default() };
                gyre_query::insert(conn, change, &account).map(drop)
            })
        })
        .await;
    let image = Image {
        uuid: Uuid::new_v4().to_string(),
        name: "shared".into(),
        account_uuid: BOB.into(),
        shared: true,
        tags: vec!["kept".into()],
        ..Image::default()
    };
    let image = world.write(move |conn, change| gyre_query::insert(conn, change, &image)).await;
    let wanted = Wanted { caller: Caller::of(ALICE.parse().unwrap(), false), ..World::wanted("image", "tags:kept") };
    let mut watcher = world.watch(wanted).await;
    assert_eq!(next(&mut watcher).await.r#type(), Event::Snapshot);
    assert_eq!(next(&mut watcher).await.r#type(), Event::Synced);
    // it is hers to see no longer, and what bob makes of it is none of her business
    let hidden = Image { shared: false, name: "hidden".into(), ..image };
    world
        .write(move |conn, change| {
            let hidden = gyre_query::update(conn, change, &hidden)?;
            gyre_query::update(conn, change, &Image { name: "secret".into(), ..hidden })
        })
        .await;
    let event = next(&mut watcher).await;
    let last = Image::decode(event.resource.clone().unwrap().value).unwrap();
    assert_eq!((event.r#type(), last.name.as_str(), last.shared), (Event::Removed, "shared", true));
}

#[tokio::test]
async fn whoever_does_not_read_is_ended_with_where_to_go_on() {
    let world = World::new().await;
    let mut watcher = world.watch(World::wanted("zone", "")).await;
    assert_eq!(next(&mut watcher).await.r#type(), Event::Synced);
    let mut other = world.watch(World::wanted("zone", "name = last")).await;
    assert_eq!(next(&mut other).await.r#type(), Event::Synced);
    for round in 0..3 {
        world
            .write(move |conn, change| {
                for at in 0..500 {
                    let zone =
                        Zone { uuid: Uuid::new_v4().to_string(), name: format!("{round}-{at}"), ..Zone::default() };
                    gyre_query::insert(conn, change, &zone)?;
                }
                Ok(())
            })
            .await;
    }
    world.zone("last").await;
    // the other one did not wait
    assert_eq!(next(&mut other).await.r#type(), Event::Added);
    let mut told = 0;
    let error = loop {
        match watcher.next().await.unwrap() {
            Ok(event) => told += usize::from(event.r#type() == Event::Added),
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason(), error.kind()), ("TOO_SLOW", gyre_model::Kind::ResourceExhausted));
    let position = Position::parse(&error.metadata()["position"], world.store.dialect()).unwrap();
    let mut again = world.watch(Wanted { position: Some(position), ..World::wanted("zone", "") }).await;
    while told < 1501 {
        told += usize::from(next(&mut again).await.r#type() == Event::Added);
    }
    assert_eq!(told, 1501);
}
