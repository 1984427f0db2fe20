//! Mutual TLS: members speak to each other, strangers do not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod support;

use gyre_mesh::outside::Outside;
use gyre_mesh::tls::Identity;
use gyre_model::{Error, Kind, Uuid};
use gyre_proto::host::v1::ListZonesRequest;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use support::{Node, seen};
use tonic::Request;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for 127.0.0.1, and whose authority its holder believes.
    fn identity(&self, usages: &[ExtendedKeyUsagePurpose], believes: &Authority) -> Identity {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages = usages.to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(certificate.pem(), key.serialize_pem(), believes.pem.clone()).unwrap()
    }
}

const BOTH: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
const SERVER: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ServerAuth];

async fn call(client: Option<&Identity>, server: &Node) -> Result<(), Error> {
    let client = Node::client(client);
    client.membership.set(1, vec![server.member()]);
    let mut request = Request::new(ListZonesRequest::default());
    request.set_timeout(std::time::Duration::from_secs(1));
    client.zones().list_zones(request).await.map(|_| ()).map_err(Error::from)
}

#[tokio::test]
async fn members_speak_and_strangers_do_not() {
    let ours = Authority::new("ours");
    let theirs = Authority::new("theirs");
    let (sender, mut seen) = seen();
    let server = Node::server(Some(&ours.identity(BOTH, &ours)), &sender).await;
    server.membership.set(1, vec![server.member()]);

    call(Some(&ours.identity(BOTH, &ours)), &server).await.unwrap();
    assert!(seen.recv().await.unwrap().caller.is_some(), "a member's word on the caller counts");

    for (who, stranger) in [
        ("without TLS", None),
        ("with a certificate of others", Some(theirs.identity(BOTH, &ours))),
        ("with a certificate that only serves, as agents have", Some(ours.identity(SERVER, &ours))),
        ("who takes us for strangers", Some(ours.identity(BOTH, &theirs))),
    ] {
        let error = call(stranger.as_ref(), &server).await.expect_err(who);
        assert!(matches!(error.kind(), Kind::Unavailable | Kind::DeadlineExceeded), "{who}: {error}");
    }
    assert!(seen.try_recv().is_err(), "no stranger reached a handler");
    let refused = gyre_mesh::telemetry::metrics::encode();
    assert!(refused.contains(r#"gyre_connections_refused_total{reason="handshake"}"#), "{refused}");
}

#[tokio::test]
async fn a_name_that_the_certificate_does_not_have_is_not_believed() {
    let ours = Authority::new("ours");
    let (sender, _seen) = seen();
    let server = Node::server(Some(&ours.identity(BOTH, &ours)), &sender).await;
    let client = Node::client(Some(&ours.identity(BOTH, &ours)));
    let address = format!("127.0.0.2:{}", server.address.unwrap().port());
    // Linux answers on all of 127/8 only where the listener does; either way nobody of that name is there.
    client.membership.set(1, vec![gyre_mesh::member::Member::new(Uuid::new_v4(), "host", address)]);
    let mut request = Request::new(ListZonesRequest::default());
    request.set_timeout(std::time::Duration::from_millis(500));
    assert!(client.zones().list_zones(request).await.is_err());
}

#[test]
fn what_is_not_pem_is_refused_at_once() {
    let ours = Authority::new("ours");
    assert!(Identity::from_pem("", "", ours.pem.clone()).is_err());
    assert!(Identity::from_pem("no certificate", "no key", "no authority").is_err());
}

#[tokio::test]
async fn programs_outside_the_mesh_are_called_with_our_certificate_and_believed_by_our_authority() {
    let ours = Authority::new("ours");
    let theirs = Authority::new("theirs");
    let (sender, _seen) = seen();
    let server = Node::server(Some(&ours.identity(BOTH, &ours)), &sender).await;
    let there = Outside::parse(&format!("https://{}", server.address.unwrap())).unwrap();
    let member = Node::client(Some(&ours.identity(BOTH, &ours)));
    member.mesh.can_reach(&there).unwrap();
    member.mesh.connect_outside(&there).await.unwrap();
    let stranger = Node::client(Some(&theirs.identity(BOTH, &theirs)));
    let error = stranger.mesh.connect_outside(&there).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "PEER_UNREACHABLE"), "{error}");
}
