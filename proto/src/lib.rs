//! The API of Gyre, as the .proto files say it.
//!
//! Everything here is generated at build time from `proto/gyre`: message types, clients and servers, JSON codecs, and
//! [`DESCRIPTORS`], the descriptor set that the gateway, the store, the query engine and the command line read their routes,
//! tables, schema and commands from. What is written by hand is the glue that generic code needs to handle any resource.

#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

mod any;
pub mod codec;
mod field_mask;
pub mod json;
mod structure;
mod timestamp;

pub use any::Any;
pub use field_mask::FieldMask;
pub use pbjson_types::Duration;
pub use prost::Message;
pub use prost::bytes::Bytes;
pub use structure::Struct;
pub use timestamp::Timestamp;

/// The encoded `FileDescriptorSet` of all packages, with comments and options.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gyre.binpb"));

/// A message with a name.
pub trait Named: Message + Default {
    /// The full name, such as `gyre.vm.v1.Vm`.
    const NAME: &'static str;
}

/// A message that is a resource.
pub trait Resource: Named {
    /// The kind, such as `l3-network`.
    const KIND: &'static str;
    /// The UUID as text, empty where it has none yet.
    fn uuid(&self) -> &str;
    /// The generation, 0 where it has none, or none yet.
    fn generation(&self) -> i64;
    /// The tags; none for a kind that has no tags.
    fn tags(&self) -> &[String] {
        &[]
    }
    /// Puts tags in the place of those that are there. Nothing happens to a kind that has none.
    fn set_tags(&mut self, _tags: Vec<String>) {}
}

/// What every list call asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageRequest<'a> {
    /// Which rows.
    pub filter: &'a str,
    /// In which order.
    pub order_by: &'a str,
    /// How many at most; 0 means the default.
    pub page_size: i32,
    /// Where the page before ended.
    pub page_token: &'a str,
    /// The fields that are wanted; all where there are none.
    pub read_mask: &'a [String],
    /// Whether to count all rows.
    pub count: bool,
}

/// A list call's request.
pub trait ListRequest {
    /// What it asks for.
    fn page(&self) -> PageRequest<'_>;
}

/// The request of a call that deletes a resource: all have the fields of [`common::v1::DeleteRequest`].
pub trait DeleteCall: Named {
    /// What to delete.
    fn uuid(&self) -> &str;
    /// The id of the wish.
    fn request_id(&self) -> &str;
    /// Whether to tell what would be deleted, and to delete nothing.
    fn validate_only(&self) -> bool;
    /// Whether to go on past hosts that are away.
    fn force(&self) -> bool;
    /// Whether to delete what depends on it, too.
    fn cascade(&self) -> bool;
    /// Whether to delete it for good, past the bin.
    fn expunge(&self) -> bool;
}

/// A list call's response.
pub trait Page {
    /// What it is a page of.
    type Item: Resource;
    /// Puts a page together. The size is that of the whole list, where it was counted.
    fn new(items: Vec<Self::Item>, next_page_token: String, total_size: Option<i64>) -> Self;
}

macro_rules! package {
    ($name:literal, $($module:ident)::+) => {
        package!(@open $name, $($module)::+);
    };
    (@open $name:literal, $outer:ident :: v1) => {
        pub mod $outer {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
                include!(concat!(env!("OUT_DIR"), "/", $name, ".serde.rs"));
            }
        }
    };
}

package!("gyre.common.v1", common::v1);
package!("gyre.identity.v1", identity::v1);
package!("gyre.host.v1", host::v1);
package!("gyre.storage.v1", storage::v1);
package!("gyre.network.v1", network::v1);
package!("gyre.vm.v1", vm::v1);
package!("gyre.agent.v1", agent::v1);
package!("gyre.plugin.v1", plugin::v1);

pub mod options {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/gyre.options.v1.rs"));
    }
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));
