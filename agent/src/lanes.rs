//! Queues in memory: all work on one machine, volume or image goes one after the other, in the order in which it came; work on
//! different ones goes side by side. A lane that nobody uses costs nothing.
//!
//! A place in a lane is taken at once, without waiting ([`Lanes::enter`]), so that the order is the order of the calls; the wait
//! comes after ([`Place::turn`]). Dropping a place at any time gives it up.
//!
//! A task that is cancelled may leave something behind that runs to its end. Whatever that is, it holds the lane ([`held`]), so
//! that who comes next finds it done.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::metrics;

type Waiting = VecDeque<oneshot::Sender<()>>;

/// All lanes.
#[derive(Clone, Default)]
pub struct Lanes(Arc<Mutex<HashMap<String, Waiting>>>);

impl Lanes {
    /// Takes the next place in a lane.
    pub fn enter(&self, lane: String) -> Place {
        let mut lanes = self.0.lock();
        let turn = match lanes.get_mut(&lane) {
            None => {
                lanes.insert(lane.clone(), Waiting::new());
                metrics::lane_opened();
                None
            }
            Some(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push_back(sender);
                Some(receiver)
            }
        };
        drop(lanes);
        Place { lanes: self.clone(), lane, turn }
    }

    /// How many lanes are in use.
    #[cfg(test)]
    fn used(&self) -> usize {
        self.0.lock().len()
    }

    fn leave(&self, lane: &str) {
        let mut lanes = self.0.lock();
        let Some(waiting) = lanes.get_mut(lane) else { return };
        while let Some(next) = waiting.pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
        lanes.remove(lane);
        metrics::lane_closed();
    }
}

/// A place in a lane. While it is held after its turn came, nobody else works in the lane.
pub struct Place {
    lanes: Lanes,
    lane: String,
    turn: Option<oneshot::Receiver<()>>,
}

impl Place {
    /// Waits until everybody before is done.
    pub async fn turn(&mut self) {
        if let Some(turn) = &mut self.turn {
            // the sender is dropped only with the lanes themselves
            let _ = turn.await;
            self.turn = None;
        }
    }

    /// Works in the lane, whose turn has come.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        HELD.scope(Arc::new(self), work).await
    }
}

tokio::task_local! {
    static HELD: Arc<Place>;
}

/// The place of the task that calls, where it has one ([`Place::hold`]): the lane stays taken as long as anybody has it.
pub fn held() -> Option<Arc<Place>> {
    HELD.try_with(Arc::clone).ok()
}

impl Drop for Place {
    fn drop(&mut self) {
        let its_turn = match &mut self.turn {
            None => true,
            // woken, but dropped before it could look: the turn must be passed on
            Some(turn) => {
                let woken = turn.try_recv().is_ok();
                turn.close();
                woken || turn.try_recv().is_ok()
            }
        };
        if its_turn {
            self.lanes.leave(&self.lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_is_first_come_first_served() {
        let lanes = Lanes::default();
        let mut first = lanes.enter("a".into());
        let mut second = lanes.enter("a".into());
        let mut third = lanes.enter("a".into());
        let mut other = lanes.enter("b".into());
        first.turn().await;
        other.turn().await;
        assert!(futures::poll!(Box::pin(second.turn())).is_pending());
        drop(first);
        second.turn().await;
        assert!(futures::poll!(Box::pin(third.turn())).is_pending());
        drop(second);
        third.turn().await;
        drop((third, other));
        assert_eq!(lanes.used(), 0);
    }

    #[tokio::test]
    async fn what_a_cancelled_task_leaves_behind_holds_the_lane() {
        let lanes = Lanes::default();
        let first = lanes.enter("a".into());
        let mut second = lanes.enter("a".into());
        let (end, ended) = oneshot::channel::<()>();
        let work = first.hold(async {
            let place = held().expect("its own");
            let left = tokio::spawn(async move {
                let _ = ended.await;
                drop(place);
            });
            let _ = left.await;
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), work).await.is_err());
        assert!(futures::poll!(Box::pin(second.turn())).is_pending());
        end.send(()).expect("it waits");
        second.turn().await;
        assert!(held().is_none());
        drop(second);
        assert_eq!(lanes.used(), 0);
    }

    #[tokio::test]
    async fn places_that_are_given_up_are_skipped() {
        let lanes = Lanes::default();
        let mut first = lanes.enter("a".into());
        let waiting = lanes.enter("a".into());
        let woken = lanes.enter("a".into());
        let mut last = lanes.enter("a".into());
        first.turn().await;
        drop(waiting);
        drop(first); // wakes `woken`, which is dropped before it looks
        drop(woken);
        last.turn().await;
        drop(last);
        assert_eq!(lanes.used(), 0);
    }
}
