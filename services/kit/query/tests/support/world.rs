//! The cloud: a few of each kind, of three accounts, some of it shared, some references leading nowhere.

use std::collections::HashMap;

use gyre_model::catalog::{Edge, Scope, catalog};
use gyre_model::{Caller, Uuid, parse_uuid};
use gyre_proto::Resource;
use gyre_proto::host::v1::{Cluster, Host, HostState, HostStatus, Zone};
use gyre_proto::identity::v1::{Account, AccountState, ApiKey};
use gyre_proto::network::v1::{IpRange, L2Network, L3Network};
use gyre_proto::storage::v1::{Image, ImageServer, ImageState, PrimaryStorage, Volume, VolumeState};
use gyre_proto::vm::v1::{InstanceOffering, Nic, Vm, VmState};
use gyre_query::{Change, table};
use gyre_store::{Conn, Sql, Store, Value};

use super::Chance;

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Id(Uuid),
    Time(i64),
    List(Vec<String>),
    /// A message, which is there.
    Other,
}

/// A row.
#[derive(Debug, Clone)]
pub struct Record {
    pub kind: &'static str,
    pub uuid: Uuid,
    pub fields: HashMap<&'static str, Val>,
}

/// All rows.
#[derive(Default)]
pub struct World {
    pub rows: HashMap<&'static str, Vec<Record>>,
    pub accounts: Vec<Uuid>,
}

/// Names that are like each other, with what is special in filters and patterns.
pub const NAMES: [&str; 12] =
    ["a", "b", "ab", "ba", "A", "a*b", "a%b", "a_b", "é", "zz\u{10FFFF}", "web-1", "it's \"x\\y\""];

impl Record {
    fn of<R: Resource>(resource: &R) -> Self {
        let kind = table::by_kind(R::KIND);
        let values = kind.values(&resource.encode_to_vec()).unwrap();
        let fields = kind.columns.iter().zip(values).map(|(column, value)| {
            let value = match value {
                Value::Null(_) => Val::Null,
                Value::Bool(value) => Val::Bool(value),
                Value::Int(value) => Val::Int(value),
                Value::Text(value) => Val::Text(value),
                Value::Id(value) => Val::Id(value.0),
                Value::Time(value) => Val::Time(value.0),
                Value::Json(value) => serde_json::from_str(&value.0).map_or(Val::Other, Val::List),
                other => panic!("{other:?}"),
            };
            (column.field.name, value)
        });
        Self { kind: R::KIND, uuid: parse_uuid(resource.uuid()).unwrap(), fields: fields.collect() }
    }

    /// The UUID in a field.
    pub fn id(&self, field: &str) -> Option<Uuid> {
        match self.fields.get(field) {
            Some(Val::Id(uuid)) => Some(*uuid),
            _ => None,
        }
    }
}

impl World {
    pub fn all(&self, kind: &str) -> &[Record] {
        self.rows.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Whether a caller may see a row.
    pub fn visible(&self, caller: &Caller, record: &Record) -> bool {
        let scope = catalog().kind(record.kind).unwrap().scope;
        if caller.admin || scope == Scope::Global {
            return true;
        }
        let owner = if record.kind == "account" { Some(record.uuid) } else { record.id("account_uuid") };
        owner == Some(caller.account_uuid) || record.fields.get("shared") == Some(&Val::Bool(true))
    }

    /// Where an edge leads to, of what a caller may see.
    pub fn along<'w>(&'w self, caller: &Caller, from: &Record, edge: &Edge<'_>) -> Vec<&'w Record> {
        let reference = edge.reference;
        let names = |record: &Record, uuid: Uuid| match record.fields.get(reference.field) {
            Some(Val::Id(found)) => *found == uuid,
            Some(Val::List(all)) => all.iter().any(|text| parse_uuid(text) == Some(uuid)),
            _ => false,
        };
        let fits = |to: &&Record| if edge.forward { names(from, to.uuid) } else { names(to, from.uuid) };
        self.all(edge.to()).iter().filter(fits).filter(|to| self.visible(caller, to)).collect()
    }

    fn keep<R: Resource>(&mut self, conn: &mut Conn, chance: &mut Chance, resource: &R) -> String {
        let stored = gyre_query::insert(conn, &Change::by(Caller::system()), resource).unwrap();
        let mut record = Record::of(&stored);
        // all at another time, some at the same
        let time = 1_767_225_600_000_000 + chance.below(20) as i64 * 3_600_000_000;
        record.fields.insert("create_time", Val::Time(time));
        let table = catalog().kind(R::KIND).unwrap().table;
        let sql = Sql::new(format!("UPDATE {table} SET create_time = ")).bind(Value::time(time)).sql(" WHERE uuid = ");
        conn.execute(sql.bind(record.uuid)).unwrap();
        let uuid = stored.uuid().to_owned();
        self.rows.entry(R::KIND).or_default().push(record);
        uuid
    }
}

/// Makes a world in a database.
pub async fn make(store: &Store, seed: u64) -> World {
    store
        .write("world", move |conn| {
            let mut world = World::default();
            fill(&mut world, conn, &mut Chance(seed));
            Ok(world)
        })
        .await
        .unwrap()
}

fn uuid(chance: &mut Chance) -> String {
    let number = u128::from(chance.next()) << 64 | u128::from(chance.next());
    gyre_model::Uuid::from_u128(number & !(0xF << 76) & !(0xC << 60) | 4 << 76 | 8 << 60).to_string()
}

fn name(chance: &mut Chance) -> String {
    (*chance.pick(&NAMES)).to_owned()
}

fn some(chance: &mut Chance, all: &[String]) -> String {
    match chance.below(8) {
        0 => String::new(),
        _ => chance.pick(all).clone(),
    }
}

fn time(chance: &mut Chance) -> Option<gyre_proto::Timestamp> {
    (!chance.one_in(3))
        .then(|| gyre_model::time::from_micros(1_767_225_600_000_000 + chance.below(9) as i64 * 1_500_001))
}

fn fill(world: &mut World, conn: &mut Conn, chance: &mut Chance) {
    let c = chance;
    let mut accounts = Vec::new();
    for at in 0..3 {
        let account = Account {
            uuid: uuid(c),
            name: format!("account-{at}"),
            description: name(c),
            state: AccountState::Enabled.into(),
            ..Account::default()
        };
        accounts.push(world.keep(conn, c, &account));
    }
    world.accounts = accounts.iter().map(|text| parse_uuid(text).unwrap()).collect();
    for _ in 0..5 {
        let key = ApiKey {
            uuid: uuid(c),
            name: name(c),
            account_uuid: c.pick(&accounts).clone(),
            expire_time: time(c),
            ..ApiKey::default()
        };
        world.keep(conn, c, &key);
    }
    let mut zones = Vec::new();
    for _ in 0..3 {
        let zone = Zone { uuid: uuid(c), name: name(c), ..Zone::default() };
        zones.push(world.keep(conn, c, &zone));
    }
    let mut clusters = Vec::new();
    for _ in 0..4 {
        let cluster = Cluster { uuid: uuid(c), name: name(c), zone_uuid: c.pick(&zones).clone(), ..Cluster::default() };
        clusters.push(world.keep(conn, c, &cluster));
    }
    let mut hosts = Vec::new();
    for _ in 0..7 {
        let host = Host {
            uuid: uuid(c),
            name: name(c),
            state: (*c.pick(&[HostState::Enabled, HostState::Disabled])).into(),
            status: (*c.pick(&[HostStatus::Connected, HostStatus::Disconnected])).into(),
            cluster_uuid: c.pick(&clusters).clone(),
            zone_uuid: c.pick(&zones).clone(),
            memory_bytes: (c.below(4) as i64) << 30,
            status_time: time(c),
            unknown_vm_uuids: (0..c.below(3)).map(|_| uuid(c)).collect(),
            ..Host::default()
        };
        hosts.push(world.keep(conn, c, &host));
    }
    let (mut storages, mut servers, mut wires) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..3 {
        let storage = PrimaryStorage {
            uuid: uuid(c),
            name: name(c),
            cluster_uuid: c.pick(&clusters).clone(),
            path: format!("/p{at}"),
            ..PrimaryStorage::default()
        };
        storages.push(world.keep(conn, c, &storage));
        let path = format!("/i{at}");
        let server = ImageServer {
            uuid: uuid(c),
            name: name(c),
            host_uuid: c.pick(&hosts).clone(),
            path,
            ..ImageServer::default()
        };
        servers.push(world.keep(conn, c, &server));
        let wire = L2Network {
            uuid: uuid(c),
            name: name(c),
            cluster_uuid: c.pick(&clusters).clone(),
            bridge: format!("br{at}"),
            ..L2Network::default()
        };
        wires.push(world.keep(conn, c, &wire));
    }
    let (mut networks, mut images, mut offerings) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..6 {
        let network = L3Network {
            uuid: uuid(c),
            name: name(c),
            account_uuid: c.pick(&accounts).clone(),
            l2_network_uuid: c.pick(&wires).clone(),
            dns: (0..c.below(3)).map(|at| format!("10.0.0.{at}")).collect(),
            shared: c.one_in(3),
            ..L3Network::default()
        };
        networks.push(world.keep(conn, c, &network));
        let range = IpRange {
            uuid: uuid(c),
            name: name(c),
            account_uuid: c.pick(&accounts).clone(),
            l3_network_uuid: c.pick(&networks).clone(),
            total_count: c.below(5) as i64,
            ..IpRange::default()
        };
        world.keep(conn, c, &range);
        let image = Image {
            uuid: uuid(c),
            name: name(c),
            account_uuid: c.pick(&accounts).clone(),
            state: (*c.pick(&[ImageState::Ready, ImageState::Unspecified])).into(),
            image_server_uuid: some(c, &servers),
            size_bytes: (c.below(5) as i64) << 20,
            shared: c.one_in(3),
            ..Image::default()
        };
        images.push(world.keep(conn, c, &image));
        let cpu_count = c.below(3) as i32 + 1;
        let offering = InstanceOffering { uuid: uuid(c), name: name(c), cpu_count, ..InstanceOffering::default() };
        offerings.push(world.keep(conn, c, &offering));
    }
    // references that lead nowhere, or to somebody else's
    images.push(uuid(c));
    offerings.push(uuid(c));
    let mut vms = Vec::new();
    for _ in 0..30 {
        let mut vm = Vm {
            uuid: uuid(c),
            name: name(c),
            description: name(c),
            account_uuid: c.pick(&accounts).clone(),
            state: (*c.pick(&[VmState::Running, VmState::Stopped, VmState::Unspecified])).into(),
            instance_offering_uuid: some(c, &offerings),
            cpu_count: c.below(4) as i32,
            memory_bytes: (c.below(4) as i64) << 30,
            image_uuid: some(c, &images),
            l3_network_uuids: (0..c.below(3)).map(|_| c.pick(&networks).clone()).collect(),
            cluster_uuid: some(c, &clusters),
            host_uuid: some(c, &hosts),
            root_volume_uuid: some(c, &[uuid(&mut Chance(7)), uuid(&mut Chance(8))]),
            addresses: (0..c.below(3)).map(|_| format!("10.0.0.{}", c.below(4))).collect(),
            destroy_time: time(c),
            ..Vm::default()
        };
        vm.state_reason = if c.one_in(2) { name(c) } else { String::new() };
        vms.push(world.keep(conn, c, &vm));
    }
    for _ in 0..40 {
        let nic = Nic {
            uuid: uuid(c),
            name: name(c),
            account_uuid: c.pick(&accounts).clone(),
            vm_uuid: c.pick(&vms).clone(),
            l3_network_uuid: c.pick(&networks).clone(),
            ip: format!("10.0.0.{}", c.below(20)),
            ..Nic::default()
        };
        world.keep(conn, c, &nic);
    }
    vms.push(uuid(c));
    for at in 0..40 {
        let volume = Volume {
            // two of them are the root of some machine
            uuid: if at < 2 { uuid(&mut Chance(7 + at)) } else { uuid(c) },
            name: name(c),
            account_uuid: c.pick(&accounts).clone(),
            state: (*c.pick(&[VolumeState::Ready, VolumeState::Unspecified])).into(),
            primary_storage_uuid: some(c, &storages),
            host_uuid: c.pick(&hosts).clone(),
            size_bytes: (c.below(4) as i64) << 30,
            image_uuid: some(c, &images),
            vm_uuid: some(c, &vms),
            ..Volume::default()
        };
        world.keep(conn, c, &volume);
    }
}
