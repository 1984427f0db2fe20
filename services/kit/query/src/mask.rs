//! Updates: which fields of a message take the place of which others (AIP-134).

use gyre_model::catalog::{FieldInfo, catalog};
use gyre_model::error::Violation;
use gyre_model::wire;
use gyre_model::{Error, Kind, Result};
use gyre_proto::{FieldMask, Resource};

/// Fields of every resource that name it or its version and are never changed by a mask.
const IDENTITY: [&str; 2] = ["uuid", "generation"];

/// Puts the fields that a mask names from `patch` into `current`. An empty mask names every field of `patch` that is not zero.
/// A generation in `patch` that is not zero must be the present one.
///
/// # Errors
/// `INVALID_ARGUMENT` for unknown, output-only and immutable fields, and for one emptied that must not be;
/// `ABORTED` (`STALE_GENERATION`) where another change came first.
pub fn apply_mask<R: Resource>(current: &R, patch: &R, mask: Option<&FieldMask>) -> Result<R> {
    if patch.generation() != 0 && patch.generation() != current.generation() {
        return Err(Error::new(
            Kind::Aborted,
            "STALE_GENERATION",
            format!(
                "{} {} is at generation {}, not {}: read it again and repeat the change",
                R::KIND,
                current.uuid(),
                current.generation(),
                patch.generation()
            ),
        ));
    }
    let info = catalog().message(R::NAME).ok_or_else(|| Error::internal(R::NAME))?;
    let (old, new) = (current.encode_to_vec(), patch.encode_to_vec());
    let has = |bytes: &[u8], number: u32| wire::fields(bytes).any(|(found, _)| found == number);
    let same = |number: u32| {
        wire::fields(&old)
            .filter(|(found, _)| *found == number)
            .eq(wire::fields(&new).filter(|(found, _)| *found == number))
    };
    let mut broken = Vec::new();
    let mut chosen: Vec<&FieldInfo> = Vec::new();
    match mask.filter(|mask| !mask.paths.is_empty()) {
        Some(mask) => {
            for path in &mask.paths {
                let path = path.rsplit('.').next().unwrap_or(path);
                match info.field(path) {
                    None => broken.push(Violation {
                        field: "update_mask".into(),
                        description: format!("{} has no field {path:?}", R::KIND),
                    }),
                    Some(field) => chosen.push(field),
                }
            }
        }
        None => chosen.extend(info.fields.iter().filter(|field| has(&new, field.number) && !field.rule.output_only)),
    }
    chosen.retain(|field| !IDENTITY.contains(&field.name));
    for field in &chosen {
        let fault = if field.rule.output_only && !same(field.number) {
            "is set by Gyre and cannot be changed"
        } else if field.rule.immutable && !same(field.number) {
            "cannot be changed after creation"
        } else if field.rule.required && !has(&new, field.number) {
            "must not be empty"
        } else {
            continue;
        };
        broken.push(Violation { field: field.name.to_owned(), description: fault.to_owned() });
    }
    if !broken.is_empty() {
        return Err(Error::invalid_fields(broken));
    }
    let mut merged = Vec::with_capacity(old.len() + new.len());
    for (bytes, from_patch) in [(&old, false), (&new, true)] {
        for (number, value) in wire::fields(bytes) {
            if chosen.iter().any(|field| field.number == number) == from_patch {
                wire::put(&mut merged, number, value);
            }
        }
    }
    R::decode(merged.as_slice()).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_proto::vm::v1::Vm;

    fn vm() -> Vm {
        Vm {
            uuid: "u".into(),
            name: "old".into(),
            description: "d".into(),
            cpu_count: 2,
            generation: 7,
            ..Vm::default()
        }
    }

    #[test]
    fn only_what_the_mask_names_changes() {
        let patch = Vm { name: "new".into(), ..Vm::default() };
        let after = apply_mask(&vm(), &patch, None).unwrap();
        assert_eq!((after.name.as_str(), after.description.as_str(), after.cpu_count), ("new", "d", 2));
        let mask = FieldMask { paths: vec!["description".into()] };
        assert_eq!(apply_mask(&vm(), &patch, Some(&mask)).unwrap().description, "");
    }

    #[test]
    fn what_must_not_change_is_refused_field_by_field() {
        let patch = Vm { cpu_count: 4, ..Vm::default() };
        let mask = FieldMask { paths: vec!["cpu_count".into(), "name".into(), "state".into(), "wings".into()] };
        let error = apply_mask(&vm(), &patch, Some(&mask)).unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["update_mask", "cpu_count", "name"]);
        let stale = Vm { generation: 6, ..Vm::default() };
        assert_eq!(apply_mask(&vm(), &stale, None).unwrap_err().reason(), "STALE_GENERATION");
    }
}
