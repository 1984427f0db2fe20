//! The vm service.
