//! Programs that are no members and that Gyre calls, such as plugins: by a unix socket, by plain HTTP/2 on this machine, or over
//! mutual TLS with this process's certificate and the deployment's authority. A connection is made for each call: a call that
//! could not be connected was certainly not made, and there is no connection left that broke unnoticed.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use gyre_model::{Error, Result};
use http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::channel::peers::chain;
use crate::mesh::Mesh;
use crate::reason;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);

/// The address of such a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    text: String,
    tls: bool,
}

impl fmt::Display for Outside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Outside {
    /// Reads an address: `unix:///run/plugin.sock`, `http://127.0.0.1:7200`, `https://plugins.example:7200`.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let forms = "write unix:///path, http://127.0.0.1:PORT, or https://HOST:PORT";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            if !path.is_absolute() {
                return Err(format!("{text:?} names no absolute path: {forms}"));
            }
            return Ok(Self { text: text.to_owned(), tls: false });
        }
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no address ({error}): {forms}"))?;
        let (Some(scheme), Some(host), Some(_)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
            return Err(format!("{text:?} is no address with a port: {forms}"));
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("{text:?} has a path: {forms}"));
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match scheme {
            "https" => Ok(Self { text: text.to_owned(), tls: true }),
            "http" if loopback => Ok(Self { text: text.to_owned(), tls: false }),
            "http" => Err(format!("{text:?} is plain and not on this machine: write https, or a loopback address")),
            _ => Err(format!("{text:?} has the scheme {scheme:?}: {forms}")),
        }
    }
}

impl Mesh {
    /// Whether this process has what it takes to call there.
    ///
    /// # Errors
    /// What is missing.
    pub fn can_reach(&self, outside: &Outside) -> Result<(), String> {
        if outside.tls && self.peers().tls().is_none() {
            return Err(format!(
                "{outside} needs a certificate that this process does not have: start it with --tls-cert, --tls-key and \
                 --tls-ca, or run the program on this machine and write unix:///path or http://127.0.0.1:PORT"
            ));
        }
        Ok(())
    }

    /// Connects to a program outside the mesh, for one call.
    ///
    /// # Errors
    /// `PEER_UNREACHABLE` where it could not be connected: then it was not asked.
    pub async fn connect_outside(&self, outside: &Outside) -> Result<Channel> {
        let unreachable = |cause: String| {
            Error::unavailable(reason::PEER_UNREACHABLE, format!("{outside} cannot be reached: {cause}"))
        };
        let mut endpoint = Endpoint::from_shared(outside.text.clone())
            .map_err(|error| unreachable(chain(&error)))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true);
        if outside.tls {
            let tls =
                self.peers().tls().cloned().ok_or_else(|| unreachable("this process has no certificate".into()))?;
            endpoint = endpoint.tls_config(tls).map_err(|error| unreachable(chain(&error)))?;
        }
        // the endpoint's own limit is for TCP alone
        match tokio::time::timeout(CONNECT, endpoint.connect()).await {
            Ok(connected) => connected.map_err(|error| unreachable(chain(&error))),
            Err(_) => Err(unreachable(format!("no connection within {CONNECT:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_on_this_machine() {
        for fine in [
            "unix:///run/a.sock",
            "unix:/run/a.sock",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost:1",
            "https://plugins.example:7200",
        ] {
            assert_eq!(Outside::parse(fine).unwrap().to_string(), fine);
        }
        for (wrong, why) in [
            ("unix:a.sock", "absolute"),
            ("http://10.0.0.1:1", "loopback"),
            ("http://localhost.example:1", "loopback"),
            ("https://plugins.example", "port"),
            ("https://plugins.example:1/path", "path"),
            ("ftp://127.0.0.1:1", "scheme"),
            ("127.0.0.1:1", "no address"),
        ] {
            let error = Outside::parse(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn without_a_certificate_nothing_is_called_over_tls() {
        let mesh = Mesh::local();
        let there = Outside::parse("https://plugins.example:7200").unwrap();
        assert!(mesh.can_reach(&there).unwrap_err().contains("--tls-cert"));
        assert_eq!(mesh.connect_outside(&there).await.unwrap_err().reason(), reason::PEER_UNREACHABLE);
        let nobody = Outside::parse("unix:///nowhere/a.sock").unwrap();
        assert!(mesh.can_reach(&nobody).is_ok());
        assert_eq!(mesh.connect_outside(&nobody).await.unwrap_err().reason(), reason::PEER_UNREACHABLE);
    }
}
