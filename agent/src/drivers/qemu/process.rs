//! A QEMU process that runs: its end is seen through a pidfd (which works for processes that are not our children, and cannot be
//! fooled by a process id that is used again), its control goes over QMP.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use gyre_model::{Error, Kind, Result, Uuid};
use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::folder::Run;
use super::qmp::{Qmp, QmpError};
use crate::failure;

/// How long QEMU may take to end by itself when it is told to quit.
const QUIT: Duration = Duration::from_secs(5);
/// How long the kernel may take to end it.
const KILL: Duration = Duration::from_secs(15);

/// A process.
pub struct Process {
    /// The machine.
    pub vm: Uuid,
    /// Its run.
    pub run: Run,
    pidfd: AsyncFd<OwnedFd>,
    qmp: Mutex<Option<Qmp>>,
    gone: watch::Sender<bool>,
    /// The connection to the serial port, once somebody typed.
    pub(super) typing: tokio::sync::Mutex<Option<tokio::net::unix::OwnedWriteHalf>>,
}

impl Process {
    /// Takes hold of a process. Answers nothing when it is gone.
    pub fn hold(vm: Uuid, run: Run, pid: i32) -> Result<Option<Arc<Self>>> {
        let Some(raw) = Pid::from_raw(pid) else { return Ok(None) };
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(failure::host("HOST_PROCESS_FAILED", format!("hold process {pid}: {error}"))),
        };
        #[expect(deprecated, reason = "sound for an OwnedFd, which stays the same; the other way to say so is unsafe")]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE);
        let pidfd =
            pidfd.map_err(|error| failure::host("HOST_PROCESS_FAILED", format!("watch process {pid}: {error}")))?;
        let gone = watch::Sender::new(false);
        Ok(Some(Arc::new(Self { vm, run, pidfd, qmp: Mutex::new(None), gone, typing: tokio::sync::Mutex::default() })))
    }

    /// Returns when the process has ended (it may still be a zombie).
    pub async fn ended(&self) {
        if let Err(error) = self.pidfd.readable().await {
            tracing::error!(vm = %self.vm, %error, "the process cannot be watched");
            std::future::pending::<()>().await;
        }
    }

    /// Says that the process is gone and everything that goes with it is cleared away.
    pub fn set_gone(&self) {
        *self.qmp.lock() = None;
        self.gone.send_replace(true);
    }

    /// Returns when [`Process::set_gone`] was called.
    pub async fn gone(&self) {
        let mut gone = self.gone.subscribe();
        // the sender lives as long as self
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// Sets the connection to its monitor.
    pub fn set_qmp(&self, qmp: Option<Qmp>) {
        *self.qmp.lock() = qmp;
    }

    fn qmp(&self) -> Result<Qmp, QmpError> {
        self.qmp.lock().clone().ok_or(QmpError::Closed)
    }

    /// Runs a command of the monitor.
    pub async fn command(&self, command: &str) -> Result<Value> {
        let run = async { self.qmp()?.execute(command, Value::Null).await };
        run.await.map_err(|error| {
            Error::new(Kind::Unavailable, "QMP_FAILED", format!("machine {}: {command}: {error}; try again", self.vm))
        })
    }

    /// Ends the process: asks QEMU to quit, which keeps what it wrote, then kills it.
    pub async fn end(&self) -> Result<()> {
        if let Ok(qmp) = self.qmp() {
            let _ = qmp.execute_within("quit", Value::Null, Duration::from_secs(2)).await;
            if tokio::time::timeout(QUIT, self.gone()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(vm = %self.vm, "qemu does not quit, killing it");
        }
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(failure::host("HOST_PROCESS_FAILED", format!("kill machine {}: {error}", self.vm)));
            }
        }
        tokio::time::timeout(KILL, self.gone()).await.map_err(|_| {
            failure::host(
                "MACHINE_WILL_NOT_END",
                format!("machine {} was killed but does not end; look at its storage", self.vm),
            )
        })
    }
}
