//! Processors in turns: of the work that is ready to go on, each account's goes on in its turn ([`crate::fair`]).
//!
//! # Theory
//! 1. A runtime polls what is ready in the order in which it became so. Where one account has hundreds of operations under way, a commit
//!    makes a hundred of their futures ready at once, and another account's, which has a dozen of such waits before it, stands behind
//!    all of them each time.
//! 2. So work for an account is polled only by who holds one of as many slots as there are processors, and only while it is polled. More
//!    at once the processors could not do anyway; so nothing is lost where one account is alone.
//! 3. Work that becomes ready while all slots are taken stands in its account's line, and is not polled until its turn has come.
//!    It enters the line when it is woken, not when the runtime comes to it, which would be the queue of 1 again.
//! 4. Operations have turns. Calls that read have none: a gateway lets in a few of them at once, they become ready one by one, and the
//!    hand-overs would cost them a good part of their rate.
//! 5. What runs inside of work that has its turn (a service of the same process that it calls) is part of it. Gyre's own work (the nil
//!    account) needs no turn: reconcilers and heartbeats are what others wait for.
//! 6. A turn that is given is taken as soon as the runtime polls whose it is; dropping that passes it on. Until then its slot stands idle,
//!    which the runtime keeps short: what is woken by what has just been polled goes next.
//! 7. One that is neither polled nor dropped (a runtime that stands still) holds its slot for ever. Where no slot was given for [`STALL`]
//!    while others waited, all slots are new with the next thing that becomes ready. Nothing else looks, and as long as some
//!    slots move the lost ones are not noticed: no code of ours stands still so, and this is for what we did not think of.
//! 8. What was polled in turns once is always: never first outside of another's turn and then inside of it, where it would not be
//!    woken through its own.
//!
//! Concurrency: one lock for all, held for a few additions, never while something is polled or woken. Nothing else is locked inside.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use uuid::Uuid;

use crate::fair::Turns;

/// How long all slots may be held while others wait, until they are given out anew.
const STALL: Duration = Duration::from_millis(50);

/// The slots of a process.
static SLOTS: LazyLock<Arc<Slots>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Slots::new(processors)
});

thread_local! {
    /// Whether this thread polls something that has its turn.
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

/// What may be polled at once.
#[derive(Debug)]
struct Slots(Mutex<State>);

#[derive(Debug)]
struct State {
    most: usize,
    /// Slots that are given, in this age.
    held: usize,
    /// Grows when all slots become new; one of an age before is nobody's to give back.
    age: u64,
    waiting: Turns<Uuid, Arc<Work>>,
    /// When a slot was given last.
    moved: Instant,
}

/// Something that is polled in turns: what its future is woken by.
#[derive(Debug)]
struct Work {
    slots: Arc<Slots>,
    account: Uuid,
    place: Mutex<Place>,
}

/// Where it stands. Looked at under the lock of its slots alone.
#[derive(Debug)]
struct Place {
    stands: Stands,
    /// Who polls it.
    waker: Waker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It waits for something, or was never polled.
    Idle,
    /// It is ready, and in its account's line.
    Waits,
    /// Its turn has come: a slot of this age is its own.
    Has(u64),
    /// It is polled in a slot of this age.
    Polled(u64),
    /// The same, and it became ready again meanwhile.
    PolledAgain(u64),
    /// It has ended, or is dropped.
    Over,
}

impl Slots {
    fn new(most: usize) -> Arc<Self> {
        let state = State { most, held: 0, age: 0, waiting: Turns::default(), moved: Instant::now() };
        Arc::new(Self(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes one, and all others that a free slot is there for.
    fn go_on<'a>(&'a self, mut state: MutexGuard<'a, State>, first: Option<Waker>) {
        let mut next = first.or_else(|| state.pass_on());
        while let Some(waker) = next {
            let more = state.held < state.most && !state.waiting.is_empty();
            drop(state);
            waker.wake();
            if !more {
                return;
            }
            state = self.lock();
            next = state.pass_on();
        }
    }
}

impl State {
    /// Gives a slot, where one is free.
    fn take(&mut self) -> Option<u64> {
        if self.held >= self.most {
            if self.waiting.is_empty() || self.moved.elapsed() < STALL {
                return None;
            }
            self.age += 1;
            self.held = 0;
        }
        self.held += 1;
        self.moved = Instant::now();
        Some(self.age)
    }

    fn give_back(&mut self, age: u64) {
        if age == self.age {
            self.held -= 1;
        }
    }

    /// What is ready goes to the end of its line, and has its turn at once where nothing waits. Answers whether it has.
    fn stand(&mut self, work: &Arc<Work>, place: &mut Place) -> bool {
        if self.waiting.is_empty()
            && let Some(age) = self.take()
        {
            place.stands = Stands::Has(age);
            return true;
        }
        place.stands = Stands::Waits;
        self.waiting.push(work.account, Arc::clone(work), false);
        false
    }

    /// Gives a free slot to whose turn it is. Answers whom to wake.
    fn pass_on(&mut self) -> Option<Waker> {
        if self.waiting.is_empty() {
            return None;
        }
        let age = self.take()?;
        while let Some(next) = self.waiting.pop() {
            let mut place = next.place();
            // what was dropped while it waited is still in the line
            if place.stands == Stands::Waits {
                place.stands = Stands::Has(age);
                return Some(place.waker.clone());
            }
        }
        self.give_back(age);
        None
    }
}

impl Work {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes its turn, or stands in line.
    fn begin(self: &Arc<Self>, waker: &Waker) -> Option<Turn<'_>> {
        // dropped behind the locks: who knows what goes with it
        let _old;
        let mut state = self.slots.lock();
        let mut place = self.place();
        _old = (!place.waker.will_wake(waker)).then(|| std::mem::replace(&mut place.waker, waker.clone()));
        // polled without having been woken: whoever polls it knows why
        if place.stands == Stands::Idle {
            state.stand(self, &mut place);
        }
        let Stands::Has(age) = place.stands else {
            drop(place);
            self.slots.go_on(state, None);
            return None;
        };
        place.stands = Stands::Polled(age);
        drop(place);
        drop(state);
        IN_TURN.set(true);
        Some(Turn(self))
    }

    /// It is over; the slot that it may have is passed on.
    fn end(&self) {
        let mut state = self.slots.lock();
        let mut place = self.place();
        if let Stands::Has(age) = place.stands {
            state.give_back(age);
        }
        place.stands = Stands::Over;
        // its own future may hold it as a waker, and must not hold itself
        let old = std::mem::replace(&mut place.waker, Waker::noop().clone());
        drop(place);
        self.slots.go_on(state, None);
        drop(old);
    }
}

impl Wake for Work {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.slots.lock();
        let mut place = self.place();
        let itself = match place.stands {
            Stands::Idle => state.stand(self, &mut place).then(|| place.waker.clone()),
            Stands::Polled(age) => {
                place.stands = Stands::PolledAgain(age);
                None
            }
            Stands::Waits | Stands::Has(_) | Stands::PolledAgain(_) | Stands::Over => None,
        };
        drop(place);
        self.slots.go_on(state, itself);
    }
}

/// While something is polled. Dropping it, also in a panic, passes the slot on.
struct Turn<'a>(&'a Arc<Work>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        IN_TURN.set(false);
        let mut state = self.0.slots.lock();
        let mut place = self.0.place();
        let itself = match place.stands {
            Stands::Polled(age) => {
                state.give_back(age);
                place.stands = Stands::Idle;
                None
            }
            Stands::PolledAgain(age) => {
                state.give_back(age);
                // behind those who wait already
                state.stand(self.0, &mut place).then(|| place.waker.clone())
            }
            Stands::Idle | Stands::Waits | Stands::Has(_) | Stands::Over => None,
        };
        drop(place);
        self.0.slots.go_on(state, itself);
    }
}

pin_project! {
    /// A future that is polled in its account's turns.
    #[must_use = "futures do nothing unless polled"]
    pub struct InTurns<F> {
        #[pin]
        future: F,
        work: Option<Arc<Work>>,
    }

    impl<F> PinnedDrop for InTurns<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(work) = this.project().work.take() {
                work.end();
            }
        }
    }
}

impl<F> InTurns<F> {
    fn new(slots: &Arc<Slots>, account: Uuid, future: F) -> Self {
        let work = (!account.is_nil()).then(|| {
            let place = Mutex::new(Place { stands: Stands::Idle, waker: Waker::noop().clone() });
            Arc::new(Work { slots: Arc::clone(slots), account, place })
        });
        Self { future, work }
    }
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(work) = this.work.as_ref().filter(|_| !IN_TURN.get()) else { return this.future.poll(context) };
        let Some(turn) = work.begin(context.waker()) else { return Poll::Pending };
        let waker = Waker::from(Arc::clone(work));
        let polled = this.future.poll(&mut Context::from_waker(&waker));
        drop(turn);
        if polled.is_ready()
            && let Some(work) = this.work.take()
        {
            work.end();
        }
        polled
    }
}

/// A future that is polled in an account's turns. The nil account's needs none.
pub fn take<F: Future>(account: Uuid, future: F) -> InTurns<F> {
    InTurns::new(&SLOTS, account, future)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Polled as often as it is woken, in the order in which that happened: what a runtime with one thread does.
    struct Runtime {
        tasks: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>>,
        woken: Arc<Mutex<Vec<usize>>>,
    }

    struct Flag(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    impl Runtime {
        fn new() -> Self {
            Self { tasks: Vec::new(), woken: Arc::default() }
        }

        fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
            self.tasks.push(Some(Box::pin(future)));
            self.woken.lock().unwrap().push(self.tasks.len() - 1);
            self.tasks.len() - 1
        }

        fn run(&mut self) {
            loop {
                let mut woken = self.woken.lock().unwrap();
                if woken.is_empty() {
                    return;
                }
                let at = woken.remove(0);
                drop(woken);
                let waker = Waker::from(Arc::new(Flag(at, Arc::clone(&self.woken))));
                let Some(task) = &mut self.tasks[at] else { continue };
                if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    self.tasks[at] = None;
                }
            }
        }
    }

    type Log = Arc<Mutex<Vec<&'static str>>>;

    /// Is ready again at once, so often.
    fn busy(log: &Log, name: &'static str, mut times: usize) -> impl Future<Output = ()> + 'static {
        let log = Arc::clone(log);
        poll_fn(move |context| {
            log.lock().unwrap().push(name);
            times -= 1;
            if times == 0 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Slots that are held, and what waits.
    fn look(slots: &Slots) -> (usize, usize) {
        let state = slots.lock();
        (state.held, state.waiting.len())
    }

    fn account(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn who_has_little_to_do_goes_on_between_anothers_many() {
        let (slots, log) = (Slots::new(1), Log::default());
        let mut runtime = Runtime::new();
        for _ in 0..10 {
            runtime.spawn(InTurns::new(&slots, account(1), busy(&log, "flood", 3)));
        }
        runtime.spawn(InTurns::new(&slots, account(2), busy(&log, "quiet", 3)));
        // all are ready, and the first holds the slot
        let held = slots.lock().take().unwrap();
        runtime.run();
        assert!(log.lock().unwrap().is_empty());
        slots.lock().give_back(held);
        let next = slots.lock().pass_on();
        next.unwrap().wake();
        runtime.run();
        let log = log.lock().unwrap();
        assert_eq!(log[..6], ["flood", "quiet", "flood", "quiet", "flood", "quiet"]);
        assert_eq!((log.len(), look(&slots)), (33, (0, 0)));
    }

    #[test]
    fn what_runs_inside_of_a_turn_is_part_of_it() {
        let (slots, log) = (Slots::new(1), Log::default());
        let mut runtime = Runtime::new();
        let inner = InTurns::new(&slots, account(2), busy(&log, "inner", 2));
        runtime.spawn(InTurns::new(&slots, account(1), inner));
        runtime.run();
        assert_eq!((log.lock().unwrap().len(), look(&slots)), (2, (0, 0)));
    }

    #[test]
    fn a_turn_that_is_not_taken_is_passed_on() {
        let (slots, log) = (Slots::new(1), Log::default());
        let mut runtime = Runtime::new();
        let [first, second, third] =
            [1, 1, 2].map(|number| runtime.spawn(InTurns::new(&slots, account(number), busy(&log, "ran", 1))));
        let held = slots.lock().take().unwrap();
        runtime.run();
        slots.lock().give_back(held);
        // the first has its turn, and neither it nor the one behind it is there any more
        let told = slots.lock().pass_on();
        runtime.tasks[second] = None;
        runtime.tasks[first] = None;
        drop(told);
        runtime.run();
        assert!(runtime.tasks[third].is_none());
        assert_eq!((log.lock().unwrap().len(), look(&slots)), (1, (0, 0)));
    }

    #[test]
    fn nothing_is_lost_among_threads() {
        let slots = Slots::new(2);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        let work = |number: u64| async move {
            for step in 0..20 {
                if (number + step).is_multiple_of(3) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
        };
        runtime.block_on(async {
            let mut all = tokio::task::JoinSet::new();
            for number in 0..600 {
                let turns = InTurns::new(&slots, account(1 + u128::from(number % 3)), work(number));
                // every other one is dropped on its way
                let limit = if number % 2 == 0 { Duration::from_secs(60) } else { Duration::from_millis(number % 20) };
                all.spawn(async move { (number, tokio::time::timeout(limit, turns).await.is_ok()) });
            }
            while let Some(ended) = all.join_next().await {
                let (number, well) = ended.unwrap();
                assert!(well || number % 2 == 1, "{number} did not come to its end");
            }
        });
        assert_eq!(look(&slots), (0, 0));
    }

    #[test]
    fn a_panic_gives_the_slot_back() {
        let slots = Slots::new(1);
        let mut broken = Box::pin(InTurns::new(&slots, account(1), async { panic!("on purpose") }));
        let poll = std::panic::AssertUnwindSafe(|| broken.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        assert!(std::panic::catch_unwind(poll).is_err());
        drop(broken);
        assert_eq!((look(&slots), IN_TURN.get()), ((0, 0), false));
    }

    #[test]
    fn where_all_slots_are_lost_others_take_their_place() {
        let (slots, log) = (Slots::new(1), Log::default());
        let mut runtime = Runtime::new();
        let lost = slots.lock().take().unwrap();
        runtime.spawn(InTurns::new(&slots, account(1), busy(&log, "first", 1)));
        runtime.run();
        assert!(log.lock().unwrap().is_empty());
        slots.lock().moved = Instant::now().checked_sub(STALL * 2).unwrap();
        runtime.spawn(InTurns::new(&slots, account(2), busy(&log, "second", 1)));
        runtime.run();
        assert_eq!(log.lock().unwrap()[..], ["first", "second"]);
        slots.lock().give_back(lost);
        assert_eq!(look(&slots), (0, 0));
    }
}
