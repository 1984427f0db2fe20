"""A site in the gateway that the environment names, and what machines are made from, for the tests."""

import itertools
import os
import unittest
import uuid

from gyre_client import Client
from gyre_client.types import (
    Cluster,
    Host,
    Image,
    ImageFormat,
    ImageServer,
    InstanceOffering,
    IpRange,
    L2Network,
    L2NetworkType,
    L3Network,
    PrimaryStorage,
    PrimaryStorageType,
    Vm,
    Zone,
)

ENDPOINT = os.environ.get("GYRE_TEST_ENDPOINT", "")
ACCOUNT = os.environ.get("GYRE_TEST_ACCOUNT", "admin")
PASSWORD = os.environ.get("GYRE_TEST_PASSWORD", "")
# Tells this run's things from those of earlier runs.
RUN = uuid.uuid4().hex[:6]
_COUNT = itertools.count(1)
_SITE = None


class Site:
    """Zone, cluster, host, storage, network, image and offering."""

    def __init__(self, cloud):
        self.zone = cloud.zones.create(Zone(name="east"))
        self.cluster = cloud.clusters.create(Cluster(name="rack", zone_uuid=self.zone.uuid))
        self.host = cloud.hosts.create(Host(name="h1", cluster_uuid=self.cluster.uuid, address="local")).result()
        storage = PrimaryStorage(
            name="disks", type=PrimaryStorageType.LOCAL, cluster_uuid=self.cluster.uuid, path="/srv/primary"
        )
        self.storage = cloud.primary_storages.create(storage).result()
        server = ImageServer(name="images", host_uuid=self.host.uuid, path="/srv/images")
        self.image_server = cloud.image_servers.create(server).result()
        wire = L2Network(name="wire", type=L2NetworkType.BRIDGE, cluster_uuid=self.cluster.uuid, bridge="br0")
        self.wire = cloud.l2_networks.create(wire)
        self.network = cloud.l3_networks.create(L3Network(name="lan", l2_network_uuid=self.wire.uuid, shared=True))
        self.range = cloud.ip_ranges.create(
            IpRange(
                name="pool",
                l3_network_uuid=self.network.uuid,
                start_address="10.0.0.10",
                end_address="10.0.3.250",
                gateway="10.0.0.1",
                prefix_length=22,
            )
        )
        self.offering = cloud.instance_offerings.create(
            InstanceOffering(name="small", cpu_count=1, memory_bytes=64 << 20)
        )
        self.image = cloud.images.create(
            Image(name="disk", url="upload", format=ImageFormat.RAW, shared=True)
        ).result()
        uploaded = cloud.images.upload(self.image.uuid, bytes(1 << 20)).result()
        assert uploaded.state.name == "READY", uploaded


class CloudTest(unittest.TestCase):
    """A test with a client and a site."""

    def setUp(self):
        global _SITE
        if not ENDPOINT:
            self.skipTest("GYRE_TEST_ENDPOINT names no gateway")
        self.cloud = Client(ENDPOINT, account=ACCOUNT, password=PASSWORD)
        self.addCleanup(self.cloud.close)
        if _SITE is None:
            _SITE = Site(self.cloud)
        self.site = _SITE

    def draft(self, name=None):
        """A machine to make."""
        return Vm(
            name=f"{name or next(_COUNT)}-{RUN}",
            instance_offering_uuid=self.site.offering.uuid,
            image_uuid=self.site.image.uuid,
            l3_network_uuids=[self.site.network.uuid],
        )

    def vm(self, name=None):
        """A machine that runs."""
        return self.cloud.vms.create(self.draft(name)).result(timeout=60)
