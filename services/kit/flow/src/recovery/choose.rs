//! Which unfinished operations are an instance's to take. A pure function over what was seen, so that a simulation can drive it
//! through every order of events; what it decides is only an attempt, since taking is a compare-and-set of the fence.

use gyre_mesh::ring::Ring;
use gyre_model::Uuid;

/// An operation of this very instance that nobody works on is taken up again after this long, in microseconds: before, its call
/// may be about to hand it over.
pub const OWN_GRACE: i64 = 5_000_000;
/// No rest is longer, in microseconds: one that looks so was laid down by a clock that was set back since.
pub const LONGEST_REST: i64 = 300_000_000;

/// An operation that has not ended, as it stands in the database. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The operation.
    pub uuid: Uuid,
    /// The resource that it works on.
    pub resource: Uuid,
    /// The instance that worked on it last.
    pub instance: Uuid,
    /// The fence under which it did.
    pub fence: i64,
    /// When it last changed.
    pub update_time: i64,
    /// What is known of it where it rests as stuck.
    pub rest: Option<Rest>,
}

/// What is known of a stuck operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// When it is to be tried again; nothing: at once.
    pub next_time: Option<i64>,
    /// Whether it waits for a host that is back by now.
    pub host_is_back: bool,
}

impl Rest {
    /// Whether it is time to try again.
    pub fn is_due(self, now: i64) -> bool {
        self.host_is_back || self.next_time.is_none_or(|next| next <= now || next > now + LONGEST_REST)
    }
}

/// Those of the rows that the instance should take now: of instances that are gone, what it owns by the ring; of its own, what
/// it left lying (`live` says what it works on or has in a lane), whoever owns the resource by now. What another member of the
/// ring works on is never taken. An instance that is not in the ring takes nothing: its own may be taken by others.
pub fn choose<'a>(
    rows: &'a [Row],
    ring: &Ring,
    me: Uuid,
    live: impl Fn(Uuid) -> bool,
    now: i64,
) -> impl Iterator<Item = &'a Row> {
    let member = |instance: Uuid| ring.members().binary_search(&instance).is_ok();
    let here = member(me);
    rows.iter().filter(move |row| {
        let due = row.rest.is_none_or(|rest| rest.is_due(now));
        if !here || !due || live(row.uuid) {
            return false;
        }
        if row.instance == me {
            // what rests was laid down on purpose, and nobody is about to hand it over
            return row.rest.is_some() || is_left(row.update_time, now);
        }
        !member(row.instance) && ring.owner(row.resource) == Some(me)
    })
}

/// Whether an operation of one's own changed so long ago that nobody is about to hand it over. A change in the far future was
/// made before the clock was set back: there is no telling how long to wait, and taking it too early only costs a fence. One in the
/// near future was made while this was looked for.
fn is_left(update_time: i64, now: i64) -> bool {
    update_time < now - OWN_GRACE || update_time > now + OWN_GRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn row(instance: Uuid) -> Row {
        let (uuid, resource) = (Uuid::new_v4(), Uuid::new_v4());
        Row { uuid, resource, instance, fence: 1, update_time: NOW - OWN_GRACE - 1, rest: None }
    }

    fn count(rows: &[Row], ring: &Ring, me: Uuid) -> usize {
        choose(rows, ring, me, |_| false, NOW).count()
    }

    #[test]
    fn what_the_gone_left_is_shared_out_by_the_ring() {
        let (me, other, gone) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let rows: Vec<_> = (0..1_000).map(|_| row(gone)).collect();
        let ring = Ring::new([me, other]);
        let (mine, theirs) = (count(&rows, &ring, me), count(&rows, &ring, other));
        assert_eq!(mine + theirs, 1_000);
        assert!(mine > 300 && theirs > 300, "{mine} and {theirs}");
        assert_eq!(count(&rows, &Ring::new([me, other, gone]), me), 0, "whoever is there is left alone");
        assert_eq!(count(&rows, &Ring::new([other]), me), 0, "who is no member takes nothing");
    }

    #[test]
    fn ones_own_is_taken_up_when_nobody_is_about_to() {
        let me = Uuid::new_v4();
        let ring = Ring::new([me, Uuid::new_v4()]);
        let old = row(me);
        assert_eq!(count(std::slice::from_ref(&old), &ring, me), 1, "whoever owns the resource");
        assert_eq!(choose(std::slice::from_ref(&old), &ring, me, |_| true, NOW).count(), 0, "it is worked on");
        let young = Row { update_time: NOW - 1, ..old };
        assert_eq!(count(std::slice::from_ref(&young), &ring, me), 0);
        let written_meanwhile = Row { update_time: NOW + 1, ..young.clone() };
        assert_eq!(count(std::slice::from_ref(&written_meanwhile), &ring, me), 0);
        let future = Row { update_time: NOW + OWN_GRACE + 1, ..young.clone() };
        assert_eq!(count(std::slice::from_ref(&future), &ring, me), 1, "the clock was set back");
        for (rest, taken) in [
            (Rest { next_time: None, host_is_back: false }, 1),
            (Rest { next_time: Some(NOW), host_is_back: false }, 1),
            (Rest { next_time: Some(NOW + 1), host_is_back: false }, 0),
            (Rest { next_time: Some(NOW + 1), host_is_back: true }, 1),
            (Rest { next_time: Some(NOW + LONGEST_REST + 1), host_is_back: false }, 1),
        ] {
            let stuck = Row { rest: Some(rest), ..young.clone() };
            assert_eq!(count(std::slice::from_ref(&stuck), &ring, me), taken, "{rest:?}");
        }
    }
}
