//! The first administrator, and the sign-in file that says how to be it.
//!
//! Ground rules:
//! 1. The file is there before the account: whoever dies between leaves a password that opens nothing, not an account that nobody
//!    can open. The next start takes the password from the file.
//! 2. The file is made whole, for its owner alone, and never over another one: of instances that share it, one writes it and all
//!    the others use the password that it holds. So whichever of them makes the account, the file is right.
//! 3. The unique name lets one instance make the account. One that comes second with a file of its own removes what it wrote.
//!
//! Where accounts are there already, only the endpoint in a file that is there is brought up to date: a node may listen elsewhere
//! than the last time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use gyre_model::{Caller, Error, Kind, Result, Uuid};
use gyre_proto::identity::v1::{Account, AccountState, AccountType};
use gyre_query::Change;
use gyre_store::Store;
use serde::{Deserialize, Serialize};

use crate::password::{Passwords, SHORTEST};
use crate::{secret, store as rows};

/// The name of the first administrator.
const ADMIN: &str = "admin";
/// The longest file that is read.
const LONGEST: u64 = 64 << 10;

/// What the file holds; the command line reads the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SignIn {
    endpoint: String,
    account: String,
    password: String,
}

/// Makes the first administrator where there is no account. Answers whether it did.
pub(crate) async fn first_admin(
    store: &Store,
    passwords: &Passwords,
    chosen: Option<&str>,
    endpoint: &str,
    file: &Path,
) -> Result<bool> {
    if chosen.is_some_and(|password| password.chars().count() < SHORTEST) {
        let text = format!("the first administrator's password must have at least {SHORTEST} characters");
        return Err(Error::new(Kind::InvalidArgument, "ADMIN_PASSWORD_TOO_SHORT", text));
    }
    let path = file.to_owned();
    if store.read("account-any", rows::account_any).await? {
        let endpoint = endpoint.to_owned();
        blocking(move || update_endpoint(&path, &endpoint)).await?;
        return Ok(false);
    }
    let (chosen, endpoint) = (chosen.map(str::to_owned), endpoint.to_owned());
    let (sign_in, ours) = blocking(move || write_down(&path, chosen, &endpoint)).await??;
    let hash = passwords.hash(sign_in.password.clone()).await?;
    let made = store.write("first-admin", move |conn| {
        if rows::account_any(conn)? {
            return Ok(false);
        }
        let mut account = Account { uuid: Uuid::new_v4().to_string(), name: ADMIN.to_owned(), ..Account::default() };
        account.description = "the first administrator".to_owned();
        account.set_type(AccountType::Admin);
        account.set_state(AccountState::Enabled);
        match rows::account_insert(conn, &Change::by(Caller::system()), &account, &hash) {
            Ok(_) => Ok(true),
            Err(error) if error.reason() == "ACCOUNT_NAME_TAKEN" => Ok(false),
            Err(error) => Err(error),
        }
    });
    if made.await? {
        tracing::info!(account = ADMIN, file = %file.display(), "first administrator made");
        return Ok(true);
    }
    let admin = store.read("sign-in", |conn| rows::sign_in_find(conn, ADMIN)).await?;
    let opens = passwords.verify(sign_in.password, admin.map(|(_, hash)| hash)).await?;
    if ours && !opens {
        let path = file.to_owned();
        blocking(move || fs::remove_file(path)).await?.map_err(|error| unusable(file, "remove", &error))?;
    }
    Ok(false)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

fn unusable(file: &Path, what: &str, error: &io::Error) -> Error {
    let text = format!("cannot {what} the sign-in file {}: {error}", file.display());
    Error::new(Kind::FailedPrecondition, "SIGN_IN_FILE", text)
}

/// Sees to it that the file holds a password for the account that is about to be made. Answers what it holds, and whether this
/// call made it.
fn write_down(file: &Path, chosen: Option<String>, endpoint: &str) -> Result<(SignIn, bool)> {
    let mut ours = false;
    let mut known = read(file)?;
    if known.is_none() {
        let password = chosen.clone().map_or_else(secret::password, Ok)?;
        let new = SignIn { endpoint: endpoint.to_owned(), account: ADMIN.to_owned(), password };
        ours = put(file, &new, false).map_err(|error| unusable(file, "write", &error))?;
        known = if ours { Some(new) } else { read(file)? };
    }
    let known = known.ok_or_else(|| unusable(file, "read", &io::Error::from(io::ErrorKind::NotFound)))?;
    let mut wanted = SignIn { endpoint: endpoint.to_owned(), ..known.clone() };
    wanted.password = chosen.unwrap_or(wanted.password);
    if wanted != known {
        put(file, &wanted, true).map_err(|error| unusable(file, "write", &error))?;
    }
    Ok((wanted, ours))
}

/// Reads the file; none where there is none. What cannot be used is refused: it may be the only copy of somebody's password.
fn read(file: &Path) -> Result<Option<SignIn>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(file, "read", &error)),
    };
    let mode = opened.metadata().map_err(|error| unusable(file, "read", &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let why = io::Error::other("others may open it; if nobody else has read it: chmod 600, else remove it");
        return Err(unusable(file, "use", &why));
    }
    let mut text = String::new();
    opened.take(LONGEST).read_to_string(&mut text).map_err(|error| unusable(file, "read", &error))?;
    let known: Option<SignIn> = serde_json::from_str(&text).ok();
    match known.filter(|known| known.account == ADMIN && known.password.chars().count() >= SHORTEST) {
        Some(known) => Ok(Some(known)),
        None => {
            let why = io::Error::other("it is not what Gyre wrote for its first administrator; move it away");
            Err(unusable(file, "use", &why))
        }
    }
}

/// Writes the file whole and durably, mode 0600 from its first byte. Answers false, and leaves the other, where one is there and
/// must not be replaced.
fn put(file: &Path, sign_in: &SignIn, replace: bool) -> io::Result<bool> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.new", Uuid::new_v4().simple()));
    let beside = PathBuf::from(beside);
    let placed = write_beside(&beside, sign_in).and_then(|()| {
        if replace {
            return fs::rename(&beside, file).map(|()| true);
        }
        match fs::hard_link(&beside, file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // a file system without links: then nobody shares it either
            Err(_) if !file.exists() => fs::rename(&beside, file).map(|()| true),
            Err(error) => Err(error),
        }
    });
    // after a rename there is nothing left to remove
    let _ = fs::remove_file(&beside);
    let placed = placed?;
    File::open(folder)?.sync_all()?;
    Ok(placed)
}

fn write_beside(beside: &Path, sign_in: &SignIn) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let mut text = serde_json::to_vec_pretty(sign_in)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_all()
}

/// Brings the endpoint of a file up to date. No file, or one that is not ours, is left alone.
fn update_endpoint(file: &Path, endpoint: &str) {
    let Ok(Some(known)) = read(file) else { return };
    if known.endpoint != endpoint {
        let wanted = SignIn { endpoint: endpoint.to_owned(), ..known };
        if let Err(error) = put(file, &wanted, true) {
            tracing::warn!(%error, file = %file.display(), "cannot bring the sign-in file up to date");
        }
    }
}
