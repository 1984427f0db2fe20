//! Fields of a row and of what it refers to, for sorting, showing and grouping: each reference on the way is joined once.

use gyre_model::Error;
use gyre_store::Sql;

use crate::filter::letters;
use crate::path::{Leaf, Path};
use crate::table::Column;
use crate::view::{Rows, View};
use gyre_store::Type;

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
    /// Its column.
    pub column: &'static Column,
    /// Whether it may be nothing: because the column may, or because a reference leads nowhere.
    pub nullable: bool,
}

impl Field {
    /// In SQL, so that both databases sort and group it alike.
    pub fn sorted(&self, view: &View) -> String {
        if self.column.ty == Type::Text { letters(view.dialect(), &self.sql) } else { self.sql.clone() }
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
        let wrong = |offset: usize, text: String| {
            Error::invalid(parameter, format!("{text}, at character {}", at + offset + 1))
        };
        let path = Path::find(self.kind, text).map_err(|astray| wrong(astray.at, astray.text))?;
        if !path.one() {
            return Err(wrong(0, format!("{text} can lead to more than one value")));
        }
        let column = match path.leaf {
            Leaf::Column(column) => column,
            Leaf::Row => return Err(wrong(0, format!("{text} is a {}: name a field of it", path.kind.kind))),
            Leaf::Inside(..) | Leaf::Tags => {
                return Err(wrong(0, format!("{text} is a part of a value: take the whole")));
            }
        };
        let mut here = self.base();
        let mut segments = Vec::with_capacity(path.hops.len() + 1);
        for hop in &path.hops {
            segments.push(hop.segment);
            here = match self.known.iter().find(|(known, _)| *known == segments) {
                Some((_, alias)) => self.view.rows(hop.to(), *alias),
                None if self.known.len() == MOST => {
                    return Err(wrong(0, format!("goes through more than {MOST} references in all")));
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
        segments.push(column.field.json_name);
        let nullable = column.nullable || !path.hops.is_empty();
        Ok(Field { path: segments, sql: here.column(column), column, nullable })
    }
}
