//! The calls about settings. Any member answers them: values are rows, and rules stand in the descriptors. Only what a process was started
//! with is known by the service that a setting belongs to alone.

use gyre_mesh::MeshChannel;
use gyre_mesh::serve::caller;
use gyre_model::catalog::{SettingInfo, catalog};
use gyre_proto::common::v1::setting_service_client::SettingServiceClient;
use gyre_proto::common::v1::setting_service_server::SettingService;
use gyre_proto::common::v1::{
    DeclaredSetting, EffectiveSetting, GetEffectiveSettingRequest, GetSettingRequest, ListDeclaredSettingsRequest,
    ListDeclaredSettingsResponse, ListSettingsRequest, ListSettingsResponse, SetSettingRequest, Setting,
    UnsetSettingRequest, UnsetSettingResponse,
};
use gyre_proto::{ListRequest as _, Resource as _};
use gyre_query::request::uuid;
use gyre_query::settings::{self, Wish};
use gyre_store::Conn;
use tonic::{Request, Response, Status};

use crate::{Flow, once};

/// The calls about settings.
#[derive(Clone)]
pub(crate) struct SettingApi {
    pub flow: Flow,
}

impl SettingApi {
    /// A client of the service that a setting belongs to; nothing where that is this one, or none.
    fn elsewhere(&self, info: &SettingInfo) -> Option<SettingServiceClient<MeshChannel>> {
        let inner = self.flow.inner();
        let service = info.service.filter(|service| *service != inner.service)?;
        Some(SettingServiceClient::new(inner.mesh.channel(service)))
    }
}

fn shown(info: &SettingInfo) -> DeclaredSetting {
    let rule = &info.rule;
    DeclaredSetting {
        name: rule.name.clone(),
        r#type: rule.r#type,
        default_value: rule.default_value.clone(),
        min: rule.min.clone(),
        max: rule.max.clone(),
        values: rule.values.clone(),
        scopes: rule.scopes.clone(),
        resource_kinds: rule.kinds.clone(),
        set_by_accounts: rule.by_account,
        help: rule.help.clone(),
    }
}

#[tonic::async_trait]
impl SettingService for SettingApi {
    async fn list_settings(
        &self,
        request: Request<ListSettingsRequest>,
    ) -> Result<Response<ListSettingsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let list = move |conn: &mut Conn| gyre_query::list(conn, &caller, request.page());
        Ok(Response::new(self.flow.store().search("setting-list", list).await?))
    }

    async fn get_setting(&self, request: Request<GetSettingRequest>) -> Result<Response<Setting>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(Setting::KIND, &request.get_ref().uuid)?;
        let get = move |conn: &mut Conn| gyre_query::get(conn, &caller, uuid);
        Ok(Response::new(self.flow.store().read("setting-get", get).await?))
    }

    async fn set_setting(&self, request: Request<SetSettingRequest>) -> Result<Response<Setting>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (id, wish) = (request.request_id.clone(), request.clone());
        let made = once(self.flow.store(), caller, "SetSetting", &id, &request, move |conn, change| {
            let SetSettingRequest { name, value, resource_kind: kind, resource_uuid: uuid, .. } = &wish;
            settings::set(conn, change, &Wish { name, kind, uuid }, value)
        });
        Ok(Response::new(made.await?))
    }

    async fn unset_setting(
        &self,
        request: Request<UnsetSettingRequest>,
    ) -> Result<Response<UnsetSettingResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (id, wish) = (request.request_id.clone(), request.clone());
        let gone = once(self.flow.store(), caller, "UnsetSetting", &id, &request, move |conn, change| {
            let UnsetSettingRequest { name, resource_kind: kind, resource_uuid: uuid, .. } = &wish;
            settings::unset(conn, change, &Wish { name, kind, uuid })?;
            Ok(UnsetSettingResponse {})
        });
        Ok(Response::new(gone.await?))
    }

    async fn get_effective_setting(
        &self,
        request: Request<GetEffectiveSettingRequest>,
    ) -> Result<Response<EffectiveSetting>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        if let Some(mut other) = self.elsewhere(settings::declared(&request.name)?) {
            return other.get_effective_setting(caller.request(request)).await;
        }
        let read = move |conn: &mut Conn| {
            settings::effective(conn, &caller, &request.name, &request.resource_kind, &request.resource_uuid)
        };
        Ok(Response::new(self.flow.store().read("setting-effective", read).await?))
    }

    async fn list_declared_settings(
        &self,
        request: Request<ListDeclaredSettingsRequest>,
    ) -> Result<Response<ListDeclaredSettingsResponse>, Status> {
        caller(&request)?;
        let declared_settings = catalog().settings().iter().map(shown).collect();
        Ok(Response::new(ListDeclaredSettingsResponse { declared_settings }))
    }
}
