//! Who a process is to the others: a certificate of the deployment's authority, on both ends of every connection.
//!
//! - A server asks every peer for a certificate that this authority signed for clients (extended key usage `clientAuth`). A
//!   handshake without one fails, so whoever gets through is of this deployment.
//! - A holder is a member of the mesh, and may speak for any caller, unless the certificate names it an **agent** ([`AGENT_NAME`]
//!   among its alternative names): agents may fetch images from each other and nothing else.
//! - A client checks the server's certificate against the same authority and the host in the address it dials.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tonic::transport::{Certificate, ClientTlsConfig};

/// The alternative name (DNS) that makes a certificate one of an agent.
pub const AGENT_NAME: &str = "agent.gyre.internal";

/// Whether a peer's certificate is one of an agent; one that cannot be read may no more than that.
pub(crate) fn is_agent(certificate: &CertificateDer<'_>) -> bool {
    let Ok(name) = ServerName::try_from(AGENT_NAME) else { return true };
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(certificate) => certificate.verify_is_valid_for_subject_name(&name).is_ok(),
        Err(_) => true,
    }
}

/// A certificate, its key, and the authority that peers' certificates must come from.
#[derive(Clone)]
pub struct Identity {
    certificates: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// From PEM text: the certificate with those between it and the authority, its key, and the authority's certificate.
    ///
    /// # Errors
    /// When they are not what they should be.
    pub fn from_pem(
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
        authority: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let identity = Self { certificates: certificates.into(), key: key.into(), authority: authority.into() };
        // Fails early, and with the file in the message.
        identity.server()?;
        Ok(identity)
    }

    /// From PEM files.
    ///
    /// # Errors
    /// When one cannot be read, or is not what it should be.
    pub fn from_files(certificates: &Path, key: &Path, authority: &Path) -> anyhow::Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        Self::from_pem(read(certificates)?, read(key)?, read(authority)?)
            .with_context(|| format!("in {}, {}, {}", certificates.display(), key.display(), authority.display()))
    }

    /// For a server that demands a client certificate.
    pub(crate) fn server(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let certificates = parse(&self.certificates).context("the certificate is not PEM")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("the key is not PEM")?;
        let mut roots = RootCertStore::empty();
        for authority in parse(&self.authority).context("the authority's certificate is not PEM")? {
            roots.add(authority).context("the authority's certificate cannot be used")?;
        }
        let provider = Arc::new(provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)
            .context("the certificate and the key do not fit")?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// For a client of tonic's.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .identity(tonic::transport::Identity::from_pem(&self.certificates, &self.key))
    }
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn parse(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        bail!("there is no certificate in it");
    }
    Ok(all)
}
