//! What a filter may cost the database: about as many rows as it looks at for each row that is asked for.

use gyre_model::Result;
use gyre_model::catalog::Edge;

use super::parse::Restriction;
use super::wrong;

/// What a whole filter may cost.
const MOST: usize = 200;
/// A comparison, or one more value of an `IN`.
const COMPARISON: usize = 1;
/// A step to one resource.
const STEP: usize = 2;
/// A step to any number of resources, or through the elements of a list.
const SEARCH: usize = 10;

/// What was spent.
#[derive(Debug, Default)]
pub(super) struct Budget(usize);

impl Budget {
    /// Takes what a comparison costs. Where `each` row asks for itself, each that it finds asks again, so that the steps of the path
    /// multiply; else a list that is made once may answer all.
    ///
    /// # Errors
    /// It is more than what is left.
    pub fn pay(&mut self, restriction: &Restriction, hops: &[Edge<'static>], list: bool, each: bool) -> Result<()> {
        let costs = hops.iter().map(|hop| if hop.many() { SEARCH } else { STEP });
        let steps = match (hops.is_empty(), each) {
            (true, _) => 0,
            (false, true) => costs.product(),
            (false, false) => costs.sum::<usize>(),
        };
        self.0 += steps + COMPARISON * restriction.values.len() + if list { SEARCH } else { 0 };
        if self.0 > MOST {
            return Err(wrong(
                restriction.at,
                format_args!(
                    "costs more than {MOST} by here: a comparison costs {COMPARISON}, a step to one resource {STEP}, to many {SEARCH}; \
                     under NOT, != and for null the steps of a path multiply"
                ),
            ));
        }
        Ok(())
    }
}
