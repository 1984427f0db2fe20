//! QEMU's own user-mode network: needs no right and no device. Nothing is made on the host; the machine's arguments say it all.

use async_trait::async_trait;
use gyre_model::Result;
use gyre_proto::agent::v1::MachineNic;

use crate::ports::{Network, NicBackend};

/// The driver.
#[derive(Debug, Default, Clone, Copy)]
pub struct UserNetwork;

#[async_trait]
impl Network for UserNetwork {
    fn mode(&self) -> &'static str {
        "user"
    }

    async fn plug(&self, _nic: &MachineNic) -> Result<NicBackend> {
        Ok(NicBackend::User)
    }

    async fn unplug(&self, _nic: &MachineNic) -> Result<()> {
        Ok(())
    }
}
