//! What the gateway answers itself over gRPC, open to everybody: reflection (v1 and v1alpha) and health.

use std::collections::BTreeSet;

use gyre_model::catalog;
use gyre_proto::DESCRIPTORS;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service as _;

use crate::rest::table::is_open;

/// The gateway's own gRPC services.
#[derive(Clone)]
pub struct Own {
    routes: Routes,
    health: HealthReporter,
    services: BTreeSet<&'static str>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Own").finish_non_exhaustive()
    }
}

/// Whether a path is one of these services'.
pub fn is(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}

impl Own {
    /// Makes them. The error tells why the descriptors cannot be reflected.
    pub fn new() -> Result<Self, String> {
        let services: BTreeSet<_> =
            catalog().methods().filter(|method| is_open(method)).map(|method| method.service).collect();
        let (health, health_server) = tonic_health::server::health_reporter();
        let builder = || {
            let names = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
            services
                .iter()
                .copied()
                .chain(names)
                .fold(tonic_reflection::server::Builder::configure(), |builder, name| builder.with_service_name(name))
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let v1 = builder().build_v1().map_err(|error| error.to_string())?;
        let v1alpha = builder().build_v1alpha().map_err(|error| error.to_string())?;
        let routes = Routes::new(health_server).add_service(v1).add_service(v1alpha).prepare();
        Ok(Self { routes, health, services })
    }

    /// Answers a call.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self.routes.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Tells whoever asks for the health of the gateway or a service whether calls are taken.
    pub async fn serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in self.services.iter().copied().chain([""]) {
            self.health.set_service_status(service, status).await;
        }
    }
}
