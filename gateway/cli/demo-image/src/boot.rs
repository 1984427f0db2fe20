//! The machine code that a BIOS starts, assembled into this program by `global_asm!`.
//!
//! The sources are `boot/loader.S` (flavour Linux) and `boot/greet.S` (flavour boot sector). They are data here: nothing
//! in this process ever jumps to them, so they stand in `.rodata`. LLVM's assembler knows 16-bit x86 only where it knows
//! x86, so other architectures get [`Error::Architecture`].

use crate::Error;

/// Size of the loader: the boot sector and the second stage, `boot/loader.S` pads itself to it.
pub const LOADER_BYTES: usize = 512 * 4;
/// Where the second stage begins, and with it the loader's table.
pub const TABLE: usize = 512;
/// Where `boot/greet.S` wants its text.
pub const GREETING: usize = 230;
/// From here to the end of the sector a boot sector belongs to disk signature and partition table.
pub const CODE_END: usize = 440;

/// The loader's bytes, its table and the partition table still empty.
pub fn loader() -> Result<&'static [u8; LOADER_BYTES], Error> {
    assembled::loader().ok_or(Error::Architecture)
}

/// The greeting boot sector, its text still empty.
pub fn greeter() -> Result<&'static [u8; 512], Error> {
    assembled::greeter().ok_or(Error::Architecture)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod assembled {
    // `global_asm!` and naming its symbols count as unsafe code: both could disturb the program. Here they only add
    // two read-only arrays.
    #![allow(unsafe_code)]

    use super::LOADER_BYTES;
    use std::arch::global_asm;

    global_asm!(
        ".pushsection .rodata.gyre_demo_loader,\"a\",@progbits",
        ".globl gyre_demo_loader",
        ".hidden gyre_demo_loader",
        "gyre_demo_loader:",
        include_str!("boot/loader.S"),
        ".popsection",
        ".pushsection .rodata.gyre_demo_greeter,\"a\",@progbits",
        ".globl gyre_demo_greeter",
        ".hidden gyre_demo_greeter",
        "gyre_demo_greeter:",
        include_str!("boot/greet.S"),
        ".popsection",
        options(att_syntax, raw)
    );

    // SAFETY: both symbols are defined above, read-only, and padded by `.org` to exactly these sizes.
    unsafe extern "C" {
        safe static gyre_demo_loader: [u8; LOADER_BYTES];
        safe static gyre_demo_greeter: [u8; 512];
    }

    pub fn loader() -> Option<&'static [u8; LOADER_BYTES]> {
        Some(&gyre_demo_loader)
    }

    pub fn greeter() -> Option<&'static [u8; 512]> {
        Some(&gyre_demo_greeter)
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod assembled {
    pub fn loader() -> Option<&'static [u8; super::LOADER_BYTES]> {
        None
    }

    pub fn greeter() -> Option<&'static [u8; 512]> {
        None
    }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_padded_and_its_table_is_where_rust_thinks() {
        let loader = loader().unwrap();
        assert_eq!(loader[0], 0xfa, "starts with cli");
        assert_eq!(&loader[TABLE..TABLE + 4], b"gyre");
        assert!(loader[CODE_END..TABLE].iter().all(|&b| b == 0), "code reaches into the partition table");
        assert!(loader[TABLE + 4..TABLE + 16 + 4 * 24].iter().all(|&b| b == 0), "the table is empty");
        assert_eq!(*loader.last().unwrap(), 0);
    }

    #[test]
    fn the_greeter_leaves_room_for_its_text() {
        let greeter = greeter().unwrap();
        assert_eq!(greeter[0], 0xfa);
        assert!(greeter[GREETING..].iter().all(|&b| b == 0), "code reaches into the text");
        const { assert!(GREETING + crate::GREETING_MAX + 5 <= CODE_END) };
    }
}
