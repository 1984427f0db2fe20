//! Membership, the hash ring, owner channels, telemetry, start-up and shutdown.
