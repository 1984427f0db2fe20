//! End-to-end, fault and scale tests, and the benchmark driver.
