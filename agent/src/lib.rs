//! The host agent and its drivers.
