//! The vm service with everything around it that is not its own: a database, and fakes of the other services.

mod fakes;
mod nics;
mod reports;
mod settings;
