//! IP ranges: each broken rule by its reason, and those that come together.

use gyre_model::{Error, Kind};
use gyre_proto::network::v1::{CreateIpRangeRequest, DeleteIpRangeRequest, IpRange, ListIpRangesRequest};

use crate::support::{Env, range, reason, uuid};

#[tokio::test]
async fn a_range_knows_how_many_addresses_it_has() {
    let env = Env::new().await;
    let (l3, range) = env.network("10.0.0.10", "10.0.0.20").await;
    assert_eq!((range.total_count, range.used_count), (11, 0));
    assert_eq!((range.account_uuid, range.l3_network_uuid), (l3.account_uuid, l3.uuid));
    let listed = env.ranges(env.admin).list_ip_ranges(ListIpRangesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.ip_ranges.len(), 1);
    // what a caller says of counters is not believed
    let mine = IpRange {
        total_count: 9,
        used_count: 9,
        ..self::range(&listed.ip_ranges[0].l3_network_uuid, "10.0.1.0", "10.0.1.0", "10.0.0.1", 16)
    };
    let made = env.make(mine).await.unwrap();
    assert_eq!((made.total_count, made.used_count), (1, 0));
}

#[tokio::test]
async fn every_broken_rule_has_its_reason_and_leaves_nothing() {
    let env = Env::new().await;
    let l2 = env.make_l2("br0").await.unwrap();
    let l3 = env.make_l3(&l2.uuid, false).await.unwrap().uuid;
    for (start, end, gateway, prefix, broken) in [
        ("10.0.0.9", "10.0.0.2", "10.0.0.1", 24, "RANGE_REVERSED"),
        ("10.0.0.2", "10.0.1.9", "10.0.0.1", 24, "RANGE_OUTSIDE_SUBNET"),
        ("10.0.0.2", "10.0.0.9", "10.0.1.1", 24, "GATEWAY_OUTSIDE_SUBNET"),
        ("10.0.0.2", "10.0.0.9", "10.0.0.5", 24, "GATEWAY_IN_RANGE"),
        ("10.0.0.2", "10.0.0.9", "10.0.0.255", 24, "GATEWAY_NOT_USABLE"),
        ("10.0.0.0", "10.0.0.9", "10.0.0.10", 24, "NETWORK_ADDRESS_IN_RANGE"),
        ("10.0.0.2", "10.0.0.255", "10.0.0.1", 24, "BROADCAST_ADDRESS_IN_RANGE"),
        ("10.0.0.2", "10.2.0.2", "10.0.0.1", 8, "RANGE_TOO_LARGE"),
        ("127.0.0.2", "127.0.0.9", "127.0.0.1", 24, "ADDRESS_NOT_USABLE"),
        ("239.0.0.2", "239.0.0.9", "239.0.0.1", 24, "ADDRESS_NOT_USABLE"),
        ("0.0.0.2", "0.0.0.9", "0.0.0.1", 24, "ADDRESS_NOT_USABLE"),
    ] {
        let error = env.make(range(&l3, start, end, gateway, prefix)).await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (Kind::InvalidArgument, broken), "{error}");
        assert!(error.violations()[0].field.starts_with("ip_range."), "{error}");
    }
    let error = env.make(range(&l3, "10.0.0.0", "10.0.0.255", "10.0.0.7", 24)).await.unwrap_err();
    assert_eq!(error.violations().len(), 3, "all at once: {error}");
    let error = env.make(range(&l3, "10.0.0.300", "", "x", 31)).await.unwrap_err();
    let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    let expected =
        ["start_address", "gateway", "prefix_length", "end_address"].map(|field| format!("ip_range.{field}"));
    assert_eq!(fields, expected, "the layers' own rules");
    let error = env.make_range(&uuid(), "10.0.0.2", "10.0.0.9", "10.0.0.1").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::NotFound, "L3_NETWORK_NOT_FOUND"));
    let request = CreateIpRangeRequest {
        ip_range: Some(range(&l3, "10.0.0.2", "10.0.0.9", "10.0.0.1", 24)),
        ..Default::default()
    };
    assert_eq!(reason(env.ranges(env.user).create_ip_range(request).await), "ADMIN_ONLY");
    assert_eq!(env.number("SELECT COUNT(*) FROM ip_range").await, 0);
}

#[tokio::test]
async fn ranges_of_one_wire_do_not_overlap_whatever_their_network() {
    let env = Env::new().await;
    let l2 = env.make_l2("br0").await.unwrap();
    let (one, two) = (env.make_l3(&l2.uuid, false).await.unwrap(), env.make_l3(&l2.uuid, false).await.unwrap());
    let there = env.make_range(&one.uuid, "10.0.0.100", "10.0.0.199", "10.0.0.1").await.unwrap();
    for l3 in [&one, &two] {
        let error = env.make_range(&l3.uuid, "10.0.0.150", "10.0.0.250", "10.0.0.1").await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "RANGE_OVERLAPS"));
        assert_eq!(error.metadata()["ip_range_uuids"], there.uuid);
        assert!(error.message().contains(&there.uuid), "{error}");
    }
    let error = env.make_range(&one.uuid, "10.0.0.2", "10.0.0.99", "10.0.0.254").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "GATEWAY_DIFFERS"));
    env.make_range(&one.uuid, "10.0.0.2", "10.0.0.99", "10.0.0.1").await.unwrap();
    env.make_range(&two.uuid, "10.0.0.200", "10.0.0.250", "10.0.0.254").await.unwrap();
    // another wire is another matter
    let other = env.make_l2("br1").await.unwrap();
    let three = env.make_l3(&other.uuid, false).await.unwrap();
    env.make_range(&three.uuid, "10.0.0.100", "10.0.0.199", "10.0.0.1").await.unwrap();
}

#[tokio::test]
async fn of_ranges_that_overlap_and_come_together_one_is_made() {
    let env = Env::new().await;
    let l2 = env.make_l2("br0").await.unwrap();
    let networks = [env.make_l3(&l2.uuid, false).await.unwrap(), env.make_l3(&l2.uuid, false).await.unwrap()];
    let mut tries = Vec::new();
    for at in 0..16 {
        let mut ranges = env.ranges(env.admin);
        let l3 = &networks[at % 2].uuid;
        let range = range(l3, &format!("10.0.0.{}", 10 + at), &format!("10.0.0.{}", 100 + at), "10.0.0.1", 24);
        let request = CreateIpRangeRequest { ip_range: Some(range), request_id: String::new() };
        tries.push(tokio::spawn(async move { ranges.create_ip_range(request).await }));
    }
    let mut made = 0;
    for tried in tries {
        match tried.await.unwrap().map_err(Error::from) {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.reason(), "RANGE_OVERLAPS"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(env.number("SELECT COUNT(*) FROM ip_range").await, 1);
}

#[tokio::test]
async fn a_range_in_use_is_not_deleted() {
    let env = Env::new().await;
    let (l3, range) = env.network("10.0.0.10", "10.0.0.20").await;
    let nic = uuid();
    env.take(&l3.uuid, &nic, "").await.unwrap();
    let delete = DeleteIpRangeRequest { uuid: range.uuid.clone(), ..Default::default() };
    let error = Error::from(env.ranges(env.admin).delete_ip_range(delete.clone()).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "IP_RANGE_IN_USE"));
    assert_eq!(error.metadata()["count"], "1");
    env.give_back(&l3.uuid, &nic).await;
    env.done(env.ranges(env.admin).delete_ip_range(delete.clone()).await).await;
    assert_eq!(reason(env.ranges(env.admin).delete_ip_range(delete).await), "NOT_FOUND");
}
