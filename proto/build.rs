//! Turns the .proto files into Rust, without protoc: types, clients and servers (tonic), JSON codecs (pbjson), the tables that
//! let generic code handle any resource, and the descriptor set with comments and options kept.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use prost_reflect::{Cardinality, DescriptorPool, ExtensionDescriptor, Kind, MessageDescriptor, Value};

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("proto folder").map(|entry| entry.expect("entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            proto_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
}

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=gyre");
    println!("cargo:rerun-if-changed=google");

    let mut files = Vec::new();
    proto_files(&root.join("gyre"), &mut files);
    let mut compiler = protox::Compiler::new([&root]).expect("proto root");
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files).expect("proto files compile");
    // Encoded by protox itself: going through prost's own types would drop the options, which are extensions.
    let descriptors = compiler.encode_file_descriptor_set();
    fs::write(out.join("gyre.binpb"), with_comments_only(&descriptors)).expect("write descriptors");

    let set = prost_types_set(&descriptors);
    tonic_prost_build::configure()
        .extern_path(".google.protobuf.Any", "crate::Any")
        .extern_path(".google.protobuf.FieldMask", "crate::FieldMask")
        .extern_path(".google.protobuf.Struct", "crate::Struct")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .extern_path(".google.protobuf.Duration", "::pbjson_types::Duration")
        .bytes(".")
        .btree_map(".")
        .codec_path("crate::codec::ProtoCodec")
        .build_transport(false)
        .compile_fds(set)
        .expect("generate types");
    pbjson_build::Builder::new()
        .register_descriptors(&descriptors)
        .expect("register descriptors")
        .extern_path(".google.protobuf.Any", "crate::Any")
        .extern_path(".google.protobuf.FieldMask", "crate::FieldMask")
        .extern_path(".google.protobuf.Struct", "crate::Struct")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .extern_path(".google.protobuf.Duration", "::pbjson_types::Duration")
        .btree_map(["."])
        .build(&[
            ".gyre.common",
            ".gyre.identity",
            ".gyre.host",
            ".gyre.storage",
            ".gyre.network",
            ".gyre.vm",
            ".gyre.agent",
            ".gyre.plugin",
        ])
        .expect("generate JSON codecs");

    let pool = DescriptorPool::decode(descriptors.as_slice()).expect("descriptor pool");
    fs::write(out.join("tables.rs"), tables(&pool)).expect("write tables");
}

/// A descriptor set without the places in the sources that have no comment, and without the line numbers of those that have one: they
/// would be most of what every process reads when it starts.
fn with_comments_only(set: &[u8]) -> Vec<u8> {
    const FILE: u32 = 1;
    const SOURCE_CODE_INFO: u32 = 9;
    const LOCATION: u32 = 1;
    const SPAN: u32 = 2;
    const LEADING_COMMENTS: u32 = 3;
    let location = |location: &[u8]| {
        let mut commented = false;
        rewritten(location, LEADING_COMMENTS, &mut |_| {
            commented = true;
            None
        });
        commented.then(|| rewritten(location, SPAN, &mut |_| None))
    };
    rewritten(set, FILE, &mut |file| {
        Some(rewritten(file, SOURCE_CODE_INFO, &mut |info| Some(rewritten(info, LOCATION, &mut |one| location(one)))))
    })
}

/// A message in which the values of one field, all of which have a length, are replaced or left out.
fn rewritten(message: &[u8], number: u32, each: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let (mut rest, mut out) = (message, Vec::with_capacity(message.len()));
    while !rest.is_empty() {
        let begin = rest;
        let (tag, wire) = decode_key(&mut rest).expect("a field");
        if wire == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest).expect("a length")).expect("a length that fits");
            let (inner, after) = rest.split_at(length);
            rest = after;
            if tag == number {
                if let Some(inner) = each(inner) {
                    encode_key(tag, wire, &mut out);
                    encode_varint(inner.len() as u64, &mut out);
                    out.extend(inner);
                }
                continue;
            }
        } else {
            skip_field(wire, tag, &mut rest, DecodeContext::default()).expect("a value");
        }
        out.extend_from_slice(&begin[..begin.len() - rest.len()]);
    }
    out
}

fn prost_types_set(bytes: &[u8]) -> tonic_prost_build::FileDescriptorSet {
    tonic_prost_build::FileDescriptorSet::decode(bytes).expect("descriptor set")
}

/// `gyre.vm.v1.CreateVmRequest` as a path from the crate's root: `crate::vm::v1::CreateVmRequest`.
fn rust_path(message: &MessageDescriptor) -> Option<String> {
    let package = message.package_name().strip_prefix("gyre.")?;
    if message.parent_message().is_some() || package.starts_with("options") {
        return None;
    }
    Some(format!("crate::{}::{}", package.replace('.', "::"), message.name()))
}

fn resource_kind(message: &MessageDescriptor, extension: &ExtensionDescriptor) -> Option<String> {
    match message.options().get_extension(extension).as_ref() {
        Value::Message(rule) => {
            let kind = rule.get_field_by_name("kind")?.as_str()?.to_owned();
            (!kind.is_empty()).then_some(kind)
        }
        _ => None,
    }
}

/// The tables: JSON codecs by message name, and the traits of resources, list requests and pages.
fn tables(pool: &DescriptorPool) -> String {
    let resource = pool.get_extension_by_name("gyre.options.v1.resource").expect("resource option");
    let mut codecs = String::new();
    let mut traits = String::new();
    let mut names = BTreeSet::new();
    codecs.push_str("    (\"google.protobuf.Struct\", crate::json::JsonCodec::of::<crate::Struct>()),\n");
    for message in pool.all_messages() {
        let Some(path) = rust_path(&message) else { continue };
        if !names.insert(message.full_name().to_owned()) {
            continue;
        }
        writeln!(codecs, "    (\"{}\", crate::json::JsonCodec::of::<{path}>()),", message.full_name()).expect("string");
        writeln!(traits, "impl crate::Named for {path} {{ const NAME: &'static str = \"{}\"; }}", message.full_name())
            .expect("string");
        if let Some(kind) = resource_kind(&message, &resource) {
            let generation = message.get_field_by_name("generation").map_or("0", |_| "self.generation");
            let tags = match message.get_field_by_name("tags") {
                Some(field) if field.is_list() => {
                    "fn tags(&self) -> &[String] { &self.tags } fn set_tags(&mut self, tags: Vec<String>) { self.tags = tags; }"
                }
                _ => "",
            };
            writeln!(
                traits,
                "impl crate::Resource for {path} {{ const KIND: &'static str = \"{kind}\"; fn uuid(&self) -> &str {{ &self.uuid }} \
                 fn generation(&self) -> i64 {{ {generation} }} {tags} }}"
            )
            .expect("string");
        }
        let has = |name: &str| message.get_field_by_name(name).is_some();
        if has("filter") && has("order_by") && has("page_size") && has("page_token") {
            let mask = if has("read_mask") { "self.read_mask.as_ref().map_or(&[], |mask| &mask.paths)" } else { "&[]" };
            let count = if has("count") { "self.count" } else { "false" };
            writeln!(
                traits,
                "impl crate::ListRequest for {path} {{ fn page(&self) -> crate::PageRequest<'_> {{ crate::PageRequest {{ \
                 filter: &self.filter, order_by: &self.order_by, page_size: self.page_size, page_token: &self.page_token, \
                 read_mask: {mask}, count: {count} }} }} }}"
            )
            .expect("string");
        }
        if ["uuid", "request_id", "validate_only", "force", "cascade"].into_iter().all(has) {
            let expunge = if has("expunge") { "self.expunge" } else { "false" };
            writeln!(
                traits,
                "impl crate::DeleteCall for {path} {{ fn uuid(&self) -> &str {{ &self.uuid }} \
                 fn request_id(&self) -> &str {{ &self.request_id }} fn validate_only(&self) -> bool {{ self.validate_only }} \
                 fn force(&self) -> bool {{ self.force }} fn cascade(&self) -> bool {{ self.cascade }} \
                 fn expunge(&self) -> bool {{ {expunge} }} }}"
            )
            .expect("string");
        }
        if let Some(field) = message.fields().find(|field| field.cardinality() == Cardinality::Repeated)
            && has("next_page_token")
            && let Kind::Message(item) = field.kind()
            && let Some(item) = rust_path(&item)
        {
            // one that tells 0 from what was not asked for, as all should
            let total = match message.get_field_by_name("total_size") {
                Some(field) if field.supports_presence() => "total_size",
                Some(_) => "total_size: total_size.unwrap_or_default()",
                None => "",
            };
            let taken = if total.is_empty() { "_" } else { "total_size" };
            writeln!(
                traits,
                "impl crate::Page for {path} {{ type Item = {item}; fn new(items: Vec<{item}>, next_page_token: String, {taken}: Option<i64>) -> Self {{ \
                 Self {{ {}: items, next_page_token, {total} }} }} }}",
                field.name()
            )
            .expect("string");
        }
    }
    format!(
        "/// The JSON codec of every message of the API, by full name; sorted.\n\
         pub static CODECS: &[(&str, crate::json::JsonCodec)] = &[\n{}];\n{traits}",
        {
            let mut lines: Vec<_> = codecs.lines().collect();
            lines.sort_unstable();
            lines.join("\n") + "\n"
        }
    )
}
