//! Where files of one user are (XDG base directories). This is the one place that reads these variables.

use std::env;
use std::path::PathBuf;

/// Where the command keeps and finds its files.
#[derive(Debug, Clone)]
pub struct Paths {
    /// What `gyre login` keeps.
    pub credentials: PathBuf,
    /// What `gyre up` writes for its administrator.
    pub sign_in: PathBuf,
    /// The token that was got with the sign-in file; it can be lost at any time.
    pub token: PathBuf,
}

fn absolute(name: &str) -> Option<PathBuf> {
    // Relative paths are to be ignored, says the XDG specification.
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

impl Paths {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let home = absolute("HOME").unwrap_or_else(|| PathBuf::from("/"));
        let config = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let data = absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        let cache = absolute("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        // Gone after a reboot, which suits a token; not every login has one.
        let runtime = absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir());
        Self {
            credentials: config.join("gyre/credentials.json"),
            sign_in: data.join("gyre/admin.json"),
            token: runtime.unwrap_or(cache).join("gyre/token.json"),
        }
    }
}
