//! Ranges: added beside the others of their L2 network, and deleted when none of their addresses is in use.

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::Resource as _;
use gyre_proto::network::v1::{IpRange, L3Network};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

use super::{count, hold, in_the_way};
use crate::rules::{self, Faults, Span};

/// Writes a new range, after checking it against the others of its L2 network, which nobody else adds to meanwhile.
pub(crate) fn range_insert(conn: &mut Conn, change: &Change, caller: &Caller, mut range: IpRange) -> Result<IpRange> {
    let found = match parse_uuid(&range.l3_network_uuid) {
        Some(uuid) => gyre_query::find::<L3Network>(conn, caller, uuid)?,
        None => None,
    };
    let network = found.ok_or_else(|| no_l3_network(&range.l3_network_uuid))?;
    let l2 =
        parse_uuid(&network.l2_network_uuid).ok_or_else(|| Error::internal("an L3 network without an L2 network"))?;
    hold(conn, "l2_network", l2)?;
    let others = gyre_query::select::<IpRange>(
        conn,
        Sql::new("l3_network_uuid IN (SELECT uuid FROM l3_network WHERE l2_network_uuid = ").bind(l2).sql(")"),
    )?;
    let span = Span::of(&range)?;
    let mut faults = Faults::default();
    rules::check_alone(&span, &mut faults);
    rules::check_beside(&span, &network.uuid, &others, &mut faults)?;
    faults.into_result()?;
    // one form of each, whatever was sent
    range.l3_network_uuid = network.uuid;
    // a range belongs to whom its network belongs
    range.account_uuid = network.account_uuid;
    range.total_count = span.count();
    range.used_count = 0;
    gyre_query::insert(conn, change, &range)
}

pub(crate) fn no_l3_network(uuid: &str) -> Error {
    Error::new(Kind::NotFound, "L3_NETWORK_NOT_FOUND", format!("there is no l3-network {uuid}"))
        .violation("l3_network_uuid", format!("must name an L3 network that is there, got {uuid}"))
}

/// Refuses to delete a range of which addresses are in use.
pub(crate) fn range_unused(conn: &mut Conn, range: &IpRange) -> Result<()> {
    let uuid = parse_uuid(&range.uuid).unwrap_or_default();
    let used = count(conn, "ip_address", "ip_range_uuid", uuid)?;
    if used > 0 {
        let text = format!(
            "IP range {uuid} ({}) has {used} addresses in use: expunge the machines that have them first",
            range.name
        );
        return Err(in_the_way("IP_RANGE_IN_USE", text, used));
    }
    Ok(())
}

/// Deletes a range of which no address is in use. One that is gone is fine.
pub(crate) fn range_delete(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    hold(conn, "ip_range", uuid)?;
    if let Some(range) = gyre_query::find(conn, &Caller::system(), uuid)? {
        range_unused(conn, &range)?;
        gyre_flow::delete::remove(conn, change, IpRange::KIND, uuid)?;
    }
    Ok(())
}
