//! Ids, errors, callers, and what the descriptor set says of resources and calls.
