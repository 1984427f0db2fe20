//! L2 and L3 networks: one bridge name in a cluster, and addresses that must be given back before a network goes.

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::Resource as _;
use gyre_proto::network::v1::{L2Network, L3Network};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::{count, hold, in_the_way};

/// Writes a new L2 network.
pub(crate) fn l2_insert(conn: &mut Conn, change: &Change, network: &L2Network) -> Result<L2Network> {
    gyre_query::insert(conn, change, network).map_err(|error| {
        // the columns' names on SQLite, the index's on PostgreSQL
        let constraint = error.metadata().get("constraint").map(String::as_str).unwrap_or_default();
        if constraint == "l2_network_bridge" || constraint.contains("l2_network.bridge") {
            bridge_in_use(conn, network).unwrap_or_else(|error| error)
        } else {
            error
        }
    })
}

fn bridge_in_use(conn: &mut Conn, network: &L2Network) -> Result<Error> {
    let cluster = parse_uuid(&network.cluster_uuid).unwrap_or_default();
    let condition = Sql::new("cluster_uuid = ").bind(cluster).sql(" AND bridge = ").bind(network.bridge.as_str());
    let other = gyre_query::select::<L2Network>(conn, condition)?.pop().unwrap_or_default();
    let bridge = &network.bridge;
    Ok(Error::new(
        Kind::AlreadyExists,
        "BRIDGE_IN_USE",
        format!(
            "bridge {bridge} of cluster {cluster} is L2 network {} ({}): choose another name",
            other.uuid, other.name
        ),
    )
    .with("l2_network_uuid", other.uuid)
    .violation("l2_network.bridge", format!("must be unique within the cluster, {bridge} is taken")))
}

/// Refuses to delete an L3 network that machines are plugged into. A machine that is being made is plugged in before it has an
/// address, and one that is being expunged after it has given it back.
pub(crate) fn l3_unused(conn: &mut Conn, network: &L3Network) -> Result<()> {
    let uuid = parse_uuid(&network.uuid).unwrap_or_default();
    let used = count(conn, "ip_address", "l3_network_uuid", uuid)?;
    if used > 0 {
        let text = format!(
            "L3 network {uuid} ({}) has {used} addresses in use: expunge the machines that have them first",
            network.name
        );
        return Err(in_the_way("L3_NETWORK_IN_USE", text, used));
    }
    let plugged = count(conn, "nic", "l3_network_uuid", uuid)?;
    if plugged > 0 {
        let text = format!(
            "L3 network {uuid} ({}) has {plugged} interfaces of machines plugged in: expunge those machines first",
            network.name
        );
        return Err(in_the_way("L3_NETWORK_IN_USE", text, plugged));
    }
    Ok(())
}

/// Deletes an L3 network that no machine is plugged into, with its ranges. One that is gone is fine.
pub(crate) fn l3_delete(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    hold(conn, "l3_network", uuid)?;
    if let Some(network) = gyre_query::find(conn, &Caller::system(), uuid)? {
        l3_unused(conn, &network)?;
        gyre_flow::delete::remove(conn, change, L3Network::KIND, uuid)?;
    }
    Ok(())
}
