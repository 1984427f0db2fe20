"""A machine's life, lists and operations."""

import inspect
import io
import uuid

from cloud import RUN, CloudTest
from gyre_client import OperationFailed, WaitTimeout, errors, types
from gyre_client.calls import KINDS, Services
from gyre_client.types import OperationState, Vm, VmState


class Machines(CloudTest):
    def test_a_machine_lives(self):
        operation = self.cloud.vms.create(self.draft("life"))
        self.assertFalse(operation.workflow == "")
        seen = [(one.state, one.percent) for one in operation.watch()]
        self.assertEqual(seen[-1], (OperationState.SUCCEEDED, 100))
        self.assertTrue(operation.done and operation.succeeded)
        vm = self.cloud.vms.get(operation.resource_uuid)
        self.assertEqual((vm.name, vm.state, vm.memory_bytes), (f"life-{RUN}", VmState.RUNNING, 64 << 20))
        self.assertEqual(len(vm.addresses), 1)
        self.assertIsNotNone(vm.create_time.tzinfo)
        vm = self.cloud.vms.stop(vm.uuid, force=True).result()
        self.assertEqual(vm.state, VmState.STOPPED)
        vm = self.cloud.vms.start(vm.uuid).result()
        vm = self.cloud.vms.update(vm.uuid, description="it lives", generation=vm.generation)
        self.assertEqual(vm.description, "it lives")
        vm = self.cloud.vms.update(vm.uuid, description="")
        self.assertEqual((vm.name, vm.description), (f"life-{RUN}", ""))
        self.assertEqual(self.cloud.vms.delete(vm.uuid).result().state, VmState.DESTROYED)
        self.assertIsNone(self.cloud.vms.expunge(vm.uuid).result())

    def test_lists_have_filters_orders_and_pages(self):
        names = sorted(self.vm(f"page-{number}").name for number in range(5))
        listed = self.cloud.vms.list(filter=f'name = "*-{RUN}" AND name = "page-*"', order_by="name desc", page_size=2)
        self.assertEqual([vm.name for vm in listed], names[::-1])
        self.assertEqual([len(page.vms) for page in listed.pages()], [2, 2, 1])
        self.assertEqual(listed.first().name, names[-1])
        self.assertEqual(len(listed.page().vms), 2)
        self.assertIsNone(self.cloud.vms.list(filter='name = "nobody"').first())
        found = self.cloud.vms.list(filter=f'uuid = "{listed.first().uuid}" AND state = "RUNNING"').all()
        self.assertEqual(len(found), 1)

    def test_one_request_id_is_one_machine(self):
        wish = str(uuid.uuid4())
        first = self.cloud.vms.create(self.draft("once"), request_id=wish)
        again = self.cloud.vms.create(self.draft("once"), request_id=wish)
        self.assertEqual(first.uuid, again.uuid)
        first.wait()
        self.assertEqual(len(self.cloud.vms.list(filter=f'name = "once-{RUN}"').all()), 1)

    def test_a_console_is_a_stream(self):
        vm = self.vm("console")
        with self.cloud.vms.read_console(vm.uuid, tail_bytes=1024) as stream:
            pieces = list(stream)
        self.assertTrue(all(isinstance(piece.data, bytes) for piece in pieces))

    def test_what_fails_says_why(self):
        draft = self.draft("too-large")
        draft.instance_offering_uuid = ""
        draft.cpu_count, draft.memory_bytes = 200, 1 << 40
        operation = self.cloud.vms.create(draft)
        with self.assertRaises(OperationFailed) as failed:
            operation.result()
        self.assertEqual(failed.exception.reason, "NO_HOST_WITH_ROOM")
        self.assertIs(failed.exception.operation, operation)

    def test_operations_are_read_and_explained(self):
        vm = self.vm("told")
        listed = self.cloud.operations.list(filter=f'resource_uuid = "{vm.uuid}"').first()
        self.assertTrue(listed.refresh().succeeded)
        told = self.cloud.operations.explain(listed.uuid)
        self.assertIn(types.OperationEventKind.ENDED, [event.kind for event in told.events])

    def test_waiting_has_an_end(self):
        operation = self.cloud.vms.create(self.draft("slow"))
        with self.assertRaises(WaitTimeout) as late:
            operation.wait(timeout=0)
        self.assertIs(late.exception.operation, operation)
        self.assertEqual(operation.result(timeout=60).state, VmState.RUNNING)

    def test_an_operation_is_cancelled(self):
        operation = self.cloud.vms.create(self.draft("unwanted"))
        try:
            operation.cancel()
        except errors.FailedPrecondition:
            # it was too fast
            operation.wait()
            return
        operation.wait(timeout=60)
        if not operation.succeeded:
            self.assertEqual(operation.state, OperationState.CANCELLED)
            with self.assertRaises(OperationFailed):
                operation.result()
            self.assertIsNone(self.cloud.vms.list(filter=f'name = "unwanted-{RUN}"').first())

    def test_an_image_is_uploaded_from_a_file(self):
        image = types.Image(name="file", url="upload", format=types.ImageFormat.RAW)
        made = self.cloud.images.create(image).result()
        ready = self.cloud.images.upload(made.uuid, io.BytesIO(bytes(1 << 20))).result()
        self.assertEqual(ready.state, types.ImageState.READY)
        made = self.cloud.images.create(image).result()
        ready = self.cloud.images.upload(made.uuid, (bytes(1 << 18) for _ in range(4))).result()
        self.assertEqual(ready.size_bytes, 1 << 20)


class Questions(CloudTest):
    """What can be asked of resources of any kind."""

    def test_rows_and_groups_of_any_kind(self):
        vm = self.vm("asked")
        mine = f'uuid = "{vm.uuid}"'
        (row,) = self.cloud.query.run("vms", filter=mine, fields=["name", "host.name"]).all()
        self.assertEqual((row["name"], row["host"]["name"]), (vm.name, self.site.host.name))
        (group,) = self.cloud.query.run("vm", filter=mine, group_by=["state"], sum=["memory_bytes"]).all()
        self.assertEqual(int(group["count"]), 1)
        page = self.cloud.vms.list(filter=mine, read_mask=["name"], count=True).page()
        self.assertEqual((page.total_size, page.vms[0].name, page.vms[0].cpu_count), (1, vm.name, 0))

    def test_tags_mark_resources(self):
        draft = self.draft("marked")
        draft.tags = ["env=prod"]
        vm = self.cloud.vms.create(draft).result()
        tag = self.cloud.tags.create(types.Tag(resource_kind="vm", resource_uuid=vm.uuid, text="web"))
        self.assertEqual(sorted(self.cloud.vms.get(vm.uuid).tags), ["env=prod", "web"])
        self.cloud.tags.delete(tag.uuid)
        self.assertEqual(self.cloud.vms.get(vm.uuid).tags, ["env=prod"])

    def test_a_dry_run_shows_what_would_go(self):
        tried = self.cloud.zones.delete(self.site.zone.uuid, validate_only=True, cascade=True)
        self.assertEqual((tried.deletion.nodes[0].kind, tried.deletion.nodes[0].count), ("zone", 1))
        self.assertIn("host", [node.kind for node in tried.deletion.nodes])
        self.assertEqual(self.cloud.zones.get(self.site.zone.uuid), self.site.zone)

    def test_what_changed_is_in_the_log(self):
        zone = self.cloud.zones.create(types.Zone(name="logged"))
        self.cloud.zones.update(zone.uuid, name="renamed")
        changes = self.cloud.changes.list(filter=f'resource_uuid = "{zone.uuid}"', order_by="position").all()
        self.assertEqual([change.after["name"] for change in changes], ["logged", "renamed"])

    def test_a_list_is_followed(self):
        events = self.cloud.follow("zones", filter=f'name = "followed-{RUN}"')
        self.assertEqual(next(events).type, types.WatchEventType.SYNCED)
        zone = self.cloud.zones.create(types.Zone(name=f"followed-{RUN}"))
        added = next(event for event in events if event.uuid)
        self.assertEqual((added.type, added.resource), (types.WatchEventType.ADDED, zone))
        events.close()

    def test_settings_are_set_and_unset(self):
        self.cloud.settings.set("vm.stop-grace", value="45s")
        self.assertEqual(self.cloud.settings.get_effective("vm.stop-grace").value, "45s")
        self.cloud.settings.unset("vm.stop-grace")


class Surface(CloudTest):
    """What holds for every kind and every call."""

    def test_every_kind_is_listed_and_read(self):
        self.vm("surface")
        for kind, attribute in KINDS.items():
            calls = getattr(self.cloud, attribute)
            if not hasattr(calls, "list"):
                continue
            rows = calls.list(page_size=3).page()
            for row in next(iter(vars(rows).values()))[:3]:
                self.assertEqual(self.cloud.resource(kind, row.uuid).uuid, row.uuid, kind)

    def test_every_call_has_a_docstring_and_types(self):
        count = 0
        for attribute, calls in vars(self.cloud).items():
            if type(calls).__module__ != "gyre_client.calls" or isinstance(calls, Services):
                continue
            for name, method in inspect.getmembers(calls, inspect.ismethod):
                if not name.startswith("_"):
                    self.assertTrue(inspect.getdoc(method), f"{attribute}.{name}")
                    self.assertIsNot(inspect.signature(method).return_annotation, inspect.Signature.empty)
                    count += 1
        self.assertGreater(count, 60)

    def test_services_without_a_kind_answer(self):
        self.assertTrue(self.cloud.member.list().members)
        self.assertGreaterEqual(self.cloud.lane.list().total, 0)
        key = self.cloud.callback.get_key()
        self.assertTrue(key.secret.startswith("whsec_"))
        self.assertNotIn(key.secret, repr(key))

    def test_what_is_made_is_a_message(self):
        self.assertEqual(Vm.decode(Vm(name="a", cpu_count=2).encode()), Vm(name="a", cpu_count=2))


del CloudTest
