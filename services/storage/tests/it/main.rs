//! The storage service against a database of its own, in a mesh of one process, with a host that is played.

mod bins;
mod fake_host;
mod image_servers;
mod images;
mod primary_storages;
mod roots;
mod uploads;
mod volumes;
mod world;
