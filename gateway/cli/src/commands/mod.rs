//! From a parsed command line to calls.

mod apply;
mod callback_key;
mod completions;
mod console;
mod deletion;
mod dry_run;
mod explain;
mod generic;
mod lane;
mod list;
mod members;
mod profile;
mod query;
mod request;
mod resolve;
mod session;
mod terminal;
mod upload;
pub mod wait;
mod watch;

pub use profile::known as profiles;
pub use resolve::{find, items, quoted};
pub use session::rfc3339;
pub use upload::pieces;

use std::path::Path;

use clap::ArgMatches;

use crate::args::{Globals, names};
use crate::client::{self, Client, Kept, Paths, Source};
use crate::failure::{Failure, Result};
use crate::nouns::{Verb, call, noun, service};
use crate::output::{self, Format};

/// Runs the command.
///
/// # Errors
/// Whatever goes wrong, with the exit code that scripts see.
pub async fn run(globals: &Globals, matches: &ArgMatches) -> Result<()> {
    let Some((name, inner)) = matches.subcommand() else { return Err(Failure::usage("no command was given")) };
    match name {
        "completions" => return completions::run(inner),
        "manual" => {
            let folder = |name| inner.get_one::<std::path::PathBuf>(name);
            if let Some(project) = folder("python") {
                crate::python::write(project)?;
            }
            return folder("dir").map_or(Ok(()), |folder| crate::manual::write(folder));
        }
        "version" => return version(globals.format),
        _ => {}
    }
    let paths = Paths::from_environment();
    if name == "profile" {
        return profile::run(globals, &paths, inner);
    }
    let paths = paths.of_profile(globals.profile.as_deref())?;
    match name {
        "login" => session::login(globals, &paths, inner).await,
        "logout" => session::logout(globals, &paths),
        _ => signed_in(globals, &paths, name, inner).await,
    }
}

/// Prints the version.
///
/// # Errors
/// When it cannot be printed.
pub fn version(format: Format) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        format if !format.structured() => output::print(&format!("gyre {version}\n")),
        _ => output::print_value(format, &serde_json::json!({ "version": version })),
    }
}

/// A client without credentials.
fn client(globals: &Globals, endpoint: &str, ca_file: Option<&Path>) -> Result<Client> {
    let client = Client::new(endpoint, ca_file)?;
    Ok(client.with_timeout(globals.timeout).with_verbose(globals.verbose))
}

/// Runs a command as whoever the credentials say. A kept token of the sign-in file may have been made by a node that has
/// forgotten its keys since: when it is refused, nothing was done, so the command runs once more with a new one.
async fn signed_in(globals: &Globals, paths: &Paths, name: &str, matches: &ArgMatches) -> Result<()> {
    let resolved = client::resolve(globals, paths)?;
    if let Some(warning) = resolved.warning() {
        eprintln!("{warning}");
    }
    let client = client(globals, &resolved.endpoint, resolved.ca_file.as_deref())?;
    let outcome = match &resolved.source {
        Source::Nobody => command(&client, globals, name, matches).await,
        Source::Token(token) => command(&client.clone().with_token(token)?, globals, name, matches).await,
        Source::SignIn(sign_in, kept) => {
            let client = client.clone().with_sign_in(sign_in);
            let first = match kept {
                Some(token) => Some(command(&client.clone().with_token(token)?, globals, name, matches).await),
                None => None,
            };
            match first {
                Some(outcome) if !matches!(&outcome, Err(failure) if failure.unauthenticated()) => outcome,
                _ => {
                    let session = client
                        .sign_in(&sign_in.account, &sign_in.password)
                        .await
                        .map_err(|failure| at(&client, failure))?;
                    let kept = Kept {
                        endpoint: sign_in.endpoint.clone(),
                        expire_time: session.expire_time.as_ref().map(session::rfc3339),
                        account: sign_in.account.clone(),
                        token: session.token,
                    };
                    // Not being able to keep it costs the next command a sign-in, no more.
                    if let Err(failure) = client::keep(&paths.token, &kept)
                        && globals.verbose
                    {
                        eprintln!("the token is not kept: {failure}");
                    }
                    command(&client.clone().with_token(&kept.token)?, globals, name, matches).await
                }
            }
        }
    };
    outcome.map_err(|failure| at(&client, failure))
}

/// Adds what to do about failures that come from where and as whom was called.
fn at(client: &Client, failure: Failure) -> Failure {
    if failure.reason() == "GATEWAY_UNREACHABLE" {
        let endpoint = client.endpoint().to_owned();
        failure.with("endpoint", endpoint).hint("is Gyre running there? `gyre up` starts one on this machine")
    } else if failure.unauthenticated() {
        let endpoint = client.endpoint();
        let hint = format!("sign in with `gyre login --endpoint {endpoint}`, or set GYRE_TOKEN");
        failure.with("endpoint", endpoint).hint(hint)
    } else {
        failure
    }
}

async fn command(client: &Client, globals: &Globals, name: &str, matches: &ArgMatches) -> Result<()> {
    if name == "apply" {
        return apply::run(client, globals, matches).await;
    }
    if name == "members" {
        return members::run(client, globals).await;
    }
    if name == "callback-key" {
        return callback_key::run(client, globals, matches).await;
    }
    let unknown = || Failure::usage(format!("there is no command {name}"));
    if name == names::CALL {
        let (name, matches) = matches.subcommand().ok_or_else(unknown)?;
        let method = call(name).ok_or_else(unknown)?;
        let verb = Verb::of(method.name.to_owned(), method);
        return generic::run(client, globals, names::CALL, &verb, matches).await;
    }
    if let Some(service) = service(name) {
        if let Some(verb) = service.itself() {
            return generic::run(client, globals, "", &verb, matches).await;
        }
        let (verb, matches) = matches.subcommand().ok_or_else(unknown)?;
        if (name, verb) == ("lane", "list") {
            return lane::run(client, globals, matches).await;
        }
        let verb = service.verb(verb).ok_or_else(unknown)?;
        return generic::run(client, globals, name, &verb, matches).await;
    }
    let noun = noun(name).ok_or_else(unknown)?;
    let (verb, matches) = matches.subcommand().ok_or_else(unknown)?;
    if verb == "console" && noun.kind.kind == "vm" {
        return console::run(client, globals, matches).await;
    }
    let verb = noun.verb(verb).ok_or_else(unknown)?;
    if watch::wanted(matches) {
        return watch::run(client, globals, noun, &verb, matches).await;
    }
    generic::run(client, globals, noun.kind.kind, &verb, matches).await
}
