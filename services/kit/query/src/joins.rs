//! Fields of a row and of what it refers to, for sorting, showing and grouping: each reference on the way is joined once. Tags are
//! no field of a row, and are shown only.

use gyre_model::Error;
use gyre_model::catalog::{Edge, FieldInfo};
use gyre_store::{Sql, Type};

use crate::filter::{inside, letters};
use crate::path::{Leaf, Path};
use crate::table::Column;
use crate::view::{Rows, View};

/// Most references that one statement joins.
const MOST: usize = 16;

/// The references that a statement joins.
pub(crate) struct Joins<'v> {
    view: &'v View,
    kind: &'static str,
    /// The paths that lead to the joined rows, each with its alias.
    known: Vec<(Vec<&'static str>, usize)>,
    sql: Sql,
}

/// A field, in SQL.
#[derive(Clone)]
pub(crate) struct Field {
    /// What it is called, as segments in the way of JSON.
    pub path: Vec<&'static str>,
    /// In SQL.
    pub sql: String,
    /// Its type in the database.
    pub ty: Type,
    /// What it is.
    pub field: &'static FieldInfo,
    /// Whether it may be nothing: because the column may, or because a reference leads nowhere.
    pub nullable: bool,
}

/// What can be shown of a row: the path there in the way of JSON, what it is in SQL, and its field; none for the tags, which are one
/// text.
pub(crate) struct Shown {
    pub path: Vec<&'static str>,
    pub sql: String,
    pub field: Option<Field>,
}

impl From<Field> for Shown {
    fn from(field: Field) -> Self {
        Self { path: field.path.clone(), sql: field.sql.clone(), field: Some(field) }
    }
}

impl Field {
    /// In SQL, so that both databases sort and group it alike.
    pub fn sorted(&self, view: &View) -> String {
        if self.ty == Type::Text { letters(view.dialect(), &self.sql) } else { self.sql.clone() }
    }
}

impl<'v> Joins<'v> {
    /// For rows of a kind, whose alias is 0.
    pub fn new(view: &'v View, kind: &'static str) -> Self {
        Self { view, kind, known: Vec::new(), sql: Sql::default() }
    }

    /// The rows that all begins with.
    pub fn base(&self) -> Rows<'v> {
        self.view.rows(self.kind, 0)
    }

    /// The last alias that was given out.
    pub fn aliases(&self) -> usize {
        self.known.len()
    }

    /// What is joined.
    pub fn sql(&self) -> Sql {
        self.sql.clone()
    }

    /// The field that a path leads to. `parameter` is where the path stands, at this character of its text.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where it leads nowhere, or to more than one.
    pub fn field(&mut self, parameter: &str, at: usize, text: &str) -> Result<Field, Error> {
        // of two things with one name, the row's own is what it shows
        let own = |column: &Column| !column.field.rule.secret && !column.hidden(self.view.admin());
        if let Some((_, column)) = self.base().table.column(text).filter(|(_, column)| own(column)) {
            let (path, sql) = (vec![column.field.json_name], self.base().column(column));
            return Ok(Field { path, sql, ty: column.ty, field: column.field, nullable: column.nullable });
        }
        let (path, wrong) = find(self.kind, parameter, at, text, self.view.admin())?;
        if !path.one() {
            return Err(wrong(format!("{text} can lead to more than one value")));
        }
        let (column, part) = match path.leaf {
            Leaf::Column(column) => (column, None),
            Leaf::Inside(column, part) => (column, Some(part)),
            Leaf::Row => return Err(wrong(format!("{text} is a {}: name a field of it", path.kind.kind))),
            Leaf::Tags => return Err(wrong(format!("{text} can lead to more than one value"))),
        };
        let (here, mut segments) = self.follow(&path).map_err(&wrong)?;
        segments.push(column.field.json_name);
        let nullable = column.nullable || !path.hops.is_empty();
        let sql = here.column(column);
        let Some(part) = part else {
            return Ok(Field { path: segments, sql, ty: column.ty, field: column.field, nullable });
        };
        segments.push(part.json_name);
        let (value, ty) = inside(self.view.dialect(), &sql, part);
        if ty == Type::Json {
            return Err(wrong(format!("{text} is no plain value: take the whole of {}", column.field.name)));
        }
        // where there is no such message, there is no such field; an empty text is nothing, too
        let empty = if ty == Type::Text { format!(" OR {value} = ''") } else { String::new() };
        let sql = format!("(CASE WHEN {sql} IS NULL{empty} THEN NULL ELSE {value} END)");
        Ok(Field { path: segments, sql, ty, field: part, nullable: true })
    }

    /// What a path shows: a field, or the tags of the row or of what it refers to. What the caller may not see is nothing.
    ///
    /// # Errors
    /// As [`Joins::field`].
    pub fn shown(&mut self, parameter: &str, text: &str) -> Result<Shown, Error> {
        let tagged = text == "tags" || text.ends_with(".tags");
        let tags = |path: &Path| matches!(path.leaf, Leaf::Tags) && !path.hops.iter().any(Edge::many);
        if let Ok(Path { hops, leaf: Leaf::Column(column), .. }) = Path::follow(self.kind, text)
            && column.hidden(self.view.admin())
        {
            let path: Vec<_> = hops.iter().map(|hop| hop.segment).chain([column.field.json_name]).collect();
            let sql = "NULL".to_owned();
            return Ok(Field { path, sql, ty: column.ty, field: column.field, nullable: true }.into());
        }
        match find(self.kind, parameter, 0, text, self.view.admin()) {
            Ok((path, wrong)) if tagged && tags(&path) => {
                let (here, mut segments) = self.follow(&path).map_err(wrong)?;
                segments.push("tags");
                Ok(Shown { path: segments, sql: here.tags(self.view), field: None })
            }
            _ => self.field(parameter, 0, text).map(Shown::from),
        }
    }

    /// Joins what a path goes through. Answers the rows at its end, and the segments on the way.
    fn follow(&mut self, path: &Path) -> Result<(Rows<'v>, Vec<&'static str>), String> {
        let mut here = self.base();
        let mut segments = Vec::with_capacity(path.hops.len() + 1);
        for hop in &path.hops {
            segments.push(hop.segment);
            here = match self.known.iter().find(|(known, _)| *known == segments) {
                Some((_, alias)) => self.view.rows(hop.to(), *alias),
                None if self.known.len() == MOST => {
                    return Err(format!("goes through more than {MOST} references in all"));
                }
                None => {
                    let alias = self.known.len() + 1;
                    let there = self.view.rows(hop.to(), alias);
                    let link = format!("{} = {}", there.name("uuid"), here.name(hop.reference.field));
                    self.sql = std::mem::take(&mut self.sql).append(there.join(&link));
                    self.known.push((segments.clone(), alias));
                    there
                }
            };
        }
        Ok((here, segments))
    }
}

/// The path that a text names, and how an error about it is told. `parameter` is where it stands, at this character of its text.
fn find(
    kind: &str,
    parameter: &str,
    at: usize,
    text: &str,
    admin: bool,
) -> Result<(Path, impl Fn(String) -> Error), Error> {
    let path = Path::find(kind, text, admin)
        .map_err(|astray| Error::invalid(parameter, format!("{}, at character {}", astray.text, at + astray.at + 1)))?;
    let parameter = parameter.to_owned();
    Ok((path, move |text| Error::invalid(&parameter, format!("{text}, at character {}", at + 1))))
}
