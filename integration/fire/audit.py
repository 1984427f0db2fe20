"""PostgreSQL from the inside: a trigger that writes down every change of an operation and of a machine's row, in the order of
their commits on one row; and what all rows must add up to in the end."""

import json
from pathlib import Path

from dev_cluster import Trouble, backends

from .findings import Findings
from .topology import Topology

# In a schema of the harness's own. The row's lock makes the order of the log, for one row, that of its commits.
SETUP = """
CREATE SCHEMA fire;
CREATE TABLE fire.operation_log (n bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, client inet, uuid uuid, resource uuid,
    workflow text, state text, fence bigint, instance uuid, generation bigint);
CREATE TABLE fire.vm_log (n bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, what text, uuid uuid, name text, state text,
    host uuid);
CREATE FUNCTION fire.operation() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fire.operation_log (at, client, uuid, resource, workflow, state, fence, instance, generation)
    VALUES (clock_timestamp(), inet_client_addr(), NEW.uuid, NEW.resource_uuid, NEW.workflow, NEW.state, NEW.fence,
        NEW.instance_uuid, NEW.generation);
    RETURN NULL; END $$;
CREATE FUNCTION fire.vm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO fire.vm_log (at, what, uuid, name, state, host)
        VALUES (clock_timestamp(), TG_OP, OLD.uuid, OLD.name, OLD.state, OLD.host_uuid);
    ELSE
        INSERT INTO fire.vm_log (at, what, uuid, name, state, host)
        VALUES (clock_timestamp(), TG_OP, NEW.uuid, NEW.name, NEW.state, NEW.host_uuid);
    END IF;
    RETURN NULL; END $$;
CREATE TRIGGER fire AFTER INSERT OR UPDATE ON operation FOR EACH ROW EXECUTE FUNCTION fire.operation();
CREATE TRIGGER fire AFTER INSERT OR UPDATE OR DELETE ON vm FOR EACH ROW EXECUTE FUNCTION fire.vm();
"""

# Each says what must give no rows, once all is quiet.
SUMS = {
    "operation not ended": "SELECT uuid, workflow, state, resource_uuid, instance_uuid, fence, update_time, error->>'reason' AS reason "
    "FROM operation WHERE state IN ('QUEUED', 'RUNNING', 'UNDOING', 'STUCK')",
    "machine left on its way": "SELECT uuid, name, state FROM vm WHERE state NOT IN ('RUNNING', 'STOPPED', 'DESTROYED')",
    "host not connected": "SELECT name, status, status_reason FROM host WHERE status <> 'CONNECTED'",
    "CPUs or memory of a host": "SELECT h.name, h.cpu_used, h.memory_used_bytes, p.cpus, p.memory FROM host h LEFT JOIN (SELECT host_uuid, "
    "sum(cpu_count) AS cpus, sum(memory_bytes) AS memory FROM host_placement GROUP BY host_uuid) p ON p.host_uuid = h.uuid "
    "WHERE h.cpu_used <> coalesce(p.cpus, 0) OR h.memory_used_bytes <> coalesce(p.memory, 0)",
    "room held without a running machine": "SELECT p.claim_uuid, p.host_uuid, v.state FROM host_placement p LEFT JOIN vm v "
    "ON v.uuid = p.claim_uuid WHERE v.uuid IS NULL OR v.state <> 'RUNNING' OR v.host_uuid <> p.host_uuid",
    "running machine without room": "SELECT v.uuid, v.name, v.host_uuid FROM vm v LEFT JOIN host_placement p ON p.claim_uuid = v.uuid "
    "WHERE v.state = 'RUNNING' AND p.claim_uuid IS NULL",
    "count of a range": "SELECT r.uuid, r.used_count, (SELECT count(*) FROM ip_address a WHERE a.ip_range_uuid = r.uuid) AS held FROM ip_range r "
    "WHERE r.used_count <> (SELECT count(*) FROM ip_address a WHERE a.ip_range_uuid = r.uuid)",
    "address without a machine": "SELECT a.nic_uuid, a.vm_uuid, a.address FROM ip_address a LEFT JOIN vm v ON v.uuid = a.vm_uuid "
    "WHERE v.uuid IS NULL OR NOT EXISTS (SELECT 1 FROM jsonb_array_elements(v.nics) n WHERE (n->>'uuid')::uuid = a.nic_uuid)",
    "machine without its address": "SELECT v.uuid, v.name, v.state, v.nics FROM vm v, jsonb_array_elements(v.nics) n "
    "WHERE NOT EXISTS (SELECT 1 FROM ip_address a WHERE a.nic_uuid = (n->>'uuid')::uuid AND a.vm_uuid = v.uuid)",
    "interface that is not as its machine says": "SELECT v.uuid, v.name, v.nics, i.uuid, i.ip, i.mac FROM nic i FULL JOIN "
    "(SELECT v.uuid, v.name, v.account_uuid, v.nics, n FROM vm v, jsonb_array_elements(v.nics) n) v ON i.uuid = (v.n->>'uuid')::uuid "
    "WHERE i.vm_uuid IS DISTINCT FROM v.uuid OR i.account_uuid IS DISTINCT FROM v.account_uuid OR i.ip <> coalesce(v.n->>'address', '') "
    "OR i.mac <> coalesce(v.n->>'mac', '')",
    "volume without a machine": "SELECT d.uuid, d.name, d.state, d.vm_uuid FROM volume d LEFT JOIN vm v ON v.root_volume_uuid = d.uuid "
    "WHERE v.uuid IS NULL OR d.state <> 'READY' OR d.vm_uuid IS DISTINCT FROM v.uuid",
    "machine without its volume": "SELECT v.uuid, v.name, v.state FROM vm v LEFT JOIN volume d ON d.uuid = v.root_volume_uuid "
    "WHERE d.uuid IS NULL OR d.host_uuid <> v.host_uuid",
    "bytes of a storage on a host": "SELECT s.primary_storage_uuid, s.host_uuid, s.used_bytes, coalesce(d.bytes, 0) AS held "
    "FROM primary_storage_host s LEFT JOIN (SELECT primary_storage_uuid, host_uuid, sum(size_bytes) AS bytes FROM volume "
    "GROUP BY primary_storage_uuid, host_uuid) d ON d.primary_storage_uuid = s.primary_storage_uuid AND d.host_uuid = s.host_uuid "
    "WHERE s.used_bytes <> coalesce(d.bytes, 0)",
    "bytes of a storage": "SELECT p.uuid, p.used_bytes, s.used FROM primary_storage p LEFT JOIN (SELECT primary_storage_uuid, "
    "sum(used_bytes) AS used FROM primary_storage_host GROUP BY primary_storage_uuid) s ON s.primary_storage_uuid = p.uuid "
    "WHERE p.used_bytes <> coalesce(s.used, 0)",
}

# Each says what must never have been, over the whole run.
HISTORY = {
    "fence went back": "SELECT uuid, workflow, fence, before FROM (SELECT *, lag(fence) OVER (PARTITION BY uuid ORDER BY n) AS before "
    "FROM fire.operation_log) l WHERE fence < before",
    "two instances under one fence": "SELECT uuid, workflow, fence, array_agg(DISTINCT instance) AS instances FROM fire.operation_log "
    "GROUP BY uuid, workflow, fence HAVING count(DISTINCT instance) > 1",
    "two nodes wrote under one fence": "SELECT uuid, workflow, fence, array_agg(DISTINCT host(client)) AS nodes FROM fire.operation_log "
    "GROUP BY uuid, workflow, fence HAVING count(DISTINCT client) > 1",
    "an end was changed": "SELECT uuid, workflow, before, state, at FROM (SELECT *, lag(state) OVER (PARTITION BY uuid ORDER BY n) AS before "
    "FROM fire.operation_log) l WHERE before IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND state <> before",
    "from undoing to forward": "SELECT uuid, workflow, before, state, at FROM (SELECT *, lag(state) OVER (PARTITION BY uuid ORDER BY n) AS before "
    "FROM fire.operation_log) l WHERE before = 'UNDOING' AND state IN ('RUNNING', 'SUCCEEDED', 'QUEUED')",
    "two machines of one request": "SELECT name, count(DISTINCT uuid) AS machines FROM fire.vm_log WHERE what = 'INSERT' GROUP BY name "
    "HAVING count(DISTINCT uuid) > 1",
    "two creates of one request": "SELECT request_id, workflow, count(*) FROM operation WHERE workflow IN ('create-vm', 'start-vm', 'stop-vm', "
    "'reboot-vm', 'destroy-vm', 'recover-vm', 'expunge-vm') AND request_id <> '' GROUP BY request_id, workflow HAVING count(*) > 1",
    "a machine came back": "SELECT uuid, name, what, state FROM (SELECT *, lag(what) OVER (PARTITION BY uuid ORDER BY n) AS before FROM fire.vm_log) l "
    "WHERE before = 'DELETE'",
}


class Audit:
    def __init__(self, topology: Topology, findings: Findings):
        self.topology = topology
        self.findings = findings

    def run(self, statement: str) -> str:
        done = backends.psql(self.topology, "gyre", statement)
        if done.returncode != 0:
            raise Trouble(f"psql: {done.stderr.strip()}")
        return done.stdout

    def rows(self, query: str) -> list[dict]:
        text = self.run(f"SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM ({query}) t").strip()
        return json.loads(text)

    def setup(self) -> None:
        self.run(SETUP)

    def sums(self) -> dict[str, list[dict]]:
        """What does not add up now. One statement, so that all of it is of one moment."""
        parts = [
            f"(SELECT '{what}' AS what, coalesce(json_agg(row_to_json(t)), '[]'::json) AS rows FROM ({query}) t)"  # noqa: S608
            for what, query in ((what.replace("'", "''"), query) for what, query in SUMS.items())
        ]
        found = self.rows(" UNION ALL ".join(parts))
        return {each["what"]: each["rows"] for each in found if each["rows"]}

    def history(self) -> None:
        for what, query in HISTORY.items():
            if "nodes" in what and not self.topology.spread:
                continue
            for row in self.rows(query):
                self.findings.add(what, json.dumps(row))

    def operations(self) -> dict[str, dict]:
        """Every operation of machines, as it stands."""
        rows = self.rows("SELECT uuid, workflow, state, resource_uuid, fence, request_id FROM operation")
        return {row["uuid"]: row for row in rows}

    def machines(self) -> dict[str, dict]:
        return {row["uuid"]: row for row in self.rows("SELECT uuid, name, state, host_uuid FROM vm")}

    def dump(self, folder: Path) -> None:
        """Writes the logs of operations and machines into files, a JSON object a line, for whoever looks for a cause."""
        for table in ("operation_log", "vm_log"):
            rows = self.rows(f"SELECT * FROM fire.{table} ORDER BY n")
            (folder / f"{table}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def takeovers(self) -> dict[str, int]:
        rows = self.rows("SELECT workflow, count(*) AS count FROM operation WHERE fence > 1 GROUP BY workflow ORDER BY workflow")
        return {row["workflow"]: row["count"] for row in rows}

    def ends(self) -> dict[str, float]:
        """When each operation ended, in seconds since 1970."""
        rows = self.rows(
            "SELECT uuid, extract(epoch FROM min(at)) AS at FROM fire.operation_log "
            "WHERE state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') GROUP BY uuid"
        )
        return {row["uuid"]: float(row["at"]) for row in rows}

    def fences(self) -> dict[str, int]:
        """The fence of each host's session."""
        return {row["host_uuid"]: int(row["fence"]) for row in self.rows("SELECT host_uuid, fence FROM host_fence")}
