//! Keeps the lease of this process, and its members under it.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error, LeaseGrantOptions, PutOptions, Txn, TxnOp};
use tokio::sync::{mpsc, oneshot};

use super::{CALL, Failed, PREFIX, Shared, call};
use crate::member::lease::{Ask, Lease};

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
    lease: Lease,
    /// Who waits until all that is wanted stands under the lease.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Keeper {
    pub(super) fn new(client: Client, shared: Arc<Shared>, ttl: Duration) -> Self {
        Self { client, shared, lease: Lease::new(ttl), waiting: Vec::new() }
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
                    self.lease.register();
                    self.waiting.push(done);
                }
                Some(Command::Missing) => self.lease.register(),
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

    /// How long until the next turn: none where nothing is wanted.
    fn wait(&self) -> Option<Duration> {
        if self.shared.wanted.lock().is_empty() { None } else { Some(self.lease.wait()) }
    }

    /// Holds the lease for another while, and registers what is not.
    async fn keep(&mut self) {
        while let Some(ask) = self.lease.next() {
            let done = self.ask(ask).await;
            self.shared.proof.publish(&self.lease);
            if let Err(error) = done {
                self.lease.turn_failed();
                tracing::warn!(%error, proved = self.shared.proof.holds(), "membership could not be kept");
                return;
            }
        }
        let failures = self.lease.turn_done();
        if failures > 0 {
            tracing::info!(failures, "etcd answers again");
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Failed> {
        let sent = self.shared.proof.now();
        match ask {
            Ask::Grant(ttl) => {
                let seconds = i64::try_from(ttl.as_secs_f64().ceil() as u64).unwrap_or(5);
                let granted = self.client.lease_grant(seconds, None::<LeaseGrantOptions>);
                let granted = call("grant lease", CALL, granted).await?;
                let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
                self.lease.granted(sent, granted.id(), ttl);
            }
            // One request on a stream of its own: there is no stream to lose.
            Ask::KeepAlive(id, within) => match call("keep lease", within, self.client.lease_keep_alive(id)).await {
                Ok(_) => self.lease.kept(sent),
                Err(Failed { error: Some(Error::LeaseKeepAliveError(_)), .. }) => {
                    tracing::warn!("the lease ran out; taking a new one");
                    self.lease.ran_out();
                }
                Err(error) => return Err(error),
            },
            Ask::Register(id) => self.register(id).await?,
        }
        Ok(())
    }

    async fn register(&mut self, lease: i64) -> Result<(), Failed> {
        let wanted = self.shared.wanted.lock().clone();
        let puts: Vec<_> = wanted
            .iter()
            .map(|member| {
                let key = format!("{PREFIX}{}/{}", member.service, member.uuid);
                TxnOp::put(key, member.to_json(), Some(PutOptions::new().with_lease(lease)))
            })
            .collect();
        if !puts.is_empty() {
            let put = call("register members", CALL, self.client.txn(Txn::new().and_then(puts))).await;
            if let Err(Failed { error: Some(Error::GRpcStatus(status)), .. }) = &put
                && status.code() == tonic::Code::NotFound
            {
                // The lease ran out between renewing it and now.
                self.lease.ran_out();
            }
            put?;
        }
        self.lease.registered();
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = waiting.send(());
        }
        Ok(())
    }

    async fn leave(&mut self) {
        let lease = self.lease.leave();
        self.shared.proof.publish(&self.lease);
        if let Some(lease) = lease
            && let Err(error) = call("give lease back", CALL, self.client.lease_revoke(lease)).await
        {
            tracing::warn!(%error, "the lease could not be given back; it will run out");
        }
    }
}
