//! How a message lies in its table: which field is which column, and the way there and back, over wire bytes.
//!
//! | field | column |
//! | --- | --- |
//! | text with the form of a UUID | uuid; the empty text is NULL |
//! | other text | text |
//! | int32, int64 | bigint |
//! | bool | boolean |
//! | double | double precision |
//! | enum | text: the short name, such as `RUNNING` |
//! | Timestamp | timestamptz; not there is NULL |
//! | message, or a list | jsonb: its proto3 JSON; not there is NULL, an empty list is `[]` |
//! | `tags` | none: rows of the table `tag`, read as one more column after all others ([`crate::tags`]) |

use std::collections::HashMap;
use std::sync::OnceLock;

use gyre_model::catalog::{FieldInfo, FieldType, Format, KindInfo, Scope, catalog};
use gyre_model::wire::{self, Value as Wire};
use gyre_model::{Error, Result, Uuid, parse_uuid, time};
use gyre_proto::Resource;
use gyre_proto::json::JsonCodec;
use gyre_store::{Dialect, Row, Type, Value};
use serde_json::value::RawValue;

/// A column.
#[derive(Debug)]
pub struct Column {
    /// The field that it holds.
    pub field: &'static FieldInfo,
    /// Its type.
    pub ty: Type,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// The table of a kind.
pub struct Table {
    /// The kind.
    pub kind: &'static KindInfo,
    /// Its columns, in the order of the fields' numbers.
    pub columns: Vec<Column>,
    /// The columns' names with commas between.
    pub names: String,
    /// The fields that are no columns.
    pub unstored: Vec<&'static FieldInfo>,
    /// The statement that reads a row, up to the UUID.
    find: [&'static str; 2],
    /// The statement that writes a row, up to its values.
    pub(crate) insert: &'static str,
    /// The statement that changes a row, up to the time.
    pub(crate) update: &'static str,
    /// The JSON names of stored fields that are secret.
    pub secrets: Vec<&'static str>,
    account: Option<usize>,
    shared: bool,
    tags: Option<u32>,
    read: [String; 2],
}

/// What stands between tags that are read as one text: no tag contains it.
const BETWEEN: char = '\u{1f}';

/// Columns that every row has a value for although their type could be NULL.
const ALWAYS: [&str; 3] = ["uuid", "create_time", "update_time"];

/// The table of a kind of resource.
pub fn table<R: Resource>() -> &'static Table {
    by_kind(R::KIND)
}

/// The table of the kind of this name.
///
/// # Panics
/// For a kind that is not in the descriptor set; generic code only has names from there.
pub fn by_kind(kind: &str) -> &'static Table {
    static TABLES: OnceLock<HashMap<&'static str, Table>> = OnceLock::new();
    let tables = TABLES.get_or_init(|| catalog().kinds().map(|kind| (kind.kind, Table::new(kind))).collect());
    match tables.get(kind) {
        Some(table) => table,
        None => panic!("no kind {kind}"),
    }
}

impl Column {
    fn new(field: &'static FieldInfo) -> Self {
        let ty = match field.ty {
            _ if field.repeated => Type::Json,
            FieldType::Bool => Type::Bool,
            FieldType::Int | FieldType::Uint | FieldType::Duration => Type::Int,
            FieldType::Float => Type::Float,
            FieldType::Text
                if field.rule.format() == Format::Uuid || field.name == "uuid" || field.name.ends_with("_uuid") =>
            {
                Type::Id
            }
            FieldType::Text | FieldType::Enum(_) => Type::Text,
            FieldType::Bytes => Type::Bytes,
            FieldType::Time => Type::Time,
            FieldType::Message(_) | FieldType::Map => Type::Json,
        };
        let nullable =
            matches!(ty, Type::Id | Type::Time | Type::Json) && !field.repeated && !ALWAYS.contains(&field.name);
        Self { field, ty, nullable }
    }

    /// Whether it is not for the eyes of whoever is no administrator.
    pub fn hidden(&self, admin: bool) -> bool {
        self.field.rule.admin_only && !admin
    }

    /// What it holds where the message says nothing.
    fn empty(&self) -> Value {
        match self.ty {
            _ if self.field.repeated => Value::json("[]"),
            Type::Bool => Value::Bool(false),
            Type::Int => Value::Int(0),
            Type::Float => Value::Float(0.0),
            Type::Bytes => Value::Bytes(Vec::new()),
            Type::Text => Value::from(self.field.value_name(0).unwrap_or_default()),
            Type::Id | Type::Time | Type::Json => Value::Null(self.ty),
        }
    }

    fn value(&self, wire: Wire<'_>) -> Result<Value> {
        let wrong = || Error::internal(format!("field {} does not hold what it should", self.field.name));
        Ok(match (self.field.ty, wire) {
            (FieldType::Bool, Wire::Varint(number)) => Value::Bool(number != 0),
            (FieldType::Int | FieldType::Uint, Wire::Varint(number)) => Value::Int(number as i64),
            (FieldType::Float, Wire::Fixed64(bits)) => Value::Float(f64::from_bits(bits)),
            (FieldType::Enum(_), Wire::Varint(number)) => {
                let number = i32::try_from(number as i64).map_err(|_| wrong())?;
                Value::from(self.field.value_name(number).ok_or_else(wrong)?)
            }
            (FieldType::Text, Wire::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
                match self.ty {
                    Type::Id if text.is_empty() => Value::Null(Type::Id),
                    Type::Id => Value::from(
                        parse_uuid(text)
                            .ok_or_else(|| Error::invalid(self.field.name, format!("must be a UUID, got {text:?}")))?,
                    ),
                    _ => Value::from(text),
                }
            }
            (FieldType::Bytes, Wire::Bytes(bytes)) => Value::Bytes(bytes.to_vec()),
            (FieldType::Time, Wire::Bytes(bytes)) => {
                let time = <gyre_proto::Timestamp as gyre_proto::Message>::decode(bytes).map_err(|_| wrong())?;
                Value::time(time::to_micros(&time))
            }
            (FieldType::Message(name), Wire::Bytes(bytes)) => {
                let mut json = Vec::new();
                let codec = JsonCodec::by_name(name).ok_or_else(wrong)?;
                (codec.print)(bytes, &mut json).map_err(Error::internal)?;
                Value::json(String::from_utf8(json).map_err(Error::internal)?)
            }
            _ => return Err(wrong()),
        })
    }

    /// A list as JSON.
    fn list(&self, items: &[Wire<'_>]) -> Result<Value> {
        let mut json = Vec::from(b"[".as_slice());
        for item in items {
            if json.len() > 1 {
                json.push(b',');
            }
            match self.value_of_item(*item)? {
                Value::Json(text) => json.extend_from_slice(text.0.as_bytes()),
                Value::Text(text) => serde_json::to_writer(&mut json, &text).map_err(Error::internal)?,
                Value::Int(number) => serde_json::to_writer(&mut json, &number).map_err(Error::internal)?,
                other => return Err(Error::internal(format!("a list of {other:?} has no column type"))),
            }
        }
        json.push(b']');
        Ok(Value::json(String::from_utf8(json).map_err(Error::internal)?))
    }

    fn value_of_item(&self, item: Wire<'_>) -> Result<Value> {
        match (self.field.ty, item) {
            (FieldType::Text, Wire::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(Error::internal)?;
                // one way to write each UUID
                let uuid = Some(text).filter(|_| self.field.rule.format() == Format::Uuid).and_then(parse_uuid);
                Ok(uuid.map_or_else(|| Value::from(text), |uuid| Value::from(uuid.to_string())))
            }
            _ => self.value(item),
        }
    }

    fn put(&self, row: &Row, at: usize, out: &mut Vec<u8>) -> Result<()> {
        let number = self.field.number;
        if row.is_null(at) {
            return Ok(());
        }
        if self.field.repeated {
            let items: Vec<&RawValue> = serde_json::from_str(row.text(at)?).map_err(Error::internal)?;
            for item in items {
                match self.field.ty {
                    FieldType::Message(name) => {
                        let codec = JsonCodec::by_name(name).ok_or_else(|| Error::internal(name))?;
                        let bytes = (codec.parse)(item.get().as_bytes()).map_err(Error::internal)?;
                        wire::put_bytes(out, number, &bytes);
                    }
                    FieldType::Text => {
                        let text: String = serde_json::from_str(item.get()).map_err(Error::internal)?;
                        wire::put_bytes(out, number, text.as_bytes());
                    }
                    _ => {
                        let value: i64 = serde_json::from_str(item.get()).map_err(Error::internal)?;
                        wire::put_number(out, number, value as u64);
                    }
                }
            }
            return Ok(());
        }
        match self.field.ty {
            FieldType::Bool => {
                if row.bool(at)? {
                    wire::put_number(out, number, 1);
                }
            }
            FieldType::Int | FieldType::Uint | FieldType::Duration => {
                let value = row.int(at)?;
                if value != 0 {
                    wire::put_number(out, number, value as u64);
                }
            }
            FieldType::Float => {
                let value = row.float(at)?;
                if value != 0.0 {
                    wire::put_fixed64(out, number, value.to_bits());
                }
            }
            FieldType::Enum(_) => {
                let value = self.field.value_number(row.text(at)?).unwrap_or(0);
                if value != 0 {
                    wire::put_number(out, number, value as u64);
                }
            }
            FieldType::Text if self.ty == Type::Id => {
                let mut buffer = gyre_model::Uuid::encode_buffer();
                let text = row.id(at)?.hyphenated().encode_lower(&mut buffer);
                wire::put_bytes(out, number, text.as_bytes());
            }
            FieldType::Text => {
                let text = row.text(at)?;
                if !text.is_empty() {
                    wire::put_bytes(out, number, text.as_bytes());
                }
            }
            FieldType::Bytes => {
                let bytes = row.bytes(at)?;
                if !bytes.is_empty() {
                    wire::put_bytes(out, number, bytes);
                }
            }
            FieldType::Time => {
                let time = time::from_micros(row.int(at)?);
                wire::put_bytes(out, number, &gyre_proto::Message::encode_to_vec(&time));
            }
            FieldType::Message(name) => {
                let codec = JsonCodec::by_name(name).ok_or_else(|| Error::internal(name))?;
                let bytes = (codec.parse)(row.text(at)?.as_bytes()).map_err(Error::internal)?;
                wire::put_bytes(out, number, &bytes);
            }
            FieldType::Map => return Err(Error::internal("maps have no column type")),
        }
        Ok(())
    }
}

fn place(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => 0,
        Dialect::Postgres => 1,
    }
}

/// The tags of a row as one text, in SQL; the row's table goes by this name.
pub(crate) fn tags_of(name: &str, dialect: Dialect) -> String {
    let all = ["group_concat(text, char(31))", "string_agg(text, chr(31))"][place(dialect)];
    format!("(SELECT {all} FROM tag WHERE tag.resource_uuid = {name}.uuid)")
}

/// The tags that were read as one text.
pub(crate) fn tags_at(row: &Row, at: usize) -> Result<Vec<String>> {
    if row.is_null(at) {
        return Ok(Vec::new());
    }
    let mut tags: Vec<_> = row.text(at)?.split(BETWEEN).map(str::to_owned).collect();
    tags.sort_unstable();
    Ok(tags)
}

impl Table {
    fn new(kind: &'static KindInfo) -> Self {
        let fields = catalog().message(kind.message).map(|message| message.fields.as_slice()).unwrap_or_default();
        let columns: Vec<_> = fields.iter().filter(|field| !field.rule.not_stored).map(Column::new).collect();
        let names: Vec<_> = columns.iter().map(|column| column.field.name).collect();
        let secrets =
            columns.iter().filter(|column| column.field.rule.secret).map(|column| column.field.json_name).collect();
        let names = names.join(", ");
        let account = columns.iter().position(|column| column.field.name == "account_uuid");
        let shared = columns.iter().any(|column| column.field.name == "shared");
        let unstored = fields.iter().filter(|field| field.rule.not_stored).collect();
        let tags = fields.iter().find(|field| field.name == "tags" && field.repeated && field.rule.not_stored);
        let tags = tags.map(|field| field.number);
        let read = [Dialect::Sqlite, Dialect::Postgres].map(|dialect| match tags {
            Some(_) => format!("{names}, {}", tags_of(kind.table, dialect)),
            None => names.clone(),
        });
        // as many as there are kinds, made once
        let find = read.each_ref().map(|read| &*format!("SELECT {read} FROM {} WHERE uuid = ", kind.table).leak());
        let insert = format!("INSERT INTO {} ({names}) VALUES (", kind.table).leak();
        let update = format!("UPDATE {} SET update_time = ", kind.table).leak();
        Self { kind, columns, names, insert, update, unstored, find, secrets, account, shared, tags, read }
    }

    /// The column `uuid`.
    ///
    /// # Panics
    /// For a kind without one; every resource has it.
    pub(crate) fn uuid(&self) -> &Column {
        match self.column("uuid") {
            Some((_, column)) => column,
            None => panic!("{} has no uuid", self.kind.kind),
        }
    }

    /// What is read of a row: its columns, and its tags where the kind has any.
    pub fn read_names(&self, dialect: Dialect) -> &str {
        &self.read[place(dialect)]
    }

    /// The statement that reads a row, up to the UUID.
    pub(crate) fn find(&self, dialect: Dialect) -> &'static str {
        self.find[place(dialect)]
    }

    /// Whether resources of this kind have tags.
    pub fn has_tags(&self) -> bool {
        self.tags.is_some()
    }

    /// The tags of a row, in their order; none where they were not read.
    ///
    /// # Errors
    /// A column that holds something else: a fault of Gyre's.
    pub fn tags(&self, row: &Row) -> Result<Vec<String>> {
        if self.tags.is_some() { tags_at(row, self.columns.len()) } else { Ok(Vec::new()) }
    }

    /// The column of that name, and its place.
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.field.name == name || column.field.json_name == name)
    }

    /// The place of the column `account_uuid`.
    pub fn account(&self) -> Option<usize> {
        self.account
    }

    /// The account that owns a resource: what its field says, or itself where it is an account.
    pub fn owner(&self, uuid: Uuid, message: &[u8]) -> Option<Uuid> {
        match self.account {
            Some(at) => wire::string_at(message, &[self.columns[at].field.number]).and_then(parse_uuid),
            None => (self.kind.scope == Scope::Account).then_some(uuid),
        }
    }

    /// Whether rows have a column `shared`.
    pub fn has_shared(&self) -> bool {
        self.shared
    }

    /// Who sees rows.
    pub fn scope(&self) -> Scope {
        self.kind.scope
    }

    /// The values of a message, in the order of the columns.
    ///
    /// # Errors
    /// A text that should be a UUID and is not; all else is a fault of Gyre's.
    pub fn values(&self, message: &[u8]) -> Result<Vec<Value>> {
        let mut values: Vec<Value> = self.columns.iter().map(Column::empty).collect();
        let mut lists: Vec<Vec<Wire<'_>>> = Vec::new();
        for (number, wire) in wire::fields(message) {
            let Some(at) = self.columns.iter().position(|column| column.field.number == number) else { continue };
            let column = &self.columns[at];
            if column.field.repeated {
                lists.resize(self.columns.len(), Vec::new());
                lists[at].push(wire);
            } else {
                values[at] = column.value(wire)?;
            }
        }
        for (at, items) in lists.iter().enumerate().filter(|(_, items)| !items.is_empty()) {
            values[at] = self.columns[at].list(items)?;
        }
        Ok(values)
    }

    /// The message of a row whose columns are this table's from the first on, with its tags where they were read.
    ///
    /// # Errors
    /// A column that holds something else: a fault of Gyre's.
    pub fn message(&self, row: &Row) -> Result<Vec<u8>> {
        self.message_for(row, true)
    }

    /// The same without what only administrators see, for others.
    ///
    /// # Errors
    /// As [`Table::message`].
    pub fn message_for(&self, row: &Row, admin: bool) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(256);
        for (at, column) in self.columns.iter().enumerate().filter(|(_, column)| !column.hidden(admin)) {
            column.put(row, at, &mut out)?;
        }
        if let Some(number) = self.tags {
            for tag in self.tags(row)? {
                wire::put_bytes(&mut out, number, tag.as_bytes());
            }
        }
        Ok(out)
    }

    /// A message without what only administrators see, for others; nothing where it is the same.
    pub fn seen(&self, message: &[u8], admin: bool) -> Option<Vec<u8>> {
        if admin || !self.columns.iter().any(|column| column.hidden(admin)) {
            return None;
        }
        let mut out = Vec::with_capacity(message.len());
        let hidden = |number| self.columns.iter().any(|column| column.field.number == number && column.hidden(admin));
        for (number, value) in wire::fields(message).filter(|(number, _)| !hidden(*number)) {
            wire::put(&mut out, number, value);
        }
        Some(out)
    }

    /// The resource of a row that begins with these columns of the table, and has no others of its fields; its tags follow where
    /// they were read.
    ///
    /// # Errors
    /// As [`Table::message`].
    pub(crate) fn part<R: Resource>(&self, row: &Row, columns: &[usize], tags: bool) -> Result<R> {
        let mut out = Vec::with_capacity(256);
        for (at, place) in columns.iter().enumerate() {
            self.columns[*place].put(row, at, &mut out)?;
        }
        if let Some(number) = self.tags.filter(|_| tags) {
            for tag in tags_at(row, columns.len())? {
                wire::put_bytes(&mut out, number, tag.as_bytes());
            }
        }
        R::decode(out.as_slice()).map_err(Error::internal)
    }

    /// The same, decoded.
    ///
    /// # Errors
    /// As [`Table::message`].
    pub fn resource<R: Resource>(&self, row: &Row) -> Result<R> {
        self.resource_for(row, true)
    }

    /// The same without what only administrators see, for others.
    ///
    /// # Errors
    /// As [`Table::message`].
    pub fn resource_for<R: Resource>(&self, row: &Row, admin: bool) -> Result<R> {
        R::decode(self.message_for(row, admin)?.as_slice()).map_err(Error::internal)
    }
}
