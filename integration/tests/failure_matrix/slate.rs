//! What there is: all rows of all tables, and what the simulated hosts have. What an operation changed is the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use gyre_model::Uuid;
use gyre_proto::agent::v1::MachineState;
use gyre_store::{Conn, Sql};

use crate::site::Site;

pub use gyre_store::Dialect;

/// Tables that tell of operations and calls themselves, not of what they did.
const NOT_COMPARED: [&str; 7] = [
    "operation",
    "operation_work",
    "request",
    "change_log",
    "log_observer",
    "__diesel_schema_migrations",
    // a fence that an agent may have seen is never given out again, whatever became of its host
    "host_fence",
];

/// The beginnings of names of tables like these that are yet to come.
const NOT_COMPARED_BEGINNINGS: [&str; 2] = ["operation_", "callback"];

/// Columns that count changes or tell their time; texts for people; and what a host measures, a hint that the next look refreshes.
const VOLATILE: [(&str, &str); 7] = [
    ("", "generation"),
    ("", "update_time"),
    ("host", "status_time"),
    ("host", "status_reason"),
    ("vm", "state_reason"),
    ("image_server", "available_bytes"),
    ("primary_storage_host", "available_bytes"),
];

type Cells = BTreeMap<String, Option<String>>;

/// All rows by table and key, and what the hosts have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slate {
    tables: BTreeMap<String, BTreeMap<String, Cells>>,
    hosts: BTreeSet<String>,
}

/// What changed, in words that do not depend on which UUIDs, names and addresses were drawn.
pub type Effect = Vec<String>;

fn columns(conn: &mut Conn) -> gyre_model::Result<BTreeMap<String, Vec<String>>> {
    let sql = match conn.dialect() {
        Dialect::Sqlite => {
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid"
        }
        Dialect::Postgres => {
            "SELECT table_name::text, column_name::text FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
        }
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in conn.query(Sql::new(sql))? {
        tables.entry(row.text(0)?.to_owned()).or_default().push(row.text(1)?.to_owned());
    }
    Ok(tables)
}

/// A row's name: its UUID, or all that it is about.
fn is_key(columns: &[String], column: &str) -> bool {
    if columns.iter().any(|column| column == "uuid") {
        return column == "uuid";
    }
    column == "id" || column.ends_with("_uuid")
}

fn rows(conn: &mut Conn) -> gyre_model::Result<BTreeMap<String, BTreeMap<String, Cells>>> {
    let mut all = BTreeMap::new();
    for (table, columns) in columns(conn)? {
        if NOT_COMPARED.contains(&table.as_str()) || NOT_COMPARED_BEGINNINGS.iter().any(|name| table.starts_with(name))
        {
            continue;
        }
        let shown = columns.iter().map(|column| match conn.dialect() {
            Dialect::Sqlite => format!("CASE WHEN \"{column}\" IS NULL THEN NULL ELSE quote(\"{column}\") END"),
            Dialect::Postgres => format!("\"{column}\"::text"),
        });
        let sql = format!("SELECT {} FROM \"{table}\"", shown.collect::<Vec<_>>().join(", "));
        let mut found = BTreeMap::new();
        for row in conn.query(Sql::new(sql))? {
            let mut cells = Cells::new();
            let mut key = Vec::new();
            for (at, column) in columns.iter().enumerate() {
                let text = if row.is_null(at) { None } else { Some(row.text(at)?.to_owned()) };
                if is_key(&columns, column) {
                    key.push(text.clone().unwrap_or_default());
                }
                if !VOLATILE.iter().any(|(of, name)| name == column && (of.is_empty() || *of == table)) {
                    cells.insert(column.clone(), text);
                }
            }
            found.insert(key.join("/"), cells);
        }
        all.insert(table, found);
    }
    Ok(all)
}

/// A value without what is drawn anew each time: UUIDs, hardware addresses, numbers within texts, times.
fn general(table: &str, column: &str, value: Option<&str>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    if column.ends_with("_time") {
        return "time".to_owned();
    }
    if column == "hash" {
        return "hash".to_owned();
    }
    if value.parse::<i64>().is_ok() {
        return if table == "ip_address" && column == "address" { "address".to_owned() } else { value.to_owned() };
    }
    general_text(value)
}

fn general_text(value: &str) -> String {
    let mut out = String::new();
    // SQLite says X'…' for bytes, and UUIDs are the only ones that are compared
    if value.starts_with("X'") {
        return "uuid".to_owned();
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':' || c == '.';
    let mut rest = value;
    while let Some(start) = rest.find(word) {
        out.push_str(&rest[..start]);
        let end = rest[start..].find(|c| !word(c)).map_or(rest.len(), |at| start + at);
        let token = &rest[start..end];
        rest = &rest[end..];
        let stem = token.split('.').next().unwrap_or_default();
        if gyre_model::parse_uuid(stem).is_some() {
            out.push_str("uuid");
            out.push_str(&token[stem.len()..]);
        } else if token.matches(':').count() == 5 {
            out.push_str("mac");
        } else {
            let mut number = false;
            for c in token.chars() {
                if c.is_ascii_digit() {
                    if !number {
                        out.push('#');
                    }
                    number = true;
                } else {
                    out.push(c);
                    number = false;
                }
            }
        }
    }
    out.push_str(rest);
    out
}

impl Slate {
    /// Everything as it is now.
    pub fn of(site: &Site) -> Result<Self> {
        let tables = site.run(site.store().read("matrix-slate", rows))?;
        let mut hosts = BTreeSet::new();
        for (host, inventory) in site.agent.inventory() {
            hosts.insert(format!("host {host}"));
            // what is left of a machine that is off is made anew by its start
            for (vm, state) in inventory.machines.into_iter().filter(|(_, state)| *state != MachineState::Stopped) {
                hosts.insert(format!("machine {vm} {} on {host}", state.as_str_name()));
            }
            // the bytes of an upload that waits are there or not: the next upload begins anew
            let uploads = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "upload");
            for file in inventory.files.into_iter().filter(|file| !uploads(file)) {
                hosts.insert(format!("file {} on {host}", file.display()));
            }
        }
        Ok(Self { tables, hosts })
    }

    /// What changed since: exactly, to be read by people.
    pub fn changes(&self, after: &Self) -> Vec<String> {
        self.compare(after, |_, _, value| value.unwrap_or("-").to_owned(), false)
    }

    /// What changed since, in general.
    pub fn effect(&self, after: &Self) -> Effect {
        let mut effect = self.compare(after, general, true);
        effect.sort();
        effect
    }

    fn compare(&self, after: &Self, say: impl Fn(&str, &str, Option<&str>) -> String, in_general: bool) -> Vec<String> {
        let mut out = Vec::new();
        let none = BTreeMap::new();
        let tables: BTreeSet<_> = self.tables.keys().chain(after.tables.keys()).collect();
        for table in tables {
            let (before, now) = (self.tables.get(table).unwrap_or(&none), after.tables.get(table).unwrap_or(&none));
            let whole = |cells: &Cells| {
                let cells =
                    cells.iter().map(|(column, value)| format!("{column}={}", say(table, column, value.as_deref())));
                cells.collect::<Vec<_>>().join(" ")
            };
            let keys: BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for key in keys {
                let name = if in_general { "" } else { key.as_str() };
                match (before.get(key), now.get(key)) {
                    (None, Some(cells)) => out.push(format!("+ {table} {}", whole(cells))),
                    (Some(cells), None) => out.push(format!("- {table} {}", whole(cells))),
                    (Some(old), Some(new)) => {
                        for (column, value) in new.iter().filter(|(column, value)| old.get(*column) != Some(*value)) {
                            let was = old.get(column).cloned().flatten();
                            let numbers =
                                (was.as_deref().map(str::parse::<i64>), value.as_deref().map(str::parse::<i64>));
                            out.push(match numbers {
                                (Some(Ok(was)), Some(Ok(now))) if !column.ends_with("_time") => {
                                    format!("~ {table} {name} {column} by {:+}", now - was)
                                }
                                _ => {
                                    let (was, now) =
                                        (say(table, column, was.as_deref()), say(table, column, value.as_deref()));
                                    format!("~ {table} {name} {column} {was} -> {now}")
                                }
                            });
                        }
                    }
                    (None, None) => {}
                }
            }
        }
        let say = |sign: &str, text: &String| {
            format!("{sign} {}", if in_general { general_text(text) } else { text.clone() })
        };
        out.extend(self.hosts.difference(&after.hosts).map(|text| say("-", text)));
        out.extend(after.hosts.difference(&self.hosts).map(|text| say("+", text)));
        out
    }
}

/// Whether a UUID stands in a row's column: both dialects' texts for it.
pub fn sql_uuid(dialect: Dialect, uuid: Uuid) -> String {
    match dialect {
        Dialect::Sqlite => format!("X'{}'", uuid.simple()),
        Dialect::Postgres => format!("'{uuid}'"),
    }
}
