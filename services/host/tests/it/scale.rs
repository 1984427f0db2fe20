use std::time::{Duration, Instant};
use gyre_host::Config;
use gyre_proto::host::v1::*;
use crate::support::*;

fn rss() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmRSS")).unwrap().to_owned()
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<_> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale() {
    let world = World::with(Config { ..Config::default() }).await;
    let n = 3000;
    println!("start {}", rss());
    let agent = world.agent("x:1").await;
    for at in 0..n { serve(&world.mesh, &format!("s{at}:1"), &agent); }
    println!("served {}", rss());
    let t = Instant::now();
    let mut all = Vec::new();
    for chunk in (0..n).collect::<Vec<_>>().chunks(200) {
        let ops = futures::future::join_all(chunk.iter().map(|at| world.submit_host(Host { name: format!("h{at}"), address: format!("s{at}:1"), ..Default::default() }))).await;
        all.extend(ops.into_iter().map(|o| o.unwrap()));
    }
    println!("submitted {:?}", t.elapsed());
    for op in all { let e = world.end(op).await; assert_eq!(e.state_name(), "ok", "{e:?}"); }
    println!("connected {:?} {}", t.elapsed(), rss());
    let c = cpu();
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("idle cpu over 10 s: {:.2} s", cpu() - c);
    let t = Instant::now();
    for _ in 0..300 {
        let w = ReservePlacementRequest { claim_uuid: uuid(), cpu_count: 1, memory_bytes: GIB, ..Default::default() };
        world.reserve(w).await.unwrap();
    }
    println!("placement {:?}", t.elapsed() / 300);
    let t = Instant::now();
    let futs: Vec<_> = (0..2000).map(|_| world.reserve(ReservePlacementRequest { claim_uuid: uuid(), cpu_count: 1, memory_bytes: GIB, ..Default::default() })).collect();
    futures::future::join_all(futs).await;
    println!("2000 placements at once {:?}", t.elapsed());
    // reconnect all
    agent.shutdown().await;
    let t = Instant::now();
    let agent = agent_at(&world.mesh, "x:1", 8, 32 * GIB).await;
    for at in 0..n { serve(&world.mesh, &format!("s{at}:1"), &agent); }
    eventually("all", || async { so(agent.counts().0 == n, agent.counts().0) }).await;
    println!("reconnected {:?} {}", t.elapsed(), rss());
    let bad = world.count("SELECT count(*) FROM host WHERE status <> 'CONNECTED'").await;
    println!("not connected: {bad}");
}
trait N { fn state_name(&self) -> &'static str; }
impl N for gyre_proto::common::v1::Operation { fn state_name(&self) -> &'static str { if self.state() == gyre_proto::common::v1::OperationState::Succeeded { "ok" } else { "bad" } } }
