//! Taking an address and giving it back.
//!
//! Ground rules:
//! 1. Room first: `used_count + 1 <= total_count` on the range's row, which is held from then on. A range without room is passed
//!    over.
//! 2. Then a gap is looked for, which only who holds the range can fill. The look begins at random places, so that an address
//!    that was just given back is not somebody else's in the next moment, and costs about the same whatever the range's size: a
//!    piece of it is read, and only where several pieces in a row are full are the pieces counted, which reads an index once.
//! 3. Then the row is written. The unique indexes (the interface; the address in its L3 network) stand behind all this: who meets
//!    them was beside another for the same interface, and does it all again.

use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::network::v1::{AllocateAddressResponse, IpRange, L2Network, L3Network};
use gyre_store::{Conn, DbError, Sql, Value};

use super::hold;
use super::range::no_l3_network;
use crate::rules::{Span, shown};

/// Addresses in a piece of a range.
const PIECE: u32 = 256;
/// Pieces that are looked into before all are counted.
const LOOKS: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub l3_network: Uuid,
    pub nic: Uuid,
    pub vm: Uuid,
    /// This very address.
    pub address: Option<u32>,
}

/// How it went.
#[derive(Debug)]
pub(crate) enum Taken {
    /// This is it.
    Address(Box<AllocateAddressResponse>),
    /// Another was beside this one: to be done again, in a new transaction.
    Again,
}

/// Takes an address, or answers the one that the interface has.
pub(crate) fn address_allocate(conn: &mut Conn, caller: &Caller, wish: &Wish) -> Result<Taken> {
    let network: L3Network =
        gyre_query::find(conn, caller, wish.l3_network)?.ok_or_else(|| no_l3_network(&wish.l3_network.to_string()))?;
    let sql = Sql::new("l3_network_uuid = ").bind(wish.l3_network).sql(" ORDER BY uuid");
    let ranges = gyre_query::select::<IpRange>(conn, sql)?;
    let ranges = ranges.into_iter().map(Range::new).collect::<Result<Vec<_>>>()?;
    let (range, address) = match before(conn, wish)? {
        Some((range, address)) => (range, address),
        None => {
            let (range, address) = match wish.address {
                Some(address) => take_this(conn, wish, &ranges, address)?,
                None => take_any(conn, &ranges)?,
            };
            if !address_insert(conn, wish, range, address)? {
                return Ok(Taken::Again);
            }
            (range, address)
        }
    };
    let range = ranges.iter().find(|known| known.uuid == range);
    let range = &range.ok_or_else(|| Error::internal("an address of no range of its network"))?.row;
    let l2 = parse_uuid(&network.l2_network_uuid).unwrap_or_default();
    let wire: L2Network = gyre_query::get(conn, &Caller::system(), l2)?;
    Ok(Taken::Address(Box::new(AllocateAddressResponse {
        address: shown(address).to_string(),
        gateway: range.gateway.clone(),
        prefix_length: range.prefix_length,
        bridge: wire.bridge,
        cluster_uuid: wire.cluster_uuid,
        dns: network.dns,
    })))
}

/// Gives an address back. None is fine.
pub(crate) fn address_release(conn: &mut Conn, l3_network: Uuid, nic: Uuid) -> Result<()> {
    let own = || Sql::new("nic_uuid = ").bind(nic).sql(" AND l3_network_uuid = ").bind(l3_network);
    let sql = Sql::new("SELECT ip_range_uuid FROM ip_address WHERE ").append(own());
    let Some(row) = conn.query_one(sql)? else { return Ok(()) };
    let range = row.id(0)?;
    // in the order in which taking one holds them
    hold(conn, "ip_range", range)?;
    if conn.execute(Sql::new("DELETE FROM ip_address WHERE ").append(own()))? == 1 {
        let sql = Sql::new("UPDATE ip_range SET used_count = used_count - 1 WHERE uuid = ").bind(range);
        conn.execute(sql.sql(" AND used_count > 0"))?;
    }
    Ok(())
}

/// A range of the network.
struct Range {
    uuid: Uuid,
    span: Span,
    row: IpRange,
}

impl Range {
    fn new(row: IpRange) -> Result<Self> {
        let uuid = parse_uuid(&row.uuid).ok_or_else(|| Error::internal("a range without a UUID"))?;
        Ok(Self { uuid, span: Span::of(&row)?, row })
    }

    /// Takes room in it, and holds its row. Answers false where there is none left, or the range has gone.
    fn take_room(&self, conn: &mut Conn) -> Result<bool> {
        let sql = Sql::new("UPDATE ip_range SET used_count = used_count + 1 WHERE uuid = ").bind(self.uuid);
        Ok(conn.execute(sql.sql(" AND used_count + 1 <= total_count"))? == 1)
    }

    /// The piece of this number, as far as it is in the range.
    fn piece(&self, number: u32) -> (u32, u32) {
        let first = number * PIECE;
        (first.max(self.span.start), (first + (PIECE - 1)).min(self.span.end))
    }
}

/// What the interface has already.
fn before(conn: &mut Conn, wish: &Wish) -> Result<Option<(Uuid, u32)>> {
    let sql = Sql::new("SELECT l3_network_uuid, ip_range_uuid, vm_uuid, address FROM ip_address WHERE nic_uuid = ");
    let Some(row) = conn.query_one(sql.bind(wish.nic))? else { return Ok(None) };
    let address = number(row.int(3)?)?;
    if row.id(0)? != wish.l3_network || row.id(2)? != wish.vm || wish.address.is_some_and(|wished| wished != address) {
        return Err(Error::new(
            Kind::AlreadyExists,
            "NIC_HAS_ADDRESS",
            format!(
                "interface {} of vm {} has address {} already: give it back first",
                wish.nic,
                row.id(2)?,
                shown(address)
            ),
        ));
    }
    Ok(Some((row.id(1)?, address)))
}

fn number(address: i64) -> Result<u32> {
    u32::try_from(address).map_err(|_| Error::internal(format!("{address} is no IPv4 address")))
}

/// Takes the address that is asked for.
fn take_this(conn: &mut Conn, wish: &Wish, ranges: &[Range], address: u32) -> Result<(Uuid, u32)> {
    let Some(range) = ranges.iter().find(|range| range.span.contains(address)) else {
        let spans: Vec<_> =
            ranges.iter().map(|range| format!("{} to {}", range.row.start_address, range.row.end_address)).collect();
        let text = format!(
            "{} is in no IP range of L3 network {}, which has {}",
            shown(address),
            wish.l3_network,
            if spans.is_empty() { "none".to_owned() } else { spans.join(", ") }
        );
        return Err(
            Error::new(Kind::InvalidArgument, "ADDRESS_OUTSIDE_RANGES", text.clone()).violation("address", text)
        );
    };
    let room = range.take_room(conn)?;
    let sql = Sql::new("SELECT 1 FROM ip_address WHERE l3_network_uuid = ").bind(wish.l3_network);
    let used = conn.query_one(sql.sql(" AND address = ").bind(i64::from(address)))?.is_some();
    if used || !room {
        return Err(Error::new(
            Kind::FailedPrecondition,
            "ADDRESS_IN_USE",
            format!("{} is another interface's: choose another, or let Gyre choose", shown(address)),
        )
        .with("address", shown(address).to_string()));
    }
    Ok((range.uuid, address))
}

/// Takes some free address.
fn take_any(conn: &mut Conn, ranges: &[Range]) -> Result<(Uuid, u32)> {
    let mut draw = Draw::new();
    let first = draw.below(ranges.len());
    for range in ranges.iter().cycle().skip(first).take(ranges.len()) {
        if range.row.used_count < range.row.total_count && range.take_room(conn)? {
            let address = gap_find(conn, range, &mut draw)?;
            let address = address
                .ok_or_else(|| Error::internal(format!("range {} counts free addresses and has none", range.uuid)))?;
            return Ok((range.uuid, address));
        }
    }
    let total: i64 = ranges.iter().map(|range| range.row.total_count).sum();
    let text = match ranges.len() {
        0 => "the L3 network has no IP range: add one".to_owned(),
        count => format!("all {total} addresses of the network's {count} IP ranges are in use: add a range"),
    };
    Err(Error::new(Kind::ResourceExhausted, "NO_FREE_ADDRESS", text)
        .with("ranges", ranges.len().to_string())
        .with("total", total.to_string()))
}

/// A free address of a range that is held.
fn gap_find(conn: &mut Conn, range: &Range, draw: &mut Draw) -> Result<Option<u32>> {
    let (first, last) = (range.span.start / PIECE, range.span.end / PIECE);
    let pieces = last - first + 1;
    let mut random = |below: u32| u32::try_from(draw.below(below as usize)).unwrap_or(0);
    for _ in 0..LOOKS.min(pieces as usize) {
        let piece = range.piece(first + random(pieces));
        if let Some(address) = gap_in(conn, range, piece, &mut random)? {
            return Ok(Some(address));
        }
    }
    // what is counted here, the index holds
    let sql = Sql::new(format!("SELECT address / {PIECE}, COUNT(*) FROM ip_address WHERE ip_range_uuid = "))
        .bind(range.uuid)
        .sql(" GROUP BY 1");
    let mut used = vec![0; pieces as usize];
    for row in conn.query(sql)? {
        let at = number(row.int(0)?)?.checked_sub(first).map(|at| at as usize);
        if let Some(piece) = at.and_then(|at| used.get_mut(at)) {
            *piece = row.int(1)?;
        }
    }
    let start = random(pieces);
    for at in (0..pieces).map(|at| (start + at) % pieces) {
        let piece = range.piece(first + at);
        if used[at as usize] < i64::from(piece.1 - piece.0) + 1 {
            return gap_in(conn, range, piece, &mut random);
        }
    }
    Ok(None)
}

/// A free address in a piece of a range, at random among those that are.
fn gap_in(
    conn: &mut Conn,
    range: &Range,
    (first, last): (u32, u32),
    random: &mut impl FnMut(u32) -> u32,
) -> Result<Option<u32>> {
    let sql = Sql::new("SELECT address FROM ip_address WHERE ip_range_uuid = ")
        .bind(range.uuid)
        .sql(" AND address >= ")
        .bind(i64::from(first))
        .sql(" AND address <= ")
        .bind(i64::from(last));
    let mut used = [false; PIECE as usize];
    for row in conn.query(sql)? {
        used[(number(row.int(0)?)? - first) as usize] = true;
    }
    let free: Vec<u32> = (first..=last).filter(|address| !used[(address - first) as usize]).collect();
    let count = u32::try_from(free.len()).unwrap_or(0);
    Ok((count > 0).then(|| free[random(count) as usize]))
}

/// Writes the row. Answers false where another was beside this one.
fn address_insert(conn: &mut Conn, wish: &Wish, range: Uuid, address: u32) -> Result<bool> {
    let sql = Sql::new("INSERT INTO ip_address (nic_uuid, l3_network_uuid, ip_range_uuid, vm_uuid, address) VALUES (")
        .bind_all([
            Value::from(wish.nic),
            Value::from(wish.l3_network),
            Value::from(range),
            Value::from(wish.vm),
            Value::from(i64::from(address)),
        ])
        .sql(")");
    match conn.try_execute(sql) {
        Ok(_) => Ok(true),
        // beside another for the same interface; or the network is gone, which the next look tells
        Err(DbError::Unique(_) | DbError::ForeignKey(_)) => {
            let sql = Sql::new("UPDATE ip_range SET used_count = used_count - 1 WHERE uuid = ").bind(range);
            conn.execute(sql)?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Numbers without a pattern, for places to begin at; nothing secret hangs on them (splitmix64).
struct Draw(u64);

impl Draw {
    fn new() -> Self {
        Self(Uuid::new_v4().as_u64_pair().0)
    }

    /// A number below this one; 0 below 0.
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * below as u128) >> 64) as usize
    }
}
