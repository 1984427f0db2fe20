//! Where files of one user are (XDG base directories). This is the one place that reads these variables.

use std::env;
use std::path::PathBuf;

use crate::failure::{Failure, Result};

/// Where the command keeps and finds its files.
#[derive(Debug, Clone)]
pub struct Paths {
    /// What `gyre login` keeps: the default profile's file, or that of the one which is in use.
    pub credentials: PathBuf,
    /// The profile that is in use, where it is not the default.
    pub profile: Option<String>,
    /// The folder of the profiles, a file for each.
    pub profiles: PathBuf,
    /// The file with the name of the profile that `gyre profile use` chose.
    pub chosen: PathBuf,
    /// What was typed in `gyre shell`.
    pub history: PathBuf,
    /// Names that completions asked for lately.
    pub completions: PathBuf,
    /// What `gyre up` writes for its administrator.
    pub sign_in: PathBuf,
    /// The token that was got with the sign-in file; it can be lost at any time.
    pub token: PathBuf,
}

/// The name of the profile that is there without anybody making it.
pub const DEFAULT: &str = "default";

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
        let state = absolute("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        // Gone after a reboot, which suits a token; not every login has one.
        let runtime = absolute("XDG_RUNTIME_DIR").filter(|path| path.is_dir()).unwrap_or(cache);
        Self {
            credentials: config.join("gyre/credentials.json"),
            profile: None,
            profiles: config.join("gyre/profiles"),
            chosen: config.join("gyre/profile"),
            history: state.join("gyre/history"),
            completions: runtime.join("gyre/completions"),
            sign_in: data.join("gyre/admin.json"),
            token: runtime.join("gyre/token.json"),
        }
    }

    /// The same for a profile: the one that is asked for, or else the one that `gyre profile use` chose.
    ///
    /// # Errors
    /// When the name cannot be one, or the choice cannot be read.
    pub fn of_profile(mut self, asked: Option<&str>) -> Result<Self> {
        let chosen = match asked {
            Some(name) => name.to_owned(),
            None => match std::fs::read_to_string(&self.chosen) {
                Ok(name) => name.trim().to_owned(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => DEFAULT.to_owned(),
                Err(error) => return Err(Failure::general(format!("{}: {error}", self.chosen.display()))),
            },
        };
        if chosen != DEFAULT {
            self.credentials = self.profile_file(&chosen)?;
            self.profile = Some(chosen);
        }
        Ok(self)
    }

    /// The file of a profile.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn profile_file(&self, name: &str) -> Result<PathBuf> {
        let sound = !name.is_empty()
            && name.len() <= 64
            && !name.starts_with('.')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
        if sound {
            Ok(self.profiles.join(format!("{name}.json")))
        } else {
            Err(Failure::usage(format!(
                "{name:?} cannot be a profile's name: 1 to 64 of letters, digits, \".\", \"_\" and \"-\", not a dot first"
            )))
        }
    }
}
