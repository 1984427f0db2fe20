//! `gyre profile`: several clouds, a file for each.
//!
//! The default profile is what `gyre login` alone writes; the others have names. Each is a file of its own that is replaced whole,
//! so that two sign-ins at the same time cannot lose each other's tokens.

use std::path::PathBuf;

use clap::ArgMatches;
use serde_json::json;

use crate::args::Globals;
use crate::client::{DEFAULT, Paths, Profile, first_line, forget, keep, normalize, read_secret};
use crate::failure::{Failure, Result};
use crate::output;

/// Runs one of its verbs.
pub fn run(globals: &Globals, paths: &Paths, matches: &ArgMatches) -> Result<()> {
    let Some((verb, matches)) = matches.subcommand() else { return Err(Failure::usage("which verb?")) };
    let name = matches.try_get_one::<String>("name").ok().flatten().map_or("", String::as_str);
    match verb {
        "list" => list(globals, paths),
        "use" => choose(globals, paths, name),
        "set" => set(globals, paths, name, matches),
        _ => remove(globals, paths, name),
    }
}

/// The names of the profiles that have files.
pub fn known(paths: &Paths) -> Vec<String> {
    let files = std::fs::read_dir(&paths.profiles).into_iter().flatten().flatten();
    let mut names: Vec<_> = files
        .filter_map(|file| file.file_name().to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned))
        .filter(|name| paths.profile_file(name).is_ok())
        .collect();
    names.sort();
    names
}

/// The file of a profile, of the default one too.
fn file(paths: &Paths, name: &str) -> Result<PathBuf> {
    match name {
        DEFAULT => Ok(Paths::from_environment().credentials),
        name => paths.profile_file(name),
    }
}

fn list(globals: &Globals, paths: &Paths) -> Result<()> {
    let mut rows = Vec::new();
    let mut told = Vec::new();
    // The profile that a flag or the environment names is in use for this command.
    let used = match &globals.profile {
        Some(name) => name.clone(),
        None => paths.clone().of_profile(None)?.profile.unwrap_or_else(|| DEFAULT.to_owned()),
    };
    for name in [DEFAULT.to_owned()].into_iter().chain(known(paths)) {
        // One broken file must not hide the others.
        let (profile, broken) = match read_secret::<Profile>(&file(paths, &name)?) {
            Ok(profile) => (profile, None),
            Err(failure) => (None, Some(failure.message().to_owned())),
        };
        let text = |field: fn(&Profile) -> Option<String>| profile.as_ref().and_then(field);
        let (endpoint, account) = (text(|one| Some(one.endpoint.clone())), text(|one| one.account.clone()));
        let expire_time = text(|one| one.expire_time.clone());
        let signed_in = match profile.as_ref() {
            _ if broken.is_some() => "unreadable",
            Some(profile) if profile.token.is_none() => "no",
            Some(profile) if profile.expired() => "ended",
            Some(_) => "yes",
            None => "no",
        };
        told.push(json!({"name": name, "used": name == used, "endpoint": endpoint, "account": account,
                         "signedIn": signed_in == "yes", "expireTime": expire_time, "problem": broken}));
        let star = if name == used { "*" } else { "" };
        rows.push(
            [star.to_owned(), name, endpoint.unwrap_or_default(), account.unwrap_or_default(), signed_in.to_owned()]
                .to_vec(),
        );
    }
    match globals.format {
        output::Format::Name => output::print(&rows.iter().map(|row| format!("{}\n", row[1])).collect::<String>()),
        format if format.structured() => output::print_value(format, &told),
        format => output::print_cells(format, &["used", "name", "endpoint", "account", "signed_in"], rows),
    }
}

fn choose(globals: &Globals, paths: &Paths, name: &str) -> Result<()> {
    let path = file(paths, name)?;
    if name == DEFAULT {
        forget(&paths.chosen)?;
    } else {
        if read_secret::<Profile>(&path)?.is_none() {
            return Err(missing(paths, name));
        }
        keep_text(paths, name)?;
    }
    said(globals, &format!("profile {name} is used from now on"))
}

fn set(globals: &Globals, paths: &Paths, name: &str, matches: &ArgMatches) -> Result<()> {
    let path = file(paths, name)?;
    let before = read_secret::<Profile>(&path)?;
    let endpoint = match (&globals.endpoint, &before) {
        (Some(endpoint), _) => normalize(endpoint)?,
        (None, Some(before)) => before.endpoint.clone(),
        (None, None) => return Err(Failure::usage("a new profile needs a gateway").hint("give it with --endpoint URL")),
    };
    let given = matches.get_one::<PathBuf>("token-file");
    let unreadable = |error: std::io::Error| Failure::usage(format!("the token cannot be read: {error}"));
    let token = given.map(|path| first_line(path)).transpose().map_err(unreadable)?;
    // A token is for the gateway that it was written for, and goes when that changes.
    let same = before.filter(|before| before.endpoint == endpoint);
    let ca_file = match globals.ca_file.as_ref() {
        Some(path) => Some(std::path::absolute(path)?),
        None => same.as_ref().and_then(|before| before.ca_file.clone()),
    };
    let profile = match (token, same) {
        (Some(token), _) => Profile { endpoint, ca_file, token: Some(token), expire_time: None, account: None },
        (None, Some(before)) => Profile { ca_file, ..before },
        (None, None) => Profile { endpoint, ca_file, token: None, expire_time: None, account: None },
    };
    keep(&path, &profile)?;
    said(globals, &format!("profile {name}: {}", profile.endpoint))
}

fn remove(globals: &Globals, paths: &Paths, name: &str) -> Result<()> {
    if !forget(&file(paths, name)?)? && name != DEFAULT {
        return Err(missing(paths, name));
    }
    if std::fs::read_to_string(&paths.chosen).is_ok_and(|chosen| chosen.trim() == name) {
        forget(&paths.chosen)?;
    }
    said(globals, &format!("profile {name} is forgotten"))
}

/// Writes down which profile is used.
fn keep_text(paths: &Paths, name: &str) -> Result<()> {
    let failed = |error: std::io::Error| Failure::general(format!("{}: {error}", paths.chosen.display()));
    let beside = paths.chosen.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&beside, format!("{name}\n")).and_then(|()| std::fs::rename(&beside, &paths.chosen)).map_err(failed)
}

fn missing(paths: &Paths, name: &str) -> Failure {
    let known = known(paths);
    let hint = match known.as_slice() {
        [] => format!("there is none yet; `gyre profile set {name} --endpoint URL` makes it"),
        known => format!("there are {}; `gyre profile set {name} --endpoint URL` makes it", known.join(", ")),
    };
    Failure::not_found(format!("there is no profile {name:?}")).hint(hint)
}

fn said(globals: &Globals, text: &str) -> Result<()> {
    if globals.quiet || globals.format.structured() { Ok(()) } else { output::print(&format!("{text}\n")) }
}
