//! Settings: what operators and accounts may set while Gyre runs. Which there are, with their bounds and defaults, stands in the .proto files of
//! the services (`ServiceRule.settings`); the values that somebody set are rows of the table `setting`.
//!
//! # Theory
//! 1. The nearest value wins: that of the resource, then of the account that owns it, of its cluster, of its zone, of the whole cloud, and at
//!    last the default ([`places`]). A process may have been started with another default than the declared one.
//! 2. A value is read where it is used, in that moment ([`find`]): one statement over an index. So all instances see a change as soon as it
//!    is made, and there is no copy that could be old.
//! 3. Of one setting there is one row for each thing that it holds for: the row's UUID follows from both. Whoever meets another that sets
//!    the same at the same time does it again.
//! 4. Rows are resources: changes are logged, an account sees its own and what holds for all. What holds for a thing goes with it
//!    ([`forget`]).

mod value;

pub use value::{Value, print_duration};

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use gyre_model::catalog::{SettingInfo, SettingRule, catalog};
use gyre_model::{Caller, Error, Kind, Result, Uuid, parse_uuid};
use gyre_proto::common::v1::{EffectiveSetting, Setting, SettingScope};
use gyre_store::{Conn, Sql};
use xxhash_rust::xxh3::xxh3_128;

use crate::table;
use crate::tags::Owner;
use crate::write::{self, Change};

/// Something that a value holds for: nothing is the whole cloud.
pub type Target<'a> = Option<(&'a str, Uuid)>;

/// A value that somebody set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Value,
    /// Where it was set.
    pub scope: SettingScope,
    /// The kind of what it was set for; empty for the whole cloud.
    pub kind: String,
    /// What it was set for.
    pub uuid: Option<Uuid>,
}

/// Defaults that this process was started with, where they are others than those declared.
static PROCESS: LazyLock<RwLock<HashMap<&'static str, String>>> = LazyLock::new(RwLock::default);

/// Says what the default of a setting is in this process.
pub fn process_default(name: &'static str, value: String) {
    PROCESS.write().unwrap_or_else(PoisonError::into_inner).insert(name, value);
}

/// The declaration of a setting.
///
/// # Errors
/// `UNKNOWN_SETTING`, with those that there are.
pub fn declared(name: &str) -> Result<&'static SettingInfo> {
    catalog().setting(name).ok_or_else(|| {
        let all: Vec<_> = catalog().settings().iter().map(|setting| setting.rule.name.as_str()).collect();
        let text = format!("there is no setting {name:?}: write one of {}", all.join(", "));
        Error::new(Kind::NotFound, "UNKNOWN_SETTING", text)
    })
}

/// What a setting is where nobody set it.
pub fn default_of(rule: &SettingRule) -> String {
    let process = PROCESS.read().unwrap_or_else(PoisonError::into_inner).get(rule.name.as_str()).cloned();
    process.unwrap_or_else(|| rule.default_value.clone())
}

/// Where values for something are looked for, the nearest first; the whole cloud, which comes last, is not among them.
pub fn places(conn: &mut Conn, target: Target<'_>) -> Result<Vec<(SettingScope, &'static str, Uuid)>> {
    let Some((kind, uuid)) = target else { return Ok(Vec::new()) };
    let kind = catalog().kind(kind).ok_or_else(|| Error::internal(format!("a setting of the kind {kind:?}")))?.kind;
    let mut found = vec![(scope_of(kind), kind, uuid)];
    let mut at = (kind, uuid);
    // from a resource to its host, from there to the cluster, from there to the zone: whichever of them it names itself comes first
    loop {
        let table = table::by_kind(at.0);
        let named: Vec<_> = ["account", "host", "cluster", "zone"]
            .into_iter()
            .filter(|to| {
                table.column(&format!("{to}_uuid")).is_some() && !found.iter().any(|(_, known, _)| known == to)
            })
            .collect();
        if named.is_empty() {
            break;
        }
        let columns: Vec<_> = named.iter().map(|to| format!("{to}_uuid")).collect();
        let sql = Sql::new(format!("SELECT {} FROM {} WHERE uuid = ", columns.join(", "), table.kind.table)).bind(at.1);
        let Some(row) = conn.query_one(sql)? else { break };
        let mut next = None;
        for (column, to) in named.into_iter().enumerate() {
            let Some(uuid) = row.opt_id(column)? else { continue };
            match to {
                "host" => next = next.or(Some((to, uuid))),
                _ => found.push((scope_of(to), to, uuid)),
            }
            if to == "cluster" {
                next = Some((to, uuid));
            }
        }
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    found.sort_by_key(|(scope, ..)| std::cmp::Reverse(i32::from(*scope)));
    Ok(found)
}

fn scope_of(kind: &str) -> SettingScope {
    match kind {
        "zone" => SettingScope::Zone,
        "cluster" => SettingScope::Cluster,
        "account" => SettingScope::Account,
        _ => SettingScope::Resource,
    }
}

/// The value of a setting that holds for something; nothing where nobody set one.
///
/// # Errors
/// `UNKNOWN_SETTING`; the database's.
pub fn find(conn: &mut Conn, name: &str, target: Target<'_>) -> Result<Option<Found>> {
    let info = declared(name)?;
    let sql = Sql::new("SELECT resource_uuid, value FROM setting WHERE name = ").bind(name);
    let rows = conn.query(sql.sql(" LIMIT 1"))?;
    if rows.is_empty() {
        // the usual case costs one look
        return Ok(None);
    }
    let places = places(conn, target)?;
    let mut sql = Sql::new("SELECT resource_uuid, value FROM setting WHERE name = ")
        .bind(name)
        .sql(" AND (resource_uuid IS NULL");
    if !places.is_empty() {
        sql = sql.sql(" OR resource_uuid IN (").bind_all(places.iter().map(|(.., uuid)| *uuid)).sql(")");
    }
    let mut set = HashMap::new();
    for row in conn.query(sql.sql(")"))? {
        set.insert(row.opt_id(0)?, row.text(1)?.to_owned());
    }
    let whole = (SettingScope::Global, "", None);
    let places = places.into_iter().map(|(scope, kind, uuid)| (scope, kind, Some(uuid))).chain([whole]);
    for (scope, kind, uuid) in places {
        let Some(text) = set.get(&uuid) else { continue };
        match Value::read(&info.rule, text) {
            Ok(value) => return Ok(Some(Found { value, scope, kind: kind.to_owned(), uuid })),
            // bounds may have become narrower since it was set
            Err(fault) => tracing::warn!(setting = name, value = text, fault, "a value of a setting is passed over"),
        }
    }
    Ok(None)
}

/// A setting that holds a length of time.
///
/// # Errors
/// As [`find`].
pub fn duration(conn: &mut Conn, name: &str, target: Target<'_>, default: Duration) -> Result<Duration> {
    match find(conn, name, target)?.map(|found| found.value) {
        Some(Value::Duration(time)) => Ok(time),
        _ => Ok(default),
    }
}

/// A setting that holds a number or a size.
///
/// # Errors
/// As [`find`].
pub fn number(conn: &mut Conn, name: &str, target: Target<'_>, default: i64) -> Result<i64> {
    match find(conn, name, target)?.map(|found| found.value) {
        Some(Value::Int(number) | Value::Bytes(number)) => Ok(number),
        _ => Ok(default),
    }
}

/// Which value holds for something that the caller sees, and where it comes from.
///
/// # Errors
/// `UNKNOWN_SETTING`; `NOT_FOUND` for what is not for the caller's eyes.
pub fn effective(conn: &mut Conn, caller: &Caller, name: &str, kind: &str, uuid: &str) -> Result<EffectiveSetting> {
    let info = declared(name)?;
    let target = target(conn, caller, kind, uuid)?;
    let found = find(conn, name, target.as_ref().map(|owner| (owner.kind.kind, owner.uuid)))?;
    Ok(match found {
        Some(found) => EffectiveSetting {
            name: name.to_owned(),
            value: found.value.print(),
            scope: found.scope.into(),
            resource_kind: found.kind,
            resource_uuid: found.uuid.map(|uuid| uuid.to_string()).unwrap_or_default(),
        },
        None => EffectiveSetting {
            name: name.to_owned(),
            value: default_of(&info.rule),
            scope: SettingScope::Default.into(),
            ..EffectiveSetting::default()
        },
    })
}

/// What a request names, within what its caller sees; nothing for the whole cloud.
fn target(conn: &mut Conn, caller: &Caller, kind: &str, uuid: &str) -> Result<Option<Owner>> {
    if kind.is_empty() && uuid.is_empty() {
        return Ok(None);
    }
    let known = catalog().kind(kind).ok_or_else(|| {
        Error::invalid(
            "resource_kind",
            format!("must be a kind of resource such as \"cluster\" or \"vm\", got {kind:?}"),
        )
    })?;
    let table = table::by_kind(known.kind);
    let row = match parse_uuid(uuid) {
        Some(uuid) => crate::read::find_row(conn, table, caller, uuid)?,
        None => return Err(Error::invalid("resource_uuid", format!("must be the UUID of a {kind}, got {uuid:?}"))),
    };
    let row = row.ok_or_else(|| Error::not_found(known.kind, uuid))?;
    Owner::of(table, &row).map(Some)
}

/// What is to be set or taken away.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The setting.
    pub name: &'a str,
    /// The kind of what it is for; empty for the whole cloud.
    pub kind: &'a str,
    /// What it is for.
    pub uuid: &'a str,
}

impl Wish<'_> {
    /// Checks that it may be set there, and by this caller. Answers the declaration and what it is for.
    fn check(&self, conn: &mut Conn, caller: &Caller) -> Result<(&'static SettingInfo, Option<Owner>)> {
        let info = declared(self.name)?;
        let owner = target(conn, caller, self.kind, self.uuid)?;
        let scope = owner.as_ref().map_or(SettingScope::Global, |owner| scope_of(owner.kind.kind));
        let fits = info.rule.scopes.contains(&scope.into())
            && (scope != SettingScope::Resource || info.rule.kinds.iter().any(|kind| kind == self.kind));
        if !fits {
            let text = format!("{} may be set {}", self.name, where_it_may(&info.rule));
            return Err(
                Error::new(Kind::InvalidArgument, "SETTING_NOT_HERE", text.clone()).violation("resource_kind", text)
            );
        }
        let own = info.rule.by_account
            && matches!(scope, SettingScope::Account | SettingScope::Resource)
            && owner.as_ref().is_some_and(|owner| owner.account == Some(caller.account_uuid));
        if !caller.admin && !own {
            let who = if info.rule.by_account {
                "accounts set it for themselves and on their own resources, administrators everywhere"
            } else {
                "administrators set it"
            };
            let text = format!("{} is not yours to set here: {who}", self.name);
            return Err(Error::new(Kind::PermissionDenied, "SETTING_NOT_YOURS", text));
        }
        Ok((info, owner))
    }

    /// The row's UUID: of the same setting for the same thing it is always the same.
    fn row(&self, owner: Option<&Owner>) -> Uuid {
        let target = owner.map(|owner| owner.uuid).unwrap_or_default();
        let text = [self.name.as_bytes(), &[0], target.as_bytes()].concat();
        let random = xxh3_128(&text) & !((0xf << 76) | (0x3 << 62));
        Uuid::from_u128(random | (0x4 << 76) | (0x2 << 62))
    }
}

/// Where a setting may be set.
fn scopes(rule: &SettingRule) -> impl Iterator<Item = SettingScope> {
    rule.scopes.iter().filter_map(|scope| SettingScope::try_from(*scope).ok())
}

/// Where a setting may be set, for people.
fn where_it_may(rule: &SettingRule) -> String {
    let places: Vec<_> = scopes(rule)
        .map(|scope| match scope {
            SettingScope::Zone => "on a zone".to_owned(),
            SettingScope::Cluster => "on a cluster".to_owned(),
            SettingScope::Account => "on an account".to_owned(),
            SettingScope::Resource => format!("on a {}", rule.kinds.join(", on a ")),
            SettingScope::Global | SettingScope::Default | SettingScope::Unspecified => {
                "for the whole cloud".to_owned()
            }
        })
        .collect();
    places.join(", ")
}

/// Another was beside this one: the same again meets what it did.
fn beside(error: Error) -> Error {
    match error.reason() {
        "ALREADY_EXISTS" => {
            Error::new(Kind::Aborted, "CONFLICT", "somebody else set the same at the same time; try again")
        }
        _ => error,
    }
}

/// Sets a value. Answers the row as it stands.
///
/// # Errors
/// `UNKNOWN_SETTING`, `SETTING_NOT_HERE`, `SETTING_NOT_YOURS`, `NOT_FOUND`, and `INVALID_FIELD` with name, value and bounds.
pub fn set(conn: &mut Conn, change: &Change, wish: &Wish<'_>, value: &str) -> Result<Setting> {
    let (info, owner) = wish.check(conn, &change.caller)?;
    let value = Value::read(&info.rule, value)
        .map_err(|fault| Error::invalid("value", format!("{}: {fault}, got {value:?}", wish.name)))?;
    let uuid = wish.row(owner.as_ref());
    let before = crate::find::<Setting>(conn, &Caller::system(), uuid)?;
    let scope = owner.as_ref().map_or(SettingScope::Global, |owner| scope_of(owner.kind.kind));
    let account = owner.as_ref().and_then(|owner| owner.account);
    let row = Setting {
        uuid: uuid.to_string(),
        name: info.rule.name.clone(),
        description: info.rule.help.clone(),
        account_uuid: account.map(|account| account.to_string()).unwrap_or_default(),
        value: value.print(),
        scope: scope.into(),
        resource_kind: owner.as_ref().map(|owner| owner.kind.kind.to_owned()).unwrap_or_default(),
        resource_uuid: owner.as_ref().map(|owner| owner.uuid.to_string()).unwrap_or_default(),
        shared: owner.as_ref().is_none_or(|owner| owner.shared),
        ..Setting::default()
    };
    match before {
        None => write::insert(conn, change, &row).map_err(beside),
        Some(before) if before.value == row.value => Ok(before),
        Some(before) => write::update_from(conn, change, &before, &Setting { generation: before.generation, ..row }),
    }
}

/// Takes a value away. None is fine.
///
/// # Errors
/// As [`set`].
pub fn unset(conn: &mut Conn, change: &Change, wish: &Wish<'_>) -> Result<()> {
    let (_, owner) = wish.check(conn, &change.caller)?;
    write::delete::<Setting>(conn, change, wish.row(owner.as_ref())).map(|_| ())
}

/// Whether values may be set for resources of a kind.
pub(crate) fn is_target(kind: &str) -> bool {
    catalog().settings().iter().any(|setting| {
        scopes(&setting.rule).any(|scope| scope != SettingScope::Resource && scope_of(kind) == scope)
            || setting.rule.kinds.iter().any(|known| known == kind)
    })
}

/// Removes what was set for a resource that goes.
pub(crate) fn forget(conn: &mut Conn, change: &Change, resource: Uuid) -> Result<()> {
    for row in crate::select::<Setting>(conn, Sql::new("resource_uuid = ").bind(resource))? {
        write::delete::<Setting>(conn, change, parse_uuid(&row.uuid).unwrap_or_default())?;
    }
    Ok(())
}
