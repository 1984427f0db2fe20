//! On whose behalf a task works, for the queues on its way: they serve account after account, and what was begun before what is to
//! begin ([`crate::fair`]). It travels with the task, so that no handler has to carry it.
//!
//! [`crate::Caller`] says who may do something. This says only whose turn it is, and is worth nothing to whoever would lie about it.

use uuid::Uuid;

use crate::{Caller, turn};

/// On whose behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behalf {
    /// The account; nil for Gyre itself.
    pub account: Uuid,
    /// Whether it belongs to an operation that has begun: ending it frees what others wait for, so it is never refused for want
    /// of room.
    pub begun: bool,
}

impl Behalf {
    /// Of a call.
    pub fn of(caller: &Caller) -> Self {
        Self { account: caller.account_uuid, begun: caller.acting.is_some() }
    }

    /// Of an account's operation that has begun.
    pub fn operation(account: Uuid) -> Self {
        Self { account, begun: true }
    }
}

tokio::task_local! {
    static BEHALF: Behalf;
}

/// Runs a future on somebody's behalf; what belongs to an operation that has begun in its account's turns ([`crate::turn`]).
pub fn scope<F: Future>(behalf: Behalf, future: F) -> impl Future<Output = F::Output> {
    let account = if behalf.begun { behalf.account } else { Uuid::nil() };
    turn::take(account, BEHALF.scope(behalf, future))
}

/// Runs a closure on somebody's behalf.
pub fn sync_scope<R>(behalf: Behalf, work: impl FnOnce() -> R) -> R {
    BEHALF.sync_scope(behalf, work)
}

/// On whose behalf the present task works; Gyre itself where nobody said.
pub fn current() -> Behalf {
    BEHALF.try_with(|behalf| *behalf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Acting;

    #[tokio::test]
    async fn it_travels_with_the_task() {
        let account = Uuid::new_v4();
        let caller = Caller::of(account, false);
        assert_eq!(current(), Behalf::default());
        assert_eq!(scope(Behalf::of(&caller), async { current() }).await, Behalf { account, begun: false });
        let step = caller.acting(Acting { operation: Uuid::new_v4(), fence: 1, undoing: false });
        assert_eq!(sync_scope(Behalf::of(&step), current), Behalf::operation(account));
    }
}
