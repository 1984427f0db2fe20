//! The instances of the services, as the gateway that answers sees them.

use gyre_model::catalog::catalog;
use prost_reflect::{DynamicMessage, Value};

use crate::args::Globals;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output;

/// Shows them.
pub async fn run(client: &Client, globals: &Globals) -> Result<()> {
    let method = catalog()
        .method("/gyre.common.v1.MemberService/ListMembers")
        .ok_or_else(|| Failure::general("this version of gyre does not know members"))?;
    let answer = client.call(method, &DynamicMessage::new(method.descriptor.input())).await?;
    if !globals.format.for_people() {
        return output::print_message(globals.format, &answer);
    }
    let info = catalog().message("gyre.common.v1.Member").ok_or_else(|| Failure::general("there is no member"))?;
    let members: Vec<_> = answer
        .get_field_by_name("members")
        .and_then(|members| members.as_list().map(|list| list.iter().filter_map(Value::as_message).cloned().collect()))
        .unwrap_or_default();
    output::print(&output::rows(info, &["service", "uuid", "address", "version", "start_time"], &members))?;
    let epoch = answer.get_field_by_name("epoch").and_then(|epoch| epoch.as_i64()).unwrap_or(0);
    output::print(&format!("\nepoch {epoch}\n"))
}
