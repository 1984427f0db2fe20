//! The rows of a machine's interfaces, which follow the list in its own row.

use gyre_model::{Error, Result, parse_uuid};
use gyre_proto::vm::v1::{Nic, Vm, VmNic};
use gyre_query::Change;
use gyre_store::{Conn, Sql};

/// A row with what its machine says of the interface; what people say of it stays.
fn told(row: Nic, vm: &Vm, nic: &VmNic) -> Nic {
    Nic {
        vm_uuid: vm.uuid.clone(),
        account_uuid: vm.account_uuid.clone(),
        l3_network_uuid: nic.l3_network_uuid.clone(),
        mac: nic.mac.clone(),
        ip: nic.address.clone(),
        gateway: nic.gateway.clone(),
        prefix_length: nic.prefix_length,
        bridge: nic.bridge.clone(),
        ..row
    }
}

/// The row of an interface that has none yet.
fn nic_insert(conn: &mut Conn, change: &Change, vm: &Vm, place: usize, nic: &VmNic) -> Result<()> {
    let row = Nic { uuid: nic.uuid.clone(), name: format!("nic-{place}"), ..Nic::default() };
    gyre_query::insert(conn, change, &told(row, vm, nic)).map(drop)
}

/// Writes the rows of a new machine's interfaces.
pub(super) fn nics_insert(conn: &mut Conn, change: &Change, vm: &Vm) -> Result<()> {
    vm.nics.iter().enumerate().try_for_each(|(place, nic)| nic_insert(conn, change, vm, place, nic))
}

/// Makes the rows of a machine's interfaces what the machine says of them: those that are missing are made, those that it has no
/// more are deleted. So an instance of an earlier version, which does not know these rows, leaves nothing that stays wrong.
pub(super) fn nics_agree(conn: &mut Conn, change: &Change, vm: &Vm, nics: &[VmNic]) -> Result<()> {
    let uuid = parse_uuid(&vm.uuid).ok_or_else(|| Error::internal(format!("a machine without UUID: {:?}", vm.uuid)))?;
    let rows = gyre_query::select::<Nic>(conn, Sql::new("vm_uuid = ").bind(uuid))?;
    for (place, nic) in nics.iter().enumerate() {
        match rows.iter().find(|row| row.uuid == nic.uuid) {
            None => nic_insert(conn, change, vm, place, nic)?,
            Some(row) => {
                let now = told(row.clone(), vm, nic);
                if now != *row {
                    gyre_query::update_from(conn, change, row, &now)?;
                }
            }
        }
    }
    for row in rows.iter().filter(|row| !nics.iter().any(|nic| nic.uuid == row.uuid)) {
        gyre_query::delete_from(conn, change, row)?;
    }
    Ok(())
}
