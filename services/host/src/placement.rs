//! Placement: which host a machine gets, and why none would do.
//!
//! # Theory
//! 1. Room is taken by a guarded statement on the host's counters; whatever was read before is a hint. So concurrent placements
//!    never take more than there is, and need no lock.
//! 2. The choice is made among a sample ([`SAMPLE`] hosts from a random place in the order of UUIDs) that one indexed statement
//!    reads: the least loaded of many chosen at random is nearly the least loaded of all, and costs the same with 10 hosts and
//!    with 10,000. The statement goes on until the sample is full, so a host with room is found wherever it is.
//!    It is believed for a moment ([`recent`]), so that many placements at once read it once.
//! 3. Near-equals are shuffled, so that callers that read the same moment do not all run after the same host.
//! 4. A claim holds one place. The same claim again is answered with the place that it holds, if that still is what is asked for;
//!    else it gives it back and takes another in the same transaction.
//! 5. A claim that is to lie apart from others (its tags say so) excludes their hosts. Which these are is read in the transaction that
//!    takes the room, with the tags of all of them held, so that two of a group which are placed at once see each other.
//! 6. Why no host would do is found out only then, host by host, outside the transaction.

mod choose;
mod recent;
mod refuse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use gyre_flow::fence;
use gyre_model::error::Violation;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::host::v1::{ReservePlacementRequest, ReservePlacementResponse};
use gyre_store::{Conn, Store};

use crate::metrics;
use crate::random::Random;
use crate::store::placement as table;

pub(crate) use recent::Recent;

/// Hosts that are compared.
const SAMPLE: usize = 64;
/// Hosts of an older sample that are tried before a new one is read.
const HINTS: usize = 2;
/// Tries where others took what was free a moment ago.
const TRIES: u32 = 4;

/// Undoes a transaction that found no room. It does not leave this file.
const NOTHING: &str = "NOTHING_FOUND";

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Want {
    pub claim: Uuid,
    pub cpus: i64,
    pub memory: i64,
    pub cluster: Option<Uuid>,
    pub clusters: Vec<Uuid>,
    pub host: Option<Uuid>,
    pub preferred: Option<Uuid>,
    pub excluded: BTreeMap<Uuid, String>,
    /// Tags that no other machine on the host may have.
    pub apart: Vec<String>,
}

/// A place on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub host: Uuid,
    pub cluster: Uuid,
    pub zone: Uuid,
    pub hypervisor: String,
}

/// A host with room, as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub seat: Seat,
    pub cpu_capacity: i64,
    pub cpu_used: i64,
    pub memory_capacity: i64,
    pub memory_used: i64,
}

impl From<Seat> for ReservePlacementResponse {
    fn from(seat: Seat) -> Self {
        Self {
            host_uuid: seat.host.to_string(),
            cluster_uuid: seat.cluster.to_string(),
            zone_uuid: seat.zone.to_string(),
            hypervisor: seat.hypervisor,
        }
    }
}

impl Want {
    /// Reads a request.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn read(request: &ReservePlacementRequest) -> Result<Self> {
        let mut broken = Vec::new();
        let mut uuid = |field: &str, text: &str| {
            let uuid = parse_uuid(text);
            if uuid.is_none() && !text.is_empty() {
                let description = format!("must be a UUID, got {text:?}");
                broken.push(Violation { field: field.to_owned(), description });
            }
            uuid
        };
        let mut want = Self {
            claim: uuid("claim_uuid", &request.claim_uuid).unwrap_or_default(),
            cpus: i64::from(request.cpu_count),
            memory: request.memory_bytes,
            cluster: uuid("cluster_uuid", &request.cluster_uuid),
            host: uuid("host_uuid", &request.host_uuid),
            preferred: uuid("preferred_host_uuid", &request.preferred_host_uuid),
            ..Self::default()
        };
        want.clusters = request.cluster_uuids.iter().filter_map(|text| uuid("cluster_uuids", text)).collect();
        want.excluded =
            request.excluded.iter().filter_map(|(host, why)| Some((uuid("excluded", host)?, why.clone()))).collect();
        want.apart.clone_from(&request.apart_tags);
        for (field, number) in [("cpu_count", want.cpus), ("memory_bytes", want.memory)] {
            if number < 1 {
                let description = format!("must be at least 1, got {number}");
                broken.push(Violation { field: field.to_owned(), description });
            }
        }
        if broken.is_empty() { Ok(want) } else { Err(Error::invalid_fields(broken)) }
    }

    /// Whether a host is one that may be chosen, room aside.
    pub fn allows(&self, seat: &Seat) -> bool {
        self.host.is_none_or(|host| host == seat.host)
            && !self.excluded.contains_key(&seat.host)
            && self.allows_cluster(seat.cluster)
    }

    pub fn allows_cluster(&self, cluster: Uuid) -> bool {
        self.cluster.is_none_or(|only| only == cluster)
            && (self.clusters.is_empty() || self.clusters.contains(&cluster))
    }
}

/// Picks a host and takes room there.
///
/// # Errors
/// `NO_HOST_WITH_ROOM`, `NO_HOST`, `NOT_FOUND` for a host that is asked for by name.
pub(crate) async fn reserve(store: &Store, recent: &Arc<Recent>, caller: Caller, want: Want) -> Result<Seat> {
    let began = Instant::now();
    let result = reserve_somewhere(store, recent, caller, &want).await;
    let outcome = match &result {
        Ok(_) => "placed",
        Err(error) if error.kind() == Kind::ResourceExhausted => "refused",
        Err(_) => "failed",
    };
    metrics::placed(outcome, began.elapsed());
    result
}

async fn reserve_somewhere(store: &Store, recent: &Arc<Recent>, caller: Caller, want: &Want) -> Result<Seat> {
    for _ in 0..TRIES {
        let (wish, recent) = (want.clone(), Arc::clone(recent));
        let taken = store.write_again("placement-reserve", move |conn| {
            fence::check(conn, &caller)?;
            let mut wish = wish.clone();
            wish.excluded.extend(table::apart(conn, &wish, true)?);
            take_somewhere(conn, &recent, &wish)
        });
        match taken.await {
            Ok(seat) => return Ok(seat),
            Err(error) if error.reason() == NOTHING => {}
            // the same claim was placed by another call at the same moment (its key), or the transactions met
            Err(error) if matches!(error.reason(), "ALREADY_EXISTS" | "CONFLICT") => continue,
            Err(error) => return Err(error),
        }
        let mut wish = want.clone();
        let refusal = store.read("placement-refusal", move |conn| {
            wish.excluded.extend(table::apart(conn, &wish, false)?);
            let standings = table::standings(conn, wish.host)?;
            Ok(refuse::refusal(&wish, &standings))
        });
        if let Some(refusal) = refusal.await? {
            return Err(refusal);
        }
        // by now there is room
    }
    Err(Error::new(Kind::Aborted, "PLACEMENT_CONTENDED", "others took the room while it was looked for; try again"))
}

/// Takes room on the best host of a sample. An error where none has any, so that a claim keeps what it holds.
fn take_somewhere(conn: &mut Conn, recent: &Recent, want: &Want) -> Result<Seat> {
    let mut preferred = want.preferred;
    if let Some(held) = table::held(conn, want.claim)? {
        if let Some(seat) = table::seat(conn, held.host)?
            && want.allows(&seat)
            && (held.cpus, held.memory) == (want.cpus, want.memory)
        {
            return Ok(seat);
        }
        table::release(conn, want.claim)?;
        preferred = preferred.or(Some(held.host));
    }
    if let Some(host) = want.host.or(preferred)
        && let Some(candidate) = table::candidate_named(conn, want, host)?
        && want.allows(&candidate.seat)
        && table::take(conn, want, host)?
    {
        return Ok(candidate.seat);
    }
    if want.host.is_none() {
        let mut random = Random::new();
        for candidate in choose::order(want, recent.candidates(want), &mut random).into_iter().take(HINTS) {
            if table::take(conn, want, candidate.seat.host)? {
                recent.took(want, candidate.seat.host);
                return Ok(candidate.seat);
            }
            recent.refused(candidate.seat.host);
        }
        let found = table::candidates(conn, want, random.uuid(), SAMPLE + want.excluded.len())?;
        recent.keep(want, &found);
        for candidate in choose::order(want, found, &mut random) {
            if table::take(conn, want, candidate.seat.host)? {
                recent.took(want, candidate.seat.host);
                return Ok(candidate.seat);
            }
        }
    }
    Err(Error::new(Kind::Aborted, NOTHING, "nothing was found"))
}

/// Gives back what a claim holds.
///
/// # Errors
/// The database's.
pub(crate) async fn release(store: &Store, caller: Caller, claim: Uuid) -> Result<()> {
    let release = store.write_again("placement-release", move |conn| {
        fence::check(conn, &caller)?;
        table::release(conn, claim)
    });
    release.await.map(|_| ())
}
