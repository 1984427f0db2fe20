//! Calls that are refused since there are too many: made again when the refusal says so, within the time that the call has.
//!
//! `RESOURCE_EXHAUSTED` with a time to come again says that nothing was done. All the same only calls are repeated of which two do what
//! one does: those that carry a request id, and those that only read.

use std::time::{Duration, Instant};

use gyre_model::catalog::MethodInfo;
use gyre_model::{Error, Kind};
use prost_reflect::DynamicMessage;
use tonic::Status;

/// What the names of calls begin with that only read.
const READS: [&str; 7] = ["Get", "List", "Query", "Wait", "Watch", "Explain", "Read"];
/// The shortest wait before a call is made again.
const SHORTEST: Duration = Duration::from_millis(50);

/// Whether two of a call do what one does.
pub fn repeatable(method: &MethodInfo, message: &DynamicMessage) -> bool {
    match method.request_id {
        Some(number) => message.has_field_by_number(number),
        None => READS.iter().any(|read| method.name.starts_with(read)),
    }
}

/// How long to wait before a call is made again that was refused; nothing where that makes no sense.
fn pause(status: &Status, until: Instant) -> Option<Duration> {
    if status.code() != Kind::ResourceExhausted.code() {
        return None;
    }
    let pause = Error::from(status.clone()).retry()?.max(SHORTEST);
    (Instant::now() + pause < until).then_some(pause)
}

/// Makes a call within a time, as often as it is refused and said to come again. The closure gets the time that is left.
///
/// # Errors
/// What the last try answers.
pub async fn again<T, F>(within: Duration, repeatable: bool, mut call: impl FnMut(Duration) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let until = Instant::now() + within;
    loop {
        let refused = match call(until.saturating_duration_since(Instant::now())).await {
            Err(status) if repeatable => status,
            outcome => return outcome,
        };
        match pause(&refused, until) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use gyre_model::catalog;
    use prost_reflect::Value;

    use super::*;

    fn busy(after: Option<Duration>) -> Status {
        let error = Error::new(Kind::ResourceExhausted, "OVERLOADED", "too many");
        after.map_or(error.clone(), |after| error.retry_after(after)).into()
    }

    #[tokio::test]
    async fn a_refusal_that_says_when_is_followed_within_the_time() {
        let soon = Some(Duration::from_millis(1));
        for (within, repeatable, refusal, tries) in [
            (10_000, true, busy(soon), 3),
            (10_000, false, busy(soon), 1),
            (10_000, true, busy(None), 1),
            (10_000, true, Status::not_found("gone"), 1),
            // it would be too late
            (20, true, busy(soon), 1),
            (10_000, true, busy(Some(Duration::from_secs(60))), 1),
        ] {
            let mut made = 0;
            let outcome = again(Duration::from_millis(within), repeatable, |left| {
                assert!(left <= Duration::from_millis(within));
                made += 1;
                let answer = if made < 3 { Err(refusal.clone()) } else { Ok(()) };
                async { answer }
            });
            assert_eq!((outcome.await.is_ok(), made), (tries == 3, tries), "{refusal:?}");
        }
    }

    #[test]
    fn what_is_done_twice_by_two_calls_is_not_repeated() {
        let of = |path| {
            let method = catalog().method(path).unwrap();
            (method, DynamicMessage::new(method.descriptor.input()))
        };
        let (create, mut message) = of("/gyre.vm.v1.VmService/CreateVm");
        assert!(!repeatable(create, &message));
        message.set_field_by_number(create.request_id.unwrap(), Value::String("wish".into()));
        assert!(repeatable(create, &message));
        let (write, message) = of("/gyre.vm.v1.VmService/WriteVmConsole");
        assert!(!repeatable(write, &message));
        let (get, message) = of("/gyre.vm.v1.VmService/GetVm");
        assert!(repeatable(get, &message));
    }
}
