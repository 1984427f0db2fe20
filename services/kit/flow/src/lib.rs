//! Operations, durable workflows, lanes and progress.
