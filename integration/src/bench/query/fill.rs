//! Writes the cloud of a [`Plan`] into the database: rows as the services would have left them, sums and counters included, only
//! without the work, the change log and the operations. Machines are off or in the bin, since the simulated hosts do not know them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use gyre_model::{Uuid, time};
use gyre_proto::common::v1::{Tag, TagType};
use gyre_proto::host::v1::{Cluster, Host, HostState, HostStatus, Zone};
use gyre_proto::identity::v1::{Account, AccountState, AccountType};
use gyre_proto::network::v1::{IpRange, L2Network, L2NetworkType, L3Network};
use gyre_proto::storage::v1::{
    Image, ImageFormat, ImageServer, ImageState, PrimaryStorage, PrimaryStorageState, PrimaryStorageType, Volume,
    VolumeState, VolumeType,
};
use gyre_proto::vm::v1::{InstanceOffering, Nic, Vm, VmNic, VmState};
use gyre_proto::{Resource, Timestamp};
use gyre_store::{Conn, Dialect, Sql, Store, Value};

use super::plan::{IMAGES, Kind, NETWORKS, Plan, ZONES, uuid};

/// Values in a statement: what both databases take, with room to spare.
const VALUES: usize = 16_000;
/// Machines in a transaction.
const BATCH: u64 = 2_000;
/// Bytes of a root volume.
const VOLUME: i64 = 8 << 30;
/// Bytes of a machine's memory.
const MEMORY: i64 = 1 << 30;

/// Who things belong to.
#[derive(Debug, Clone, Copy)]
pub struct Owners {
    /// The first administrator, who owns images.
    pub admin: Uuid,
    /// The account that takes the place of the first of the plan's.
    pub user: Uuid,
}

/// What rows are made from.
#[derive(Debug)]
pub struct Filler {
    plan: Plan,
    owners: Owners,
    now: i64,
}

/// Many rows of a table in few statements.
fn insert(conn: &mut Conn, table: &str, columns: &str, rows: Vec<Vec<Value>>) -> gyre_model::Result<()> {
    let width = rows.first().map_or(1, Vec::len);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut sql = Sql::new(format!("INSERT INTO {table} ({columns}) VALUES "));
        for (at, row) in rows.by_ref().take(VALUES / width).enumerate() {
            sql = sql.sql(if at == 0 { "(" } else { ", (" }).bind_all(row).sql(")");
        }
        conn.execute(sql)?;
    }
    Ok(())
}

/// Many resources, as the query engine lays them out.
fn resources<R: Resource>(conn: &mut Conn, all: &[R]) -> gyre_model::Result<()> {
    let table = gyre_query::table::<R>();
    let rows = all.iter().map(|one| table.values(&one.encode_to_vec())).collect::<gyre_model::Result<_>>()?;
    insert(conn, table.kind.table, &table.names, rows)
}

fn id(kind: Kind, place: u64) -> String {
    uuid(kind, place).to_string()
}

fn numbered(name: &str, place: u64) -> String {
    format!("{name}-{place:04}")
}

impl Filler {
    /// Of a plan.
    pub fn new(plan: Plan, owners: Owners) -> Self {
        Self { plan, owners, now: time::now_micros() }
    }

    /// When a thing was made: one after the other, in the last day.
    fn time(&self, place: u64) -> Option<Timestamp> {
        let behind = 86_400_000_000 - i64::try_from(place).unwrap_or(0) * 80_000 % 86_400_000_000;
        Some(time::from_micros(self.now - behind))
    }

    fn account(&self, place: u64) -> Uuid {
        if place == 0 { self.owners.user } else { uuid(Kind::Account, place) }
    }

    /// Writes everything that machines need.
    ///
    /// # Errors
    /// The database's.
    pub async fn ground(self: &Arc<Self>, store: &Store) -> Result<()> {
        let filler = Arc::clone(self);
        Ok(store.write("bench-ground", move |conn| filler.ground_rows(conn)).await?)
    }

    fn ground_rows(&self, conn: &mut Conn) -> gyre_model::Result<()> {
        let plan = &self.plan;
        let zone = |place: usize| Zone {
            uuid: id(Kind::Zone, place as u64),
            name: ZONES[place].0.to_owned(),
            create_time: self.time(0),
            update_time: self.time(0),
            generation: 1,
            ..Zone::default()
        };
        resources(conn, &(0..ZONES.len()).map(zone).collect::<Vec<_>>())?;
        resources(conn, &(0..plan.clusters).map(|at| self.cluster(at)).collect::<Vec<_>>())?;
        resources(conn, &(0..plan.hosts).map(|at| self.host(at)).collect::<Vec<_>>())?;
        resources(conn, &(1..plan.accounts).map(|at| self.account_row(at)).collect::<Vec<_>>())?;
        resources(conn, &(0..plan.clusters).map(|at| self.storage(at)).collect::<Vec<_>>())?;
        let (used, total) = (self.volumes_on_hosts(), 1_i64 << 50);
        let rows = (0..plan.hosts).map(|host| {
            let storage = uuid(Kind::Storage, plan.cluster_of_host(host));
            let used = used[usize::try_from(host).unwrap_or(0)];
            vec![storage.into(), uuid(Kind::Host, host).into(), total.into(), total.into(), used.into()]
        });
        let columns = "primary_storage_uuid, host_uuid, total_bytes, available_bytes, used_bytes";
        insert(conn, "primary_storage_host", columns, rows.collect())?;
        resources(conn, &[self.image_server()])?;
        resources(conn, &(0..IMAGES).map(|at| self.image(at)).collect::<Vec<_>>())?;
        let offering = InstanceOffering {
            uuid: id(Kind::Offering, 0),
            name: "bench".into(),
            cpu_count: 1,
            memory_bytes: MEMORY,
            create_time: self.time(0),
            update_time: self.time(0),
            generation: 1,
            ..InstanceOffering::default()
        };
        resources(conn, &[offering])?;
        let networks = || 0..plan.clusters * NETWORKS;
        resources(conn, &networks().map(|at| self.l2(at)).collect::<Vec<_>>())?;
        resources(conn, &networks().map(|at| self.l3(at)).collect::<Vec<_>>())?;
        resources(conn, &networks().map(|at| self.range(at)).collect::<Vec<_>>())
    }

    /// Bytes of the volumes on each host, once all machines are there.
    fn volumes_on_hosts(&self) -> Vec<i64> {
        let mut used = vec![0; usize::try_from(self.plan.hosts).unwrap_or(0)];
        for vm in 0..self.plan.machines {
            used[usize::try_from(self.plan.host_of(vm)).unwrap_or(0)] += VOLUME;
        }
        used
    }

    fn cluster(&self, at: u64) -> Cluster {
        Cluster {
            uuid: id(Kind::Cluster, at),
            name: numbered("cluster", at),
            zone_uuid: id(Kind::Zone, self.plan.zone_of_cluster(at) as u64),
            cpu_overcommit: 8,
            memory_overcommit: 100,
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..Cluster::default()
        }
    }

    fn host(&self, at: u64) -> Host {
        let cluster = self.plan.cluster_of_host(at);
        let mut host = Host {
            uuid: id(Kind::Host, at),
            name: numbered("host", at),
            cluster_uuid: id(Kind::Cluster, cluster),
            zone_uuid: id(Kind::Zone, self.plan.zone_of_cluster(cluster) as u64),
            address: "local".into(),
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..Host::default()
        };
        host.set_state(HostState::Enabled);
        host.set_status(HostStatus::Connecting);
        host
    }

    fn account_row(&self, at: u64) -> Account {
        let mut account = Account {
            uuid: self.account(at).to_string(),
            name: numbered("bench", at),
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..Account::default()
        };
        account.set_state(AccountState::Enabled);
        account.set_type(AccountType::Normal);
        account
    }

    fn storage(&self, at: u64) -> PrimaryStorage {
        let hosts = (0..self.plan.hosts).filter(|host| self.plan.cluster_of_host(*host) == at);
        let of_cluster = (0..self.plan.machines).filter(|vm| self.plan.cluster_of(*vm) == at).count();
        let mut storage = PrimaryStorage {
            uuid: id(Kind::Storage, at),
            name: numbered("storage", at),
            cluster_uuid: id(Kind::Cluster, at),
            path: "/var/lib/gyre-bench/primary".into(),
            overcommit: 200,
            total_bytes: (1 << 50) * hosts.count() as i64,
            used_bytes: VOLUME * of_cluster as i64,
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..PrimaryStorage::default()
        };
        storage.set_state(PrimaryStorageState::Enabled);
        storage.set_type(PrimaryStorageType::Local);
        storage
    }

    fn image_server(&self) -> ImageServer {
        ImageServer {
            uuid: id(Kind::ImageServer, 0),
            name: "bench".into(),
            host_uuid: id(Kind::Host, 0),
            path: "/var/lib/gyre-bench/images".into(),
            total_bytes: 1 << 40,
            available_bytes: 1 << 40,
            create_time: self.time(0),
            update_time: self.time(0),
            generation: 1,
            ..ImageServer::default()
        }
    }

    fn image(&self, at: u64) -> Image {
        let mut image = Image {
            uuid: id(Kind::Image, at),
            name: numbered("image", at),
            account_uuid: self.owners.admin.to_string(),
            image_server_uuid: id(Kind::ImageServer, 0),
            url: "upload".into(),
            size_bytes: 1 << 20,
            file_bytes: 1 << 20,
            sha256: "0".repeat(64),
            shared: true,
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..Image::default()
        };
        image.set_state(ImageState::Ready);
        image.set_format(ImageFormat::Raw);
        image
    }

    fn l2(&self, at: u64) -> L2Network {
        let mut network = L2Network {
            uuid: id(Kind::L2, at),
            name: numbered("wire", at),
            cluster_uuid: id(Kind::Cluster, at / NETWORKS),
            bridge: format!("gyre-{}", at % NETWORKS),
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..L2Network::default()
        };
        network.set_type(L2NetworkType::Bridge);
        network
    }

    fn l3(&self, at: u64) -> L3Network {
        L3Network {
            uuid: id(Kind::L3, at),
            name: numbered("lan", at),
            account_uuid: self.owners.admin.to_string(),
            l2_network_uuid: id(Kind::L2, at),
            shared: true,
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..L3Network::default()
        }
    }

    fn range(&self, at: u64) -> IpRange {
        let (first, span) = (self.plan.first_address(at), self.plan.span());
        let cluster = at / NETWORKS;
        let used = (0..self.plan.machines).filter(|vm| self.plan.cluster_of(*vm) == cluster).count();
        IpRange {
            uuid: id(Kind::Range, at),
            name: numbered("range", at),
            account_uuid: self.owners.admin.to_string(),
            l3_network_uuid: id(Kind::L3, at),
            start_address: Ipv4Addr::from(first + 2).to_string(),
            end_address: Ipv4Addr::from(first + span - 2).to_string(),
            gateway: Ipv4Addr::from(first + 1).to_string(),
            prefix_length: self.prefix(),
            total_count: i64::from(span) - 3,
            used_count: used as i64,
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..IpRange::default()
        }
    }

    fn prefix(&self) -> i32 {
        self.plan.span().leading_zeros() as i32 + 1
    }

    /// Writes machines with all that belongs to them.
    ///
    /// # Errors
    /// The database's.
    pub async fn machines(self: &Arc<Self>, store: &Store, from: u64, to: u64) -> Result<()> {
        let mut from = from;
        while from < to {
            let end = to.min(from + BATCH);
            let filler = Arc::clone(self);
            store.write("bench-machines", move |conn| filler.machine_rows(conn, from, end)).await?;
            from = end;
        }
        Ok(())
    }

    fn machine_rows(&self, conn: &mut Conn, from: u64, to: u64) -> gyre_model::Result<()> {
        let vms: Vec<_> = (from..to).map(|at| self.vm(at)).collect();
        resources(conn, &vms)?;
        resources(conn, &(from..to).map(|at| self.volume(at)).collect::<Vec<_>>())?;
        resources(conn, &vms.iter().flat_map(nics).collect::<Vec<_>>())?;
        resources(conn, &(from..to).map(|at| self.tag(at)).collect::<Vec<_>>())?;
        let mut rows = Vec::new();
        for vm in from..to {
            for nic in 0..NETWORKS {
                let network = self.plan.network_of(vm, nic);
                rows.push(vec![
                    uuid(Kind::Nic, vm * NETWORKS + nic).into(),
                    uuid(Kind::L3, network).into(),
                    uuid(Kind::Range, network).into(),
                    uuid(Kind::Vm, vm).into(),
                    i64::from(self.plan.address_of(vm, nic)).into(),
                ]);
            }
        }
        insert(conn, "ip_address", "nic_uuid, l3_network_uuid, ip_range_uuid, vm_uuid, address", rows)
    }

    fn vm(&self, at: u64) -> Vm {
        let plan = &self.plan;
        let nic = |nic: u64| {
            let (place, network) = (at * NETWORKS + nic, plan.network_of(at, nic));
            let bytes = (place as u32).to_be_bytes();
            VmNic {
                uuid: id(Kind::Nic, place),
                l3_network_uuid: id(Kind::L3, network),
                mac: format!("fa:16:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3]),
                address: Ipv4Addr::from(plan.address_of(at, nic)).to_string(),
                gateway: Ipv4Addr::from(plan.first_address(network) + 1).to_string(),
                prefix_length: self.prefix(),
                bridge: format!("gyre-{nic}"),
            }
        };
        let nics: Vec<_> = (0..NETWORKS).map(nic).collect();
        let mut vm = Vm {
            uuid: id(Kind::Vm, at),
            name: plan.name_of(at),
            account_uuid: self.account(plan.account_of(at)).to_string(),
            instance_offering_uuid: id(Kind::Offering, 0),
            cpu_count: 1,
            memory_bytes: MEMORY,
            image_uuid: id(Kind::Image, at % IMAGES),
            l3_network_uuids: nics.iter().map(|nic| nic.l3_network_uuid.clone()).collect(),
            cluster_uuid: id(Kind::Cluster, plan.cluster_of(at)),
            host_uuid: id(Kind::Host, plan.host_of(at)),
            root_volume_uuid: id(Kind::Volume, at),
            addresses: nics.iter().map(|nic| nic.address.clone()).collect(),
            nics,
            destroy_time: plan.binned(at).then(|| time::from_micros(self.now)),
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 3,
            ..Vm::default()
        };
        vm.set_state(if plan.binned(at) { VmState::Destroyed } else { VmState::Stopped });
        vm
    }

    fn tag(&self, at: u64) -> Tag {
        let text = self.plan.tag_of(at);
        let mut tag = Tag {
            uuid: id(Kind::Tag, at),
            name: text.into(),
            account_uuid: self.account(self.plan.account_of(at)).to_string(),
            resource_kind: "vm".into(),
            resource_uuid: id(Kind::Vm, at),
            text: text.into(),
            key: "env".into(),
            value: text.trim_start_matches("env=").into(),
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 1,
            ..Tag::default()
        };
        tag.set_type(TagType::User);
        tag
    }

    fn volume(&self, at: u64) -> Volume {
        let mut volume = Volume {
            uuid: id(Kind::Volume, at),
            name: format!("root of {}", self.plan.name_of(at)),
            account_uuid: self.account(self.plan.account_of(at)).to_string(),
            primary_storage_uuid: id(Kind::Storage, self.plan.cluster_of(at)),
            host_uuid: id(Kind::Host, self.plan.host_of(at)),
            size_bytes: VOLUME,
            image_uuid: id(Kind::Image, at % IMAGES),
            vm_uuid: id(Kind::Vm, at),
            path: format!("/var/lib/gyre-bench/primary/{}.qcow2", id(Kind::Volume, at)),
            create_time: self.time(at),
            update_time: self.time(at),
            generation: 2,
            ..Volume::default()
        };
        volume.set_state(VolumeState::Ready);
        volume.set_type(VolumeType::Root);
        volume
    }
}

/// The rows of a machine's interfaces.
fn nics(vm: &Vm) -> impl Iterator<Item = Nic> {
    vm.nics.iter().enumerate().map(|(place, nic)| Nic {
        uuid: nic.uuid.clone(),
        name: format!("nic-{place}"),
        account_uuid: vm.account_uuid.clone(),
        vm_uuid: vm.uuid.clone(),
        l3_network_uuid: nic.l3_network_uuid.clone(),
        mac: nic.mac.clone(),
        ip: nic.address.clone(),
        gateway: nic.gateway.clone(),
        prefix_length: nic.prefix_length,
        bridge: nic.bridge.clone(),
        create_time: vm.create_time,
        update_time: vm.update_time,
        generation: 2,
        ..Nic::default()
    })
}

/// Machines that are there.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store) -> Result<u64> {
    let read = store.read("bench-count", |conn| {
        conn.query_one(Sql::new("SELECT COUNT(*) FROM vm"))?.map_or(Ok(0), |row| row.int(0))
    });
    Ok(u64::try_from(read.await?)?)
}

/// Has PostgreSQL tidy and look at its tables now, as it does by itself some minutes later. SQLite gets what Gyre does for it by itself.
///
/// # Errors
/// The database's.
pub async fn settle(store: &Store) -> Result<()> {
    if store.dialect() == Dialect::Postgres {
        let tables =
            "account zone cluster host image volume primary_storage l2_network l3_network vm nic tag ip_address";
        // one by one: each statement has its own limit of time
        for table in tables.split(' ') {
            let look = Sql::new(format!("VACUUM ANALYZE {table}"));
            store.read("bench-settle", move |conn| Ok(conn.execute(look)?)).await?;
        }
    }
    Ok(())
}
