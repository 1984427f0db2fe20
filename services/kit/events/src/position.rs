//! Places in the log of changes.
//!
//! On SQLite one transaction writes at a time, so positions are drawn in the order of commits, and the place after a row is its
//! position. On PostgreSQL transactions commit in another order than they draw positions: a row may appear behind one that was
//! read. So there the log is read in batches: what one snapshot of the database shows and the one before did not, in the order of
//! positions. A place says from which snapshot on nothing was read, which one the present batch is of, and how far in it one is.
//!
//! Nothing is left out, since each row appears between two snapshots that follow one another; nothing comes twice, since it does so
//! once. Changes of one resource keep their order: whoever changes a row waits for whoever changed it before, and draws a position
//! afterwards, so a snapshot that shows the later change shows the earlier one, too.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use gyre_model::{Error, Result};
use gyre_store::Dialect;

/// Most transactions under way that a place tells of.
const MOST: usize = 10_000;

/// What transactions a snapshot of PostgreSQL shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// All below have ended.
    pub xmin: i64,
    /// None from here on had begun to write.
    pub xmax: i64,
    /// Those between that had not ended, in order.
    under_way: Vec<i64>,
}

impl Snapshot {
    /// Reads one as PostgreSQL writes it: `xmin:xmax:xip,…`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number > 0);
        let mut parts = text.split(':');
        let (xmin, xmax, list) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
        let under_way = match list {
            "" => Vec::new(),
            list => list.split(',').map(number).collect::<Option<Vec<_>>>()?,
        };
        let good = parts.next().is_none()
            && xmin <= xmax
            && under_way.len() <= MOST
            && under_way.is_sorted_by(|one, next| one < next)
            && under_way.iter().all(|number| (xmin..xmax).contains(number));
        good.then_some(Self { xmin, xmax, under_way })
    }

    /// Whether it shows what a transaction wrote, if that was committed.
    fn shows(&self, transaction: i64) -> bool {
        transaction < self.xmin || (transaction < self.xmax && self.under_way.binary_search(&transaction).is_err())
    }

    /// Later snapshots have larger ones.
    fn age(&self) -> (i64, i64, Reverse<usize>) {
        (self.xmax, self.xmin, Reverse(self.under_way.len()))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:", self.xmin, self.xmax)?;
        for (at, number) in self.under_way.iter().enumerate() {
            write!(formatter, "{}{number}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// A place between two rows of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position(pub(crate) Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On SQLite: after the row with this position.
    Row(i64),
    /// On PostgreSQL: after all that the first snapshot shows, and what the second shows up to this position.
    Batch { from: Arc<Snapshot>, until: Arc<Snapshot>, at: i64 },
}

impl Position {
    /// Before all rows.
    pub fn start(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self::after(0),
            Dialect::Postgres => Self::behind(Snapshot { xmin: 1, xmax: 1, under_way: Vec::new() }),
        }
    }

    pub(crate) fn after(at: i64) -> Self {
        Self(Place::Row(at))
    }

    /// Behind all that a snapshot shows.
    pub(crate) fn behind(snapshot: impl Into<Arc<Snapshot>>) -> Self {
        let from = snapshot.into();
        Self(Place::Batch { until: Arc::clone(&from), from, at: 0 })
    }

    /// Whether a row is before it.
    pub(crate) fn covers(&self, transaction: i64, position: i64) -> bool {
        match &self.0 {
            Place::Row(at) => position <= *at,
            Place::Batch { from, until, at } => {
                from.shows(transaction) || (position <= *at && until.shows(transaction))
            }
        }
    }

    /// The same place for somebody who had read more when they began.
    pub(crate) fn not_before(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (Place::Batch { from, until, at }, Place::Batch { from: other, .. }) if other.age() > from.age() => {
                Self(Place::Batch { from: Arc::clone(other), until: Arc::clone(until), at: *at })
            }
            _ => self.clone(),
        }
    }

    /// Whether it is surely further on than another.
    pub(crate) fn is_ahead_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::Row(at), Place::Row(other)) => at > other,
            (Place::Batch { from, .. }, Place::Batch { from: other, .. }) => from.age() > other.age(),
            _ => false,
        }
    }

    /// Whether all that anybody could see when another place was found is before it.
    pub(crate) fn is_behind_all_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::Row(at), Place::Row(other)) => at >= other,
            (Place::Batch { from, .. }, Place::Batch { from: other, .. }) => from.xmin >= other.xmax,
            _ => false,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is none.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self> {
        let place = match dialect {
            Dialect::Sqlite => text.parse().ok().filter(|at| *at >= 0).map(Self::after),
            Dialect::Postgres => {
                let parts: Vec<&str> = text.split('/').collect();
                match parts[..] {
                    [from] => Snapshot::parse(from).map(Self::behind),
                    [from, until, at] => {
                        let at = at.parse().ok().filter(|at| *at > 0);
                        match (Snapshot::parse(from), Snapshot::parse(until), at) {
                            (Some(from), Some(until), Some(at)) => {
                                Some(Self(Place::Batch { from: from.into(), until: until.into(), at }))
                            }
                            _ => None,
                        }
                    }
                    _ => None,
                }
            }
        };
        place.ok_or_else(|| Error::invalid("position", format!("must be the position of an event, got {text:?}")))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Row(at) => at.fmt(formatter),
            Place::Batch { from, at: 0, .. } => from.fmt(formatter),
            Place::Batch { from, until, at } => write!(formatter, "{from}/{until}/{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_and_read() {
        for text in ["0", "17"] {
            assert_eq!(Position::parse(text, Dialect::Sqlite).unwrap().to_string(), text);
        }
        for text in ["700:700:", "700:705:701,703", "700:705:701/704:709:704,706/12"] {
            assert_eq!(Position::parse(text, Dialect::Postgres).unwrap().to_string(), text);
        }
        for wrong in ["", "x", "-1", "1.2", "1:1:"] {
            assert!(Position::parse(wrong, Dialect::Sqlite).is_err(), "{wrong}");
        }
        for wrong in ["", "7", "9:2:", "1:9:9", "1:9:5,4", "1:9:;DROP", "1:2:/1:2:/0", "1:2:/1:2:", "0:0:"] {
            assert!(Position::parse(wrong, Dialect::Postgres).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_tells_what_is_before_it() {
        let place = Position::parse("700:705:701,704/704:709:704,706/12", Dialect::Postgres).unwrap();
        // the first snapshot shows it, wherever it stands
        assert!(place.covers(699, 100) && place.covers(702, 100));
        // the second does, as far as the place is
        assert!(place.covers(701, 12) && !place.covers(701, 13) && place.covers(708, 3));
        assert!(!place.covers(704, 1) && !place.covers(709, 1));
        assert!(Position::after(5).covers(0, 5) && !Position::after(5).covers(0, 6));
        let later = Position::parse("704:709:704,706", Dialect::Postgres).unwrap();
        assert!(later.is_ahead_of(&place) && !place.is_ahead_of(&later));
        assert_eq!(place.not_before(&later).to_string(), "704:709:704,706/704:709:704,706/12");
    }
}
