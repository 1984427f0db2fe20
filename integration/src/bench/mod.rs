//! What `gyre-bench` measures, one file a subject. Figures are of one run on whatever machine it is: compare ratios.

pub mod create;
pub mod read;
pub mod ring;
pub mod stats;
