use std::net::{Ipv4Addr, SocketAddr};

use futures::FutureExt as _;
use gyre_model::catalog;

use super::*;

const PATIENCE: Duration = Duration::from_secs(2);
const HELD: Duration = Duration::from_millis(5);

fn admission(reads: usize, line: usize) -> Arc<Places> {
    Admission::new(Bounds { reads, held: HELD, changes: 1, line, patience: PATIENCE }).reads
}

fn account(number: u128) -> Who {
    Who::Account(Uuid::from_u128(number))
}

#[tokio::test(start_paused = true)]
async fn one_account_leaves_a_place_for_the_next() {
    let admission = admission(3, 10);
    let (flood, quiet) = (account(1), account(2));
    let held = [admission.enter(flood).await.unwrap(), admission.enter(flood).await.unwrap()];
    let mut third = Box::pin(admission.enter(flood));
    assert!(third.as_mut().now_or_never().is_none(), "a place is free, and not for it");
    let quiet = admission.enter(quiet).now_or_never().expect("at once").unwrap();
    drop(held);
    let third = third.await.unwrap();
    drop((quiet, third));
    assert_eq!(admission.state.lock().free, 3);
}

#[tokio::test(start_paused = true)]
async fn lines_are_served_in_turns() {
    let admission = admission(1, 10);
    let order = Mutex::new(Vec::new());
    let place = admission.enter(account(9)).await.unwrap();
    let calls = [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")].map(|(who, name)| {
        let (admission, order) = (&admission, &order);
        async move {
            let place = admission.enter(account(who)).await.unwrap();
            order.lock().push(name);
            tokio::task::yield_now().await;
            drop(place);
        }
    });
    let free = async { drop(place) };
    futures::join!(futures::future::join_all(calls), free);
    assert_eq!(*order.lock(), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    assert!(admission.state.lock().held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_line_is_bounded_in_length_and_time() {
    let admission = admission(1, 2);
    let who = account(1);
    let place = admission.enter(who).await.unwrap();
    let waiting: Vec<_> = (0..2).map(|_| Box::pin(admission.enter(who))).collect();
    let mut waiting = futures::future::join_all(waiting);
    assert!((&mut waiting).now_or_never().is_none());
    for refusal in [admission.glance(who).unwrap_err(), admission.enter(who).await.unwrap_err()] {
        let error = refusal.error;
        assert_eq!((error.kind(), error.reason()), (Kind::ResourceExhausted, "OVERLOADED"));
        assert!((COME_AGAIN..COME_AGAIN * 2).contains(&error.retry().unwrap()), "{error:?}");
    }
    admission.glance(account(2)).expect("another account's line is its own");
    for outcome in waiting.await {
        assert_eq!(outcome.unwrap_err().error.reason(), "OVERLOADED");
    }
    assert!(admission.state.lock().waiting.is_empty());
    drop(place);
    drop(admission.enter(who).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_its_line_and_loses_no_place() {
    let admission = admission(1, 10);
    let who = account(1);
    let place = admission.enter(who).await.unwrap();
    let mut gone = Box::pin(admission.enter(who));
    let mut granted = Box::pin(admission.enter(who));
    assert!(gone.as_mut().now_or_never().is_none() && granted.as_mut().now_or_never().is_none());
    drop(gone);
    // it is given the place, and goes before it looks
    drop(place);
    assert_eq!(admission.state.lock().free, 0);
    drop(granted);
    assert_eq!(admission.state.lock().free, 1);
}

#[test]
fn strangers_count_by_address_and_calls_that_wait_are_known() {
    let peer = |ip: IpAddr| Peer { address: SocketAddr::new(ip, 1) };
    let here = peer(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let caller = Caller::of(Uuid::from_u128(7), false);
    assert_eq!(Who::of(Some(&caller), here), account(7));
    assert_eq!(Who::of(None, here), Who::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let six = |text: &str| Who::of(None, peer(text.parse().unwrap()));
    assert_eq!(six("2001:db8::1"), six("2001:db8::ffff"));
    let method = |path| catalog().method(path).unwrap();
    assert!(merely_waits(method(WAIT)) && merely_waits(method("/gyre.storage.v1.ImageService/UploadImage")));
    let (create, get) = (method("/gyre.vm.v1.VmService/CreateVm"), method("/gyre.vm.v1.VmService/GetVm"));
    assert!(!merely_waits(create) && !merely_waits(get));
    assert_eq!((Class::of(create), Class::of(get)), (Class::Change, Class::Read));
}

#[tokio::test(start_paused = true)]
async fn what_reads_for_long_gives_its_place_back_and_what_changes_something_does_not() {
    let admission = Admission::new(Bounds { reads: 1, held: HELD, changes: 1, line: 10, patience: PATIENCE });
    let who = account(1);
    for (places, free) in [(&admission.reads, 1), (&admission.changes, 0)] {
        let place = places.enter(who).await.unwrap();
        let mut call = Box::pin(place.hold(tokio::time::sleep(HELD * 10)));
        assert!((&mut call).now_or_never().is_none());
        assert_eq!(places.state.lock().free, 0);
        tokio::time::sleep(HELD * 2).await;
        assert!((&mut call).now_or_never().is_none());
        assert_eq!(places.state.lock().free, free);
        call.await;
        assert_eq!(places.state.lock().free, 1);
    }
}
