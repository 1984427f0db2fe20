//! Letting a host go: it is removed from the control plane, and the agent may be bound to another.
//!
//! It happens under the session's fence and under the lock that admits controllers, so that no newer controller loses its host by
//! the word of an older one. Nothing may begin meanwhile, tasks that are left are cancelled, and where a machine is known the
//! binding stays: somebody must still answer for it. What was kept of tasks goes first, whom the host belongs to goes last: who
//! dies in between still belongs to the host, and is told again.

use std::time::Duration;

use gyre_model::{Error, Kind, Result, Uuid};

use super::outbox::{Outbox, fenced, stopping};
use super::{Entry, Host};
use crate::failure;

/// How long cancelled tasks may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The host was let go.
pub(super) fn released(host: Uuid) -> Error {
    Error::new(
        Kind::Aborted,
        "RELEASED",
        format!("this agent belongs to host {host} no more; it may become another host"),
    )
    .with("host_uuid", host.to_string())
}

impl Host {
    /// Forgets whose this host is, if no machine of it is here. Answers with what the session ends.
    pub(super) async fn release(&self, outbox: &Outbox) -> Error {
        let host = outbox.host();
        match self.let_go(outbox).await {
            Ok(()) => {
                tracing::info!(%host, fence = outbox.fence(), "host released");
                released(host)
            }
            Err(error) => {
                tracing::warn!(%host, fence = outbox.fence(), %error, "host not released");
                error
            }
        }
    }

    async fn let_go(&self, outbox: &Outbox) -> Result<()> {
        let mut binding = self.0.binding.lock().await;
        {
            let mut inner = self.0.inner.lock();
            if outbox.is_over() || outbox.fence() != inner.fence {
                return Err(fenced(outbox.fence(), inner.fence));
            }
            // looked at before tasks are cancelled: a host that keeps its binding keeps its tasks too
            self.no_machines(outbox.host())?;
            inner.releasing = true;
        }
        let released = self.forget(outbox.host(), &mut binding).await;
        self.0.inner.lock().releasing = false;
        released
    }

    async fn forget(&self, host: Uuid, binding: &mut super::Binding) -> Result<()> {
        self.end_tasks().await?;
        self.no_machines(host)?;
        let known = self.0.inner.lock().tasks.keys().cloned().collect();
        self.0.journal.forgotten(known).await?;
        binding.release().await?;
        let mut inner = self.0.inner.lock();
        inner.tasks.clear();
        inner.said.clear();
        inner.fence = 0;
        *self.0.uuid.write() = None;
        drop(inner);
        if let Some(released) = &self.0.released {
            released();
        }
        Ok(())
    }

    fn no_machines(&self, host: Uuid) -> Result<()> {
        let machines = self.machines().count();
        if machines == 0 {
            return Ok(());
        }
        let text = format!("{machines} machines of host {host} are here: remove them before the agent can be let go");
        Err(failure::precondition("MACHINES_REMAIN", text).with("machines", machines.to_string()))
    }

    /// Cancels all tasks, and waits until they have ended.
    async fn end_tasks(&self) -> Result<()> {
        for entry in self.0.inner.lock().tasks.values() {
            if let Entry::Running { cancel, .. } = entry {
                cancel.cancel();
            }
        }
        let ended = async {
            loop {
                let ended = self.0.task_ended.notified();
                if self.tasks_running() == 0 {
                    return;
                }
                ended.await;
            }
        };
        tokio::select! {
            () = ended => Ok(()),
            () = self.0.stop.cancelled() => Err(stopping()),
            () = tokio::time::sleep(PATIENCE) => {
                Err(Error::unavailable("TASKS_REMAIN", "tasks that were cancelled have not ended; try again"))
            }
        }
    }
}
