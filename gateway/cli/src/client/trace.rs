//! One trace for each command (W3C trace context): its id goes with every call, so that what a command did can be found in the
//! traces of the gateway, the services and the agents.

use uuid::Uuid;

/// A trace.
#[derive(Debug, Clone)]
pub struct Trace(Uuid);

impl Trace {
    /// A new one.
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Its id, 32 hex digits.
    pub fn id(&self) -> String {
        self.0.simple().to_string()
    }

    /// The header of one call: the trace, a new span, sampled.
    pub fn parent(&self) -> String {
        // A version 4 UUID is random but for six bits, and never zero, as a span id must be.
        let span = Uuid::new_v4().simple().to_string();
        format!("00-{}-{}-01", self.id(), &span[..16])
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_calls_of_a_command_are_one_trace() {
        let trace = Trace::new();
        let (one, two) = (trace.parent(), trace.parent());
        assert_eq!(one.len(), 55);
        assert_eq!(one[..36], two[..36]);
        assert_ne!(one, two);
    }
}
