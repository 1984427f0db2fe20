//! Any verb of any noun.

use std::time::Duration;

use bytes::Bytes;
use clap::ArgMatches;
use gyre_model::catalog::catalog;
use gyre_proto::common::v1::Operation;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::{deletion, dry_run, explain, list, query, request, upload, wait};
use crate::args::{Globals, names};
use crate::client::{Answers, Client};
use crate::failure::{Exit, Failure, Result};
use crate::nouns::{OPERATION, Shape, Verb, noun as find_noun};
use crate::output::{self, Format};
use crate::ui::Ui;

/// How long `operation wait` waits when nobody says how long.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Makes the call and prints the answer. `noun` is what it is done to, for people.
pub async fn run(client: &Client, globals: &Globals, noun: &str, verb: &Verb, matches: &ArgMatches) -> Result<()> {
    made(client, globals, noun, verb, matches).await.map_err(|failure| request::by_flags(verb, failure))
}

async fn made(client: &Client, globals: &Globals, noun: &str, verb: &Verb, matches: &ArgMatches) -> Result<()> {
    if verb.method.path == query::QUERY {
        return query::run(client, globals, verb, matches).await;
    }
    if matches!(verb.shape, Shape::List) {
        return list::run(client, globals, verb, matches).await;
    }
    let dry = matches.try_get_one::<bool>(names::DRY_RUN).ok().flatten().copied().unwrap_or(false);
    if matches!(verb.shape, Shape::Feed) {
        return feed(client, globals, verb, request::build_all(client, verb, matches).await?, dry).await;
    }
    let mut request = request::build(client, verb, matches).await?;
    if dry {
        // A service that rehearses knows more than a printed request says.
        let Some(field) = verb.validate_only() else { return dry_run::print(globals.format, verb, &request) };
        request.set_field_by_number(field.number, Value::Bool(true));
        let answer = client.call(verb.method, &request).await?;
        return match deletion::of(&answer)? {
            Some(plan) if globals.format.for_people() => deletion::print(&plan),
            _ => output::print_message(globals.format, &answer),
        };
    }
    let ui = Ui::new(globals.quiet);
    // only the call itself asks for it, not those that follow what came of it
    let caller = match matches.try_get_one::<String>(names::CALLBACK).ok().flatten() {
        Some(url) => &client.clone().with_callback(url)?,
        None => client,
    };
    let answer = match verb.shape {
        Shape::Stream if verb.method.output == OPERATION => return watch(client, globals, &ui, &request).await,
        Shape::Stream => return stream(client, globals, verb, &request).await,
        Shape::Upload(data) => upload::run(caller, &ui, verb, data, &request, matches).await?,
        _ if verb.method.name == "WaitOperation" && verb.method.output == OPERATION => {
            return wait_call(client, globals, verb, &request).await;
        }
        _ => caller.call(verb.method, &request).await?,
    };
    let wait = matches.try_get_one::<Option<Duration>>(names::WAIT).ok().flatten();
    match wait.filter(|_| verb.starts_operation()) {
        Some(limit) => finish(client, globals, &ui, &answer, *limit).await,
        None if verb.method.output == explain::EXPLAINED && globals.format.for_people() => explain::print(&answer),
        None => {
            output::print_message(globals.format, &answer)?;
            if answer.fields().next().is_none() && globals.format.for_people() {
                output::print(&format!("{noun} {}: done\n", verb.name))?;
            }
            Ok(())
        }
    }
}

/// `--wait`: follows the operation to its end and prints the resource as it is then.
async fn finish(
    client: &Client,
    globals: &Globals,
    ui: &Ui,
    answer: &DynamicMessage,
    limit: Option<Duration>,
) -> Result<()> {
    let operation = typed(answer)?;
    let operation = wait::follow(client, ui, &operation, limit).await?;
    match after(client, &operation).await? {
        Some(resource) => output::print_message(globals.format, &resource),
        None => output::print_message(globals.format, &untyped(&operation, answer)?),
    }
}

/// What an operation worked on, where it is still there.
async fn after(client: &Client, operation: &Operation) -> Result<Option<DynamicMessage>> {
    let Some(get) = find_noun(&operation.resource_kind).and_then(|noun| noun.verb("get")) else { return Ok(None) };
    let mut request = DynamicMessage::new(get.method.descriptor.input());
    request.set_field_by_name("uuid", Value::String(operation.resource_uuid.clone()));
    match client.call(get.method, &request).await {
        Ok(resource) => Ok(Some(resource)),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// `gyre operation watch`: follows to the end; programs get every state that comes.
async fn watch(client: &Client, globals: &Globals, ui: &Ui, request: &DynamicMessage) -> Result<()> {
    let uuid = request.get_field_by_name("uuid").and_then(|uuid| uuid.as_str().map(str::to_owned)).unwrap_or_default();
    let operation = Operation { uuid, ..Operation::default() };
    let descriptor =
        catalog().pool().get_message_by_name(OPERATION).ok_or_else(|| Failure::general("there are no operations"))?;
    let template = DynamicMessage::new(descriptor);
    if globals.format.for_people() {
        let operation = wait::follow(client, ui, &operation, None).await?;
        return output::print_message(globals.format, &untyped(&operation, &template)?);
    }
    let quiet = Ui::new(true);
    let each = |operation: &Operation| output::print_next(globals.format, &untyped(operation, &template)?);
    wait::follow_each(client, &quiet, &operation, None, each).await.map(|_| ())
}

/// `gyre operation wait`: one call that the service holds open.
async fn wait_call(client: &Client, globals: &Globals, verb: &Verb, request: &DynamicMessage) -> Result<()> {
    let patience = request
        .get_field_by_name("timeout")
        .filter(|_| request.has_field_by_name("timeout"))
        .and_then(|timeout| timeout.as_message()?.get_field_by_number(1)?.as_i64())
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(LONGEST_WAIT, Duration::from_secs);
    let answer = client.call_within(verb.method, request, patience + Duration::from_secs(5)).await?;
    output::print_message(globals.format, &answer)?;
    let operation = typed(&answer)?;
    if wait::ended(&operation) {
        wait::outcome(&operation)
    } else {
        Err(Failure::late(format!("the operation {} goes on", operation.uuid)))
    }
}

/// A call that takes a stream of requests.
async fn feed(client: &Client, globals: &Globals, verb: &Verb, requests: Vec<DynamicMessage>, dry: bool) -> Result<()> {
    if dry {
        return requests.iter().try_for_each(|request| dry_run::print(globals.format, verb, request));
    }
    let requests: Vec<_> = requests.iter().map(|request| Bytes::from(request.encode_to_vec())).collect();
    let requests = futures::stream::iter(requests);
    if verb.method.server_streaming {
        return show(globals, verb, client.talk(verb.method, requests).await?).await;
    }
    let answer = client.send(verb.method, requests).await?;
    output::print_message(globals.format, &answer)
}

async fn stream(client: &Client, globals: &Globals, verb: &Verb, request: &DynamicMessage) -> Result<()> {
    show(globals, verb, client.open(verb.method, request).await?).await
}

/// Prints a stream as it comes.
async fn show(globals: &Globals, verb: &Verb, mut answers: Answers) -> Result<()> {
    let mut stop = wait::interrupts()?;
    // A stream of bytes is what it carries; anything else is printed message by message.
    let raw = verb.method.descriptor.output().fields().find(|field| field.kind() == prost_reflect::Kind::Bytes);
    loop {
        let next = tokio::select! {
            next = answers.next() => next?,
            _ = stop.recv() => return Err(Failure::interrupted("interrupted")),
        };
        let Some(message) = next else { return Ok(()) };
        match (&raw, globals.format) {
            (Some(field), Format::Table | Format::Wide) => {
                if let Some(bytes) = message.get_field(field).as_bytes() {
                    output::print_piece(bytes)?;
                }
            }
            _ => output::print_next(globals.format, &message)?,
        }
    }
}

fn typed(message: &DynamicMessage) -> Result<Operation> {
    message.transcode_to().map_err(|error| Failure::general(format!("the answer is no operation: {error}")))
}

fn untyped(operation: &Operation, like: &DynamicMessage) -> Result<DynamicMessage> {
    let mut message = DynamicMessage::new(like.descriptor());
    message
        .transcode_from(operation)
        .map_err(|error| Failure::general(format!("the answer is no operation: {error}")))?;
    Ok(message)
}
