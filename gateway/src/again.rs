//! A stream that lasts longer than what its caller showed at its beginning: who calls is looked at again while it lasts, and it
//! ends when the token has expired, the account was disabled, or what it may has changed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use gyre_model::catalog::MethodInfo;
use gyre_model::{Caller, Error, Kind};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use crate::forward::Along;
use crate::front::Front;
use crate::policy;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(5);

type Looking = BoxFuture<'static, Result<(), Error>>;

/// A body whose caller is looked at again.
pub struct Again {
    body: Body,
    look: Box<dyn Fn() -> Looking + Send>,
    looking: Option<Looking>,
    next: Pin<Box<Sleep>>,
    over: bool,
}

impl fmt::Debug for Again {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Again").field("over", &self.over).finish_non_exhaustive()
    }
}

/// Lets a stream end when its caller may no longer have it. `message` is what it asked for.
pub fn again(
    front: &Arc<Front>,
    method: &'static MethodInfo,
    along: &Along,
    message: &Bytes,
    headers: &HeaderMap,
    body: Body,
) -> Body {
    match along.caller {
        Some(caller) if method.server_streaming => {
            Body::new(Again::new(front, method, caller, (along, message), headers, body))
        }
        _ => body,
    }
}

impl Again {
    /// Looks again at who calls as long as a body lasts.
    fn new(
        front: &Arc<Front>,
        method: &'static MethodInfo,
        caller: Caller,
        asked: (&Along, &Bytes),
        headers: &HeaderMap,
        body: Body,
    ) -> Self {
        let front = Arc::clone(front);
        let mut shown = HeaderMap::new();
        if let Some(header) = headers.get(AUTHORIZATION) {
            shown.insert(AUTHORIZATION, header.clone());
        }
        let shown = Arc::new((shown, asked.0.clone(), asked.1.clone()));
        let look = move || -> Looking {
            let (front, shown) = (Arc::clone(&front), Arc::clone(&shown));
            Box::pin(async move {
                let (shown, along, message) = &*shown;
                match front.authenticator.caller(method, shown).await {
                    Ok(Some(now)) if now.caller == caller => {
                        match policy::settle(&front.forward, method, &now, along, message).await {
                            Err(refusal) if refusal.error.kind() == Kind::PermissionDenied => Err(refusal.error),
                            // that it cannot be found out now ends no stream
                            _ => Ok(()),
                        }
                    }
                    Ok(_) => Err(Error::new(
                        Kind::PermissionDenied,
                        "RIGHTS_CHANGED",
                        "what this account may see has changed: open the stream again",
                    )),
                    // that it cannot be found out now ends no stream
                    Err(refusal) if refusal.error.kind() == Kind::Unauthenticated => Err(refusal.error),
                    Err(_) => Ok(()),
                }
            })
        };
        Self { body, look: Box::new(look), looking: None, next: Box::pin(sleep(PERIOD)), over: false }
    }
}

impl HttpBody for Again {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.looking.is_none() && this.next.as_mut().poll(context).is_ready() {
            this.looking = Some((this.look)());
        }
        if let Some(looking) = &mut this.looking
            && let Poll::Ready(found) = looking.as_mut().poll(context)
        {
            this.looking = None;
            this.next.as_mut().reset(Instant::now() + PERIOD);
            // so that its time is looked at
            let _ = this.next.as_mut().poll(context);
            if let Err(error) = found {
                this.over = true;
                let mut trailers = HeaderMap::new();
                let status = Status::from(error);
                return Poll::Ready(Some(match status.add_header(&mut trailers) {
                    Ok(()) => Ok(Frame::trailers(trailers)),
                    Err(_) => Err(status),
                }));
            }
        }
        Pin::new(&mut this.body).poll_frame(context)
    }
}
