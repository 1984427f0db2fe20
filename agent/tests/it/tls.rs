//! The agent as a process that speaks TLS: to controllers, and to agents that fetch its images.

use gyre_agent::{Agent, PeerTls};
use gyre_mesh::tls::{AGENT_NAME, Identity};
use gyre_model::Uuid;
use gyre_proto::agent::v1::agent_service_client::AgentServiceClient;
use gyre_proto::agent::v1::task::Work;
use gyre_proto::agent::v1::{CreateVolume, ImageSource, ImportImage};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tonic::transport::Endpoint;

use crate::common::{has, hello, open, open_with, process, process_at};
use crate::machines::Place;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn certificate(&self, names: &[&str], usages: &[Usage]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("params");
        params.extended_key_usages = usages.to_vec();
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }

    fn identity(&self, usages: &[Usage]) -> Identity {
        self.named(&["127.0.0.1"], usages)
    }

    fn agent(&self) -> Identity {
        self.named(&["127.0.0.1", AGENT_NAME], &[Usage::ServerAuth, Usage::ClientAuth])
    }

    fn named(&self, names: &[&str], usages: &[Usage]) -> Identity {
        let (certificate, key) = self.certificate(names, usages);
        Identity::from_pem(certificate, key, self.pem.clone()).expect("an identity")
    }
}

#[tokio::test]
async fn members_of_the_deployment_are_served_and_nobody_else() {
    if !has("qemu-system-x86_64", "qemu-system-x86") {
        return;
    }
    let (authority, place, here) = (Authority::new(), Place::new(), Place::new());
    let (certificate, key) = authority.certificate(&["127.0.0.1", AGENT_NAME], &[Usage::ServerAuth, Usage::ClientAuth]);
    let files = [("cert.pem", &certificate), ("key.pem", &key), ("ca.pem", &authority.pem)];
    let [certificate, key, ca] = files.map(|(name, text)| {
        std::fs::write(place.path(name), text).expect("written");
        place.path(name).display().to_string()
    });
    let from = place.path("from");
    std::fs::create_dir(&from).expect("folder");
    std::fs::write(from.join("disk.raw"), vec![1; 1 << 20]).expect("image");
    let (state, allowed) = (place.path("state").display().to_string(), from.display().to_string());
    let args = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &ca, "--state-dir", &state];
    let more = ["--network", "user", "--accel", "tcg", "--allow-image-path", &allowed];
    let (_agent, address) = process(&[args.as_slice(), &more].concat()).await;

    let member = authority.identity(&[Usage::ServerAuth, Usage::ClientAuth]);
    let client = |identity: &Identity| {
        let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
        AgentServiceClient::new(endpoint.tls_config(identity.client()).expect("tls").connect_lazy())
    };
    let host = Uuid::new_v4();
    let mut session = open_with(client(&member), hello(host, 1)).await.expect("admitted");
    for stranger in [authority.identity(&[Usage::ServerAuth]), Authority::new().identity(&[Usage::ClientAuth])] {
        assert!(open_with(client(&stranger), hello(host, 2)).await.is_err(), "no client certificate of ours");
    }
    assert!(open_with(client(&authority.agent()), hello(host, 2)).await.is_err(), "an agent is no controller");
    let plain = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
    assert!(open_with(AgentServiceClient::new(plain), hello(host, 2)).await.is_err(), "no TLS");

    // its images are fetched by another agent
    let images = place.path("images").display().to_string();
    let image = Uuid::new_v4().to_string();
    let import = ImportImage {
        image_uuid: image.clone(),
        folder: images.clone(),
        url: format!("file://{}", from.join("disk.raw").display()),
        format: "raw".into(),
        sha256: String::new(),
    };
    session.run(Work::ImportImage(import)).await.expect("imported");
    let mut config = here.config();
    config.peers = PeerTls::Mutual(authority.agent().client());
    let agent = Agent::start(config).await.expect("starts");
    let mut session = open(&agent, Uuid::new_v4(), 1).await.expect("admitted");
    let source = ImageSource {
        image_uuid: image.clone(),
        host_uuid: host.to_string(),
        address: address.clone(),
        folder: images,
        format: "raw".into(),
        ..ImageSource::default()
    };
    let storage = here.path("storage");
    let create = CreateVolume {
        volume_uuid: Uuid::new_v4().to_string(),
        folder: storage.display().to_string(),
        size_bytes: 1 << 20,
        image: Some(source),
    };
    session.run(Work::CreateVolume(create)).await.expect("made");
    assert_eq!(std::fs::read(storage.join("cache").join(image)).expect("cached"), vec![1; 1 << 20]);
    agent.shutdown().await;
}

#[tokio::test]
async fn a_simulator_is_called_at_many_ports_over_tls() {
    let (authority, place) = (Authority::new(), Place::new());
    let (certificate, key) = authority.certificate(&["127.0.0.1", AGENT_NAME], &[Usage::ServerAuth, Usage::ClientAuth]);
    let files = [("cert.pem", &certificate), ("key.pem", &key), ("ca.pem", &authority.pem)];
    let [certificate, key, ca] = files.map(|(name, text)| {
        std::fs::write(place.path(name), text).expect("written");
        place.path(name).display().to_string()
    });
    let ports = ["--simulate", "--sim-ports", "3", "--sim-delay", "exponential:1ms", "--sim-seed", "7"];
    let tls = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &ca];
    // below those that the kernel gives away; somebody else may have one of three
    let first = 10_240 + std::process::id() % 5_000 * 4;
    let mut tried = (0..5_u32).map(|place| first + place);
    let (_agent, address) = loop {
        let listen = format!("127.0.0.1:{}", tried.next().expect("three ports in a row"));
        if let Some(started) = process_at(&listen, &[tls.as_slice(), &ports].concat()).await {
            break started;
        }
    };
    let (host, port) = address.rsplit_once(':').expect("a port");
    let port: u16 = port.parse().expect("a port");
    let member = authority.identity(&[Usage::ServerAuth, Usage::ClientAuth]);
    let mut sessions = Vec::new();
    for port in port..port + 3 {
        let endpoint = Endpoint::from_shared(format!("https://{host}:{port}")).expect("an address");
        let channel = endpoint.tls_config(member.client()).expect("tls").connect().await.expect("it listens");
        sessions.push(open_with(AgentServiceClient::new(channel), hello(Uuid::new_v4(), 1)).await.expect("admitted"));
    }
    for session in &mut sessions {
        let work = CreateVolume {
            volume_uuid: Uuid::new_v4().to_string(),
            folder: "/s".into(),
            size_bytes: 1 << 20,
            image: None,
        };
        session.run(Work::CreateVolume(work)).await.expect("made");
    }
}
