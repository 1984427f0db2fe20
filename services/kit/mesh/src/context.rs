//! What a call carries without its handler doing anything: the deadline and the trace.
//!
//! [`crate::serve`] sets both around the handler of a call, and [`crate::channel`] reads them for the calls that the handler
//! makes, so that a caller's deadline bounds all work on its behalf and one trace follows it. They live with the task: work that
//! is spawned has neither, unless it runs in [`scope`] again (a workflow outlives the call that asked for it, and keeps its
//! trace but not its deadline). A callback that the caller named is there for the handler of that one call.
//!
//! What runs a future here is a plain function and not an `async` one, which would keep room for that future twice: as what it was
//! given, and as what it waits for. Around one another they would double it every time, for each of thousands of operations.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

tokio::task_local! {
    static CONTEXT: Context;
    static CALLBACK: Option<Arc<str>>;
}

/// The context of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context {
    /// When its caller stops waiting.
    pub deadline: Option<Instant>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
}

/// Runs a future in a context.
pub fn scope<F: Future>(context: Context, future: F) -> impl Future<Output = F::Output> {
    CONTEXT.scope(context, future)
}

/// Runs a closure in a context.
pub fn sync_scope<R>(context: Context, work: impl FnOnce() -> R) -> R {
    CONTEXT.sync_scope(context, work)
}

/// The context of the present task; an empty one outside of any.
pub fn current() -> Context {
    CONTEXT.try_with(|context| *context).unwrap_or_default()
}

/// When the caller that this task works for stops waiting.
pub fn deadline() -> Option<Instant> {
    current().deadline
}

/// Runs the handler of a call that names a callback, or none. It holds for this call alone: the calls that the handler makes have
/// their own, which is none, also in this process.
pub fn with_callback<F: Future>(url: Option<Arc<str>>, future: F) -> impl Future<Output = F::Output> {
    CALLBACK.scope(url, future)
}

/// The URL that the finished operation of this call is to be posted to, where its caller named one.
pub fn callback() -> Option<Arc<str>> {
    CALLBACK.try_with(Clone::clone).ok().flatten()
}

/// A place in a trace, as W3C trace context has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that what follows stands under.
    pub span_id: [u8; 8],
    /// The flags; bit 0 says that the trace is recorded.
    pub flags: u8,
}

impl Trace {
    /// A new trace, not recorded.
    pub fn random() -> Self {
        let trace_id = Uuid::new_v4().into_bytes();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&xxhash_rust::xxh3::xxh3_64(&trace_id).max(1).to_be_bytes());
        Self { trace_id, span_id, flags: 0 }
    }

    /// Reads a `traceparent`: "00-<32 hex>-<16 hex>-<2 hex>", lower case; later versions may have more.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = unhex(version)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace_id, span_id, [flags]): ([u8; 16], [u8; 8], _) = (unhex(trace)?, unhex(span)?, unhex(flags)?);
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self { trace_id, span_id, flags })
    }

    /// The trace's id in hexadecimal.
    pub fn id(&self) -> impl fmt::Display + use<> {
        Hex(self.trace_id)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{}-{:02x}", Hex(self.trace_id), Hex(self.span_id), self.flags)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

struct Hex<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [[0; 2]; N];
        for (pair, byte) in text.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        formatter.write_str(std::str::from_utf8(text.as_flattened()).unwrap_or_default())
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::parse(text).unwrap();
        assert_eq!(trace.to_string(), text);
        assert_eq!(trace.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(Trace::parse(&Trace::random().to_string()).map(|trace| trace.flags), Some(0));
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(Trace::parse(later), Some(trace));
    }

    #[test]
    fn what_is_not_a_traceparent_is_none() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_context_lasts_as_long_as_its_scope() {
        let deadline = Some(Instant::now());
        scope(Context { deadline, trace: None }, async {
            assert_eq!(super::deadline(), deadline);
            tokio::spawn(async { assert_eq!(super::deadline(), None) }).await.unwrap();
        })
        .await;
        assert_eq!(super::deadline(), None);
    }

    #[tokio::test]
    async fn a_callback_is_for_one_call() {
        let url: Arc<str> = "https://hooks.example.com/".into();
        let inside = with_callback(Some(Arc::clone(&url)), async {
            let below = with_callback(None, async { callback() }).await;
            (callback(), below, tokio::spawn(async { callback() }).await.unwrap())
        });
        assert_eq!(inside.await, (Some(url), None, None));
        assert_eq!(callback(), None);
    }
}
