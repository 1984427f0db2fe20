//! Pages: how large, and where one ended. A token fits its question only: kind, caller, filter and order.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_model::{Error, Result};
use gyre_store::{Row, Sql};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::order::Order;
use crate::view::View;

/// Rows in a page when the request does not say.
pub const DEFAULT_PAGE: i32 = 100;
/// Most rows in a page.
pub const LARGEST_PAGE: i32 = 1000;
/// Most bytes of a token.
const LONGEST_TOKEN: usize = 8192;

/// Where a page ended: the sort key of its last row, and a hash of what was asked.
#[derive(Serialize, Deserialize)]
struct Token {
    h: u64,
    k: Vec<serde_json::Value>,
}

/// A page that is asked for.
pub(crate) struct Window {
    /// Most rows.
    pub size: usize,
    hash: u64,
}

fn bad_token() -> Error {
    Error::invalid(
        "page_token",
        "must be the next_page_token of the page before, for the same caller, kind, filter and order",
    )
}

impl Window {
    /// A page of this size; `question` is all that decides which rows there are, and in what order.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a size out of bounds.
    pub fn new(view: &View, page_size: i32, question: &[&str]) -> Result<Self> {
        let size = match page_size {
            0 => DEFAULT_PAGE,
            size if (1..=LARGEST_PAGE).contains(&size) => size,
            size => {
                return Err(Error::invalid("page_size", format!("must be between 0 and {LARGEST_PAGE}, got {size}")));
            }
        };
        let mut text = format!("{}\0{}", view.account(), view.admin());
        for part in question {
            text.push('\0');
            text.push_str(part);
        }
        Ok(Self { size: usize::try_from(size).unwrap_or(1), hash: xxh3_64(text.as_bytes()) })
    }

    /// The condition that a page begins after where the one before ended.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a token of another question.
    pub fn begin(&self, order: &Order, token: &str) -> Result<Option<Sql>> {
        if token.is_empty() {
            return Ok(None);
        }
        if token.len() > LONGEST_TOKEN {
            return Err(bad_token());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| bad_token())?;
        if token.h != self.hash || token.k.len() != order.keys.len() {
            return Err(bad_token());
        }
        let values = order.keys.iter().zip(&token.k).map(|(key, value)| key.value(value).ok_or_else(bad_token));
        Ok(Some(order.after(&values.collect::<Result<Vec<_>>>()?)))
    }

    /// `ORDER BY … LIMIT …`: one row more than the page, to see whether there are more.
    pub fn limit(&self, view: &View, order: &Order) -> String {
        format!("{} LIMIT {}", order.sql(view.dialect()), self.size + 1)
    }

    /// Takes the row off that is too many, and answers the next page's token; empty where there is none.
    ///
    /// # Errors
    /// A column that holds something else: a fault of Gyre's.
    pub fn end(&self, order: &Order, rows: &mut Vec<Row>) -> Result<String> {
        if rows.len() <= self.size {
            return Ok(String::new());
        }
        rows.truncate(self.size);
        let last = rows.last().ok_or_else(|| Error::internal("an empty page with more to come"))?;
        let k = order.keys.iter().map(|key| key.token(last)).collect::<Result<Vec<_>>>()?;
        let token = serde_json::to_vec(&Token { h: self.hash, k }).map_err(Error::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(token))
    }
}
