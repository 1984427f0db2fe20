//! What is asked, and how many rows the answer must have.

use super::plan::{Kind, NETWORKS, Plan, ZONES, mixed, uuid};

/// Rows of a page.
pub const PAGE: u64 = 100;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The first administrator, who sees everything.
    Admin,
    /// An ordinary user, who sees what is theirs.
    User,
}

/// What an answer must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A resource.
    One,
    /// A page of so many rows under this key.
    Rows(&'static str, u64),
    /// A page of so many rows, and this size of the whole list.
    Counted(&'static str, u64, u64),
}

/// A scenario: a request that is made again and again.
pub struct Ask {
    /// Its name.
    pub name: String,
    /// Who asks.
    pub asker: Asker,
    /// The path and query of the n-th call.
    pub path: Box<dyn Fn(u64) -> String + Send + Sync>,
    /// What comes back.
    pub expected: Expected,
}

/// Percent-encoding of what stands in a query (RFC 3986, 2.1).
pub fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn page(plural: &str, filter: &str, order: &str) -> String {
    format!("/v1/{plural}?pageSize={PAGE}&filter={}&orderBy={}", url(filter), url(order))
}

/// A page that is always the same.
fn same(name: impl Into<String>, asker: Asker, filter: &str, order: &str, rows: u64) -> Ask {
    let path = page("vms", filter, order);
    Ask {
        name: name.into(),
        asker,
        path: Box::new(move |_| path.clone()),
        expected: Expected::Rows("vms", rows.min(PAGE)),
    }
}

/// Machines by UUID.
pub fn get(name: &str, machines: u64) -> Ask {
    let path = move |call: u64| format!("/v1/vms/{}", uuid(Kind::Vm, mixed(call) % machines));
    Ask { name: name.to_owned(), asker: Asker::Admin, path: Box::new(path), expected: Expected::One }
}

/// What pages are filtered by.
pub const FILTER: &str = "state = \"STOPPED\" AND cpu_count = 1";

/// Pages of the list of machines: so many are there, and so many of them pass [`FILTER`].
pub fn pages(machines: u64, filtered: u64) -> Vec<Ask> {
    vec![
        same("list by create time", Asker::Admin, "", "", machines),
        same("list by name", Asker::Admin, "", "name", machines),
        same("list filtered by state", Asker::Admin, FILTER, "name", filtered),
    ]
}

/// All scenarios on a full database.
pub fn all(plan: Plan) -> Vec<Ask> {
    let mut asks = vec![get("get by uuid", plan.machines)];
    asks.push(same("page by name", Asker::Admin, "", "name", plan.machines));
    asks.push(same("page by create time", Asker::Admin, "", "", plan.machines));
    for (zone, (name, _)) in ZONES.iter().enumerate() {
        let filter = format!("host.cluster.zone.name = \"{name}\"");
        asks.push(same(format!("zone {name} by name"), Asker::Admin, &filter, "name", plan.count_in(zone, None)));
    }
    let nowhere = "host.cluster.zone.name = \"nowhere\"";
    asks.push(same("zone nowhere by name", Asker::Admin, nowhere, "name", 0));
    let binned = "host.cluster.zone.name = \"south\" AND state = \"DESTROYED\"";
    asks.push(same("zone south, binned, by name", Asker::Admin, binned, "name", plan.count_in(3, Some(true))));
    let not = "NOT host.cluster.zone.name = \"east\" AND cpu_count = 1";
    asks.push(same("not zone east by name", Asker::Admin, not, "name", plan.machines - plan.count_in(0, None)));
    let path_order = "host.cluster.zone.name, name";
    asks.push(same("all by zone and name", Asker::Admin, "", path_order, plan.machines));
    let own = |zone: Option<usize>| {
        let fits = |vm: &u64| plan.account_of(*vm) == 0 && zone.is_none_or(|zone| plan.zone_of(*vm) == zone);
        (0..plan.machines).filter(fits).count() as u64
    };
    asks.push(same("own by name", Asker::User, "", "name", own(None)));
    let east = "host.cluster.zone.name = \"east\"";
    asks.push(same("own in zone east by name", Asker::User, east, "name", own(Some(0))));
    let path = format!("{}&count=true", page("vms", east, "name"));
    let all = plan.count_in(0, None);
    asks.push(Ask {
        name: "zone east by name, counted".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |_| path.clone()),
        expected: Expected::Counted("vms", all.min(PAGE), all),
    });
    let there = |zone: usize, binned: bool| u64::from(plan.count_in(zone, Some(binned)) > 0);
    let states = (0..ZONES.len()).map(|zone| there(zone, true) + there(zone, false)).sum();
    let groups = "/v1/vms:query?groupBy=host.cluster.zone.name&groupBy=state&sum=memory_bytes&orderBy=count%20desc";
    asks.push(Ask {
        name: "groups by zone and state".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |_| groups.to_owned()),
        expected: Expected::Rows("rows", states),
    });
    let fields = format!(
        "/v1/vms:query?fields=name&fields=host.name&fields=host.cluster.zone.name&orderBy=name&pageSize={PAGE}"
    );
    asks.push(Ask {
        name: "names with host and zone".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |_| fields.clone()),
        expected: Expected::Rows("rows", plan.machines.min(PAGE)),
    });
    asks.push(Ask {
        name: "by address of a nic".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |call| {
            let (vm, nic) = (mixed(call) % plan.machines, call % NETWORKS);
            let ip = std::net::Ipv4Addr::from(plan.address_of(vm, nic));
            page("vms", &format!("nics.ip = \"{ip}\""), "name")
        }),
        expected: Expected::Rows("vms", 1),
    });
    asks.push(Ask {
        name: "nics of a machine".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |call| {
            let vm = uuid(Kind::Vm, mixed(call) % plan.machines);
            page("nics", &format!("vm_uuid = \"{vm}\""), "name")
        }),
        expected: Expected::Rows("nics", NETWORKS),
    });
    asks.push(Ask {
        name: "nics of a host".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |call| {
            let host = mixed(call) % plan.hosts;
            page("nics", &format!("vm.host.name = \"host-{host:04}\""), "name")
        }),
        expected: Expected::Rows("nics", (NETWORKS * (plan.machines / plan.hosts)).min(PAGE)),
    });
    asks.push(Ask {
        name: "by prefix of the name".to_owned(),
        asker: Asker::Admin,
        path: Box::new(move |call| {
            let name = plan.name_of(mixed(call) % plan.machines);
            page("vms", &format!("name = \"{name}*\""), "name")
        }),
        expected: Expected::Rows("vms", 1),
    });
    asks
}
