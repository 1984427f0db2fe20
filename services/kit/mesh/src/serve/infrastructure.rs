//! What every process answers besides its services: health and reflection, and which of its services a call is for.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use gyre_model::catalog::HostedBy;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_reflection::server::Builder;
use tower_service::Service;

use super::{no_such_call, refuse};
use crate::channel::SERVICE;
use crate::mesh::{LocalService, Mesh};
use crate::telemetry::metrics;

/// Adds reflection (v1, and v1alpha, which most clients still ask) over the whole API to routes.
///
/// # Errors
/// When the descriptor set does not hold together.
pub fn reflection(routes: Routes) -> anyhow::Result<Routes> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(gyre_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}

/// Finds the service of this process that a call is for.
#[derive(Clone)]
pub(super) struct Dispatch {
    mesh: Mesh,
    infrastructure: Routes,
}

impl Dispatch {
    pub(super) fn new(mesh: Mesh, infrastructure: Routes) -> Self {
        Self { mesh, infrastructure: infrastructure.prepare() }
    }

    fn find(&self, request: &Request<Body>) -> Option<LocalService> {
        let named = request.headers().get(SERVICE).and_then(|name| name.to_str().ok());
        match metrics::method(request.uri().path())?.info.host {
            HostedBy::Service(name) => self.mesh.local_service(name),
            HostedBy::Gateway => self.mesh.local_service("gateway"),
            HostedBy::Agent => self.mesh.local_service("agent"),
            HostedBy::Plugin => None,
            // The same call is answered by each service: the channel says which one was meant.
            HostedBy::Every => match named {
                Some(name) => self.mesh.local_service(name),
                None => self.mesh.any_local_service(),
            },
        }
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.") {
            let mut infrastructure = self.infrastructure.clone();
            return Box::pin(async move { infrastructure.call(request).await });
        }
        match self.find(&request) {
            Some(mut service) => service.call(request),
            None => {
                let refused = refuse(no_such_call(request.uri().path()));
                Box::pin(async move { Ok(refused) })
            }
        }
    }
}
