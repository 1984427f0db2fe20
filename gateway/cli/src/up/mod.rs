//! `gyre up`: the whole of Gyre in one process.
