//! Keeps the lease of this process, and its members under it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, Error, LeaseGrantOptions, PutOptions, Txn, TxnOp};
use tokio::sync::{mpsc, oneshot};

use super::{CALL, Failed, PREFIX, Shared, call};

/// What the keeper is asked for.
pub(super) enum Command {
    /// Register what is wanted now; answered once it stands there.
    Join(oneshot::Sender<()>),
    /// Give the lease back, and with it all members.
    Leave(oneshot::Sender<()>),
    /// A member of this process is missing in etcd: put it there again.
    Missing,
}

pub(super) struct Keeper {
    client: Client,
    shared: Arc<Shared>,
    ttl: Duration,
    lease: Option<Lease>,
    /// Whether all that is wanted stands under the lease.
    registered: bool,
    /// Who waits for that.
    waiting: Vec<oneshot::Sender<()>>,
    failures: u32,
}

#[derive(Clone, Copy)]
struct Lease {
    id: i64,
    ttl: Duration,
}

impl Keeper {
    pub(super) fn new(client: Client, shared: Arc<Shared>, ttl: Duration) -> Self {
        Self { client, shared, ttl, lease: None, registered: true, waiting: Vec::new(), failures: 0 }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let wait = self.wait();
            let command = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => Some(command),
                    None => return,
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => None,
            };
            match command {
                Some(Command::Join(done)) => {
                    self.registered = false;
                    self.waiting.push(done);
                }
                Some(Command::Missing) => self.registered = false,
                Some(Command::Leave(done)) => {
                    self.leave().await;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                    continue;
                }
                None => {}
            }
            self.keep().await;
        }
    }

    /// How long until the next request: none where nothing is wanted.
    fn wait(&self) -> Option<Duration> {
        if self.shared.wanted.lock().is_empty() {
            return None;
        }
        let period = self.lease.map_or(self.ttl, |lease| lease.ttl) / 3;
        Some(if self.failures == 0 { period } else { period.min(Duration::from_millis(200) * self.failures.min(5)) })
    }

    /// Holds the lease for another while, and registers what is not.
    async fn keep(&mut self) {
        let done = async {
            match self.lease {
                Some(lease) => self.renew(lease).await?,
                None => self.grant().await?,
            }
            if !self.registered
                && let Some(lease) = self.lease
            {
                self.register(lease).await?;
            }
            Ok::<(), Failed>(())
        };
        match done.await {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, "etcd answers again");
                }
                self.failures = 0;
            }
            Err(error) => {
                self.failures += 1;
                tracing::warn!(%error, proved = self.shared.proof.holds(), "membership could not be kept");
            }
        }
    }

    async fn grant(&mut self) -> Result<(), Failed> {
        let sent = Instant::now();
        let seconds = i64::try_from(self.ttl.as_secs_f64().ceil() as u64).unwrap_or(5);
        let granted = call("grant lease", CALL, self.client.lease_grant(seconds, None::<LeaseGrantOptions>)).await?;
        // etcd may give more than was asked for, never less.
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default()).max(Duration::from_secs(1));
        self.lease = Some(Lease { id: granted.id(), ttl });
        self.registered = false;
        self.shared.proof.confirm(sent, ttl);
        Ok(())
    }

    /// One request on a stream of its own: there is no stream to lose.
    async fn renew(&mut self, lease: Lease) -> Result<(), Failed> {
        let sent = Instant::now();
        match call("keep lease", lease.ttl / 3, self.client.lease_keep_alive(lease.id)).await {
            Ok(_) => {
                self.shared.proof.confirm(sent, lease.ttl);
                Ok(())
            }
            Err(Failed { error: Some(Error::LeaseKeepAliveError(_)), .. }) => {
                tracing::warn!("the lease ran out; taking a new one");
                self.lost();
                self.grant().await
            }
            Err(error) => Err(error),
        }
    }

    async fn register(&mut self, lease: Lease) -> Result<(), Failed> {
        let wanted = self.shared.wanted.lock().clone();
        let puts: Vec<_> = wanted
            .iter()
            .map(|member| {
                let key = format!("{PREFIX}{}/{}", member.service, member.uuid);
                TxnOp::put(key, member.to_json(), Some(PutOptions::new().with_lease(lease.id)))
            })
            .collect();
        if !puts.is_empty() {
            let put = call("register members", CALL, self.client.txn(Txn::new().and_then(puts))).await;
            if let Err(Failed { error: Some(Error::GRpcStatus(status)), .. }) = &put
                && status.code() == tonic::Code::NotFound
            {
                // The lease ran out between renewing it and now.
                self.lost();
            }
            put?;
        }
        self.registered = true;
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = waiting.send(());
        }
        Ok(())
    }

    fn lost(&mut self) {
        self.lease = None;
        self.registered = false;
        self.shared.proof.withdraw();
    }

    async fn leave(&mut self) {
        self.shared.proof.withdraw();
        self.registered = true;
        self.failures = 0;
        if let Some(lease) = self.lease.take()
            && let Err(error) = call("give lease back", CALL, self.client.lease_revoke(lease.id)).await
        {
            tracing::warn!(%error, "the lease could not be given back; it will run out");
        }
    }
}
