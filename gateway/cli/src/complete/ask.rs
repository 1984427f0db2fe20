//! Asking a gateway for the names of a kind, quickly or not at all.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_reflect::{DynamicMessage, Value};
use serde::{Deserialize, Serialize};

use super::folder;
use crate::args::Globals;
use crate::client::{Client, Kept, Paths, Source, keep, read_secret, resolve};
use crate::commands::{items, quoted};
use crate::failure::{Failure, Result};
use crate::nouns::{Noun, noun};
use crate::output::one_line;

/// How long a gateway has to answer: longer, and whoever types would wait.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long what it said is believed.
const FRESH: Duration = Duration::from_secs(5);
/// The most that are asked for.
const MOST: i32 = 300;

/// A resource as completion knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    uuid: String,
    name: String,
    told: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cached {
    at: u64,
    rows: Vec<Row>,
}

/// A candidate.
#[derive(Debug)]
pub struct Found {
    /// What is typed.
    pub value: String,
    /// What it is.
    pub help: String,
}

/// The resources of a kind that begin like this; none where nobody answers in time.
pub fn ask(globals: &Globals, kind: &str, current: &str) -> Vec<Found> {
    let Some(noun) = noun(kind) else { return Vec::new() };
    let Ok(rows) = rows(globals, noun, current) else { return Vec::new() };
    let mut count: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        *count.entry(&row.name).or_default() += 1;
    }
    rows.iter()
        .map(|row| {
            // A name that several have names none, and one with a blank would need quotes that differ from shell to shell.
            let plain = row.name.chars().all(|letter| letter.is_alphanumeric() || "._-+@%".contains(letter));
            let named = !row.name.is_empty() && plain && !row.name.starts_with('-') && count[row.name.as_str()] == 1;
            let uuid = !current.is_empty() && row.uuid.starts_with(current);
            match named && !uuid {
                true => Found { value: row.name.clone(), help: row.told.clone() },
                false => {
                    Found { value: row.uuid.clone(), help: format!("{} {}", row.name, row.told).trim().to_owned() }
                }
            }
        })
        .collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn rows(globals: &Globals, noun: Noun, current: &str) -> Result<Vec<Row>> {
    let paths = Paths::from_environment().of_profile(globals.profile.as_deref())?;
    let resolved = resolve(globals, &paths)?;
    // UUIDs are found in a whole list only.
    let prefix = if noun.has_name() { current } else { "" };
    let mut whose = DefaultHasher::new();
    let secret = match &resolved.source {
        Source::Token(token) => token.as_str(),
        Source::SignIn(sign_in, _) => sign_in.account.as_str(),
        Source::Nobody => "",
    };
    (&resolved.endpoint, secret, noun.kind.kind).hash(&mut whose);
    let file = |prefix: &str| {
        let mut which = whose.clone();
        prefix.hash(&mut which);
        folder(&paths).join(format!("{:016x}.json", which.finish()))
    };
    for prefix in ["", prefix] {
        if let Ok(Some(kept)) = read_secret::<Cached>(&file(prefix))
            && now().saturating_sub(kept.at) < u64::try_from(FRESH.as_millis()).unwrap_or(u64::MAX)
        {
            return Ok(kept.rows);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (rows, whole) = runtime.block_on(async {
        let asking = fetch(globals, &paths, &resolved, noun, prefix);
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(Failure::late("too slow")))
    })?;
    // What cannot be kept is asked for again.
    let path = file(if whole { "" } else { prefix });
    sweep(&paths);
    let _ = keep(&path, &Cached { at: now(), rows: rows.clone() });
    Ok(rows)
}

/// Removes what nobody believes any more.
fn sweep(paths: &Paths) {
    for file in std::fs::read_dir(folder(paths)).into_iter().flatten().flatten() {
        let old = file
            .metadata()
            .and_then(|facts| facts.modified())
            .is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > FRESH * 12));
        if old {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

async fn fetch(
    globals: &Globals,
    paths: &Paths,
    resolved: &crate::client::Resolved,
    noun: Noun,
    prefix: &str,
) -> Result<(Vec<Row>, bool)> {
    let client = Client::new(&resolved.endpoint, resolved.ca_file.as_deref())?.with_timeout(PATIENCE);
    let (first, again) = match &resolved.source {
        Source::Nobody => (Some(client.clone()), None),
        Source::Token(token) => (Some(client.clone().with_token(token)?), None),
        Source::SignIn(sign_in, kept) => {
            (kept.as_ref().map(|token| client.clone().with_token(token)).transpose()?, Some(sign_in))
        }
    };
    if let Some(client) = first {
        match list(&client, noun, prefix).await {
            Err(failure) if failure.unauthenticated() && again.is_some() => {}
            outcome => return outcome,
        }
    }
    let Some(sign_in) = again else { return Err(Failure::refused("UNAUTHENTICATED", "nobody is signed in")) };
    let session = client.sign_in(&sign_in.account, &sign_in.password).await?;
    let kept = Kept {
        endpoint: sign_in.endpoint.clone(),
        expire_time: session.expire_time.as_ref().map(crate::commands::rfc3339),
        account: sign_in.account.clone(),
        token: session.token,
    };
    if let Err(failure) = keep(&paths.token, &kept)
        && globals.verbose
    {
        eprintln!("the token is not kept: {failure}");
    }
    list(&client.with_token(&kept.token)?, noun, prefix).await
}

async fn list(client: &Client, noun: Noun, prefix: &str) -> Result<(Vec<Row>, bool)> {
    let method = noun.list().ok_or_else(|| Failure::general("there is no list"))?;
    let ask = |filter: Option<String>| {
        let mut request = DynamicMessage::new(method.descriptor.input());
        request.set_field_by_name("page_size", Value::I32(MOST));
        if let Some(filter) = filter {
            request.set_field_by_name("filter", Value::String(filter));
        }
        async move { client.call(method, &request).await }
    };
    let mut page = ask(None).await?;
    let more = |page: &DynamicMessage| {
        page.get_field_by_name("next_page_token")
            .is_some_and(|token| token.as_str().is_some_and(|token| !token.is_empty()))
    };
    let whole = !more(&page);
    // More than anybody reads: only those that begin with what was typed.
    if !whole && !prefix.is_empty() {
        page = ask(Some(format!("name = {}", quoted(&format!("{prefix}*"))))).await?;
    }
    let rows = items(&page)
        .iter()
        .map(|item| {
            let text = |name: &str| {
                item.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
            };
            Row { uuid: text("uuid"), name: text("name"), told: one_line(item, &["uuid", "name"]) }
        })
        .collect();
    Ok((rows, whole))
}
