//! A real node with a simulated host: `gyre up`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use crate::fake::User;

/// What a site is made of, in an order in which it cannot be made.
pub const SITE: &str = "\
kind: ip-range
name: pool
network: lan
start_address: 10.9.0.10
end_address: 10.9.0.99
gateway: 10.9.0.1
prefix_length: 24
---
kind: network
name: lan
l2_network: wire
---
kind: l2-network
name: wire
cluster: rack
type: bridge
bridge: br9
---
kind: cluster
name: rack
zone: east
---
kind: zone
name: east
description: the first
---
kind: offering
name: small
cpu_count: 1
memory: 64MiB
";

/// `gyre up`, ended with the test.
pub struct Node {
    process: Child,
    listen: String,
    pub user: User,
}

impl Node {
    /// Starts one on a port of its own, which it keeps when it is started again.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more flags, which it has at its first start only.
    pub fn with(flags: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut user = User::nobody();
        let listen = free.to_string();
        let (process, endpoint) = up(&user, &listen, flags);
        user.endpoint = Some(endpoint);
        Self { process, listen, user }
    }

    /// Ends it without a word, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, on what it kept.
    pub fn again(&mut self) {
        self.kill();
        self.process = up(&self.user, &self.listen, &[]).0;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn up(user: &User, listen: &str, flags: &[&str]) -> (Child, String) {
    let mut command = user.command(&["up", "--simulated", "--listen", listen]);
    command.args(flags);
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    let endpoint = loop {
        let line = lines.next().unwrap_or_else(|| panic!("the node ended: {said:?}"));
        if let Some(rest) = line.strip_prefix("Gyre answers at ") {
            break rest.split(' ').next().unwrap().to_owned();
        }
        said.push(line);
    };
    // Nobody reads on, but the pipe must not fill.
    std::thread::spawn(move || lines.for_each(drop));
    (process, endpoint)
}
