//! A hundred thousand questions by chance: broken filters, paths that lead nowhere, tokens of others, masks of nonsense. None panics,
//! every refusal is an answer to the caller and comes at once, and no answer has a row of another account.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::collections::HashMap;
use std::time::Duration;

use gyre_model::{Caller, Kind, parse_uuid};
use gyre_proto::PageRequest;
use gyre_proto::storage::v1::ListVolumesResponse;
use gyre_proto::vm::v1::ListVmsResponse;
use gyre_query::{Question, Record, ask, list};
use support::{Chance, filters, world};

const QUESTIONS: usize = 100_000;
/// What is asked for: kinds that an account has for itself, that it may share, and that everybody sees.
const ASKED: [&str; 7] = ["vm", "vm", "volumes", "images", "l3-network", "nics", "zones"];
/// How much of a processor's time a refusal may take: however busy the machine is, that is the same work.
const LONGEST: Duration = Duration::from_millis(10);
/// How often a refusal that took more is tried again: a processor that was just taken away, or shares its core, is slower for once.
const TRIES: usize = 2;

/// Pieces that filters are made of, and some that they are not.
const PIECES: [&str; 44] = [
    "name",
    "host.name",
    "vms.",
    "volumes.vm.",
    "clusters.",
    "cluster",
    "zone.",
    "uuid",
    "account.name",
    "state",
    "hosts",
    "memoryBytes",
    "create_time",
    "steps.name",
    "error.reason",
    "l3_networks.name",
    "nics",
    ".",
    "..",
    "=",
    "!=",
    "<=",
    ">",
    ":",
    "(",
    ")",
    ",",
    " AND ",
    " OR ",
    " NOT ",
    "-",
    " IN ",
    "\"",
    "'",
    "\\",
    "*",
    "null",
    "4GiB",
    "-7d",
    "now",
    "RUNNING",
    "0000",
    "\0",
    "é\u{10FFFF}",
];

/// The processor's time that this thread has used; SQLite, too, works on it.
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Something like a filter.
fn garbage(chance: &mut Chance) -> String {
    let mut text = String::new();
    for _ in 0..chance.below(12) {
        let piece: &&str = chance.pick(&PIECES);
        text.push_str(piece);
        if chance.one_in(4) {
            text.push(' ');
        }
    }
    if chance.one_in(50) {
        let piece = *chance.pick(&PIECES);
        text = piece.repeat(chance.below(3000));
    }
    text
}

/// A filter with some letters out of place.
fn broken(chance: &mut Chance, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=chance.below(3) {
        let at = chance.below(letters.len() + 1);
        match chance.below(3) {
            0 if at < letters.len() => drop(letters.remove(at)),
            1 if at < letters.len() => letters[at] = letters[chance.below(letters.len())],
            _ => {
                let piece: Vec<char> = chance.pick(&PIECES).chars().collect();
                letters.splice(at..at, piece);
            }
        }
    }
    letters.into_iter().collect()
}

#[tokio::test]
async fn no_question_is_too_strange() {
    let seed = gyre_model::time::now_micros().unsigned_abs();
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let store = gyre_store::testing::store(folder.path()).await.unwrap();
    let world = world::make(&store, seed).await;
    let (slow, refused, answered) = store
        .search("fuzz", move |conn| {
            let chance = &mut Chance(seed);
            let users: Vec<_> = world.accounts.iter().map(|account| Caller::of(*account, false)).collect();
            let known: HashMap<_, _> = world.rows.values().flatten().map(|row| (row.uuid, row)).collect();
            let mut tokens = vec![String::new()];
            let (mut slow, mut refused, mut answered) = (Vec::new(), 0, 0);
            for round in 0..QUESTIONS {
                let caller = *chance.pick(&users);
                let filter = match chance.below(4) {
                    0 => garbage(chance),
                    1 => String::new(),
                    _ => {
                        let depth = chance.below(3);
                        let good = filters::filter(chance, &world, "vm", depth);
                        let good = filters::written(chance, &good);
                        broken(chance, &good)
                    }
                };
                let order_by = match chance.below(4) {
                    0 => garbage(chance),
                    1 => filters::keys(chance, "vm").iter().map(|key| format!("{},", key.field)).collect(),
                    _ => String::new(),
                };
                let page_token = match chance.below(6) {
                    0 => chance.pick(&tokens).clone(),
                    1 => {
                        let known = chance.pick(&tokens).clone();
                        broken(chance, &known)
                    }
                    _ => String::new(),
                };
                let mask: Vec<String> = (0..chance.below(3)).map(|_| garbage(chance)).collect();
                let own = |text: &str| text == caller.account_uuid.to_string() || text.is_empty();
                let page_size = chance.below(4) as i32;
                let page = PageRequest {
                    filter: &filter,
                    order_by: &order_by,
                    page_size,
                    page_token: &page_token,
                    read_mask: if chance.one_in(4) { &mask } else { &[] },
                    count: false,
                };
                let question = Question {
                    kind: if chance.one_in(9) { garbage(chance) } else { (*chance.pick(&ASKED)).to_owned() },
                    filter: filter.clone(),
                    order_by: order_by.clone(),
                    page_size,
                    page_token: page_token.clone(),
                    fields: if chance.one_in(9) { mask.clone() } else { Vec::new() },
                    group_by: if chance.one_in(9) { mask.clone() } else { Vec::new() },
                    sum: if chance.one_in(9) { vec![garbage(chance)] } else { Vec::new() },
                    ..Question::default()
                };
                // a shared image is another's, and to be seen: the model says what is
                let theirs = |row: &Record| {
                    let uuid = row.get("uuid").and_then(|uuid| parse_uuid(uuid.as_str()?));
                    let account = row.get("accountUuid").and_then(|account| account.as_str());
                    match uuid.and_then(|uuid| known.get(&uuid)) {
                        Some(record) => !world.visible(&caller, record),
                        None => question.kind.starts_with('v') && account.is_some_and(|account| !own(account)),
                    }
                };
                let which = chance.below(6);
                // the next token, and whether there are rows of others
                let mut answer = || -> gyre_model::Result<(String, bool)> {
                    Ok(match which {
                        0 => {
                            let found = list::<ListVolumesResponse>(conn, &caller, page)?;
                            (found.next_page_token, found.volumes.iter().any(|row| !own(&row.account_uuid)))
                        }
                        1 => {
                            let found = list::<ListVmsResponse>(conn, &caller, page)?;
                            (found.next_page_token, found.vms.iter().any(|row| !own(&row.account_uuid)))
                        }
                        _ => {
                            let found = ask(conn, &caller, &question)?;
                            (found.next_page_token, found.rows.iter().any(theirs))
                        }
                    })
                };
                let mut timed = || {
                    let before = used();
                    let answer = answer();
                    (answer, used() - before)
                };
                let (token, rows_of_others) = match timed() {
                    (Ok(found), _) => {
                        answered += 1;
                        found
                    }
                    (Err(error), took) => {
                        let told = || format!("seed {seed} round {round}: {filter:?} by {order_by:?}: {error:?}");
                        assert_eq!(error.kind(), Kind::InvalidArgument, "{}", told());
                        if took > LONGEST && (0..TRIES).all(|_| timed().1 > LONGEST) {
                            slow.push(told());
                        }
                        refused += 1;
                        (String::new(), false)
                    }
                };
                assert!(!rows_of_others, "seed {seed} round {round}: {filter:?} by {order_by:?} shows rows of others");
                if !token.is_empty() && tokens.len() < 500 {
                    tokens.push(token);
                }
            }
            Ok((slow, refused, answered))
        })
        .await
        .unwrap();
    println!("{refused} refused, {answered} answered");
    assert!(refused > QUESTIONS / 10 && answered > QUESTIONS / 20, "{refused} refused, {answered} answered");
    assert!(slow.is_empty(), "slow refusals: {slow:?}");
}
