//! Completions for shells: the scripts that ask this command.

use clap::ArgMatches;

use crate::complete;
use crate::failure::{Failure, Result};

/// Prints a shell's script.
pub fn run(matches: &ArgMatches) -> Result<()> {
    let shell = matches.get_one::<String>("shell").ok_or_else(|| Failure::usage("which shell?"))?;
    complete::script(shell)
}
