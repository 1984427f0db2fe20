//! What workflows are about: made once for each world, and filled up again as cases use it up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gyre_model::{Caller, Uuid, catalog, parse_uuid};
use gyre_proto::Message as _;
use gyre_proto::common::v1::{Operation, OperationState};
use gyre_proto::identity::v1::DeadLetter;
use gyre_query::Change;
use gyre_store::Sql;
use serde_json::{Value as Json, json};

use crate::call::{call, method};
use crate::site::{NOBODY, Settings, Site};

/// How long an operation and what follows from it may take to end, crashes included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A site with something of every kind on it.
pub struct World {
    pub site: Site,
    pub admin: Caller,
    names: usize,
}

/// A single row's first column.
fn one(site: &Site, sql: String) -> Result<Option<Uuid>> {
    site.look(move |conn| conn.query_one(Sql::new(sql))?.map(|row| row.id(0)).transpose())
}

impl World {
    pub fn new(settings: Settings) -> Result<Self> {
        let site = Site::start(settings)?;
        let admin = site.admin()?;
        let mut world = Self { site, admin, names: 0 };
        world.base().context("cannot make the world")?;
        Ok(world)
    }

    /// A name that was not there before.
    pub fn name(&mut self) -> String {
        self.names += 1;
        format!("matrix-{}", self.names)
    }

    /// Makes a call; answers the operation where one is answered.
    pub fn call(&self, info: &'static gyre_model::catalog::MethodInfo, body: Json) -> Result<Vec<u8>> {
        self.site.run(call(self.site.mesh(), self.admin, info, body))
    }

    /// Makes a row by a call that does it at once.
    fn make(&self, name: &str, body: Json) -> Result<String> {
        let info = method(name)?;
        let bytes = self.call(info, body).context(info.name)?;
        let message = prost_reflect::DynamicMessage::decode(info.descriptor.output(), bytes.as_slice())?;
        let uuid = message.get_field_by_name("uuid").and_then(|value| value.as_str().map(str::to_owned));
        uuid.context("an answer without UUID")
    }

    /// Makes a call that takes work and must succeed; answers the UUID of its resource.
    fn done(&self, name: &str, body: Json) -> Result<String> {
        self.done_by(self.admin, name, body)
    }

    fn done_by(&self, caller: Caller, name: &str, body: Json) -> Result<String> {
        let answer = self.site.run(call(self.site.mesh(), caller, method(name)?, body));
        let operation = Operation::decode(answer.context(name.to_owned())?.as_slice())?;
        let ended = self.ended(uuid(&operation.uuid)?)?;
        ensure!(ended.0 == OperationState::Succeeded, "{name}: {}", ended.1);
        Ok(operation.resource_uuid)
    }

    fn base(&mut self) -> Result<()> {
        let zone = self.make("CreateZone", json!({"zone": {"name": "zone"}}))?;
        let cluster = self.make("CreateCluster", json!({"cluster": {"name": "main", "zoneUuid": zone}}))?;
        // without hosts: what is made there stays empty
        self.make("CreateCluster", json!({"cluster": {"name": "spare", "zoneUuid": zone}}))?;
        let host = json!({"name": "main", "clusterUuid": cluster, "address": self.site.agent_address});
        let host = self.done("CreateHost", json!({"host": host}))?;
        let storage = json!({
            "name": "main", "type": "PRIMARY_STORAGE_TYPE_LOCAL", "clusterUuid": cluster, "path": "/var/lib/gyre/primary"
        });
        self.done("CreatePrimaryStorage", json!({"primaryStorage": storage}))?;
        let server = json!({"name": "main", "hostUuid": host, "path": "/var/lib/gyre/images"});
        self.done("CreateImageServer", json!({"imageServer": server}))?;
        let l2 = json!({"name": "l2", "type": "L2_NETWORK_TYPE_BRIDGE", "clusterUuid": cluster, "bridge": "gyre-test"});
        let l2 = self.make("CreateL2Network", json!({"l2Network": l2}))?;
        let l3 =
            self.make("CreateL3Network", json!({"l3Network": {"name": "l3", "l2NetworkUuid": l2, "shared": true}}))?;
        let range = json!({
            "name": "range", "l3NetworkUuid": l3, "startAddress": "10.80.0.10", "endAddress": "10.80.255.250",
            "gateway": "10.80.0.1", "prefixLength": 16
        });
        self.make("CreateIpRange", json!({"ipRange": range}))?;
        let offering = json!({"name": "small", "cpuCount": 1, "memoryBytes": (64i64 << 20).to_string()});
        self.make("CreateInstanceOffering", json!({"instanceOffering": offering}))?;
        self.stock()
    }

    /// The oldest of a kind that is as the condition says.
    pub fn first(&self, table: &str, condition: &str) -> Result<Option<Uuid>> {
        one(&self.site, format!("SELECT uuid FROM {table} WHERE {condition} ORDER BY create_time, uuid LIMIT 1"))
    }

    fn need(&self, table: &str, condition: &str) -> Result<String> {
        let found = self.first(table, condition)?;
        Ok(found.with_context(|| format!("the world has no {table} where {condition}"))?.to_string())
    }

    /// Makes what is missing: something of every kind in every state in which it rests.
    pub fn stock(&mut self) -> Result<()> {
        let (cluster, spare) = (self.need("cluster", "name = 'main'")?, self.need("cluster", "name = 'spare'")?);
        let (host, server) = (self.need("host", "name = 'main'")?, self.need("image_server", "name = 'main'")?);
        for (table, condition, kept) in [
            ("image", "state = 'READY'", 2),
            ("image", "state = 'UPLOADING'", 1),
            ("image", "state = 'DESTROYED'", 1),
            ("host", "name <> 'main' AND state = 'ENABLED'", 1),
            // so that more refers to the cluster 'spare', which stays, than to those that are deleted
            ("primary_storage", "name <> 'main' AND state = 'ENABLED'", 2),
            ("image_server", "name <> 'main'", 1),
            ("volume", "type = 'DATA' AND state = 'READY' AND name NOT LIKE 'owned-%'", 1),
            ("volume", "type = 'DATA' AND state = 'DESTROYED'", 1),
            ("instance_offering", "name <> 'small'", 1),
            ("zone", "name <> 'zone'", 1),
            ("cluster", "name NOT IN ('main', 'spare')", 1),
            ("l2_network", "name <> 'l2'", 1),
            ("l3_network", "name <> 'l3'", 1),
            ("ip_range", "name <> 'range'", 1),
            ("account", "type = 'NORMAL'", 1),
            ("volume", "name LIKE 'owned-%'", 1),
            ("api_key", "1 = 1", 1),
            ("policy", "1 = 1", 1),
            ("webhook", "1 = 1", 1),
            ("dead_letter", "1 = 1", 1),
            ("vm", "state = 'DESTROYED'", 1),
            ("vm", "state = 'STOPPED'", 1),
            ("vm", "state = 'RUNNING'", 1),
        ] {
            while self.count(table, condition)? < kept {
                let name = self.name();
                let path = format!("/var/lib/gyre/{name}");
                match (table, condition) {
                    ("image", "state = 'READY'" | "state = 'DESTROYED'") => {
                        let url = format!("https://images.invalid/{name}");
                        let image =
                            json!({"name": name, "url": url, "format": "IMAGE_FORMAT_RAW", "imageServerUuid": server});
                        let image = self.done("CreateImage", json!({"image": image}))?;
                        if condition == "state = 'DESTROYED'" {
                            self.done("DeleteImage", json!({"uuid": image}))?;
                        }
                    }
                    ("image", _) => {
                        let image = json!({"name": name, "url": "upload", "format": "IMAGE_FORMAT_RAW", "imageServerUuid": server});
                        self.done("CreateImage", json!({"image": image}))?;
                    }
                    ("host", _) => {
                        let host = json!({"name": name, "clusterUuid": cluster, "address": self.site.agent_address});
                        self.done("CreateHost", json!({"host": host}))?;
                    }
                    ("primary_storage", _) => {
                        let storage = json!({
                            "name": name, "type": "PRIMARY_STORAGE_TYPE_LOCAL", "clusterUuid": spare, "path": path
                        });
                        self.done("CreatePrimaryStorage", json!({"primaryStorage": storage}))?;
                    }
                    ("image_server", _) => {
                        let server = json!({"name": name, "hostUuid": host, "path": path});
                        self.done("CreateImageServer", json!({"imageServer": server}))?;
                    }
                    ("instance_offering", _) => {
                        let offering = json!({"name": name, "cpuCount": 1, "memoryBytes": (64i64 << 20).to_string()});
                        self.make("CreateInstanceOffering", json!({"instanceOffering": offering}))?;
                    }
                    ("zone", _) => drop(self.make("CreateZone", json!({"zone": {"name": name}}))?),
                    ("cluster", _) => {
                        let zone = self.need("zone", "name <> 'zone'")?;
                        self.make("CreateCluster", json!({"cluster": {"name": name, "zoneUuid": zone}}))?;
                    }
                    ("l2_network", _) => {
                        let cluster = self.need("cluster", "name NOT IN ('main', 'spare')")?;
                        let ty = "L2_NETWORK_TYPE_BRIDGE";
                        let network = json!({"name": name, "type": ty, "clusterUuid": cluster, "bridge": name});
                        self.make("CreateL2Network", json!({"l2Network": network}))?;
                    }
                    ("l3_network", _) => {
                        let wire = self.need("l2_network", "name <> 'l2'")?;
                        self.make("CreateL3Network", json!({"l3Network": {"name": name, "l2NetworkUuid": wire}}))?;
                    }
                    ("ip_range", _) => {
                        let range = json!({
                            "name": name, "l3NetworkUuid": self.need("l3_network", "name <> 'l3'")?,
                            "startAddress": "10.90.0.10", "endAddress": "10.90.0.20", "gateway": "10.90.0.1", "prefixLength": 24
                        });
                        self.make("CreateIpRange", json!({"ipRange": range}))?;
                    }
                    ("account", _) => {
                        let account = json!({"name": name, "password": "Trubador-and-3-onions"});
                        self.make("CreateAccount", json!({"account": account}))?;
                    }
                    ("api_key", _) => drop(self.make("CreateApiKey", json!({"apiKey": {"name": name}}))?),
                    ("policy", _) => {
                        let key = self.need("api_key", "1 = 1")?;
                        let policy = json!({"name": name, "effect": "POLICY_EFFECT_DENY", "actions": ["vm:Delete*"], "apiKeyUuid": key});
                        self.make("CreatePolicy", json!({"policy": policy}))?;
                    }
                    ("webhook", _) => {
                        let url = format!("http://{NOBODY}/");
                        let webhook = json!({"name": name, "url": url, "disabled": true});
                        self.make("CreateWebhook", json!({"webhook": webhook}))?;
                    }
                    ("dead_letter", _) => self.stock_dead_letter()?,
                    ("volume", "name LIKE 'owned-%'") => {
                        let account = uuid(&self.need("account", "type = 'NORMAL'")?)?;
                        let volume = json!({
                            "name": format!("owned-{name}"), "hostUuid": host, "sizeBytes": (1 << 20).to_string()
                        });
                        self.done_by(Caller::of(account, false), "CreateVolume", json!({"volume": volume}))?;
                    }
                    ("volume", _) => {
                        let volume = json!({"name": name, "hostUuid": host, "sizeBytes": (1 << 20).to_string()});
                        let volume = self.done("CreateVolume", json!({"volume": volume}))?;
                        if condition.contains("DESTROYED") {
                            self.done("DeleteVolume", json!({"uuid": volume}))?;
                        }
                    }
                    _ => self.stock_vm(name, &host, condition)?,
                }
            }
        }
        Ok(())
    }

    /// No call makes one: Gyre does, when it gives a delivery up.
    fn stock_dead_letter(&self) -> Result<()> {
        let webhook_uuid = self.need("webhook", "1 = 1")?;
        let letter = DeadLetter {
            uuid: Uuid::new_v4().to_string(),
            account_uuid: self.admin.account_uuid.to_string(),
            webhook_uuid,
            ..DeadLetter::default()
        };
        self.site.sql(move |conn| gyre_query::insert(conn, &Change::by(Caller::system()), &letter).map(drop))
    }

    fn stock_vm(&self, name: String, host: &str, condition: &str) -> Result<()> {
        let vm = json!({
            "name": name, "hostUuid": host, "imageUuid": self.need("image", "state = 'READY'")?,
            "instanceOfferingUuid": self.need("instance_offering", "1 = 1")?,
            "l3NetworkUuids": [self.need("l3_network", "1 = 1")?]
        });
        let vm = self.done("CreateVm", json!({"vm": vm}))?;
        match condition {
            "state = 'STOPPED'" => self.done("StopVm", json!({"uuid": vm})).map(drop),
            "state = 'DESTROYED'" => self.done("DeleteVm", json!({"uuid": vm})).map(drop),
            _ => Ok(()),
        }
    }

    pub fn count(&self, table: &str, condition: &str) -> Result<i64> {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE {condition}");
        self.site.look(move |conn| conn.query_one(Sql::new(sql))?.map_or(Ok(0), |row| row.int(0)))
    }

    /// Everything of a kind in the order in which it was made.
    pub fn all_of(&self, kind: &str) -> Result<Vec<Uuid>> {
        let info = catalog().kind(kind).with_context(|| format!("there is no kind {kind}"))?;
        let sql = format!("SELECT uuid FROM {} ORDER BY create_time, uuid", info.table);
        self.site.look(move |conn| conn.query(Sql::new(sql))?.iter().map(|row| row.id(0)).collect())
    }

    /// The states in which there is something of a kind; nothing for a kind without states.
    pub fn states_of(&self, kind: &str) -> Result<Vec<String>> {
        let info = catalog().kind(kind).with_context(|| format!("there is no kind {kind}"))?;
        let message = catalog().message(info.message).context("a kind without message")?;
        if message.field("state").is_none() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT DISTINCT state FROM {} ORDER BY state", info.table);
        self.site.look(move |conn| conn.query(Sql::new(sql))?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect())
    }

    /// What a workflow may work on, where it works on what is there: in a state, what others refer to least first.
    pub fn subjects(&self, kind: &str, state: Option<&str>) -> Result<Vec<Uuid>> {
        let info = catalog().kind(kind).with_context(|| format!("there is no kind {kind}"))?;
        // not a mere number, which would be a column's place
        let mut counts = vec!["0 + 0".to_owned()];
        for other in catalog().kinds() {
            let message = catalog().message(other.message).context("a kind without message")?;
            for field in message.fields.iter().filter(|field| field.rule.refers_to == kind && !field.repeated) {
                let (table, column) = (other.table, field.name);
                counts.push(format!("(SELECT COUNT(*) FROM {table} o WHERE o.{column} = {}.uuid)", info.table));
            }
        }
        let own = match catalog().message(info.message).and_then(|message| message.field("vm_uuid")) {
            // what an account owns is kept for the deletion of the account: each case takes what the undisturbed run took
            Some(_) => "vm_uuid IS NOT NULL, name LIKE 'owned-%', ",
            None => "",
        };
        let state = state.map(|state| format!("WHERE state = '{state}'")).unwrap_or_default();
        let order = format!("{own}{}, create_time, uuid", counts.join(" + "));
        let sql = format!("SELECT uuid FROM {} {state} ORDER BY {order}", info.table);
        self.site.look(move |conn| conn.query(Sql::new(sql))?.iter().map(|row| row.id(0)).collect())
    }

    /// Waits until an operation has ended; answers how, and why.
    pub fn ended(&self, operation: Uuid) -> Result<(OperationState, String)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let found: Option<(String, String)> =
                self.site.run(self.site.store().read("matrix-operation", move |conn| {
                    let sql = Sql::new("SELECT state, error FROM operation WHERE uuid = ").bind(operation);
                    let row = conn.query_one(sql)?;
                    row.map(|row| {
                        let error = if row.is_null(1) { "" } else { row.text(1)? };
                        Ok((row.text(0)?.to_owned(), error.to_owned()))
                    })
                    .transpose()
                }))?;
            let (state, error) = found.with_context(|| format!("operation {operation} is gone"))?;
            match state.as_str() {
                "SUCCEEDED" => return Ok((OperationState::Succeeded, error)),
                "FAILED" => return Ok((OperationState::Failed, error)),
                "CANCELLED" => return Ok((OperationState::Cancelled, error)),
                "STUCK" => return Ok((OperationState::Stuck, error)),
                _ if Instant::now() > until => bail!("operation {operation} does not end: it is {state} {error}"),
                _ => self.site.wait(Duration::from_millis(4)),
            }
        }
    }

    /// Waits until no operation is under way and no host has a task, and the same holds a moment later.
    pub fn quiet(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = self.count("operation", "state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')")?;
            let tasks: usize = self.site.agent.inventory().values().map(|host| host.tasks).sum();
            if left == 0 && tasks == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                let left = self.site.look(|conn| {
                    let sql = "SELECT workflow, state, steps FROM operation WHERE state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')";
                    let rows = conn.query(Sql::new(sql))?;
                    rows.iter()
                        .map(|row| Ok(format!("{} is {}: {}", row.text(0)?, row.text(1)?, row.text(2)?)))
                        .collect::<gyre_model::Result<Vec<_>>>()
                })?;
                bail!("these do not end: {left:?}, and {tasks} tasks");
            }
            self.site.wait(Duration::from_millis(4));
        }
    }
}

pub fn uuid(text: &str) -> Result<Uuid> {
    parse_uuid(text).with_context(|| format!("{text:?} is no UUID"))
}
