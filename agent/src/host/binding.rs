//! Whom the agent belongs to: the host's UUID, taken from the first session, and the highest fence ever seen. Both are on the disk
//! before anybody acts under them, and stay until the host is let go. A real agent has a file for them, simulated hosts the journal
//! that they share.

use std::path::{Path, PathBuf};

use gyre_model::{Error, Kind, Result, Uuid};
use serde::{Deserialize, Serialize};

use super::outbox::fenced;
use super::release::released;
use crate::failure;
use crate::journal::{Journal, replace};

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    host_uuid: Option<String>,
    fence: i64,
}

/// Where it is kept.
enum Home {
    File(PathBuf),
    /// Of a simulated host; it may keep nothing.
    Journal(Journal),
}

/// Whom an agent belongs to.
pub struct Binding {
    home: Home,
    host: Option<Uuid>,
    fence: i64,
    /// A simulated host that was let go is over: its agent makes another.
    over: bool,
}

impl Binding {
    /// Kept in a journal: a simulated host, with the highest fence that the journal knows of it.
    pub fn journaled(journal: Journal, host: Uuid, fence: Option<i64>) -> Self {
        let bound = fence.is_some().then_some(host);
        Self { home: Home::Journal(journal), host: bound, fence: fence.unwrap_or(0), over: false }
    }

    /// Kept in a file.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let kept = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                failure::precondition(
                    "AGENT_STATE_DAMAGED",
                    format!("{} is damaged ({error}); remove it to bind this agent to a host anew", path.display()),
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(failure::io("read", path, &error)),
        };
        let host = kept.host_uuid.as_deref().and_then(gyre_model::parse_uuid);
        Ok(Self { home: Home::File(path.to_owned()), host, fence: kept.fence, over: false })
    }

    /// The host, where a session said it already.
    pub fn host(&self) -> Option<Uuid> {
        self.host
    }

    /// The highest fence ever seen.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Admits a controller, or refuses it.
    pub(super) async fn admit(&mut self, host: Uuid, fence: i64) -> Result<()> {
        if self.over {
            return Err(released(host));
        }
        if let Some(bound) = self.host
            && bound != host
        {
            let file = match &self.home {
                Home::File(path) => path.display().to_string(),
                Home::Journal(_) => String::new(),
            };
            return Err(Error::new(
                Kind::FailedPrecondition,
                "AGENT_BELONGS_TO_ANOTHER_HOST",
                format!(
                    "this agent belongs to host {bound}, not to {host}; use that host or remove it. When it was removed while the \
                     agent did not answer, stop the agent, remove {file} and start it again"
                ),
            )
            .with("bound_host_uuid", bound.to_string())
            .with("host_uuid", host.to_string()));
        }
        if fence < self.fence {
            return Err(fenced(fence, self.fence));
        }
        if self.host != Some(host) || fence != self.fence {
            match &self.home {
                Home::File(path) => {
                    let kept = Kept { host_uuid: Some(host.hyphenated().to_string()), fence };
                    replace(path, &serde_json::to_vec(&kept).map_err(Error::internal)?)?;
                }
                Home::Journal(journal) => journal.bound(fence).await?,
            }
            self.host = Some(host);
            self.fence = fence;
        }
        Ok(())
    }

    /// Forgets the host and the fence: the agent belongs to nobody.
    pub(super) async fn release(&mut self) -> Result<()> {
        match &self.home {
            Home::File(path) => replace(path, &serde_json::to_vec(&Kept::default()).map_err(Error::internal)?)?,
            Home::Journal(journal) => {
                journal.released().await?;
                self.over = true;
            }
        }
        self.host = None;
        self.fence = 0;
        Ok(())
    }
}
