//! From a tree to a condition over the rows of a kind.
//!
//! # Theory
//! - Each comparison is true or false, never unknown: what is nothing is equal to no value and different from every one. So `NOT`
//!   is what people expect, and SQL's third value has to be kept out: wherever a condition stands under a `NOT`, one that could be
//!   unknown says that there is something, too.
//! - A path through references to one resource each is as if that resource's field were the row's own; where one of the references
//!   names nothing that the caller may see, the field is nothing. A path that can lead to many asks whether there is one among
//!   them that fulfils the comparison; `NOT` before it asks that there is none.
//! - Rows come in through [`Rows`] only, with what may be seen of them.
//! - What a filter costs is summed up on the way ([`super::budget`]); [`super::follow`] walks along paths, and [`super::values`] asks
//!   what lies at their ends what [`super::wanted`] says.
//! - Whether there is one among others can be asked of each row (`EXISTS`), or once of all (`IN` a list); which of the two is
//!   better depends on how many there are, and [`super::strategy`] finds that out where the database cannot.
//! - SQLite begins with a list when a plain column is to be in it. PostgreSQL does what its statistics say, so there the rows that a
//!   statement is about are found through the list ([`Compiler::begin`]), and what the list says is no condition any more.

use gyre_model::Result;
use gyre_model::catalog::Edge;
use gyre_store::{Dialect, Sql};

use super::budget::Budget;
use super::follow::Asked;
use super::parse::{Expression, Restriction};
use super::scan::Operator;
use super::strategy::{Strategies, Strategy};
use super::wanted::{list, test};
use super::wrong;
use crate::path::{Leaf, Path};
use crate::table::by_kind;
use crate::view::{Rows, View};

/// Compiles the filter of one statement.
pub(crate) struct Compiler<'v> {
    pub(super) view: &'v View,
    /// The last alias that was given out.
    pub(super) aliases: usize,
    budget: Budget,
    now: i64,
    strategies: Strategies,
}

impl<'v> Compiler<'v> {
    /// For what a caller may see, at a point in time. Aliases from `aliases` on are free.
    pub fn new(view: &'v View, aliases: usize, now: i64) -> Self {
        Self { view, aliases, budget: Budget::default(), now, strategies: Strategies::default() }
    }

    /// With what was found out about the comparisons.
    pub fn with(mut self, strategies: Strategies) -> Self {
        self.strategies = strategies;
        self
    }

    /// The condition of a filter over rows. Where it is `strict` it is never unknown.
    pub fn condition(&mut self, rows: &Rows<'_>, expression: &Expression, strict: bool) -> Result<Sql> {
        Ok(match expression {
            Expression::And(all) => self.all(rows, all, " AND ", strict)?,
            Expression::Or(all) => self.all(rows, all, " OR ", strict)?,
            Expression::Not(inner) => Sql::new("NOT (").append(self.condition(rows, inner, true)?).sql(")"),
            Expression::Compare(restriction) => self.compare(rows, restriction, strict)?,
        })
    }

    fn all(&mut self, rows: &Rows<'_>, all: &[Expression], word: &'static str, strict: bool) -> Result<Sql> {
        let mut sql = Sql::new("(");
        for (at, one) in all.iter().enumerate() {
            if at > 0 {
                sql.push(word);
            }
            sql = sql.append(self.condition(rows, one, strict)?);
        }
        Ok(sql.sql(")"))
    }

    fn compare(&mut self, rows: &Rows<'_>, restriction: &Restriction, strict: bool) -> Result<Sql> {
        let (path, leaf, asked, not) = self.asked(rows, restriction)?;
        self.budget.pay(restriction, &path.hops, list(leaf), not || strict)?;
        let searched = path.hops.iter().any(|hop| hop.reference.repeated);
        match (path.hops.split_first(), self.strategies.of(restriction)) {
            (_, Strategy::Begun) => Ok(Sql::new("TRUE")),
            (Some((hop, _)), strategy @ (Strategy::List | Strategy::Common | Strategy::Drive))
                if !not && !strict && !searched =>
            {
                let name = rows.name(referring(hop));
                let list = self.list(&path.hops, leaf, &asked)?;
                Ok(match (strategy, self.view.dialect()) {
                    // neither database begins with what is no plain column any more
                    (Strategy::List | Strategy::Common, Dialect::Sqlite) => self.one_of(&format!("+{name}"), list),
                    (Strategy::List | Strategy::Common, Dialect::Postgres) => {
                        // a table of hashes, where an array would be looked through for each row
                        Sql::new(format!("COALESCE({name} IN (")).append(list).sql("), FALSE)")
                    }
                    _ => self.one_of(&name, list),
                })
            }
            _ => self.follow(rows, &path.hops, leaf, &asked, not, strict),
        }
    }

    /// Where a comparison leads, and what it asks there; whether the answer is turned round.
    fn asked(&self, rows: &Rows<'_>, restriction: &Restriction) -> Result<(Path, Leaf, Asked, bool)> {
        let path = Path::find(rows.table.kind.kind, &restriction.path, self.view.admin())
            .map_err(|astray| wrong(restriction.at + astray.at, astray.text))?;
        let row = matches!(path.leaf, Leaf::Row);
        let leaf = if row { Leaf::Column(by_kind(path.kind.kind).uuid()) } else { path.leaf };
        let (test, not) = test(self.now, leaf, restriction)?;
        Ok((path, leaf, Asked { test, row, has: restriction.operator == Operator::Has }, not))
    }

    /// For each step of a path, from the last to the first, what has to be read to make the list that it looks into, at most so many rows:
    /// for counting. Nothing for a comparison that no list answers.
    pub fn lists(&mut self, rows: &Rows<'_>, restriction: &Restriction, most: i64) -> Result<Vec<Sql>> {
        let (path, leaf, asked, not) = self.asked(rows, restriction)?;
        if not || path.hops.iter().any(|hop| hop.reference.repeated) {
            return Ok(Vec::new());
        }
        let step = |at: usize| {
            let hops = &path.hops[at..];
            match (self.view.dialect(), hops) {
                (Dialect::Postgres, [hop, next, ..]) => {
                    let list = self.list(&hops[1..], leaf, &asked)?;
                    self.aliases += 1;
                    let there = self.view.rows(hop.to(), self.aliases);
                    Ok(there.through(referring(next), distinct(next, list)).touched(most))
                }
                _ => Ok(self.list(hops, leaf, &asked)?.sql(format!(" LIMIT {most}"))),
            }
        };
        (0..path.hops.len()).rev().map(step).collect()
    }

    /// What has to be read of these rows where a statement begins with the list of a comparison, at most so many: for counting. Nothing
    /// for a comparison that no list answers.
    pub fn driven(&mut self, rows: Rows<'_>, restriction: &Restriction, most: i64) -> Result<Option<Sql>> {
        let (path, leaf, asked, _) = self.asked(&rows, restriction)?;
        let Some(hop) = path.hops.first() else { return Ok(None) };
        let list = self.list(&path.hops, leaf, &asked)?;
        Ok(Some(match self.view.dialect() {
            Dialect::Postgres => rows.through(referring(hop), distinct(hop, list)).touched(most),
            Dialect::Sqlite => {
                let one = self.one_of(&rows.name(referring(hop)), list);
                rows.select("1", Sql::default(), vec![one]).sql(format!(" LIMIT {most}"))
            }
        }))
    }

    /// The rows that a statement is about, found through the lists that the strategies say it begins with, and noted as that
    /// (PostgreSQL). Where it begins with none, they are found as the database likes.
    pub fn begin<'r>(&mut self, rows: Rows<'r>, expression: &Expression) -> Result<Rows<'r>> {
        if self.view.dialect() == Dialect::Sqlite {
            return Ok(rows);
        }
        let drives = self.strategies.drives(expression);
        let one = drives.len() == 1;
        let mut all: Option<Sql> = None;
        for restriction in drives {
            let (path, leaf, asked, _) = self.asked(&rows, restriction)?;
            let Some(hop) = path.hops.first() else { continue };
            let list = distinct(hop, self.list(&path.hops, leaf, &asked)?);
            self.strategies.set(restriction, if one { Strategy::Begun } else { Strategy::List });
            if one {
                return Ok(rows.through(referring(hop), list));
            }
            self.aliases += 1;
            let here = self.view.rows(rows.table.kind.kind, self.aliases);
            let uuid = here.name("uuid");
            let found = here.through(referring(hop), list).values(&uuid, "", None);
            all = Some(match all {
                Some(all) => all.sql(" UNION ").append(found),
                None => found,
            });
        }
        Ok(match all {
            Some(all) => rows.through("uuid", all),
            None => rows,
        })
    }

    /// That a column has one of the values of a list, which is made first. PostgreSQL makes an array of it: of a subquery it would make
    /// one more join, and put that where its statistics, which know nothing of the rows at the far end, say that it is best.
    pub fn one_of(&self, name: &str, list: Sql) -> Sql {
        match self.view.dialect() {
            Dialect::Sqlite => Sql::new(format!("{name} IN (")).append(list).sql(")"),
            Dialect::Postgres => Sql::new(format!("{name} = ANY (ARRAY(")).append(list).sql("))"),
        }
    }
}

/// What a row is found by from a step's end.
pub(super) fn referring(hop: &Edge<'static>) -> &'static str {
    if hop.forward { hop.reference.field } else { "uuid" }
}

/// A step's list without doubles: where many refer to one, it is in the list as often.
pub(super) fn distinct(hop: &Edge<'static>, list: Sql) -> Sql {
    if hop.forward {
        return list;
    }
    Sql::new("SELECT DISTINCT one.key FROM (").append(list).sql(") one(key)")
}

#[cfg(test)]
mod tests {
    use gyre_model::{Caller, Uuid};
    use gyre_store::Dialect;

    use super::Compiler;
    use crate::filter::parse;
    use crate::view::View;

    fn compiled(kind: &str, filter: &str, caller: &Caller, dialect: Dialect) -> gyre_model::Result<String> {
        let view = View::new(caller, dialect);
        let expression = parse(filter)?.unwrap();
        Compiler::new(&view, 0, 0).condition(&view.rows(kind, 0), &expression, false).map(|sql| sql.text())
    }

    fn text(filter: &str) -> String {
        compiled("vm", filter, &Caller::system(), Dialect::Sqlite).unwrap()
    }

    #[test]
    fn comparisons_become_conditions_with_bound_values() {
        assert_eq!(text("name = \"web-1\""), "r0.name = ?");
        assert_eq!(text("name = \"web-*\""), "(r0.name >= ? AND r0.name < ?)");
        assert_eq!(text("name = \"*web*\""), "instr(r0.name, ?) > 0");
        assert_eq!(text("name = \"a*b\""), "((r0.name >= ? AND r0.name < ?) AND r0.name LIKE ? ESCAPE '!')");
        assert_eq!(text("state = RUNNING AND memoryBytes >= 4GiB"), "(r0.state = ? AND r0.memory_bytes >= ?)");
        assert_eq!(text("state IN (RUNNING, stopped)"), "r0.state IN (?, ?)");
        assert_eq!(
            text("NOT (host_uuid = null OR cpu_count != 2)"),
            "NOT ((r0.host_uuid IS NULL OR r0.cpu_count <> ?))"
        );
        assert_eq!(text("addresses:10.0.0.7"), "EXISTS (SELECT 1 FROM json_each(r0.addresses) e1 WHERE e1.value = ?)");
    }

    #[test]
    fn what_could_be_unknown_is_false_under_not() {
        assert_eq!(text("destroy_time < now"), "r0.destroy_time < ?");
        assert_eq!(text("NOT destroy_time < now"), "NOT ((r0.destroy_time < ? AND r0.destroy_time IS NOT NULL))");
        assert_eq!(text("destroy_time != now"), "(r0.destroy_time <> ? OR r0.destroy_time IS NULL)");
    }

    #[test]
    fn paths_become_searches() {
        assert_eq!(
            text("host.cluster.name = a"),
            "EXISTS (SELECT 1 FROM host r1 WHERE r1.uuid = r0.host_uuid AND \
             EXISTS (SELECT 1 FROM cluster r2 WHERE r2.uuid = r1.cluster_uuid AND r2.name = ?))"
        );
        // to one: what is not there differs from every value
        assert_eq!(
            text("host.name != a"),
            "NOT EXISTS (SELECT 1 FROM host r1 WHERE r1.uuid = r0.host_uuid AND r1.name = ?)"
        );
        // to many: there is one that differs
        assert_eq!(
            text("volumes.name != a"),
            "EXISTS (SELECT 1 FROM volume r1 WHERE r1.vm_uuid = r0.uuid AND r1.name <> ?)"
        );
        assert_eq!(text("volumes = null"), "NOT EXISTS (SELECT 1 FROM volume r1 WHERE r1.vm_uuid = r0.uuid)");
        assert_eq!(text("volumes:*"), "EXISTS (SELECT 1 FROM volume r1 WHERE r1.vm_uuid = r0.uuid)");
    }

    #[test]
    fn tags_are_asked_by_text_or_by_key() {
        assert_eq!(
            text("tags:\"env=prod\""),
            "EXISTS (SELECT 1 FROM tag r1 WHERE r1.resource_uuid = r0.uuid AND r1.text = ?)"
        );
        assert_eq!(
            text("tags:env"),
            "EXISTS (SELECT 1 FROM tag r1 WHERE r1.resource_uuid = r0.uuid AND (r1.text = ? OR r1.\"key\" = ?))"
        );
        assert_eq!(text("tags = null"), "NOT EXISTS (SELECT 1 FROM tag r1 WHERE r1.resource_uuid = r0.uuid)");
        assert_eq!(
            text("host.tags:*"),
            "EXISTS (SELECT 1 FROM host r1 WHERE r1.uuid = r0.host_uuid AND \
             EXISTS (SELECT 1 FROM tag r2 WHERE r2.resource_uuid = r1.uuid))"
        );
    }

    #[test]
    fn every_row_of_a_path_is_one_that_the_caller_may_see() {
        let user = Caller::of(Uuid::new_v4(), false);
        assert_eq!(
            compiled("zone", "clusters.vms.image.name = a", &user, Dialect::Postgres).unwrap(),
            "EXISTS (SELECT 1 FROM cluster r1 WHERE r1.zone_uuid = r0.uuid AND \
             EXISTS (SELECT 1 FROM vm r2 WHERE r2.cluster_uuid = r1.uuid AND r2.account_uuid = ? AND \
             EXISTS (SELECT 1 FROM image r3 WHERE r3.uuid = r2.image_uuid AND (r3.account_uuid = ? OR r3.shared = ?) AND \
             r3.name COLLATE \"C\" = ?)))"
        );
    }

    #[test]
    fn faults_name_the_remedy_and_point_at_the_character() {
        let error =
            |filter: &str| compiled("vm", filter, &Caller::system(), Dialect::Sqlite).unwrap_err().message().to_owned();
        for (filter, told, at) in [
            ("nam = x", "did you mean \"name\"", 1),
            ("name = x AND host.cluster.nme = y", "did you mean \"name\"", 27),
            ("state = FLYING", "one of CREATING", 9),
            ("state < RUNNING", "has no order", 1),
            ("cpu_count = many", "a whole number", 13),
            ("host_uuid = web", "a UUID", 13),
            ("create_time > soon", "a time such as", 15),
            ("cpu_count > null", "null is compared with = and !=", 13),
            ("name = \"*a*b*c*d*e*f*g*h*i*\"", "at most 8 stars", 8),
        ] {
            let message = error(filter);
            assert!(message.contains(told) && message.ends_with(&format!("at character {at}")), "{filter}: {message}");
        }
    }

    #[test]
    fn a_filter_has_a_budget() {
        let many = |count: usize, one: &str| vec![one; count].join(" AND ");
        assert!(compiled("vm", &many(200, "cpu_count = 1"), &Caller::system(), Dialect::Sqlite).is_ok());
        let long = many(201, "cpu_count = 1");
        assert!(
            compiled("vm", &long, &Caller::system(), Dialect::Sqlite).unwrap_err().message().contains("costs more")
        );
        let deep = many(4, "volumes.vm.volumes.vm.volumes.vm.name = x");
        assert!(compiled("vm", &deep, &Caller::system(), Dialect::Sqlite).is_ok());
        let deep = many(6, "volumes.vm.volumes.vm.volumes.vm.name = x");
        assert!(compiled("vm", &deep, &Caller::system(), Dialect::Sqlite).is_err());
    }

    #[test]
    fn steps_multiply_where_every_row_asks_for_itself() {
        let fits = |filter: &str| compiled("vm", filter, &Caller::system(), Dialect::Sqlite).is_ok();
        for steps in ["host.vms.name", "host.cluster.hosts.name", "volumes.vm.name"] {
            assert!(fits(&format!("NOT {steps} = a")) && fits(&format!("{steps} != a")), "{steps}");
        }
        for steps in ["host.vms.host.vms.name", "volumes.vm.volumes.vm.name"] {
            assert!(fits(&format!("{steps} = a")), "{steps}");
            for filter in ["NOT S = a", "NOT (name = a AND S = a)", "S != a", "S = null", "-S:*"] {
                assert!(!fits(&filter.replace('S', steps)), "{filter}: {steps}");
            }
        }
        // each is paid for once: 19 times 10 and 10 times 1
        let many = |count: usize| vec!["NOT volumes.name = a"; count].join(" AND ");
        assert!(fits(&many(18)) && !fits(&many(19)));
    }
}
