//! Operations that began under another definition: their recorded steps, laid out as the definition has them now.

use gyre_proto::common::v1::{OperationStep, OperationStepState};

use crate::definition::StepDefinition;

/// Lays recorded steps out. One that went into a sub-workflow meanwhile, or out of one, is found by the last part of its name; it
/// keeps the name under which it was recorded, which is half of the key of what it asked of others.
pub(crate) fn lay_out(steps: &[StepDefinition], recorded: Vec<OperationStep>) -> Vec<OperationStep> {
    let mut left: Vec<_> = recorded.into_iter().map(Some).collect();
    let mut take = |fits: &dyn Fn(&str) -> bool| {
        left.iter_mut().find(|step| step.as_ref().is_some_and(|step| fits(&step.name))).and_then(Option::take)
    };
    // exact names first, so that none takes the record of another
    let mut found: Vec<_> = steps.iter().map(|named| take(&|name| name == named.step)).collect();
    for (slot, named) in found.iter_mut().zip(steps) {
        if slot.is_none() {
            *slot = take(&|name| last(name) == last(&named.step));
        }
    }
    found.into_iter().zip(steps).map(|(found, named)| found.unwrap_or_else(|| pending(named))).collect()
}

/// The steps of an operation that begins.
pub(crate) fn pending(named: &StepDefinition) -> OperationStep {
    OperationStep {
        name: named.step.clone(),
        state: OperationStepState::Pending.into(),
        message: named.label.clone().unwrap_or_default(),
        ..OperationStep::default()
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Library;

    fn steps(texts: &[&str], name: &str) -> Vec<StepDefinition> {
        let all = Library::of(texts).unwrap().resolve().unwrap();
        all.into_iter().find(|definition| definition.name == name).unwrap().steps
    }

    fn recorded(names: &[&str]) -> Vec<OperationStep> {
        let step = |name: &&str| OperationStep { name: (*name).to_owned(), attempts: 1, ..OperationStep::default() };
        names.iter().map(step).collect()
    }

    fn names(steps: &[OperationStep]) -> Vec<(&str, i32)> {
        steps.iter().map(|step| (step.name.as_str(), step.attempts)).collect()
    }

    #[test]
    fn a_step_that_went_into_a_part_keeps_its_record_and_its_name() {
        let part = "{name: take, steps: [{step: record}, {step: place}]}";
        let whole = "{name: make, resource: volume, steps: [{workflow: take}, {step: check}, {step: place}]}";
        let steps = steps(&[part, whole], "make");
        let found = lay_out(&steps, recorded(&["record", "place", "gone"]));
        // "place" is one of the workflow's own steps too, and that is the one that it is
        assert_eq!(names(&found), [("record", 1), ("take/place", 0), ("check", 0), ("place", 1)]);
        let again = lay_out(&steps, found);
        assert_eq!(names(&again), [("record", 1), ("take/place", 0), ("check", 0), ("place", 1)]);
    }
}
