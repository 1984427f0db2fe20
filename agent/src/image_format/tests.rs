use super::*;
use crate::qcow2;

/// A sound image of 1 GiB, as our own writer makes it.
fn sound() -> Vec<u8> {
    qcow2::image(1 << 30, None).expect("a sound size")
}

fn probe(bytes: &[u8]) -> Probe {
    let mut probe = Probe::default();
    bytes.chunks(1000).for_each(|chunk| probe.take(chunk));
    probe
}

fn reason(format: Format, bytes: &[u8]) -> String {
    check(format, &probe(bytes)).expect_err("must be refused").reason().to_owned()
}

fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = sound();
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
    image
}

#[test]
fn the_probe_sees_beginning_end_and_length() {
    let bytes: Vec<u8> = (0..10_007_u32).map(|at| (at % 251) as u8).collect();
    let probe = probe(&bytes);
    assert_eq!(probe.head, bytes[..HEAD]);
    assert_eq!(probe.tail, bytes[bytes.len() - TAIL..]);
    assert_eq!(probe.length, 10_007);
}

#[test]
fn sound_images_pass() {
    assert_eq!(check(Format::Qcow2, &probe(&sound())).expect("sound"), 1 << 30);
    assert_eq!(check(Format::Raw, &probe(&[0; 1024])).expect("sound"), 1024);
}

#[test]
fn every_hostile_qcow2_header_has_its_own_reason() {
    let be32 = |value: u32| value.to_be_bytes();
    let be64 = |value: u64| value.to_be_bytes();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "IMAGE_NOT_QCOW2"),
        (b"<!DOCTYPE html>".to_vec(), "IMAGE_NOT_QCOW2"),
        (b"QFI\xfb".to_vec(), "IMAGE_HEADER_TRUNCATED"),
        (sound()[..60].to_vec(), "IMAGE_HEADER_TRUNCATED"),
        (with(4, &be32(1)), "IMAGE_VERSION_UNKNOWN"),
        (with(4, &be32(4)), "IMAGE_VERSION_UNKNOWN"),
        (with(8, &be64(1024)), "IMAGE_HAS_BACKING_FILE"),
        (with(16, &be32(11)), "IMAGE_HAS_BACKING_FILE"),
        (with(20, &be32(8)), "IMAGE_HEADER_INVALID"),
        (with(20, &be32(63)), "IMAGE_HEADER_INVALID"),
        (with(20, &be32(u32::MAX)), "IMAGE_HEADER_INVALID"),
        (with(24, &be64(0)), "IMAGE_EMPTY"),
        (with(24, &be64(u64::MAX)), "IMAGE_TOO_LARGE"),
        (with(24, &be64(1000)), "IMAGE_SIZE_INVALID"),
        (with(24, &be64(1 << 40)), "IMAGE_HEADER_INVALID"),
        (with(32, &be32(1)), "IMAGE_ENCRYPTED"),
        (with(32, &be32(2)), "IMAGE_ENCRYPTED"),
        (with(36, &be32(0)), "IMAGE_HEADER_INVALID"),
        (with(36, &be32(u32::MAX)), "IMAGE_HEADER_INVALID"),
        (with(40, &be64(0)), "IMAGE_TABLE_OUTSIDE_FILE"),
        (with(40, &be64(1)), "IMAGE_TABLE_OUTSIDE_FILE"),
        (with(40, &be64(u64::MAX - 65535)), "IMAGE_TABLE_OUTSIDE_FILE"),
        (with(48, &be64(1 << 40)), "IMAGE_TABLE_OUTSIDE_FILE"),
        (with(56, &be32(0)), "IMAGE_HEADER_INVALID"),
        (with(56, &be32(u32::MAX)), "IMAGE_HEADER_INVALID"),
        (with(60, &be32(1)), "IMAGE_HAS_SNAPSHOTS"),
        (with(72, &be64(DATA_FILE)), "IMAGE_HAS_DATA_FILE"),
        (with(72, &be64(CORRUPT)), "IMAGE_CORRUPT"),
        (with(72, &be64(1 << 5)), "IMAGE_FEATURE_UNKNOWN"),
        (with(72, &be64(1 << 63)), "IMAGE_FEATURE_UNKNOWN"),
        (with(96, &be32(7)), "IMAGE_HEADER_INVALID"),
        (with(100, &be32(72)), "IMAGE_HEADER_INVALID"),
        (with(100, &be32(105)), "IMAGE_HEADER_INVALID"),
        (with(100, &be32(1 << 20)), "IMAGE_HEADER_INVALID"),
    ];
    for (at, (bytes, expected)) in cases.iter().enumerate() {
        assert_eq!(reason(Format::Qcow2, bytes), *expected, "case {at}");
    }
    assert_eq!(
        reason(Format::Qcow2, &qcow2::image(1 << 30, Some(("/etc/passwd", Format::Raw))).expect("made")),
        "IMAGE_HAS_BACKING_FILE"
    );
}

#[test]
fn every_truncation_is_refused_without_a_panic() {
    let image = sound();
    for length in 0..200 {
        check(Format::Qcow2, &probe(&image[..length])).expect_err("a header alone is no image");
    }
}

#[test]
fn random_headers_never_panic() {
    // a small generator of our own: the same bytes in every run
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut image = sound()[..512].to_vec();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = 4 + (state >> 33) as usize % 108;
            image[at] = (state >> 56) as u8;
        }
        let _ = check(Format::Qcow2, &probe(&image));
        let _ = check(Format::Raw, &probe(&image));
    }
}

#[test]
fn raw_disks_must_not_look_like_anything_else() {
    for (offset, magic, name) in BEGINNINGS {
        let mut bytes = vec![0; 8192];
        bytes[*offset..offset + magic.len()].copy_from_slice(magic);
        assert_eq!(reason(Format::Raw, &bytes), "IMAGE_FORMAT_MISMATCH", "{name}");
    }
    let mut bytes = vec![0; 8192];
    bytes[8192 - 512..8192 - 504].copy_from_slice(b"conectix");
    assert_eq!(reason(Format::Raw, &bytes), "IMAGE_FORMAT_MISMATCH");
    assert_eq!(reason(Format::Raw, &[]), "IMAGE_EMPTY");
    assert_eq!(reason(Format::Raw, &[0; 513]), "IMAGE_SIZE_INVALID");
}
