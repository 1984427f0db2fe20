//! Which URLs images may come from: prefixes of web addresses, and folders, that the operator named.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use gyre_model::{Error, Kind, Result};
use http::Uri;

/// What the operator allows. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct UrlPolicy {
    prefixes: Vec<Uri>,
    folders: Vec<PathBuf>,
}

impl UrlPolicy {
    /// Reads what the operator named: prefixes of http(s) URLs, and folders for file URLs.
    ///
    /// # Errors
    /// One that cannot be a prefix, or a folder that is not there.
    pub fn new(prefixes: &[String], folders: &[PathBuf]) -> anyhow::Result<Self> {
        let prefixes = prefixes.iter().map(|prefix| {
            let uri: Uri = prefix.parse().with_context(|| format!("{prefix:?} is not a URL"))?;
            if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() || uri.query().is_some() {
                bail!("{prefix:?} must be like https://images.example.com/debian/");
            }
            if !sound(&uri) {
                bail!("{prefix:?} must have no user name, no \"..\" and no escaped slash or dot");
            }
            Ok(uri)
        });
        let folders = folders.iter().map(|folder| {
            folder.canonicalize().with_context(|| format!("the folder {} of images is not there", folder.display()))
        });
        Ok(Self {
            prefixes: prefixes.collect::<anyhow::Result<_>>()?,
            folders: folders.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Allows a file's or web server's URL, or refuses it.
    ///
    /// # Errors
    /// `IMAGE_URL_INVALID`, `IMAGE_URL_NOT_ALLOWED`.
    pub fn web(&self, url: &str) -> Result<Uri> {
        let uri: Uri = url.parse().map_err(|error| invalid(url, &format!("cannot be read: {error}")))?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => {}
            Some("http" | "https") => return Err(invalid(url, "names no host")),
            _ => return Err(invalid(url, "must begin with https://, http:// or file:///")),
        }
        if !sound(&uri) {
            return Err(invalid(url, "must have no user name, no \"..\" and no escaped slash or dot"));
        }
        if self.prefixes.iter().any(|prefix| covers(prefix, &uri)) { Ok(uri) } else { Err(not_allowed(url)) }
    }

    /// Reads a file URL. Answers the path that it names and the folders that the file must be in; the caller opens the path and
    /// judges what it opened with `check_opened`.
    ///
    /// # Errors
    /// `IMAGE_URL_INVALID`, `IMAGE_URL_NOT_ALLOWED`.
    pub fn file(&self, url: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
        let path = url.strip_prefix("file://").unwrap_or_default();
        let path = path.strip_prefix("localhost").unwrap_or(path);
        if !path.starts_with('/') {
            return Err(invalid(url, "must be like file:///path/to/image"));
        }
        let path =
            PathBuf::from(decode(path).ok_or_else(|| invalid(url, "has a % that is not followed by two hex digits"))?);
        if path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(invalid(url, "must have no \"..\""));
        }
        if self.folders.is_empty() {
            return Err(not_allowed(url));
        }
        // refused before it is looked at, so that nothing is learnt of files elsewhere
        let known = path.canonicalize().unwrap_or_else(|_| path.clone());
        if within(&known, &self.folders) || within(&path, &self.folders) {
            return Ok((path, self.folders.clone()));
        }
        Err(not_allowed(url))
    }
}

/// Judges the file that was opened for a URL: it must lie in an allowed folder, whatever links led to it.
pub(super) fn check_opened(file: &File, url: &str, folders: &[PathBuf]) -> Result<()> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if path.is_ok_and(|path| within(&path, folders)) { Ok(()) } else { Err(not_allowed(url)) }
}

fn within(path: &Path, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Whether a URL's path means what it looks like: a server might read `..` and escaped slashes as ways out of a prefix.
fn sound(uri: &Uri) -> bool {
    let path = uri.path().to_ascii_lowercase();
    let escapes = ["%2e", "%2f", "%5c", "%00"].iter().any(|escape| path.contains(escape));
    let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    !escapes && !user && !path.contains('\\') && path.split('/').all(|part| part != ".." && part != ".")
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

fn covers(prefix: &Uri, uri: &Uri) -> bool {
    let same_host = prefix.host().zip(uri.host()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
    let below = uri
        .path()
        .strip_prefix(prefix.path())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.path().ends_with('/'));
    prefix.scheme() == uri.scheme() && same_host && port(prefix) == port(uri) && below
}

fn invalid(url: &str, why: &str) -> Error {
    Error::new(Kind::InvalidArgument, "IMAGE_URL_INVALID", format!("the image URL {url:?} {why}"))
        .violation("url", format!("{why}, got {url:?}"))
}

fn not_allowed(url: &str) -> Error {
    Error::new(
        Kind::PermissionDenied,
        "IMAGE_URL_NOT_ALLOWED",
        format!(
            "the operator of this image server does not allow {url:?}; upload the image, or start the agent with \
             --allow-image-url PREFIX or --allow-image-path FOLDER"
        ),
    )
    .with("url", url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(prefixes: &[&str]) -> UrlPolicy {
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        UrlPolicy::new(&prefixes, &[]).expect("sound prefixes")
    }

    #[test]
    fn a_prefix_covers_what_is_below_it_and_nothing_else() {
        let policy = policy(&["https://images.example.com/debian", "http://10.0.0.1:8080/"]);
        for allowed in [
            "https://images.example.com/debian",
            "https://IMAGES.example.com/debian/12/disk.qcow2",
            "https://images.example.com:443/debian/x?version=2",
            "http://10.0.0.1:8080/x",
        ] {
            policy.web(allowed).unwrap_or_else(|error| panic!("{allowed}: {error}"));
        }
        for refused in [
            "https://images.example.com/debian-evil/x",
            "https://images.example.com.evil.org/debian/x",
            "http://images.example.com/debian/x",
            "https://images.example.com:444/debian/x",
            "https://images.example.com/",
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(policy.web(refused).expect_err(refused).reason(), "IMAGE_URL_NOT_ALLOWED", "{refused}");
        }
        for wrong in [
            "https://images.example.com/debian/../secret",
            "https://images.example.com/debian/%2e%2e/secret",
            "https://images.example.com/debian/..%2fsecret",
            "https://images.example.com@evil.org/debian/x",
            "ftp://images.example.com/debian/x",
            "gopher://x",
            "/etc/passwd",
            "",
        ] {
            assert_eq!(policy.web(wrong).expect_err(wrong).reason(), "IMAGE_URL_INVALID", "{wrong}");
        }
    }

    #[test]
    fn by_default_nothing_is_allowed() {
        let policy = UrlPolicy::default();
        assert_eq!(policy.web("https://example.com/x").expect_err("refused").reason(), "IMAGE_URL_NOT_ALLOWED");
        assert_eq!(policy.file("file:///etc/passwd").expect_err("refused").reason(), "IMAGE_URL_NOT_ALLOWED");
    }

    #[test]
    fn prefixes_are_checked_when_they_are_named() {
        for wrong in ["images.example.com", "file:///x", "https://u@example.com/", "https://example.com/a/../b"] {
            assert!(UrlPolicy::new(&[wrong.to_owned()], &[]).is_err(), "{wrong}");
        }
        assert!(UrlPolicy::new(&[], &["/nowhere/at/all".into()]).is_err());
    }

    #[test]
    fn files_must_lie_in_a_folder_whatever_links_say() {
        let root = tempfile::tempdir().expect("folder");
        let (inside, outside) = (root.path().join("in side"), root.path().join("outside"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).expect("folder");
            std::fs::write(folder.join("disk"), "x").expect("file");
        }
        std::os::unix::fs::symlink(outside.join("disk"), inside.join("link")).expect("link");
        let policy = UrlPolicy::new(&[], std::slice::from_ref(&inside)).expect("sound");
        let judge = |path: &str| {
            let url = format!("file://{}/{path}", root.path().display());
            policy
                .file(&url)
                .and_then(|(path, folders)| check_opened(&File::open(path).expect("opens"), &url, &folders))
        };
        judge("in%20side/disk").expect("allowed");
        for refused in ["outside/disk", "in%20side/link"] {
            assert_eq!(judge(refused).expect_err(refused).reason(), "IMAGE_URL_NOT_ALLOWED", "{refused}");
        }
        for wrong in ["in%20side/../outside/disk", "in%2", "in%zz"] {
            assert_eq!(judge(wrong).expect_err(wrong).reason(), "IMAGE_URL_INVALID", "{wrong}");
        }
    }
}
