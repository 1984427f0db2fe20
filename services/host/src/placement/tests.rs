use super::*;
use crate::store::placement::Standing;

const GIB: i64 = 1 << 30;

fn candidate(cpu_used: i64, memory_used: i64) -> Candidate {
    Candidate {
        seat: Seat { host: Uuid::new_v4(), cluster: Uuid::nil(), zone: Uuid::nil(), hypervisor: "qemu".into() },
        cpu_capacity: 16,
        cpu_used,
        memory_capacity: 16 * GIB,
        memory_used,
    }
}

fn standing(name: &str, candidate: Candidate) -> Standing {
    Standing { candidate, name: name.into(), enabled: true, connected: true, status_reason: String::new() }
}

fn want(cpus: i64, memory: i64) -> Want {
    Want { claim: Uuid::new_v4(), cpus, memory, ..Want::default() }
}

#[test]
fn the_least_loaded_comes_first_and_near_equals_in_any_order() {
    let want = want(1, GIB);
    let mut firsts = std::collections::HashSet::new();
    let (empty, other, half) = (candidate(0, 0), candidate(0, GIB / 4), candidate(8, 8 * GIB));
    for seed in 0..64 {
        let all = vec![half.clone(), other.clone(), empty.clone()];
        let order = choose::order(&want, all, &mut Random::from_seed(seed));
        assert_eq!(order[2].seat.host, half.seat.host);
        firsts.insert(order[0].seat.host);
    }
    assert_eq!(firsts.len(), 2);
}

#[test]
fn what_is_excluded_or_elsewhere_is_not_chosen() {
    let (excluded, elsewhere, fit) = (candidate(0, 0), candidate(0, 0), candidate(8, 0));
    let cluster = Uuid::new_v4();
    let mut want = want(1, GIB);
    want.excluded.insert(excluded.seat.host, "no such storage".into());
    want.clusters = vec![cluster];
    let here =
        |candidate: &Candidate| Candidate { seat: Seat { cluster, ..candidate.seat.clone() }, ..candidate.clone() };
    let all = vec![here(&excluded), elsewhere, here(&fit)];
    let order = choose::order(&want, all, &mut Random::from_seed(1));
    assert_eq!(order.iter().map(|candidate| candidate.seat.host).collect::<Vec<_>>(), [fit.seat.host]);
}

#[test]
fn a_refusal_says_why_host_by_host() {
    let mut want = want(4, 8 * GIB);
    let full = standing("full", candidate(14, 12 * GIB));
    let disabled = Standing { enabled: false, ..standing("disabled", candidate(0, 0)) };
    let lost =
        Standing { connected: false, status_reason: "no sign of life".into(), ..standing("lost", candidate(0, 0)) };
    let unfit = standing("unfit", candidate(0, 0));
    want.excluded.insert(unfit.candidate.seat.host, "no local storage".into());
    let all = [full, disabled, lost, unfit];
    let error = refuse::refusal(&want, &all).unwrap();
    assert_eq!((error.kind(), error.reason()), (Kind::ResourceExhausted, "NO_HOST_WITH_ROOM"));
    assert_eq!(
        error.message(),
        "no host can take 4 CPUs and 8 GiB of memory: of 4 hosts, 1 disabled, 1 full, 1 not connected, 1 unfit"
    );
    let reason = |at: usize| {
        let standing: &Standing = &all[at];
        error.metadata()[&format!("{} {}", standing.name, standing.candidate.seat.host)].as_str()
    };
    assert_eq!(reason(0), "needs 4 CPUs, has 2 left; needs 8 GiB of memory, has 4 GiB left");
    assert_eq!(reason(1), "disabled");
    assert_eq!(reason(2), "not connected: no sign of life");
    assert_eq!(reason(3), "no local storage");
}

#[test]
fn a_refusal_names_at_most_fifty_hosts_and_counts_all() {
    let want = want(4, GIB);
    let all: Vec<_> = (0..120).map(|at| standing(&format!("host-{at}"), candidate(16, 0))).collect();
    let error = refuse::refusal(&want, &all).unwrap();
    assert_eq!(error.metadata()["hosts"], "120");
    assert_eq!(error.metadata().len(), 52);
    let room: Vec<_> = all.into_iter().chain([standing("free", candidate(0, 0))]).collect();
    assert!(refuse::refusal(&want, &room).is_none(), "a host with room is a reason to try again");
}

#[test]
fn no_host_at_all_is_a_reason_of_its_own() {
    assert_eq!(refuse::refusal(&want(1, 1), &[]).unwrap().reason(), "NO_HOST");
    let named = Want { host: Some(Uuid::new_v4()), ..want(1, 1) };
    assert_eq!(refuse::refusal(&named, &[]).unwrap().kind(), Kind::NotFound);
}

#[test]
fn every_broken_field_is_named() {
    let request = ReservePlacementRequest {
        claim_uuid: Uuid::new_v4().to_string(),
        cpu_count: -3,
        host_uuid: "nonsense".into(),
        ..ReservePlacementRequest::default()
    };
    let error = Want::read(&request).unwrap_err();
    let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["host_uuid", "cpu_count", "memory_bytes"]);
}
