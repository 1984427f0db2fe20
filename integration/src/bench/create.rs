//! How long making a machine takes, from the call to the machine running, through the front door.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;
use serde::Serialize;
use tokio::task::JoinSet;

use super::stats::Latencies;
use crate::front::{Front, Site};

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Machines made.
    pub machines: usize,
    /// Callers at a time.
    pub callers: usize,
    /// Machines a second.
    pub per_second: f64,
    /// From the call to the operation's end, waited for in the same call.
    pub latency: Latencies,
}

/// Makes machines, each caller one after the other, and deletes nothing.
///
/// # Errors
/// When a machine cannot be made.
pub async fn run(front: &Front, site: &Site, image: &str, machines: usize, callers: usize) -> Result<Figures> {
    let mut set = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let (front, site, image) = (front.clone(), site.clone(), image.to_owned());
        let mine = machines / callers + usize::from(caller < machines % callers);
        set.spawn(async move {
            let mut samples: Vec<Duration> = Vec::with_capacity(mine);
            for at in 0..mine {
                let vm = Front::vm(&site, &image, &format!("bench-{caller}-{at}"));
                let begun = Instant::now();
                front.done(Method::POST, "/v1/vms", Some(vm)).await?;
                samples.push(begun.elapsed());
            }
            anyhow::Ok(samples)
        });
    }
    let mut samples = Vec::with_capacity(machines);
    while let Some(done) = set.join_next().await {
        samples.extend(done??);
    }
    let per_second = samples.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Figures { machines, callers, per_second, latency: Latencies::of(samples) })
}
