//! The cloud that queries are asked of, as numbers: how many there are of what, what belongs to what, and how everything is called.
//! Everything follows from its place in the order, so that who asks knows the answer without reading a row.

use gyre_model::Uuid;

/// Hosts of a cluster; the last cluster has one host.
const CLUSTER: u64 = 50;
/// Machines of a host, as long as there are not more hosts than [`MOST_HOSTS`].
const HOST: u64 = 100;
/// Most hosts: each has a session with the simulator in this process, which is not what is measured.
const MOST_HOSTS: u64 = 1_000;
/// Machines of an account.
const ACCOUNT: u64 = 1_000;
/// Networks of a cluster; a machine has an interface in each.
pub const NETWORKS: u64 = 2;
/// Images.
pub const IMAGES: u64 = 10;

/// The zones, and how many in a hundred clusters stand in each. The last zone has one host.
pub const ZONES: [(&str, u64); 5] = [("east", 50), ("west", 30), ("north", 15), ("south", 5), ("edge", 0)];

/// What is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A zone.
    Zone = 1,
    /// A cluster.
    Cluster,
    /// A host.
    Host,
    /// An account.
    Account,
    /// A primary storage, one for each cluster.
    Storage,
    /// The image server.
    ImageServer,
    /// An image.
    Image,
    /// An offering.
    Offering,
    /// An L2 network.
    L2,
    /// An L3 network.
    L3,
    /// Its range.
    Range,
    /// A machine.
    Vm,
    /// Its root volume.
    Volume,
    /// One of its interfaces.
    Nic,
    /// Its tag.
    Tag,
}

/// A number without a pattern (splitmix64).
pub fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The UUID of the thing of a kind at a place: it begins with a time, as those that Gyre gives, one millisecond after the other.
pub fn uuid(kind: Kind, place: u64) -> Uuid {
    const BEGIN: u64 = 1_767_225_600_000;
    let seed = place.wrapping_add((kind as u64) << 56);
    let high = (BEGIN + place) << 16 | mixed(seed) & 0xffff;
    let bytes = (u128::from(high) << 64 | u128::from(mixed(!seed))).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// The sizes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Machines; as many volumes, and [`NETWORKS`] times as many interfaces.
    pub machines: u64,
    /// Hosts.
    pub hosts: u64,
    /// Clusters.
    pub clusters: u64,
    /// Accounts of ordinary users.
    pub accounts: u64,
}

impl Plan {
    /// For so many machines.
    pub fn of(machines: u64) -> Self {
        let hosts = (machines / HOST).clamp(21, MOST_HOSTS);
        Self {
            machines,
            hosts,
            clusters: (hosts - 1).div_ceil(CLUSTER).max(20) + 1,
            accounts: (machines / ACCOUNT).max(10),
        }
    }

    /// The cluster of a host.
    pub fn cluster_of_host(&self, host: u64) -> u64 {
        if host == self.hosts - 1 { self.clusters - 1 } else { host % (self.clusters - 1) }
    }

    /// The zone of a cluster.
    pub fn zone_of_cluster(&self, cluster: u64) -> usize {
        if cluster == self.clusters - 1 {
            return ZONES.len() - 1;
        }
        let mut percent = 100 * cluster / (self.clusters - 1);
        for (zone, (_, share)) in ZONES.iter().enumerate() {
            if percent < *share {
                return zone;
            }
            percent -= share;
        }
        0
    }

    /// The host of a machine.
    pub fn host_of(&self, vm: u64) -> u64 {
        vm % self.hosts
    }

    /// The cluster of a machine.
    pub fn cluster_of(&self, vm: u64) -> u64 {
        self.cluster_of_host(self.host_of(vm))
    }

    /// The zone of a machine.
    pub fn zone_of(&self, vm: u64) -> usize {
        self.zone_of_cluster(self.cluster_of(vm))
    }

    /// The account of a machine. Not in step with hosts.
    pub fn account_of(&self, vm: u64) -> u64 {
        mixed(vm ^ 0xacc0) % self.accounts
    }

    /// Whether a machine is in the bin: one in ten is, the others are off.
    pub fn binned(&self, vm: u64) -> bool {
        mixed(vm ^ 0xb1).is_multiple_of(10)
    }

    /// The tag of a machine: one in ten is for production.
    pub fn tag_of(&self, vm: u64) -> &'static str {
        match mixed(vm ^ 0x7a6) % 10 {
            0 => "env=prod",
            1..4 => "env=test",
            _ => "env=dev",
        }
    }

    /// The name of a machine: without a pattern, so that names in order are hosts in disorder.
    pub fn name_of(&self, vm: u64) -> String {
        format!("vm-{:08x}", mixed(vm) >> 32)
    }

    /// The network of a machine's interface.
    pub fn network_of(&self, vm: u64, nic: u64) -> u64 {
        self.cluster_of(vm) * NETWORKS + nic
    }

    /// Addresses of a network.
    pub fn span(&self) -> u32 {
        // 10.0.0.0/8, in equal parts
        let networks = u32::try_from(self.clusters * NETWORKS).unwrap_or(u32::MAX).next_power_of_two();
        (1 << 24) / networks
    }

    /// The first address of a network, which is its router's.
    pub fn first_address(&self, network: u64) -> u32 {
        (10 << 24) + u32::try_from(network).unwrap_or(0) * self.span()
    }

    /// The address of a machine's interface: the same place in each of its networks.
    pub fn address_of(&self, vm: u64, nic: u64) -> u32 {
        let (host, round) = (self.host_of(vm), vm / self.hosts);
        let place = if host == self.hosts - 1 {
            round
        } else {
            round * (self.hosts - 1).div_ceil(self.clusters - 1) + host / (self.clusters - 1)
        };
        self.first_address(self.network_of(vm, nic)) + 1 + u32::try_from(place).unwrap_or(0)
    }

    /// How many machines of a zone there are, in the bin or not.
    pub fn count_in(&self, zone: usize, binned: Option<bool>) -> u64 {
        let fits = |vm: &u64| self.zone_of(*vm) == zone && binned.is_none_or(|binned| self.binned(*vm) == binned);
        (0..self.machines).filter(fits).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_spread_as_the_zones_say() {
        let plan = Plan::of(100_000);
        assert_eq!((plan.hosts, plan.clusters, plan.accounts), (1000, 21, 100));
        let share = |zone| plan.count_in(zone, None) as f64 / 1000.0;
        let all: Vec<_> = (0..ZONES.len()).map(share).collect();
        for (share, (name, wanted)) in all.iter().zip(ZONES) {
            let wanted = if name == "edge" { 0.1 } else { wanted as f64 };
            assert!((share - wanted).abs() < 0.2 + wanted / 50.0, "{name}: {share}, not {wanted}");
        }
        let mut addresses: Vec<_> = (0..plan.machines).map(|vm| plan.address_of(vm, 0)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 100_000);
        assert_ne!(uuid(Kind::Vm, 0), uuid(Kind::Volume, 0));
    }
}
