//! Accounts: rows only, but for their deletion, and for the password, which is no column and goes its own way.
//!
//! A request id stands for the request without its password: what is remembered of a request must not help anybody to guess one.
//! So the same id with another password is the same wish, and changes nothing.

use std::mem::take;

use gyre_flow::{Delete, once};
use gyre_mesh::serve::caller;
use gyre_model::{Error, Result};
use gyre_proto::common::v1::Operation;
use gyre_proto::identity::v1::account_service_server::AccountService;
use gyre_proto::identity::v1::{
    Account, AccountState, AccountType, CreateAccountRequest, DeleteAccountRequest, DisableAccountRequest,
    EnableAccountRequest, GetAccountRequest, ListAccountsRequest, ListAccountsResponse, UpdateAccountRequest,
};
use gyre_proto::{FieldMask, ListRequest};
use tonic::{Request, Response, Status};

use super::{Api, given, new_uuid, uuid};
use crate::store;

const KIND: &str = "account";
const PASSWORD: &str = "password";

/// Takes the password out of an update: the new one, where the mask names it or there is no mask and it is given.
fn take_password(patch: &mut Account, mask: &mut Option<FieldMask>) -> Result<Option<String>> {
    let given = take(&mut patch.password);
    let Some(named) = mask.as_mut().filter(|mask| !mask.paths.is_empty()) else {
        return Ok((!given.is_empty()).then_some(given));
    };
    let before = named.paths.len();
    named.paths.retain(|path| path.rsplit('.').next() != Some(PASSWORD));
    if named.paths.len() == before {
        return Ok(None);
    }
    if given.is_empty() {
        return Err(Error::invalid("account.password", "must not be empty"));
    }
    if named.paths.is_empty() {
        // an empty mask would name whatever else the patch holds
        *patch = Account { uuid: take(&mut patch.uuid), generation: patch.generation, ..Account::default() };
    }
    Ok(Some(given))
}

#[tonic::async_trait]
impl AccountService for Api {
    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> std::result::Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let mut request = request.into_inner();
        let password = request.account.as_mut().map(|account| take(&mut account.password)).unwrap_or_default();
        let mut account = given("account", request.account.clone())?;
        if password.is_empty() {
            return Err(Error::invalid("account.password", "must be given").into());
        }
        account.uuid = new_uuid(&account.uuid).to_string();
        account.set_state(AccountState::Enabled);
        if account.r#type() == AccountType::Unspecified {
            account.set_type(AccountType::Normal);
        }
        let hash = self.inner.passwords.hash(password).await?;
        let id = request.request_id.clone();
        let made = once(&self.inner.store, caller, "CreateAccount", &id, &request, move |conn, change| {
            store::account_insert(conn, change, &account, &hash)
        });
        Ok(Response::new(made.await?))
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> std::result::Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let uuid = uuid(KIND, &request.get_ref().uuid)?;
        let read = self.inner.store.read("account-get", move |conn| gyre_query::get(conn, &caller, uuid));
        Ok(Response::new(read.await?))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> std::result::Result<Response<ListAccountsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let read = self.inner.store.search("account-list", move |conn| gyre_query::list(conn, &caller, request.page()));
        Ok(Response::new(read.await?))
    }

    /// Open to every account: the caller's scope leaves those that are no administrators nothing but their own, and what could
    /// make more of an account (its name, type and state) is nothing that an update changes.
    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> std::result::Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let mut request = request.into_inner();
        let mut patch = given("account", request.account.clone())?;
        let mut mask = request.update_mask.clone();
        let password = take_password(&mut patch, &mut mask)?;
        if let Some(account) = &mut request.account {
            account.password.clear();
        }
        let uuid = uuid(KIND, &patch.uuid)?;
        let read = self.inner.store.read("account-get", move |conn| gyre_query::get::<Account>(conn, &caller, uuid));
        // who may not change it must not make us hash
        read.await?;
        let hash = match password {
            Some(password) => Some(self.inner.passwords.hash(password).await?),
            None => None,
        };
        let id = request.request_id.clone();
        let changed = once(&self.inner.store, caller, "UpdateAccount", &id, &request, move |conn, change| {
            let current: Account = gyre_query::get(conn, &caller, uuid)?;
            let account = gyre_query::apply_mask(&current, &patch, mask.as_ref())?;
            if let Some(hash) = hash {
                store::password_set(conn, uuid, &hash)?;
            }
            gyre_query::update_from(conn, change, &current, &account)
        });
        Ok(Response::new(changed.await?))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> std::result::Result<Response<Operation>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let delete = Delete { caller, workflow: "delete-account", request: &request, binned: false };
        Ok(Response::new(self.inner.flow.delete(delete, store::account_deletable).await?))
    }

    async fn enable_account(
        &self,
        request: Request<EnableAccountRequest>,
    ) -> std::result::Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(KIND, &request.uuid)?;
        let id = request.request_id.clone();
        let changed = once(&self.inner.store, caller, "EnableAccount", &id, &request, move |conn, change| {
            store::account_set_state(conn, change, uuid, AccountState::Enabled)
        });
        Ok(Response::new(changed.await?))
    }

    async fn disable_account(
        &self,
        request: Request<DisableAccountRequest>,
    ) -> std::result::Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let uuid = uuid(KIND, &request.uuid)?;
        let id = request.request_id.clone();
        let changed = once(&self.inner.store, caller, "DisableAccount", &id, &request, move |conn, change| {
            store::account_set_state(conn, change, uuid, AccountState::Disabled)
        });
        Ok(Response::new(changed.await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(password: &str) -> Account {
        Account { uuid: "u".into(), description: "d".into(), password: password.into(), ..Account::default() }
    }

    fn taken(password: &str, paths: &[&str]) -> (Account, Vec<String>, Result<Option<String>>) {
        let mut account = patch(password);
        let mut mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let password = take_password(&mut account, &mut mask);
        (account, mask.unwrap_or_default().paths, password)
    }

    #[test]
    fn a_password_is_taken_where_the_mask_names_it() {
        let (account, paths, password) = taken("new password", &["password", "description"]);
        assert_eq!((account.password.as_str(), account.description.as_str()), ("", "d"));
        assert_eq!((paths, password.unwrap().as_deref()), (vec!["description".to_owned()], Some("new password")));
        let (account, paths, password) = taken("new password", &["account.password"]);
        assert_eq!((account.description.as_str(), paths.len()), ("", 0));
        assert_eq!(password.unwrap().as_deref(), Some("new password"));
        let (account, _, password) = taken("new password", &["description"]);
        assert_eq!((account.password.as_str(), password.unwrap()), ("", None));
    }

    #[test]
    fn without_a_mask_it_is_taken_where_it_is_given() {
        assert_eq!(taken("new password", &[]).2.unwrap().as_deref(), Some("new password"));
        assert_eq!(taken("", &[]).2.unwrap(), None);
        assert_eq!(taken("", &["password"]).2.unwrap_err().reason(), "INVALID_FIELD");
    }
}
