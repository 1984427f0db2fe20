//! Addresses of interfaces, for the other services. No request id is needed: the interface's UUID says which wish it is.

use std::net::Ipv4Addr;

use gyre_flow::fence;
use gyre_mesh::serve::caller;
use gyre_model::Error;
use gyre_proto::network::v1::address_service_server::AddressService;
use gyre_proto::network::v1::{
    AllocateAddressRequest, AllocateAddressResponse, ReleaseAddressRequest, ReleaseAddressResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, uuid};
use crate::store::address::{self, Taken, Wish};

/// How often it is tried where another is beside.
const TRIES: usize = 5;

#[tonic::async_trait]
impl AddressService for Api {
    async fn allocate_address(
        &self,
        request: Request<AllocateAddressRequest>,
    ) -> Result<Response<AllocateAddressResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let address = match request.address.as_str() {
            "" => None,
            text => Some(text.parse::<Ipv4Addr>().map_err(|_| Error::invalid("address", "must be an IPv4 address"))?),
        };
        let wish = Wish {
            l3_network: uuid("l3-network", &request.l3_network_uuid)?,
            nic: uuid("nic", &request.nic_uuid)?,
            vm: uuid("vm", &request.vm_uuid)?,
            address: address.map(u32::from),
        };
        for _ in 0..TRIES {
            let taken = self.inner.store.write_again("address-allocate", move |conn| {
                fence::check(conn, &caller)?;
                address::address_allocate(conn, &caller, &wish)
            });
            if let Taken::Address(taken) = taken.await? {
                return Ok(Response::new(*taken));
            }
        }
        Err(Error::unavailable("ADDRESS_CONTENTION", "others take addresses for the same interface; try again").into())
    }

    async fn release_address(
        &self,
        request: Request<ReleaseAddressRequest>,
    ) -> Result<Response<ReleaseAddressResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let network = uuid("l3-network", &request.l3_network_uuid)?;
        let nic = uuid("nic", &request.nic_uuid)?;
        let release = self.inner.store.write_again("address-release", move |conn| {
            fence::check(conn, &caller)?;
            address::address_release(conn, network, nic)
        });
        release.await?;
        Ok(Response::new(ReleaseAddressResponse {}))
    }
}
