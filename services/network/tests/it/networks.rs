//! L2 and L3 networks.

use gyre_model::{Error, Kind};
use gyre_proto::FieldMask;
use gyre_proto::network::v1::{
    CreateL2NetworkRequest, CreateL3NetworkRequest, DeleteL2NetworkRequest, DeleteL3NetworkRequest,
    GetL2NetworkRequest, GetL3NetworkRequest, L2Network, L2NetworkType, L3Network, ListL3NetworksRequest,
    UpdateL2NetworkRequest, UpdateL3NetworkRequest,
};

use crate::support::{Env, reason, uuid};

#[tokio::test]
async fn a_bridge_is_one_network_of_its_cluster() {
    let env = Env::new().await;
    let first = env.make_l2("br0").await.unwrap();
    assert_eq!((first.r#type(), first.generation), (L2NetworkType::Bridge, 1));
    let error = env.make_l2("br0").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::AlreadyExists, "BRIDGE_IN_USE"));
    assert_eq!(error.metadata()["l2_network_uuid"], first.uuid);
    assert_eq!(error.violations()[0].field, "l2_network.bridge");
    env.make_l2("br1").await.unwrap();

    let get = GetL2NetworkRequest { uuid: first.uuid.clone() };
    assert_eq!(env.l2(env.user).get_l2_network(get).await.unwrap().into_inner(), first);
    let nowhere = L2Network { uuid: String::new(), cluster_uuid: uuid(), ..first.clone() };
    let request = CreateL2NetworkRequest { l2_network: Some(nowhere), request_id: String::new() };
    assert_eq!(reason(env.l2(env.admin).create_l2_network(request.clone()).await), "CLUSTER_NOT_FOUND");
    assert_eq!(reason(env.l2(env.user).create_l2_network(request).await), "ADMIN_ONLY");
    let request = CreateL2NetworkRequest { l2_network: Some(L2Network::default()), request_id: String::new() };
    let error = Error::from(env.l2(env.admin).create_l2_network(request).await.unwrap_err());
    assert_eq!(error.violations().len(), 4, "{error}");
}

#[tokio::test]
async fn names_change_and_wires_do_not() {
    let env = Env::new().await;
    let l2 = env.make_l2("br0").await.unwrap();
    let patch = L2Network { uuid: l2.uuid.clone(), name: "new".into(), ..L2Network::default() };
    let request = UpdateL2NetworkRequest { l2_network: Some(patch), ..Default::default() };
    let changed = env.l2(env.admin).update_l2_network(request).await.unwrap().into_inner();
    assert_eq!((changed.name.as_str(), changed.bridge.as_str(), changed.generation), ("new", "br0", 2));
    let patch = L2Network { uuid: l2.uuid.clone(), bridge: "br9".into(), ..L2Network::default() };
    let request = UpdateL2NetworkRequest { l2_network: Some(patch), ..Default::default() };
    assert_eq!(reason(env.l2(env.admin).update_l2_network(request).await), "INVALID_FIELD");

    let l3 = env.make_l3(&l2.uuid, false).await.unwrap();
    let patch = L3Network { uuid: l3.uuid.clone(), dns: vec!["9.9.9.9".into()], shared: true, ..L3Network::default() };
    let mask = FieldMask { paths: vec!["dns".into(), "shared".into()] };
    let request = UpdateL3NetworkRequest { l3_network: Some(patch), update_mask: Some(mask), ..Default::default() };
    let changed = env.l3(env.admin).update_l3_network(request.clone()).await.unwrap().into_inner();
    assert_eq!((changed.dns, changed.shared, changed.name.as_str()), (vec!["9.9.9.9".to_owned()], true, "l3"));
    assert_eq!(reason(env.l3(env.user).update_l3_network(request).await), "ADMIN_ONLY");
}

#[tokio::test]
async fn an_l3_network_is_seen_by_its_owner_and_by_all_once_it_is_shared() {
    let env = Env::new().await;
    let l2 = env.make_l2("br0").await.unwrap();
    let own = env.make_l3(&l2.uuid, false).await.unwrap();
    assert_eq!(own.account_uuid, env.admin.account_uuid.to_string());
    let get = GetL3NetworkRequest { uuid: own.uuid.clone() };
    assert_eq!(reason(env.l3(env.user).get_l3_network(get.clone()).await), "NOT_FOUND");
    env.l3(env.admin).get_l3_network(get).await.unwrap();
    let shared = env.make_l3(&l2.uuid, true).await.unwrap();
    let listed = env.l3(env.user).list_l3_networks(ListL3NetworksRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.l3_networks, [shared]);

    assert_eq!(env.make_l3(&uuid(), true).await.unwrap_err().reason(), "L2_NETWORK_NOT_FOUND");
    let wrong = L3Network {
        name: "x".into(),
        l2_network_uuid: l2.uuid,
        dns: vec!["not an address".into()],
        ..L3Network::default()
    };
    let request = CreateL3NetworkRequest { l3_network: Some(wrong), request_id: String::new() };
    let error = Error::from(env.l3(env.admin).create_l3_network(request).await.unwrap_err());
    assert_eq!(error.violations()[0].field, "l3_network.dns");
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted() {
    let env = Env::new().await;
    let (l3, range) = env.network("10.0.0.10", "10.0.0.20").await;
    let delete_l2 = DeleteL2NetworkRequest { uuid: l3.l2_network_uuid.clone(), ..Default::default() };
    let error = Error::from(env.l2(env.admin).delete_l2_network(delete_l2.clone()).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "NEEDS_CASCADE"));
    assert_eq!(error.metadata()["l3_networks"], "1");

    let nic = uuid();
    env.take(&l3.uuid, &nic, "").await.unwrap();
    let delete_l3 = DeleteL3NetworkRequest { uuid: l3.uuid.clone(), ..Default::default() };
    let error = Error::from(env.l3(env.admin).delete_l3_network(delete_l3.clone()).await.unwrap_err());
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "L3_NETWORK_IN_USE"));
    assert_eq!(error.metadata()["count"], "1");
    assert_eq!(env.range(&range.uuid).await.used_count, 1);

    env.give_back(&l3.uuid, &nic).await;
    env.done(env.l3(env.admin).delete_l3_network(delete_l3.clone()).await).await;
    assert_eq!(env.number("SELECT COUNT(*) FROM ip_range").await, 0, "its ranges go with it");
    let log = "SELECT COUNT(*) FROM change_log WHERE kind = 'ip-range' AND action = 'DELETE'";
    assert_eq!(env.number(log).await, 1);
    assert_eq!(reason(env.l3(env.admin).delete_l3_network(delete_l3).await), "NOT_FOUND");
    env.done(env.l2(env.admin).delete_l2_network(delete_l2.clone()).await).await;
    assert_eq!(reason(env.l2(env.admin).delete_l2_network(delete_l2).await), "NOT_FOUND");
}
