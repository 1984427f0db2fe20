//! Machines made and deleted through the front door, one call each: what a call costs, how many there are in a second, and whether
//! the last go as fast as the first. What was made is looked at afterwards, and after deletions that nothing is left.

use anyhow::Result;
use http::Method;

use super::args::Load;
use super::calls::{Extent, Ran, timed};
use super::figures::Figures;
use super::opened::Opened;
use super::sums::{self, Expected};
use crate::front::Front;

/// Machines where nobody says how many.
const COUNT: usize = 1000;
/// Of a warm-up.
const WARM_UP: usize = 200;
/// Calls at a time.
pub const CONCURRENCY: usize = 128;
/// Hosts.
pub const HOSTS: usize = 10;

/// Makes machines, and deletes them where that is what is measured.
///
/// # Errors
/// When what was made or deleted does not add up.
pub async fn run(load: &Load, delete: bool) -> Result<Figures> {
    let (count, warm_up) = (load.count.unwrap_or(COUNT), load.warm_up.unwrap_or(WARM_UP));
    let opened = Opened::of(load, count.max(warm_up), HOSTS, CONCURRENCY).await?;
    if warm_up > 0 {
        let made = create(&opened, "warm-up", warm_up).await?.made;
        expunge(&opened, made).await?;
    }
    let made = create(&opened, "bench", count).await?;
    let figures = if delete { expunge(&opened, made.made).await? } else { made };
    let figures = told(figures, load, &opened);
    opened.close().await;
    Ok(figures)
}

/// Figures with what the scenario tells besides.
fn told(ran: Ran<String>, load: &Load, opened: &Opened) -> Figures {
    let mut figures = ran.figures.with("hosts", opened.site.hosts.len());
    if let Some(rates) = &ran.rates {
        figures = figures
            .with("rate_start_per_s", rates[0])
            .with("rate_end_per_s", rates[rates.len() - 1])
            .with("rates_per_s", rates.clone());
    }
    let cloud = &load.cloud;
    if let Some(delay) = cloud.delay {
        figures = figures.with("delay", delay.to_string());
    }
    if let Some(chance) = cloud.fail_rate {
        figures = figures.with("fail_rate", chance);
    }
    if cloud.delay.is_some_and(|delay| !delay.is_constant()) || cloud.fail_rate.is_some() {
        figures = figures.with("seed", opened.node.seed);
    }
    figures
}

/// Makes machines; each call is answered when its machine runs. Answers the machines' UUIDs, too.
///
/// # Errors
/// When what was made is not what was asked for.
pub async fn create(opened: &Opened, name: &str, count: usize) -> Result<Ran<String>> {
    let (front, site, image) = (opened.node.front.clone(), opened.site.clone(), opened.image.clone());
    let name = format!("{}-{name}", opened.name);
    let call = move |at: usize| {
        let (front, vm) = (front.clone(), Front::vm(&site, &image, &format!("{name}-{at}")));
        timed(async move { front.done(Method::POST, "/v1/vms", Some(vm)).await })
    };
    let ran = opened.node.runner.run("create-vms", Extent::of(count), call).await?;
    // a making that failed was undone
    sums::verify(opened, Expected { machines: ran.figures.ok, running: ran.figures.ok }).await?;
    Ok(ran)
}

/// Deletes machines for good.
///
/// # Errors
/// When something is left of them.
pub async fn expunge(opened: &Opened, vms: Vec<String>) -> Result<Ran<String>> {
    let (front, count) = (opened.node.front.clone(), vms.len());
    let extent = Extent { machines: count as u64, ..Extent::of(count) };
    let call = move |at: usize| {
        let (front, path) = (front.clone(), format!("/v1/vms/{}?expunge=true", vms[at]));
        timed(async move { front.done(Method::DELETE, &path, None).await })
    };
    let ran = opened.node.runner.run("delete-vms", extent, call).await?;
    if ran.figures.failed == 0 {
        sums::verify(opened, Expected { machines: 0, running: 0 }).await?;
    }
    Ok(ran)
}
