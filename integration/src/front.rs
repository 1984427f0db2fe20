//! The front door as a program sees it: JSON over HTTP, and the few things that most tests make first.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// Most ranges of a site: those of 10.0.0.0/9.
pub const MOST_RANGES: usize = 128;
/// Addresses of a range of a site.
pub const RANGE: usize = 65_521;
/// Memory of a machine of a site's offering, in bytes. It has one processor.
pub const MEMORY: i64 = 64 << 20;

/// A client of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    http: Client<HttpConnector, Full<Bytes>>,
    endpoint: String,
    token: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body as JSON; null where it is none.
    pub body: Value,
}

impl Answer {
    /// The body of an answer that should be a success.
    ///
    /// # Errors
    /// When it is none; the problem's text.
    pub fn good(self) -> Result<Value> {
        if !self.status.is_success() {
            bail!("{}: {}", self.status, self.body);
        }
        Ok(self.body)
    }

    /// The stable reason of a problem.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }
}

/// The things that machines are made from.
#[derive(Debug, Clone)]
pub struct Site {
    /// A zone.
    pub zone: String,
    /// A cluster in it.
    pub cluster: String,
    /// Hosts in the cluster.
    pub hosts: Vec<String>,
    /// An image server on the first host.
    pub image_server: String,
    /// Local primary storage.
    pub primary_storage: String,
    /// An L3 network with a range.
    pub network: String,
    /// An offering: 1 CPU, 64 MiB.
    pub offering: String,
}

impl Front {
    /// A client with a token.
    pub fn new(endpoint: &str, token: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { http, endpoint: endpoint.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    /// A client that signs in.
    ///
    /// # Errors
    /// When the sign-in fails.
    pub async fn sign_in(endpoint: &str, account: &str, password: &str) -> Result<Self> {
        let front = Self::new(endpoint, "");
        let session = front.post("/v1/sessions", json!({"account": account, "password": password})).await?.good()?;
        let token = session["token"].as_str().context("a session without a token")?;
        Ok(Self { token: token.to_owned(), ..front })
    }

    /// Where the gateway is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Any request.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Result<Answer> {
        let request = if self.token.is_empty() {
            request
        } else {
            request.header(AUTHORIZATION, format!("Bearer {}", self.token))
        };
        let response = self.http.request(request.body(Full::new(body.into()))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// GET, for who measures: the body as it came.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn fetch(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        let request = Request::get(format!("{}{path}", self.endpoint));
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        let response = self.http.request(request.body(Full::default())?).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// A request with a JSON body, or none.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.endpoint));
        match body {
            Some(body) => self.send(request.header(CONTENT_TYPE, "application/json"), body.to_string()).await,
            None => self.send(request, Bytes::new()).await,
        }
    }

    /// GET.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    /// POST.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// PATCH.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn patch(&self, path: &str, body: Value) -> Result<Answer> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.call(Method::DELETE, path, None).await
    }

    /// Makes something that is only rows; answers its UUID.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn make(&self, path: &str, body: Value) -> Result<String> {
        let made = self.post(path, body).await?.good()?;
        Ok(made["uuid"].as_str().context("a resource without UUID")?.to_owned())
    }

    /// Makes a call that takes work, and waits for its end; answers the operation, whatever became of it.
    ///
    /// # Errors
    /// When the call is refused, or does not end within two minutes.
    pub async fn operation(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header("prefer", "wait=120")
            .header(CONTENT_TYPE, "application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let ended = self.send(request, body).await?.good()?;
        if ended["endTime"].is_null() {
            bail!("the operation did not end: {ended}");
        }
        Ok(ended)
    }

    /// Makes a call that takes work and must succeed; answers the UUID of its resource.
    ///
    /// # Errors
    /// When it is refused, fails, or does not end.
    pub async fn done(&self, method: Method, path: &str, body: Option<Value>) -> Result<String> {
        let ended = self.operation(method, path, body).await?;
        if ended["state"] != "OPERATION_STATE_SUCCEEDED" {
            bail!("{path}: {}", ended["error"]);
        }
        Ok(ended["resourceUuid"].as_str().context("an operation without a resource")?.to_owned())
    }

    /// Makes something, be it rows only or work that is waited for; answers its UUID.
    ///
    /// # Errors
    /// When it is refused, fails, or does not end.
    pub async fn operation_or_resource(&self, path: &str, body: Value) -> Result<String> {
        let made = self.post(path, body).await?.good()?;
        let uuid = made["uuid"].as_str().context("a resource without UUID")?;
        if made["workflow"].is_null() {
            return Ok(uuid.to_owned());
        }
        self.done(Method::POST, &format!("/v1/operations/{uuid}:wait"), Some(json!({"timeout": "60s"}))).await
    }

    /// Makes zone, cluster, hosts, storage, image server, network and offering. `address` is where the hosts' agent is.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn site(&self, name: &str, addresses: &[&str], folder: &str) -> Result<Site> {
        let (zone, cluster) = self.cluster(name).await?;
        let mut hosts = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            hosts.push(self.done(Method::POST, "/v1/hosts", Some(Self::host(name, at, &cluster, address))).await?);
        }
        self.furnish(name, zone, cluster, hosts, folder, 1).await
    }

    /// Makes a zone and a cluster in it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn cluster(&self, name: &str) -> Result<(String, String)> {
        let zone = self.make("/v1/zones", json!({"name": name})).await?;
        let cluster = self.make("/v1/clusters", json!({"name": name, "zoneUuid": zone})).await?;
        Ok((zone, cluster))
    }

    /// What a host is made from: the n-th of a cluster.
    pub fn host(name: &str, at: usize, cluster: &str, address: &str) -> Value {
        json!({"name": format!("{name}-{at}"), "clusterUuid": cluster, "address": address})
    }

    /// Makes storage, image server, a network with so many ranges, and an offering, for hosts that are there.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn furnish(
        &self,
        name: &str,
        zone: String,
        cluster: String,
        hosts: Vec<String>,
        folder: &str,
        ranges: usize,
    ) -> Result<Site> {
        let storage = json!({
            "name": name, "type": "PRIMARY_STORAGE_TYPE_LOCAL", "clusterUuid": cluster, "path": format!("{folder}/primary")
        });
        let primary_storage = self.done(Method::POST, "/v1/primary-storages", Some(storage)).await?;
        let first = hosts.first().context("a site without hosts")?;
        let server = json!({"name": name, "hostUuid": first, "path": format!("{folder}/images")});
        let image_server = self.done(Method::POST, "/v1/image-servers", Some(server)).await?;
        let (network, offering) = self.network(name, &cluster, ranges).await?;
        Ok(Site { zone, cluster, hosts, image_server, primary_storage, network, offering })
    }

    /// A range has at most 65,536 addresses; those of one network have its gateway and its prefix.
    async fn network(&self, name: &str, cluster: &str, ranges: usize) -> Result<(String, String)> {
        let l2 = json!({"name": name, "type": "L2_NETWORK_TYPE_BRIDGE", "clusterUuid": cluster, "bridge": "gyre-test"});
        let l2 = self.make("/v1/l2-networks", l2).await?;
        let network = self.make("/v1/l3-networks", json!({"name": name, "l2NetworkUuid": l2, "shared": true})).await?;
        let (first, prefix) = if ranges > 1 { (0, 9) } else { (80, 16) };
        ensure!(ranges <= MOST_RANGES, "there is room for {MOST_RANGES} ranges, not for {ranges}");
        for at in 0..ranges.max(1) {
            let second = first + at;
            let range = json!({
                "name": name, "l3NetworkUuid": network, "startAddress": format!("10.{second}.0.10"),
                "endAddress": format!("10.{second}.255.250"), "gateway": format!("10.{first}.0.1"), "prefixLength": prefix
            });
            self.make("/v1/ip-ranges", range).await?;
        }
        let offering = json!({"name": name, "cpuCount": 1, "memoryBytes": MEMORY.to_string()});
        let offering = self.make("/v1/instance-offerings", offering).await?;
        Ok((network, offering))
    }

    /// Makes an image and sends its bytes.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn upload(&self, site: &Site, name: &str, format: &str, bytes: impl Into<Bytes>) -> Result<String> {
        let image = json!({
            "name": name, "url": "upload", "format": format, "imageServerUuid": site.image_server, "shared": true
        });
        let image = self.done(Method::POST, "/v1/images", Some(image)).await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v1/images/{image}:upload", self.endpoint))
            .header("prefer", "wait=120")
            .header(CONTENT_TYPE, "application/octet-stream");
        let ended = self.send(request, bytes).await?.good()?;
        if ended["state"] != "OPERATION_STATE_SUCCEEDED" {
            bail!("upload of {name}: {ended}");
        }
        Ok(image)
    }

    /// Makes a webhook that nobody takes anything from, and a dead letter of it. The node must allow requests to 127.0.0.1:9.
    ///
    /// # Errors
    /// When a step fails, or nothing is given up.
    pub async fn dead_letter(&self) -> Result<()> {
        // the first try is the last: what changes in a zone is a dead letter
        self.make("/v1/settings", json!({"name": "webhook.give-up-after", "value": "0s"})).await?;
        self.make("/v1/webhooks", json!({"name": "lost", "url": "http://127.0.0.1:9/", "kinds": ["zone"]})).await?;
        self.make("/v1/zones", json!({"name": "told"})).await?;
        let began = Instant::now();
        while self.get("/v1/dead-letters").await?.good()?["deadLetters"].is_null() {
            ensure!(began.elapsed() < Duration::from_secs(30), "nothing is given up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What a machine is made from.
    pub fn vm(site: &Site, image: &str, name: &str) -> Value {
        json!({
            "name": name, "instanceOfferingUuid": site.offering, "imageUuid": image, "l3NetworkUuids": [site.network]
        })
    }
}
