//! Signing in and out.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use gyre_proto::Timestamp;

use super::terminal::ask;
use crate::args::Globals;
use crate::client::{Kept, Paths, first_line, forget, keep, resolve_endpoint};
use crate::failure::{Failure, Result};
use crate::output::{self, Format, local_time};

/// A time as texts have it.
pub fn rfc3339(time: &Timestamp) -> String {
    gyre_model::time::print(gyre_model::time::to_micros(time))
}

/// `gyre login`
pub async fn login(globals: &Globals, paths: &Paths, matches: &ArgMatches) -> Result<()> {
    let endpoint = resolve_endpoint(globals, paths)?;
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
    let client = super::client(globals, &endpoint)?;
    let session = client.sign_in(&account, &password).await.map_err(|failure| {
        if failure.unauthenticated() { failure.with("endpoint", &endpoint) } else { super::at(&client, failure) }
    })?;
    let kept = Kept { endpoint, token: session.token, expire_time: session.expire_time.as_ref().map(rfc3339), account };
    keep(&paths.credentials, &kept)?;
    match globals.format {
        Format::Table => {
            let until = session
                .expire_time
                .map(|time| format!(" until {}", local_time(time.seconds, time.nanos)))
                .unwrap_or_default();
            output::print(&format!("signed in at {} as {}{until}\n", kept.endpoint, kept.account))
        }
        format => output::print_value(
            format,
            &serde_json::json!({"endpoint": kept.endpoint, "account": kept.account, "expireTime": kept.expire_time}),
        ),
    }
}

/// `gyre logout`
pub fn logout(globals: &Globals, paths: &Paths) -> Result<()> {
    let signed_in = forget(&paths.credentials)?;
    let cached = forget(&paths.token)?;
    if !globals.quiet && globals.format == Format::Table {
        output::print(if signed_in || cached { "signed out\n" } else { "nobody was signed in\n" })?;
    }
    Ok(())
}
