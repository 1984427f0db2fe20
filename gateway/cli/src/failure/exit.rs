//! The exit codes. Scripts stand on them, so they never change their meaning.

use gyre_model::Kind;

/// The exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a failure that is none of those below
  2    wrong usage, or a value that breaks a rule
  3    something named is not there
  4    refused: not signed in, or not allowed
  5    the present state does not permit it, or somebody else was first
  6    the service does not answer, or time ran out
  7    the operation failed or was cancelled; what it did is undone
  8    no room, or a limit is reached
  130  interrupted; an operation under way goes on";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Nothing went wrong: there was only nobody left to tell.
    Done = 0,
    /// A failure without a code of its own.
    General = 1,
    /// Wrong usage, or a value that breaks a rule.
    Usage = 2,
    /// Something named is not there.
    NotFound = 3,
    /// Not signed in, or not allowed.
    Refused = 4,
    /// The state of things does not permit it.
    Conflict = 5,
    /// No answer, or not in time.
    Unavailable = 6,
    /// The operation failed.
    Operation = 7,
    /// No room, or a limit.
    Exhausted = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The code of a kind of error.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::InvalidArgument => Self::Usage,
            Kind::NotFound => Self::NotFound,
            Kind::PermissionDenied | Kind::Unauthenticated => Self::Refused,
            Kind::AlreadyExists | Kind::FailedPrecondition | Kind::Aborted => Self::Conflict,
            Kind::Unavailable | Kind::DeadlineExceeded => Self::Unavailable,
            Kind::ResourceExhausted => Self::Exhausted,
            Kind::Cancelled | Kind::Unimplemented | Kind::Internal => Self::General,
        }
    }
}
