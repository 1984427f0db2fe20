//! The mesh: who is there, who owns what, how calls travel, and how a process starts, is watched, and stops.
pub mod config;
pub mod context;
pub mod member;
pub mod ring;
pub mod tasks;
pub mod telemetry;
pub mod tls;
