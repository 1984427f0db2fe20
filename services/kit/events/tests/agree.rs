//! What is decided in memory is what the database says, whatever the filter and the row.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use gyre_events::{Follower, Interest, Matcher};
use gyre_mesh::tasks::Tasks;
use gyre_model::{Caller, Uuid};
use gyre_proto::host::v1::{Cluster, Host, Zone};
use gyre_proto::identity::v1::Account;
use gyre_proto::storage::v1::{Image, ImageFormat, ImageState};
use gyre_proto::vm::v1::{Vm, VmState};
use gyre_query::filter::Predicate;
use gyre_query::table::by_kind;
use gyre_query::{Change, table};

/// A number that looks like chance; the seed is printed.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.next(all.len())]
    }
}

const NAMES: [&str; 10] = ["", "a", "web-1", "web-2", "Web-1", "wéb", "a%b", "a_b", "it's", "10.0.0.7"];
const UUIDS: [&str; 3] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
];

fn vm(chance: &mut Chance) -> Vm {
    let list = |chance: &mut Chance| (0..chance.next(3)).map(|_| chance.of(&NAMES).to_owned()).collect();
    Vm {
        uuid: Uuid::new_v4().to_string(),
        name: chance.of(&NAMES).into(),
        description: chance.of(&NAMES).into(),
        account_uuid: chance.of(&UUIDS).into(),
        state: [VmState::Unspecified, VmState::Running, VmState::Stopped][chance.next(3)].into(),
        cpu_count: i32::try_from(chance.next(4)).unwrap(),
        memory_bytes: [0, 1 << 20, 4 << 30][chance.next(3)],
        host_uuid: if chance.next(2) == 0 { String::new() } else { chance.of(&UUIDS).into() },
        addresses: list(chance),
        ..Vm::default()
    }
}

fn image(chance: &mut Chance) -> Image {
    Image {
        uuid: Uuid::new_v4().to_string(),
        name: chance.of(&NAMES).into(),
        account_uuid: chance.of(&UUIDS).into(),
        shared: chance.next(3) == 0,
        format: [ImageFormat::Raw, ImageFormat::Qcow2][chance.next(2)].into(),
        state: ImageState::Ready.into(),
        ..Image::default()
    }
}

/// A comparison, not always a good one.
fn comparison(chance: &mut Chance, fields: &[&str]) -> String {
    let field = chance.of(fields);
    let sign = chance.of(&["=", "!=", "<", "<=", ">", ">=", ":"]);
    let values = [
        "null",
        "*",
        "0",
        "1",
        "2",
        "4GiB",
        "RUNNING",
        "STOPPED",
        "RAW",
        "true",
        "false",
        "now-1h",
        "2030-01-01",
        UUIDS[0],
        UUIDS[1],
    ];
    let value = match chance.next(4) {
        0 => chance.of(&values).to_owned(),
        1 => format!("{:?}", chance.of(&NAMES)),
        2 => format!("\"{}*\"", chance.of(&["w", "web", "", "a"])),
        _ => format!("\"*{}*\"", chance.of(&["e", "-", "1", ""])),
    };
    match chance.next(8) {
        0 => format!("{field} IN ({value}, {:?})", chance.of(&NAMES)),
        _ => format!("{field} {sign} {value}"),
    }
}

fn filter(chance: &mut Chance, fields: &[&str], depth: usize) -> String {
    match chance.next(if depth == 0 { 1 } else { 5 }) {
        0 | 1 => comparison(chance, fields),
        2 => format!("({}) AND ({})", filter(chance, fields, depth - 1), filter(chance, fields, depth - 1)),
        3 => format!("({}) OR ({})", filter(chance, fields, depth - 1), filter(chance, fields, depth - 1)),
        _ => format!("NOT ({})", filter(chance, fields, depth - 1)),
    }
}

#[tokio::test]
async fn memory_and_database_agree() {
    let seed = std::env::var("GYRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_129);
    println!("GYRE_SEED={seed}");
    let mut chance = Chance(seed);
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let tasks = Tasks::new();
    let mut subscription = Follower::of(&store).subscribe(&tasks, &store, Interest::All).await.unwrap();
    let (vms, images): (Vec<_>, Vec<_>) = (0..60).map(|_| (vm(&mut chance), image(&mut chance))).unzip();
    store
        .write("insert", move |conn| {
            let change = Change::by(Caller::system());
            let uuid = || Uuid::new_v4().to_string();
            let zone = Zone { uuid: uuid(), name: "zone".into(), ..Zone::default() };
            gyre_query::insert(conn, &change, &zone)?;
            let cluster =
                Cluster { uuid: uuid(), name: "cluster".into(), zone_uuid: zone.uuid.clone(), ..Cluster::default() };
            gyre_query::insert(conn, &change, &cluster)?;
            for uuid in UUIDS {
                let account = Account { uuid: uuid.into(), name: uuid.into(), ..Account::default() };
                gyre_query::insert(conn, &change, &account)?;
                let host = Host {
                    uuid: uuid.into(),
                    name: uuid.into(),
                    address: format!("{uuid}:1"),
                    cluster_uuid: cluster.uuid.clone(),
                    zone_uuid: zone.uuid.clone(),
                    ..Host::default()
                };
                gyre_query::insert(conn, &change, &host)?;
            }
            vms.iter().try_for_each(|vm| gyre_query::insert(conn, &change, vm).map(drop))?;
            images.iter().try_for_each(|image| gyre_query::insert(conn, &change, image).map(drop))
        })
        .await
        .unwrap();
    let mut rows = Vec::new();
    while rows.len() < 120 {
        let row = subscription.next().await.unwrap().row;
        if matches!(row.kind, "vm" | "image") {
            rows.push(row);
        }
    }
    let callers = [Caller::system(), Caller::of(UUIDS[0].parse().unwrap(), false), Caller::of(Uuid::new_v4(), false)];
    let own: [(&'static str, &[&str]); 2] = [
        (
            "vm",
            &[
                "name",
                "description",
                "state",
                "cpu_count",
                "memoryBytes",
                "host_uuid",
                "account_uuid",
                "addresses",
                "create_time",
                "image_uuid",
                "uuid",
                "generation",
            ],
        ),
        ("image", &["name", "shared", "format", "state", "account_uuid", "create_time", "url"]),
    ];
    assert_eq!(table::<Vm>().kind.kind, "vm");
    let (mut good, mut refused, mut found) = (0, 0, 0);
    for _ in 0..5000 {
        let (kind, fields) = own[chance.next(2)];
        let text = filter(&mut chance, fields, 3);
        let caller = callers[chance.next(3)];
        let uuids: Vec<Uuid> = rows.iter().filter(|row| row.kind == kind).map(|row| row.uuid).collect();
        let asked = text.clone();
        let database = store.search("ask", move |conn| gyre_query::matching(conn, &caller, kind, &asked, &uuids)).await;
        let table = by_kind(kind);
        let memory = Predicate::compile(table, &caller, &text);
        let mut database = match (database, &memory) {
            (Ok(database), Ok(_)) => database,
            (Err(_), Err(_)) => {
                refused += 1;
                continue;
            }
            (database, memory) => panic!("{text}: {database:?}, but {memory:?}"),
        };
        let predicate = memory.unwrap().unwrap_or_else(|| panic!("{text} is not answered in memory"));
        let matcher = Matcher::new(table, caller, Some(predicate));
        let mut memory: Vec<Uuid> = rows
            .iter()
            .filter(|row| row.kind == kind && row.after().is_some_and(|image| matcher.has(image)))
            .map(|row| row.uuid)
            .collect();
        database.sort_unstable();
        memory.sort_unstable();
        assert_eq!(memory, database, "{kind}: {text} for {caller:?}");
        good += 1;
        found += memory.len();
    }
    assert!(good > 500 && refused > 50 && found > 1000, "{good} good, {refused} refused, {found} found");
}
