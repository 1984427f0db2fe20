//! The portal: one door for gRPC, HTTP/JSON and browsers.
