//! Which gateway, and who calls.
//!
//! Ground rules:
//! 1. The first source that says something wins: flags and environment, the profile (which `gyre login` writes), the sign-in file
//!    of `gyre up`, the usual address of a node on this machine. A profile named by a flag stands before the environment.
//! 2. A token or password is only ever sent to the endpoint that it was written for. Whoever names another endpoint without a
//!    token calls it without one.
//! 3. A file with secrets that others could read or write is not used; the message says how to mend it.
//! 4. Files are replaced whole (written beside, then renamed), with mode 0600 from their first byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Paths;
use super::connect::{normalize, private};
use crate::args::Globals;
use crate::failure::{Failure, Result};

/// Where a node on this machine listens when nobody said otherwise.
const USUAL: &str = "http://127.0.0.1:7070";
/// The longest file that is read for credentials.
const LONGEST: u64 = 64 << 10;

/// A token that was kept.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Kept {
    /// The gateway that it is for.
    pub endpoint: String,
    /// The token.
    pub token: String,
    /// When it stops working, RFC 3339; nothing where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
    /// Whose it is.
    pub account: String,
}

impl Kept {
    fn expired(&self) -> bool {
        ended(self.expire_time.as_deref())
    }
}

fn ended(expire_time: Option<&str>) -> bool {
    let Some(end) = expire_time.and_then(gyre_model::time::parse) else { return false };
    // A token that ends while the command runs is of no use.
    end < gyre_model::time::now_micros() + 10_000_000
}

/// A cloud: where it is, and who calls there.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Profile {
    /// The gateway.
    pub endpoint: String,
    /// The certificates to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The token of the last sign-in, or an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When it stops working, RFC 3339; nothing where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Profile {
    /// Whether its token has ended, or is about to.
    pub fn expired(&self) -> bool {
        ended(self.expire_time.as_deref())
    }
}

/// What `gyre up` writes for the command on the same machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// Where its gateway listens.
    pub endpoint: String,
    /// The account.
    pub account: String,
    /// Its password.
    pub password: String,
}

/// Where the credentials come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// There are none.
    Nobody,
    /// A token from flags, environment or `gyre login`.
    Token(String),
    /// The sign-in file: a kept token that may still work, and the way to a new one.
    SignIn(SignIn, Option<String>),
}

/// Where to call, and as whom.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The gateway.
    pub endpoint: String,
    /// Who calls.
    pub source: Source,
    /// The certificates to trust.
    pub ca_file: Option<PathBuf>,
}

impl Resolved {
    /// What people should know before something secret is sent.
    pub fn warning(&self) -> Option<String> {
        let open = !matches!(self.source, Source::Nobody) && !private(&self.endpoint);
        open.then(|| format!("warning: {} is plaintext: whoever listens on the way can read the token", self.endpoint))
    }
}

/// Finds out where to call and as whom.
///
/// # Errors
/// When a file cannot be used, or a kept token has ended.
pub fn resolve(globals: &Globals, paths: &Paths) -> Result<Resolved> {
    let asked = globals.endpoint.as_deref().map(normalize).transpose()?;
    let is_for = |endpoint: &str| asked.as_deref().is_none_or(|asked| asked == endpoint);
    let found = |endpoint: String, source: Source, profile: Option<&Profile>| {
        let ca_file = globals.ca_file.clone().or_else(|| profile.and_then(|profile| profile.ca_file.clone()));
        Resolved { endpoint, source, ca_file }
    };
    let profile = profile(paths)?;
    if let Some(token) = &globals.token {
        let endpoint = resolve_endpoint(globals, paths)?;
        let own = profile.as_ref().filter(|profile| profile.endpoint == endpoint);
        return Ok(found(endpoint, Source::Token(token.clone()), own));
    }
    // An explicit sign-in file stands before what `gyre login` kept.
    if globals.sign_in_file.is_none()
        && let Some(profile) = profile.as_ref().filter(|profile| is_for(&profile.endpoint))
        && let Some(token) = &profile.token
    {
        if profile.expired() {
            let account = profile.account.as_deref().unwrap_or("somebody");
            return Err(Failure::refused(
                "SIGN_IN_EXPIRED",
                format!("the sign-in of {account} at {} has ended", profile.endpoint),
            )
            .hint("sign in again with `gyre login`, or forget it with `gyre logout`"));
        }
        return Ok(found(profile.endpoint.clone(), Source::Token(token.clone()), Some(profile)));
    }
    // Where the profile says which gateway, a sign-in file is only of use when it is for that one.
    let own = profile.as_ref().filter(|profile| globals.sign_in_file.is_none() && is_for(&profile.endpoint));
    if let Some(sign_in) = sign_in(globals, paths)?
        && is_for(&sign_in.endpoint)
        && own.is_none_or(|profile| profile.endpoint == sign_in.endpoint)
    {
        let token = read_secret::<Kept>(&paths.token)
            .ok()
            .flatten()
            .filter(|kept| kept.endpoint == sign_in.endpoint && kept.account == sign_in.account && !kept.expired())
            .map(|kept| kept.token);
        return Ok(found(sign_in.endpoint.clone(), Source::SignIn(sign_in, token), own));
    }
    let endpoint = own.map(|profile| profile.endpoint.clone()).or(asked).unwrap_or_else(|| USUAL.to_owned());
    Ok(found(endpoint, Source::Nobody, own))
}

/// Where to call, whoever calls: for signing in.
///
/// # Errors
/// When the endpoint is none, or a file cannot be used.
pub fn resolve_endpoint(globals: &Globals, paths: &Paths) -> Result<String> {
    match globals.endpoint.as_deref() {
        Some(endpoint) => normalize(endpoint),
        None => match read_secret::<Profile>(&paths.credentials)? {
            Some(profile) => Ok(profile.endpoint),
            None => usual(globals, paths),
        },
    }
}

/// The endpoint when neither flags nor `gyre login` name one.
fn usual(globals: &Globals, paths: &Paths) -> Result<String> {
    Ok(sign_in(globals, paths)?.map_or_else(|| USUAL.to_owned(), |sign_in| sign_in.endpoint))
}

/// The profile that is in use; none where it is the default one and nobody signed in.
///
/// # Errors
/// When its file cannot be used, or a profile that was named is not there.
pub fn profile(paths: &Paths) -> Result<Option<Profile>> {
    let found = read_secret::<Profile>(&paths.credentials)?;
    match (&found, &paths.profile) {
        (None, Some(name)) => Err(Failure::not_found(format!("there is no profile {name:?}")).hint(format!(
            "`gyre profile list` shows those that there are; `gyre profile set {name} --endpoint URL` makes it"
        ))),
        _ => Ok(found),
    }
}

fn sign_in(globals: &Globals, paths: &Paths) -> Result<Option<SignIn>> {
    let path = globals.sign_in_file.as_ref().unwrap_or(&paths.sign_in);
    let found: Option<SignIn> = read_secret(path)?;
    if found.is_none() && globals.sign_in_file.is_some() {
        return Err(Failure::usage(format!("there is no sign-in file {}", path.display())));
    }
    match found {
        Some(mut sign_in) => {
            sign_in.endpoint = normalize(&sign_in.endpoint)?;
            Ok(Some(sign_in))
        }
        None => Ok(None),
    }
}

/// Reads a file of secrets; none where there is no file.
///
/// # Errors
/// When others may open it, or it is not what Gyre wrote.
pub fn read_secret<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let shown = path.display();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::refused("CREDENTIALS_UNREADABLE", format!("{shown}: {error}"))),
    };
    let facts = file.metadata()?;
    let me = rustix::process::geteuid().as_raw();
    if facts.mode() & 0o077 != 0 {
        return Err(Failure::refused(
            "CREDENTIALS_EXPOSED",
            format!("{shown} holds secrets, but others may open it (mode {:04o})", facts.mode() & 0o7777),
        )
        .hint(format!("if nobody else has read it: chmod 600 {shown}")));
    }
    if facts.uid() != me && me != 0 {
        return Err(Failure::refused("CREDENTIALS_FOREIGN", format!("{shown} belongs to another user")));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Failure::refused("CREDENTIALS_BROKEN", format!("{shown} is not what gyre wrote: {error}"))
            .hint("remove the file and sign in again")
    })
}

/// Keeps a token or a sign-in in a file that only this user can read.
///
/// # Errors
/// When the file cannot be written.
pub fn keep<T: Serialize>(path: &Path, kept: &T) -> Result<()> {
    let failed = |error: std::io::Error| Failure::general(format!("{}: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let beside: PathBuf = path.with_extension(format!("{}.new", std::process::id()));
    let text = serde_json::to_vec_pretty(kept).map_err(|error| Failure::general(error.to_string()))?;
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What could not become the file is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(failed)
}

/// Forgets a token. Answers whether there was one.
///
/// # Errors
/// When the file is there and cannot be removed.
pub fn forget(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::general(format!("{}: {error}", path.display()))),
    }
}

/// The first line of a file, or of standard input for "-": how passwords are given.
///
/// # Errors
/// When it cannot be read.
pub fn first_line(path: &Path) -> std::io::Result<String> {
    let mut line = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST).read_line(&mut line)?;
    } else {
        let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        BufReader::new(File::open(path).map_err(named)?.take(LONGEST)).read_line(&mut line).map_err(named)?;
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
