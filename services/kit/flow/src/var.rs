//! What steps find out for each other: a name, the type of what it holds, and what each step says that it does with it. What is
//! said is checked twice: when workflows are registered, and whenever a step reads or writes.

use std::any::{TypeId, type_name};
use std::marker::PhantomData;

/// Something that a step finds out for later ones, or notes for itself. The same name means the same thing in a whole service.
///
/// ```
/// use gyre_flow::Var;
/// const HOST: Var<String> = Var::new("host");
/// ```
pub struct Var<T> {
    name: &'static str,
    holds: PhantomData<fn() -> T>,
}

impl<T> Var<T> {
    /// A variable. Its name stays the same from release to release: operations that began before read it too.
    pub const fn new(name: &'static str) -> Self {
        Self { name, holds: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// What a step does with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Writes it, always.
    Gives,
    /// May write it.
    Notes,
    /// Reads it, and cannot do without.
    Needs,
    /// Reads it where it is there.
    MayUse,
}

/// A step's word about one variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub name: &'static str,
    pub holds: TypeId,
    pub type_name: &'static str,
    pub how: How,
}

/// All that a step says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses(Vec<Declared>);

impl Uses {
    pub fn add<T: 'static>(&mut self, var: &Var<T>, how: How) {
        self.0.push(Declared { name: var.name, holds: TypeId::of::<T>(), type_name: type_name::<T>(), how });
    }

    pub fn all(&self) -> impl Iterator<Item = &Declared> {
        self.0.iter()
    }

    /// The names of the variables that it uses so.
    pub fn names(&self, how: How) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(move |declared| declared.how == how).map(|declared| declared.name)
    }

    /// Whether it may write a variable.
    pub fn writes(&self, name: &str) -> bool {
        self.0.iter().any(|declared| declared.name == name && matches!(declared.how, How::Gives | How::Notes))
    }

    /// Whether it may read a variable. What a step writes it may read: an earlier run of it may have written it.
    pub fn reads(&self, name: &str) -> bool {
        self.0.iter().any(|declared| declared.name == name)
    }

    /// Whether a variable is certainly there when it runs.
    pub fn needs(&self, name: &str) -> bool {
        self.names(How::Needs).any(|needed| needed == name)
    }
}
