//! Opening a channel: plaintext for `http://`, TLS for `https://` with the system's certificates or those of a file.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::failure::{Failure, Result};

/// Brings an endpoint into one form, so that the same gateway is the same text: a scheme, no slash at the end.
///
/// # Errors
/// When it is no URL of a gateway.
pub fn normalize(endpoint: &str) -> Result<String> {
    let wrong = || {
        Failure::usage(format!(
            "{endpoint:?} is no gateway: it must look like http://127.0.0.1:7070 or https://gyre.example"
        ))
    };
    let text = endpoint.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let sound = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    if sound { Ok(text.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

/// Whether nobody between here and there can listen: TLS, or this very machine.
pub fn private(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    local || uri.scheme_str() == Some("https")
}

/// A channel that connects with its first call.
pub fn channel(endpoint: &str, ca_file: Option<&Path>) -> Result<Channel> {
    let endpoint = normalize(endpoint)?;
    let tls = endpoint.starts_with("https://");
    // Without keep-alive a broken path would hold a stream open for ever.
    let mut builder = Endpoint::from_shared(endpoint)
        .map_err(|error| Failure::usage(format!("the endpoint cannot be used: {error}")))?
        .user_agent(concat!("gyre/", env!("CARGO_PKG_VERSION")))?
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    if tls {
        let trusted = match ca_file {
            Some(path) => {
                let pem = std::fs::read(path)
                    .map_err(|error| Failure::usage(format!("--ca-file {}: {error}", path.display())))?;
                vec![Certificate::from_pem(pem)]
            }
            None => system_certificates()?,
        };
        builder = builder.tls_config(ClientTlsConfig::new().ca_certificates(trusted))?;
    }
    Ok(builder.connect_lazy())
}

fn system_certificates() -> Result<Vec<Certificate>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Failure::general("this system has no certificates to trust; give some with --ca-file")
            .hint("on Debian: apt install ca-certificates"));
    }
    let pem = |der: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        Certificate::from_pem(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
    };
    Ok(found.certs.iter().map(|certificate| pem(certificate)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_have_one_form() {
        for (text, form) in [
            ("http://127.0.0.1:7070/", "http://127.0.0.1:7070"),
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("https://gyre.example", "https://gyre.example"),
        ] {
            assert_eq!(normalize(text).unwrap(), form);
        }
        for text in ["", "ftp://x", "http://", "http://x/v1", "http://x?y=1", "a b"] {
            assert!(normalize(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plaintext_is_private_on_this_machine_only() {
        for endpoint in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://far.example"] {
            assert!(private(endpoint), "{endpoint}");
        }
        for endpoint in ["http://10.0.0.1:1", "http://far.example"] {
            assert!(!private(endpoint), "{endpoint}");
        }
    }
}
