//! Holding a workflow against the steps that are registered, before anything runs.

use gyre_model::Result;

use crate::definition::{Definition, sorted, wrong};
use crate::registry::{Step, Steps};
use crate::var::How;

impl Steps {
    /// Whether steps and variables are named once, and a variable's name means one type.
    pub(crate) fn check(&self, service: &str) -> Result<()> {
        let at = format!("the steps of {service}");
        if let Some(var) = self.misplaced {
            return Err(wrong(at, format_args!("{var:?} is declared before any step")));
        }
        let all = self.all();
        for (position, (name, _)) in all.iter().enumerate() {
            if all[..position].iter().any(|(before, _)| before == name) {
                return Err(wrong(at, format_args!("step {name:?} is registered twice")));
            }
        }
        let declared: Vec<_> =
            all.iter().flat_map(|(step, entry)| entry.uses.all().map(move |declared| (step, declared))).collect();
        for (position, (step, one)) in declared.iter().enumerate() {
            let other =
                declared[..position].iter().find(|(_, other)| other.name == one.name && other.holds != one.holds);
            if let Some((before, other)) = other {
                return Err(wrong(
                    at,
                    format_args!(
                        "{:?} is {} in step {before:?} and {} in step {step:?}: one name means one type",
                        one.name, other.type_name, one.type_name
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Whether a workflow can be run with these steps, one for each of its own.
pub(crate) fn fits(definition: &Definition, steps: &[Step]) -> Result<()> {
    let mut past = false;
    for (at, (named, step)) in definition.steps.iter().zip(steps).enumerate() {
        let before = &definition.steps[..at];
        if before.iter().any(|other| other.step == named.step) {
            return Err(wrong(
                format_args!("{}.step", named.origin),
                format_args!("{:?} stands twice in {}: a step's name is half of its key", named.step, definition.name),
            ));
        }
        if named.point_of_no_return && past {
            let what = format!("point_of_no_return stands twice in {}: the first counts", definition.name);
            return Err(wrong(&named.origin, what));
        }
        past |= named.point_of_no_return;
        match (&step.undo, &named.no_undo) {
            (None, None) if !past => {
                let what = format!("step {:?} has no undo: say why none is needed with no_undo", named.step);
                return Err(wrong(&named.origin, what));
            }
            (Some(_), Some(_)) => {
                let what = format!("no_undo: step {:?} has an undo: leave no_undo out", named.step);
                return Err(wrong(&named.origin, what));
            }
            _ => {}
        }
        if let Some(seconds) = named.deadline_seconds
            && seconds > definition.deadline_seconds
        {
            return Err(wrong(
                &named.origin,
                format_args!(
                    "deadline_seconds is {seconds}, longer than the {} s of {}: write less, or give the workflow more",
                    definition.deadline_seconds, definition.name
                ),
            ));
        }
        for needed in step.uses.names(How::Needs) {
            if !steps[..at].iter().any(|earlier| earlier.uses.names(How::Gives).any(|given| given == needed)) {
                return Err(wrong(
                    format_args!("{}.step", named.origin),
                    format_args!(
                        "step {:?} needs {needed:?}, which no step before it gives: put one before it that does ({})",
                        named.step,
                        givers(definition, steps, needed)
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn givers(definition: &Definition, steps: &[Step], needed: &str) -> String {
    let all = definition.steps.iter().zip(steps);
    let found = all.filter(|(_, step)| step.uses.names(How::Gives).any(|given| given == needed));
    match sorted(found.map(|(named, _)| named.step.as_str())) {
        names if names.is_empty() => format!("no step of {} does", definition.name),
        names => names,
    }
}

/// Whether a workflow that an operator changed still does what Gyre's own does: the same steps of Gyre's in the same order, with
/// the same point of no return. What that order is for (a delete marks before it asks a host) the other checks do not know.
pub(crate) fn keeps(own: &Definition, changed: &Definition) -> Result<()> {
    if own.resource != changed.resource {
        let (kind, is) = (&own.resource, &changed.resource);
        return Err(wrong(
            &changed.origin,
            format_args!("resource is {is:?}: {} works on a {kind}; write that", own.name),
        ));
    }
    let mut kept = changed.steps.iter().filter(|step| step.plugin.is_none());
    for step in &own.steps {
        match kept.next() {
            Some(found) if found.step == step.step => {
                if found.point_of_no_return != step.point_of_no_return {
                    let what = "point_of_no_return must stand at the step where Gyre's own workflow has it";
                    return Err(wrong(&found.origin, what));
                }
            }
            found => {
                let (origin, is) = found.map_or((changed.origin.as_ref(), "the end".to_owned()), |found| {
                    (found.origin.as_str(), format!("step {:?}", found.step))
                });
                return Err(wrong(
                    origin,
                    format_args!(
                        "{is} stands where Gyre's own {} has step {:?}: keep Gyre's steps and their order ({}), and put \
                         plugins between them",
                        own.name,
                        step.step,
                        own.steps.iter().map(|step| step.step.as_str()).collect::<Vec<_>>().join(", ")
                    ),
                ));
            }
        }
    }
    match kept.next() {
        Some(more) => {
            let what = format!("step: {:?} is no step of Gyre's own {}: take it out", more.step, own.name);
            Err(wrong(&more.origin, what))
        }
        None => Ok(()),
    }
}
