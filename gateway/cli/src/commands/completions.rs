//! Completions for shells, of the whole tree.

use clap::ArgMatches;
use clap_complete::{Shell, generate};

use crate::args::tree;
use crate::failure::{Failure, Result};
use crate::output;

/// Prints them.
pub fn run(matches: &ArgMatches) -> Result<()> {
    let shell = matches.get_one::<Shell>("shell").ok_or_else(|| Failure::usage("which shell?"))?;
    let mut text = Vec::new();
    generate(*shell, &mut tree(), "gyre", &mut text);
    output::print_bytes(&text)
}
