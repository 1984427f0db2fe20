//! The key that callbacks are signed with.

use clap::ArgMatches;
use gyre_model::catalog::catalog;
use prost_reflect::DynamicMessage;

use crate::args::Globals;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output;

/// Shows it, or makes a new one.
pub async fn run(client: &Client, globals: &Globals, matches: &ArgMatches) -> Result<()> {
    let path = match matches.get_flag("rotate") {
        true => "/gyre.common.v1.CallbackService/RotateCallbackKey",
        false => "/gyre.common.v1.CallbackService/GetCallbackKey",
    };
    let method =
        catalog().method(path).ok_or_else(|| Failure::general("this version of gyre does not know callbacks"))?;
    let answer = client.call(method, &DynamicMessage::new(method.descriptor.input())).await?;
    output::print_message(globals.format, &answer)
}
