//! Signing in and out.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use gyre_proto::Timestamp;

use super::terminal::ask;
use crate::args::Globals;
use crate::client::{Paths, Profile, first_line, forget, keep, profile, read_secret, resolve_endpoint};
use crate::failure::{Failure, Result};
use crate::output::{self, local_time};

/// A time as texts have it.
pub fn rfc3339(time: &Timestamp) -> String {
    gyre_model::time::print(gyre_model::time::to_micros(time))
}

/// `gyre login`
pub async fn login(globals: &Globals, paths: &Paths, matches: &ArgMatches) -> Result<()> {
    let endpoint = resolve_endpoint(globals, paths)?;
    let before = read_secret::<Profile>(&paths.credentials)?.filter(|before| before.endpoint == endpoint);
    let ca_file = match &globals.ca_file {
        // The profile is read from any folder later.
        Some(path) => Some(std::path::absolute(path)?),
        None => before.and_then(|before| before.ca_file),
    };
    let unreadable = |error: std::io::Error| Failure::usage(format!("the password cannot be read: {error}"));
    let account = match matches.get_one::<String>("account") {
        Some(account) => account.clone(),
        None => ask("account", false).map_err(|failure| failure.hint("give the account with --account"))?,
    };
    let password = match matches.get_one::<PathBuf>("password-file") {
        Some(path) => first_line(path).map_err(unreadable)?,
        None if matches.get_flag("password-stdin") => first_line(Path::new("-")).map_err(unreadable)?,
        None => ask(&format!("password of {account}"), true)
            .map_err(|failure| failure.hint("give the password with --password-stdin or --password-file"))?,
    };
    let client = super::client(globals, &endpoint, ca_file.as_deref())?;
    let session = client.sign_in(&account, &password).await.map_err(|failure| {
        if failure.unauthenticated() { failure.with("endpoint", &endpoint) } else { super::at(&client, failure) }
    })?;
    let expire_time = session.expire_time.as_ref().map(rfc3339);
    let kept = Profile { endpoint, ca_file, token: Some(session.token), expire_time, account: Some(account.clone()) };
    keep(&paths.credentials, &kept)?;
    match globals.format {
        format if !format.structured() => {
            let until = session
                .expire_time
                .map(|time| format!(" until {}", local_time(time.seconds, time.nanos)))
                .unwrap_or_default();
            output::print(&format!("signed in at {} as {}{until}\n", kept.endpoint, account))
        }
        format => output::print_value(
            format,
            &serde_json::json!({"endpoint": kept.endpoint, "account": account, "expireTime": kept.expire_time}),
        ),
    }
}

/// `gyre logout`
pub fn logout(globals: &Globals, paths: &Paths) -> Result<()> {
    // A profile that somebody named stays, without its token.
    let signed_in = match (&paths.profile, profile(paths)) {
        (Some(_), found) => {
            let before = found?.ok_or_else(|| Failure::not_found("there is no such profile"))?;
            let signed_in = before.token.is_some();
            keep(&paths.credentials, &Profile { token: None, expire_time: None, account: None, ..before })?;
            signed_in
        }
        (None, _) => forget(&paths.credentials)?,
    };
    let cached = forget(&paths.token)?;
    if !globals.quiet && !globals.format.structured() {
        output::print(if signed_in || cached { "signed out\n" } else { "nobody was signed in\n" })?;
    }
    Ok(())
}
