//! All services and the gateway in one process.
