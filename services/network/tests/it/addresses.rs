//! Addresses: taken without a race, by whoever asks together; given back; and what cannot be had.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use gyre_model::{Caller, Error, Kind, Uuid};
use gyre_proto::common::v1::OperationState;
use gyre_proto::network::v1::{AllocateAddressRequest, DeleteIpRangeRequest, ReleaseAddressRequest};
use gyre_store::{Sql, Value};

use crate::support::{Env, VM, range, uuid};

#[tokio::test]
async fn an_interface_gets_an_address_and_keeps_it() {
    let env = Env::new().await;
    let (l3, range) = env.network("10.0.0.10", "10.0.0.20").await;
    let nic = uuid();
    let got = env.take(&l3.uuid, &nic, "").await.unwrap();
    let address: Ipv4Addr = got.address.parse().unwrap();
    assert!((Ipv4Addr::new(10, 0, 0, 10)..=Ipv4Addr::new(10, 0, 0, 20)).contains(&address));
    assert_eq!((got.gateway.as_str(), got.prefix_length, got.bridge.as_str()), ("10.0.0.1", 16, "br0"));
    assert_eq!((got.cluster_uuid.as_str(), got.dns.as_slice()), (env.cluster.as_str(), l3.dns.as_slice()));
    assert_eq!(env.take(&l3.uuid, &nic, "").await.unwrap(), got);
    assert_eq!(env.take(&l3.uuid, &nic, &got.address).await.unwrap(), got);
    assert_eq!(env.used().await, 1);
    assert_eq!(env.range(&range.uuid).await.used_count, 1);
    assert_eq!(env.range(&range.uuid).await.generation, 1, "a counter is no change of the range");

    env.give_back(&l3.uuid, &nic).await;
    env.give_back(&l3.uuid, &nic).await;
    env.give_back(&l3.uuid, &uuid()).await;
    assert_eq!(env.used().await, 0);
}

#[tokio::test]
async fn what_cannot_be_had_is_said_and_takes_nothing() {
    let env = Env::new().await;
    let (l3, _) = env.network("10.0.0.10", "10.0.0.11").await;
    let error = env.take(&l3.uuid, &uuid(), "10.0.0.9").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::InvalidArgument, "ADDRESS_OUTSIDE_RANGES"));
    let (first, second) = (uuid(), uuid());
    assert_eq!(env.take(&l3.uuid, &first, "10.0.0.11").await.unwrap().address, "10.0.0.11");
    let error = env.take(&l3.uuid, &second, "10.0.0.11").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::FailedPrecondition, "ADDRESS_IN_USE"));
    assert_eq!(env.used().await, 1);
    assert_eq!(env.take(&l3.uuid, &second, "").await.unwrap().address, "10.0.0.10");
    let error = env.take(&l3.uuid, &uuid(), "").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::ResourceExhausted, "NO_FREE_ADDRESS"));
    assert_eq!((error.metadata()["total"].as_str(), error.metadata()["ranges"].as_str()), ("2", "1"));
    let error = env.take(&l3.uuid, &uuid(), "10.0.0.10").await.unwrap_err();
    assert_eq!(error.reason(), "ADDRESS_IN_USE");
    assert_eq!(env.take(&l3.uuid, &first, "10.0.0.10").await.unwrap_err().reason(), "NIC_HAS_ADDRESS");

    let request = AllocateAddressRequest {
        l3_network_uuid: l3.uuid.clone(),
        nic_uuid: first.clone(),
        vm_uuid: uuid(),
        address: String::new(),
    };
    let error = Error::from(env.addresses(env.user).allocate_address(request).await.unwrap_err());
    assert_eq!(error.reason(), "NIC_HAS_ADDRESS", "an interface of another machine");
    assert_eq!(env.used().await, 2);

    let empty = env.make_l3(&l3.l2_network_uuid, true).await.unwrap();
    assert_eq!(env.take(&empty.uuid, &uuid(), "").await.unwrap_err().reason(), "NO_FREE_ADDRESS");
    assert_eq!(env.take(&uuid(), &uuid(), "").await.unwrap_err().reason(), "L3_NETWORK_NOT_FOUND");
}

#[tokio::test]
async fn a_network_that_the_caller_does_not_see_gives_nothing() {
    let env = Env::new().await;
    let l2 = env.make_l2("br0").await.unwrap();
    let own = env.make_l3(&l2.uuid, false).await.unwrap();
    env.make_range(&own.uuid, "10.0.0.10", "10.0.0.20", "10.0.0.1").await.unwrap();
    let nic = uuid();
    let error = env.take(&own.uuid, &nic, "").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::NotFound, "L3_NETWORK_NOT_FOUND"));
    env.take_for(env.admin, &own.uuid, &nic, "").await.unwrap();
    env.take_for(Caller::system(), &own.uuid, &uuid(), "").await.unwrap();
    // giving back is the interface's, whoever sees the network by then
    env.give_back(&own.uuid, &nic).await;
    assert_eq!(env.used().await, 1);
}

#[tokio::test]
async fn interfaces_that_ask_together_get_different_addresses() {
    let env = Env::new().await;
    let (l3, _) = env.network("10.0.0.10", "10.0.0.109").await;
    env.make(range(&l3.uuid, "10.0.1.10", "10.0.1.109", "10.0.0.1", 16)).await.unwrap();
    let mut tries = Vec::new();
    for _ in 0..210 {
        let mut addresses = env.addresses(env.user);
        let request = AllocateAddressRequest {
            l3_network_uuid: l3.uuid.clone(),
            nic_uuid: uuid(),
            vm_uuid: VM.into(),
            address: String::new(),
        };
        tries.push(tokio::spawn(async move { addresses.allocate_address(request).await }));
    }
    let (mut got, mut refused) = (BTreeSet::new(), 0);
    for tried in tries {
        match tried.await.unwrap().map_err(Error::from) {
            Ok(response) => assert!(got.insert(response.into_inner().address)),
            Err(error) => {
                assert_eq!(error.reason(), "NO_FREE_ADDRESS");
                refused += 1;
            }
        }
    }
    assert_eq!((got.len(), refused), (200, 10));
    assert_eq!(env.used().await, 200);
}

#[tokio::test]
async fn one_interface_that_asks_often_gets_one_address() {
    let env = Env::new().await;
    let (l3, _) = env.network("10.0.0.10", "10.0.0.109").await;
    let nic = uuid();
    let mut tries = Vec::new();
    for _ in 0..20 {
        let mut addresses = env.addresses(env.user);
        let request = AllocateAddressRequest {
            l3_network_uuid: l3.uuid.clone(),
            nic_uuid: nic.clone(),
            vm_uuid: VM.into(),
            address: String::new(),
        };
        tries.push(tokio::spawn(async move { addresses.allocate_address(request).await }));
    }
    let mut got = BTreeSet::new();
    for tried in tries {
        got.insert(tried.await.unwrap().unwrap().into_inner().address);
    }
    assert_eq!(got.len(), 1);
    assert_eq!(env.used().await, 1);
}

#[tokio::test]
async fn taking_and_giving_back_together_keeps_the_count() {
    let env = Env::new().await;
    let (l3, range) = env.network("10.0.0.10", "10.0.0.17").await;
    let stays = uuid();
    env.take(&l3.uuid, &stays, "").await.unwrap();
    take_and_give_back(&env, &l3.uuid, &range.uuid).await;
    assert_eq!(env.used().await, 1);
    // and once more with nothing to keep the range
    env.give_back(&l3.uuid, &stays).await;
    take_and_give_back(&env, &l3.uuid, &range.uuid).await;
    assert_eq!(env.used().await, 0);
}

/// Many take addresses of a range and give them back, while somebody tries to delete the range.
async fn take_and_give_back(env: &Env, l3: &str, range: &str) {
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (mut addresses, l3) = (env.addresses(env.user), l3.to_owned());
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                let nic = uuid();
                let take = AllocateAddressRequest {
                    l3_network_uuid: l3.clone(),
                    nic_uuid: nic.clone(),
                    vm_uuid: VM.into(),
                    address: String::new(),
                };
                match addresses.allocate_address(take).await.map_err(Error::from) {
                    Ok(_) => {
                        let give = ReleaseAddressRequest { l3_network_uuid: l3.clone(), nic_uuid: nic };
                        addresses.release_address(give).await.unwrap();
                    }
                    Err(error) => assert_eq!(error.reason(), "NO_FREE_ADDRESS"),
                }
            }
        }));
    }
    // and somebody tries to take the range away all the while: in vain while anybody has an address
    let mut deleted = false;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let delete = DeleteIpRangeRequest { uuid: range.to_owned(), ..Default::default() };
        match env.ranges(env.admin).delete_ip_range(delete).await {
            Ok(operation) => deleted |= env.end(Ok(operation)).await.state() == OperationState::Succeeded,
            Err(status) => {
                let error = Error::from(status);
                assert_eq!(error.reason(), if deleted { "NOT_FOUND" } else { "IP_RANGE_IN_USE" });
            }
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn the_last_addresses_of_a_large_range_are_found_quickly() {
    let env = Env::new().await;
    let (l3, range) = env.network("10.0.0.2", "10.0.255.254").await;
    assert_eq!(range.total_count, 65_533);
    // all but three are taken
    let free = [10 << 24 | 77, 10 << 24 | 40_000, 10 << 24 | 65_534];
    let (network, uuid_of_range) = (l3.uuid.parse::<Uuid>().unwrap(), range.uuid.parse::<Uuid>().unwrap());
    let vm: Uuid = VM.parse().unwrap();
    let fill = env.store.write("fill", move |conn| {
        let all: Vec<i64> = ((10 << 24 | 2)..=(10 << 24 | 65_534)).filter(|address| !free.contains(address)).collect();
        for chunk in all.chunks(1000) {
            let mut sql =
                Sql::new("INSERT INTO ip_address (nic_uuid, l3_network_uuid, ip_range_uuid, vm_uuid, address) VALUES ");
            for (at, address) in chunk.iter().enumerate() {
                sql.push(if at == 0 { "(" } else { ", (" });
                let values = [Uuid::new_v4(), network, uuid_of_range, vm].map(Value::from);
                sql = sql.bind_all(values.into_iter().chain([Value::from(*address)])).sql(")");
            }
            conn.execute(sql)?;
        }
        let sql = Sql::new("UPDATE ip_range SET used_count = ").bind(all.len() as i64);
        conn.execute(sql.sql(" WHERE uuid = ").bind(uuid_of_range))?;
        Ok(())
    });
    fill.await.unwrap();
    let started = Instant::now();
    let mut got = BTreeSet::new();
    for _ in 0..3 {
        got.insert(env.take(&l3.uuid, &uuid(), "").await.unwrap().address);
    }
    let took = started.elapsed();
    assert_eq!(got.into_iter().collect::<Vec<_>>(), ["10.0.0.77", "10.0.156.64", "10.0.255.254"]);
    assert_eq!(env.take(&l3.uuid, &uuid(), "").await.unwrap_err().reason(), "NO_FREE_ADDRESS");
    assert_eq!(env.used().await, 65_533);
    // an address at a time would take minutes
    assert!(took < Duration::from_secs(5), "{took:?}");
}
