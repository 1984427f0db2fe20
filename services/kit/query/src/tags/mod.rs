//! Tags of resources: rows of their own, written with the resource that they stand on.
//!
//! # Theory
//! 1. A resource's tags are rows of the table `tag`. Reading a resource reads them with it (one sub-select over an index that has
//!    all that is needed); [`insert`](crate::insert), [`update`](crate::update) and [`delete`](crate::delete) write and remove them in
//!    the resource's own transaction. So no handler knows of tags, and no tag outlives its resource.
//! 2. Tags belong to the resource: when they change, its generation grows and its change is logged with the tags before and after. A call
//!    about one tag ([`add`], [`remove`]) holds the resource's row first; an update of the resource names the generation that it saw.
//!    Whoever comes second sees what the first did, or is refused: no tag is lost, and the limits hold without a lock.
//! 3. Who sees a resource sees its tags: the row has the resource's account, and says whether everybody sees the resource. Who may
//!    change it may tag it ([`may_change`]).
//! 4. Texts that begin with [`SYSTEM`] are Gyre's: the kind's .proto declares which there are, who may set them and the rule that checks
//!    them ([`register`]); an unknown one is refused. An update keeps those that its caller may not set.

mod system;
mod text;

pub use system::{Case, Rule, Verdict, is_registered, register, value, values};
pub use text::{LONGEST, MOST, SYSTEM, Text};

use gyre_model::catalog::{Access, KindInfo, Scope, catalog};
use gyre_model::id::ordered_uuid;
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid, time};
use gyre_proto::Resource as _;
use gyre_proto::common::v1::{Tag, TagType};
use gyre_store::{Conn, Row, Sql, Value};

use crate::table::{self, Table};
use crate::write::{self, Change};

/// A resource as far as its tags are concerned.
pub(crate) struct Owner {
    pub kind: &'static KindInfo,
    pub uuid: Uuid,
    pub account: Option<Uuid>,
    pub shared: bool,
}

impl Owner {
    /// From a row whose columns are the table's from the first on.
    pub fn of(table: &Table, row: &Row) -> Result<Self> {
        let (at, _) = table.column("uuid").ok_or_else(|| Error::internal("a kind without UUID"))?;
        let uuid = row.id(at)?;
        let shared = match table.column("shared") {
            Some((at, _)) => row.bool(at)?,
            None => table.scope() == Scope::Global,
        };
        let account = match (table.account(), table.scope()) {
            (Some(at), _) => row.opt_id(at)?,
            // an account is its own
            (None, Scope::Account | Scope::Unspecified) => Some(uuid),
            (None, _) => None,
        };
        Ok(Self { kind: table.kind, uuid, account, shared })
    }
}

fn put(conn: &mut Conn, change: &Change, owner: &Owner, text: &Text<'_>, given: Tag) -> Result<Tag> {
    let uuid = if given.uuid.is_empty() { ordered_uuid().to_string() } else { given.uuid };
    let mut tag = Tag {
        uuid,
        name: text.text.to_owned(),
        description: given.description,
        account_uuid: owner.account.map(|account| account.to_string()).unwrap_or_default(),
        resource_kind: owner.kind.kind.to_owned(),
        resource_uuid: owner.uuid.to_string(),
        text: text.text.to_owned(),
        key: text.key.to_owned(),
        value: text.value.to_owned(),
        shared: owner.shared,
        ..Tag::default()
    };
    tag.set_type(if text.is_system() { TagType::System } else { TagType::User });
    write::insert(conn, change, &tag)
}

/// Writes the tags of a new resource, whose encoded message has them too.
pub(crate) fn write_new(
    conn: &mut Conn,
    change: &Change,
    owner: &Owner,
    message: &[u8],
    texts: &[String],
) -> Result<()> {
    let parsed = text::parse_all(owner.kind, texts)?;
    let after = After { message, texts, new: true };
    for text in &parsed {
        after.check(conn, change, owner, text)?;
        put(conn, change, owner, text, Tag::default())?;
    }
    Ok(())
}

/// A resource as it is about to be.
struct After<'a> {
    message: &'a [u8],
    texts: &'a [String],
    new: bool,
}

impl After<'_> {
    /// Checks a tag that is about to be put there.
    fn check(&self, conn: &mut Conn, change: &Change, owner: &Owner, text: &Text<'_>) -> Result<()> {
        if !text.is_system() {
            return Ok(());
        }
        let (kind, uuid) = (owner.kind.kind, owner.uuid);
        let case = Case { caller: &change.caller, kind, uuid, message: self.message, value: text.value };
        system::check(conn, owner.kind, text, &case, self.new, self.texts.iter().map(String::as_str))
    }
}

/// Puts tags in the place of those that a resource had, but for Gyre's that the caller may not set. Answers those that it has then.
pub(crate) fn replace(
    conn: &mut Conn,
    change: &Change,
    owner: &Owner,
    message: &[u8],
    (before, after): (&[String], Vec<String>),
) -> Result<Vec<String>> {
    let mut after = after;
    after.extend(before.iter().filter(|text| system::stays(&change.caller, owner.kind, text)).cloned());
    after.sort_unstable();
    // twice in the list is a fault, once there and once kept is not
    let kept = |text: &String| system::stays(&change.caller, owner.kind, text);
    after.dedup_by(|left, right| left == right && kept(left));
    let parsed = text::parse_all(owner.kind, &after)?;
    let gone: Vec<_> = before.iter().filter(|text| !after.contains(text)).collect();
    if !gone.is_empty() {
        let condition = Sql::new("resource_uuid = ").bind(owner.uuid).sql(" AND text IN (");
        let gone = condition.bind_all(gone.into_iter().map(String::as_str)).sql(")");
        for tag in crate::select::<Tag>(conn, gone)? {
            write::delete::<Tag>(conn, change, parse_uuid(&tag.uuid).unwrap_or_default())?;
        }
    }
    let whole = After { message, texts: &after, new: false };
    for text in parsed.iter().filter(|text| !before.iter().any(|known| known == text.text)) {
        whole.check(conn, change, owner, text)?;
        put(conn, change, owner, text, Tag::default())?;
    }
    Ok(after)
}

/// Says of a resource's tags whether everybody sees them, after that changed.
pub(crate) fn share(conn: &mut Conn, owner: &Owner) -> Result<()> {
    let sql = Sql::new("UPDATE tag SET shared = ").bind(owner.shared).sql(" WHERE resource_uuid = ").bind(owner.uuid);
    conn.execute(sql)?;
    Ok(())
}

/// Removes the tags of a resource that goes.
pub(crate) fn remove_all(conn: &mut Conn, change: &Change, resource: Uuid) -> Result<()> {
    for tag in crate::select::<Tag>(conn, Sql::new("resource_uuid = ").bind(resource))? {
        write::delete::<Tag>(conn, change, parse_uuid(&tag.uuid).unwrap_or_default())?;
    }
    Ok(())
}

/// The table of a kind that has tags.
///
/// # Errors
/// `INVALID_ARGUMENT` for any other.
pub fn tagged(kind: &str) -> Result<&'static Table> {
    let table = catalog().kind(kind).map(|kind| table::by_kind(kind.kind));
    table.filter(|table| table.has_tags()).ok_or_else(|| {
        let mut kinds: Vec<_> = catalog().kinds().map(|kind| kind.kind).collect();
        kinds.retain(|kind| table::by_kind(kind).has_tags());
        kinds.sort_unstable();
        Error::invalid("tag.resource_kind", format!("must be one of {}, got {kind:?}", kinds.join(", ")))
    })
}

/// Whether a caller may change a resource that they see, and so its tags: administrators may; an account may what is its own, where the
/// calls that change such resources are for accounts at all.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn may_change(caller: &Caller, owner: &Owner) -> Result<()> {
    let message = owner.kind.message.rsplit('.').next().unwrap_or_default();
    let access = |verb: &str| {
        let name = format!("{verb}{message}");
        let found = catalog().methods().find(|method| method.name == name);
        found.map(|method| method.access)
    };
    let by_account = match access("Update").or_else(|| access("Create")) {
        Some(access) => access != Access::Admin,
        None => matches!(owner.kind.scope, Scope::Account | Scope::Unspecified),
    };
    if caller.admin || by_account && owner.account == Some(caller.account_uuid) {
        return Ok(());
    }
    let who = if by_account { "its owner" } else { "administrators" };
    let text = format!("only {who} may tag {} {}", owner.kind.kind, owner.uuid);
    Err(Error::new(Kind::PermissionDenied, "NOT_YOURS_TO_TAG", text).with("uuid", owner.uuid.to_string()))
}

/// A resource that a caller may change, held until the transaction ends, with its row as it stands.
fn hold(conn: &mut Conn, caller: &Caller, table: &'static Table, uuid: Uuid) -> Result<(Owner, Row)> {
    let kind = table.kind;
    conn.execute(Sql::new(format!("UPDATE {} SET generation = generation WHERE uuid = ", kind.table)).bind(uuid))?;
    let row = crate::read::find_row(conn, table, caller, uuid)?.ok_or_else(|| Error::not_found(kind.kind, uuid))?;
    let owner = Owner::of(table, &row)?;
    may_change(caller, &owner)?;
    Ok((owner, row))
}

/// Says of a resource that it changed: its tags did.
fn touch(conn: &mut Conn, change: &Change, table: &'static Table, uuid: Uuid, before: &Row) -> Result<()> {
    let sql = Sql::new(format!("UPDATE {} SET generation = generation + 1, update_time = ", table.kind.table));
    conn.execute(sql.bind(Value::time(time::now_micros())).sql(" WHERE uuid = ").bind(uuid))?;
    let after = crate::read::find_row(conn, table, &Caller::system(), uuid)?;
    let after = after.ok_or_else(|| Error::internal("a resource that is held is gone"))?;
    write::log(conn, change, table.kind, uuid, Some(&table.message(before)?), Some(&table.message(&after)?))
}

/// Puts one tag on a resource. Answers the tag as it stands.
///
/// # Errors
/// `NOT_FOUND` for a resource that is not for the caller's eyes, `PERMISSION_DENIED` for one that is not theirs to change,
/// `TAG_EXISTS`, `TOO_MANY_TAGS`, `INVALID_ARGUMENT` for a text that no tag may look like.
pub fn add(conn: &mut Conn, change: &Change, tag: Tag) -> Result<Tag> {
    let table = tagged(&tag.resource_kind)?;
    let uuid = parse_uuid(&tag.resource_uuid).ok_or_else(|| Error::not_found(table.kind.kind, &tag.resource_uuid))?;
    let words = tag.text.clone();
    let text = Text::parse(&words).map_err(|fault| Error::invalid("tag.text", fault))?;
    let (owner, before) = hold(conn, &change.caller, table, uuid)?;
    let there = table.tags(&before)?;
    if there.contains(&words) {
        let fault = format!("{} {uuid} has the tag {words:?} already", owner.kind.kind);
        return Err(Error::new(Kind::AlreadyExists, "TAG_EXISTS", fault));
    }
    if there.len() >= MOST {
        let fault = format!("{} {uuid} has {MOST} tags, and may not have more: delete one first", owner.kind.kind);
        return Err(Error::new(Kind::FailedPrecondition, "TOO_MANY_TAGS", fault));
    }
    let message = table.message(&before)?;
    After { message: &message, texts: &there, new: false }.check(conn, change, &owner, &text)?;
    let stored = put(conn, change, &owner, &text, tag)?;
    touch(conn, change, table, uuid, &before)?;
    Ok(stored)
}

/// Takes one tag off its resource.
///
/// # Errors
/// `NOT_FOUND`, `PERMISSION_DENIED`.
pub fn remove(conn: &mut Conn, change: &Change, uuid: Uuid) -> Result<()> {
    let tag: Tag = crate::get(conn, &change.caller, uuid)?;
    let table = tagged(&tag.resource_kind)?;
    let resource = parse_uuid(&tag.resource_uuid).unwrap_or_default();
    let (owner, before) = hold(conn, &change.caller, table, resource)?;
    system::check_removal(&change.caller, owner.kind, &tag.text)?;
    if !write::delete::<Tag>(conn, change, uuid)? {
        return Err(Error::not_found(Tag::KIND, uuid));
    }
    touch(conn, change, table, resource, &before)
}
