//! Which changes a webhook wants. Its account's scope is not among them: that decides which rows are read at all.

use gyre_events::Row;
use gyre_model::error::Violation;
use gyre_model::{Caller, Error, Result, catalog};
use gyre_proto::Resource as _;
use gyre_proto::common::v1::Change;
use gyre_proto::identity::v1::{DeadLetter, Webhook};
use gyre_query::filter::Predicate;
use gyre_query::table::{by_kind, table};

/// Kinds whose changes no webhook is told.
const NEVER: [&str; 2] = [Webhook::KIND, DeadLetter::KIND];

/// What a webhook wants.
#[derive(Debug)]
pub(crate) struct Rules {
    kinds: Vec<String>,
    change: Option<Predicate>,
    resource: Option<Predicate>,
}

/// Names the field of the webhook that an error is about.
fn about(field: &'static str) -> impl Fn(Error) -> Error {
    move |error| {
        let texts = error.violations().iter().map(|violation| violation.description.clone());
        let violations = texts.map(|description| Violation { field: format!("webhook.{field}"), description });
        Error::invalid_fields(violations.collect())
    }
}

impl Rules {
    /// Reads what a webhook of this caller says.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a kind that is none, and for a filter that is wrong or asks what only the database can tell.
    pub fn of(webhook: &Webhook, caller: &Caller) -> Result<Self> {
        if let Some(wrong) =
            webhook.kinds.iter().find(|kind| catalog().kind(kind).is_none_or(|found| NEVER.contains(&found.kind)))
        {
            let mut known: Vec<_> =
                catalog().kinds().map(|kind| kind.kind).filter(|kind| !NEVER.contains(kind)).collect();
            known.sort_unstable();
            let text = format!("must be kinds of resources ({}), got {wrong:?}", known.join(", "));
            return Err(Error::invalid("webhook.kinds", text));
        }
        let only_own = |field: &str, whose: &str| {
            let text = format!("must ask for attributes of {whose} own; leave paths and tags away");
            Error::invalid(format!("webhook.{field}"), text)
        };
        let change = match webhook.filter.as_str() {
            "" => None,
            filter => match Predicate::compile(table::<Change>(), caller, filter).map_err(about("filter"))? {
                None => return Err(only_own("filter", "the change's")),
                found => found,
            },
        };
        let resource = match (webhook.resource_filter.as_str(), webhook.kinds.as_slice()) {
            ("", _) => None,
            (filter, [kind]) => {
                match Predicate::compile(by_kind(kind), caller, filter).map_err(about("resource_filter"))? {
                    None => return Err(only_own("resource_filter", "the resource's")),
                    found => found,
                }
            }
            (_, kinds) => {
                let text = format!("needs exactly one kind in `kinds`, there are {}", kinds.len());
                return Err(Error::invalid("webhook.resource_filter", text));
            }
        };
        Ok(Self { kinds: webhook.kinds.clone(), change, resource })
    }

    /// Whether a row is wanted.
    pub fn want(&self, row: &Row) -> bool {
        if NEVER.contains(&row.kind) || (!self.kinds.is_empty() && !self.kinds.iter().any(|kind| kind == row.kind)) {
            return false;
        }
        if let Some(filter) = &self.change
            && !row.change().is_some_and(|image| filter.holds(&image.values))
        {
            return false;
        }
        match &self.resource {
            Some(filter) => [row.before(), row.after()].into_iter().flatten().any(|image| filter.holds(&image.values)),
            None => true,
        }
    }
}
