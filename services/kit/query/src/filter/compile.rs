//! From a tree to a condition, with the fields and types of a table.

use gyre_model::catalog::FieldType;
use gyre_model::{Result, parse_uuid, time};
use gyre_store::{Sql, Type, Value};

use super::parse::{Expression, Operator, Restriction};
use super::wrong;
use crate::table::{Column, Table};

pub(crate) fn compile(table: &Table, expression: &Expression) -> Result<Sql> {
    Ok(match expression {
        Expression::And(all) => join(table, all, " AND ")?,
        Expression::Or(all) => join(table, all, " OR ")?,
        Expression::Not(inner) => Sql::new("NOT (").append(compile(table, inner)?).sql(")"),
        Expression::Compare(restriction) => compare(table, restriction)?,
    })
}

fn join(table: &Table, all: &[Expression], word: &'static str) -> Result<Sql> {
    let mut sql = Sql::new("(");
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            sql.push(word);
        }
        sql = sql.append(compile(table, one)?);
    }
    Ok(sql.sql(")"))
}

fn compare(table: &Table, restriction: &Restriction) -> Result<Sql> {
    let Some((_, column)) = table.column(&restriction.field) else {
        let nearest = nearest(table, &restriction.field);
        return Err(wrong(
            restriction.at,
            format_args!("{} has no field {:?}; did you mean {nearest:?}?", table.kind.kind, restriction.field),
        ));
    };
    let name = column.field.name;
    let Restriction { operator, value, value_at, quoted, .. } = restriction;
    if value == "null" && !quoted {
        return match operator {
            Operator::Equal => Ok(Sql::new(format!("{name} IS NULL"))),
            Operator::NotEqual => Ok(Sql::new(format!("{name} IS NOT NULL"))),
            _ => Err(wrong(*value_at, "null is compared with = and != only")),
        };
    }
    if column.ty == Type::Json {
        return has_element(column, restriction);
    }
    if *operator == Operator::Has && value == "*" {
        return Ok(match column.ty {
            Type::Text => Sql::new(format!("{name} <> ''")),
            _ => Sql::new(format!("{name} IS NOT NULL")),
        });
    }
    let plain_text = column.ty == Type::Text && column.field.values.is_empty();
    if plain_text && *operator == Operator::Has {
        return Ok(like(name, &format!("%{}%", escape(value))));
    }
    if plain_text && matches!(operator, Operator::Equal | Operator::NotEqual) && wild(value) {
        let core = value.strip_prefix('*').unwrap_or(value);
        let core = core.strip_suffix('*').unwrap_or(core);
        let before = if value.starts_with('*') { "%" } else { "" };
        let after = if value.ends_with('*') && value.len() > 1 { "%" } else { "" };
        let found = like(name, &format!("{before}{}{after}", escape(core)));
        return Ok(if *operator == Operator::Equal { found } else { Sql::new("NOT (").append(found).sql(")") });
    }
    let sign = match operator {
        Operator::Equal | Operator::Has => "=",
        Operator::NotEqual => "<>",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
    };
    let value = literal(column, value, *value_at)?;
    let sql = Sql::new(format!("{name} {sign} ")).bind(value);
    // what is nothing is not equal to any value
    Ok(if *operator == Operator::NotEqual && column.nullable {
        Sql::new("(").append(sql).sql(format!(" OR {name} IS NULL)"))
    } else {
        sql
    })
}

fn wild(value: &str) -> bool {
    value.starts_with('*') || value.ends_with('*')
}

fn like(name: &str, pattern: &str) -> Sql {
    Sql::new(format!("{name} LIKE ")).bind(pattern).sql(" ESCAPE '!'")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(letter);
    }
    escaped
}

/// Whether a list of texts has an element. Lists are JSON; their texts stand in quotes, as JSON writes them.
fn has_element(column: &Column, restriction: &Restriction) -> Result<Sql> {
    let name = column.field.name;
    if restriction.operator != Operator::Has || !column.field.repeated || column.field.ty != FieldType::Text {
        return Err(wrong(
            restriction.at,
            format_args!("{name} can only be asked with : for an element of a list of texts"),
        ));
    }
    if restriction.value == "*" {
        return Ok(Sql::new(format!("CAST({name} AS TEXT) <> '[]'")));
    }
    let quoted = serde_json::to_string(&restriction.value).unwrap_or_default();
    Ok(like(&format!("CAST({name} AS TEXT)"), &format!("%{}%", escape(&quoted))))
}

fn literal(column: &Column, text: &str, at: usize) -> Result<Value> {
    let expected = |what: &str| wrong(at, format_args!("{} is {what}, got {text:?}", column.field.name));
    match column.ty {
        Type::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(expected("true or false")),
        },
        Type::Int => number(text).map(Value::Int).ok_or_else(|| expected("a whole number")),
        Type::Float => text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Value::Float)
            .ok_or_else(|| expected("a number")),
        Type::Id => parse_uuid(text).map(Value::from).ok_or_else(|| expected("a UUID")),
        Type::Time => time::parse(text).map(Value::time).ok_or_else(|| expected("a time such as 2026-01-31T12:00:00Z")),
        Type::Text if column.field.values.is_empty() => Ok(Value::from(text)),
        Type::Text => {
            let known = column.field.value_number(text).and_then(|number| column.field.value_name(number));
            known.map(Value::from).ok_or_else(|| {
                let names: Vec<_> = column.field.values.iter().skip(1).map(|(.., short)| *short).collect();
                expected(&format!("one of {}", names.join(", ")))
            })
        }
        Type::Bytes | Type::Json => Err(expected("not to be compared")),
    }
}

/// A whole number, with a unit of bytes where one follows: 4GiB, 10M.
fn number(text: &str) -> Option<i64> {
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: i64 = text[..digits].parse().ok()?;
    let factor: i64 = match &text[digits..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "P" | "PiB" => 1 << 50,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The field whose name is least far from a text (edit distance).
fn nearest(table: &Table, text: &str) -> &'static str {
    table.columns.iter().map(|column| column.field.name).min_by_key(|name| distance(name, text)).unwrap_or("uuid")
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use crate::filter::compile as whole;
    use crate::table::by_kind;

    fn text(filter: &str) -> String {
        whole(by_kind("vm"), filter).unwrap().unwrap().text()
    }

    #[test]
    fn comparisons_become_conditions_with_bound_values() {
        assert_eq!(text("name = \"web-1\""), "name = ?");
        assert_eq!(text("name = \"web-*\""), "name LIKE ? ESCAPE '!'");
        assert_eq!(text("state = RUNNING AND memoryBytes >= 4GiB"), "(state = ? AND memory_bytes >= ?)");
        assert_eq!(text("NOT (host_uuid = null OR cpu_count != 2)"), "NOT ((host_uuid IS NULL OR cpu_count <> ?))");
        assert_eq!(text("addresses:10.0.0.7"), "CAST(addresses AS TEXT) LIKE ? ESCAPE '!'");
    }

    #[test]
    fn faults_name_the_remedy() {
        let error = |filter: &str| whole(by_kind("vm"), filter).unwrap_err().message().to_owned();
        assert!(error("nam = x").contains("did you mean \"name\""));
        assert!(error("state = FLYING").contains("one of CREATING"));
        assert!(error("cpu_count = many").contains("a whole number"));
        assert!(error("host_uuid = web").contains("a UUID"));
    }
}
