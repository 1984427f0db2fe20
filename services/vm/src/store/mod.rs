//! The rows of this service, beyond what every resource has.
//!
//! | table | truth of |
//! | --- | --- |
//! | `vm` | a machine, with what its interfaces are (`nics`) |
//! | `nic` | the names and descriptions of interfaces; all else in it repeats `vm.nics`, so that queries reach it |
//!
//! A machine's row is written by [`vm`] only, which has [`nic`] write its interfaces' in the same transaction.

mod nic;
mod vm;

pub use vm::{vm_delete, vm_insert, vm_move, vm_restore, wrong_state};
