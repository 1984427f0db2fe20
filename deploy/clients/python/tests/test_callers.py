"""Who calls: signing in, API keys, and what is refused."""

import os
from datetime import datetime, timedelta, timezone

from cloud import ACCOUNT, ENDPOINT, PASSWORD, RUN, CloudTest
from gyre_client import ApiError, Client, ConnectionFailed, errors
from gyre_client.types import Account, ApiKey, Zone


class Callers(CloudTest):
    def test_keys_and_tokens_sign_in(self):
        key = self.cloud.api_keys.create(ApiKey(name="program"))
        self.assertNotIn(key.secret, repr(key))
        with Client(ENDPOINT, api_key=key.secret) as program:
            self.assertEqual(program.api_keys.get(key.uuid).name, "program")
        session = self.cloud.session.create(ACCOUNT, PASSWORD)
        with Client(ENDPOINT, token=session.token) as signed_in:
            self.assertTrue(signed_in.zones.list().all())
        self.cloud.api_keys.delete(key.uuid)

    def test_a_token_that_ends_is_renewed(self):
        self.cloud.zones.list().first()
        self.cloud._token = "not one of Gyre's"
        self.assertTrue(self.cloud.zones.list().all())
        self.cloud._expires = datetime.now(timezone.utc) - timedelta(seconds=1)
        before = self.cloud._token
        self.assertTrue(self.cloud.zones.list().all())
        self.assertNotEqual(self.cloud._token, before)

    def test_the_environment_says_who_calls(self):
        os.environ.update(GYRE_ENDPOINT=ENDPOINT, GYRE_TOKEN=self.cloud.session.create(ACCOUNT, PASSWORD).token)
        try:
            with Client.from_env() as cloud:
                self.assertTrue(cloud.zones.list().all())
        finally:
            del os.environ["GYRE_ENDPOINT"], os.environ["GYRE_TOKEN"]

    def test_strangers_are_refused(self):
        with Client(ENDPOINT) as nobody, self.assertRaises(errors.Unauthenticated) as refused:
            nobody.vms.list().first()
        self.assertEqual(refused.exception.status, 401)
        with Client(ENDPOINT, account=ACCOUNT, password="wrong password") as wrong:
            with self.assertRaises(errors.Unauthenticated):
                wrong.vms.list().first()

    def test_an_account_sees_its_own(self):
        account = self.cloud.accounts.create(Account(name=f"alice-{RUN}", password="several words here"))
        with Client(ENDPOINT).sign_in(f"alice-{RUN}", "several words here") as alice:
            with self.assertRaises(errors.PermissionDenied) as refused:
                alice.zones.create(Zone(name="mine"))
            self.assertEqual(refused.exception.reason, "ADMIN_ONLY")
            self.assertEqual(alice.vms.list().all(), [])
        self.cloud.accounts.disable(account.uuid)

    def test_errors_name_fields(self):
        with self.assertRaises(errors.InvalidArgument) as refused:
            self.cloud.zones.create(Zone(name="x" * 65))
        self.assertEqual([one.field for one in refused.exception.violations], ["zone.name"])
        self.assertEqual((refused.exception.code, refused.exception.status), ("INVALID_ARGUMENT", 400))
        self.assertTrue(refused.exception.trace_id)
        with self.assertRaises(errors.NotFound):
            self.cloud.zones.get("0193f3a0-1111-4222-8333-444455556666")
        zone = self.cloud.zones.create(Zone(name="busy"))
        with self.assertRaises(errors.Aborted) as stale:
            self.cloud.zones.update(zone.uuid, name="busier", generation=99)
        self.assertEqual(stale.exception.reason, "STALE_GENERATION")
        with self.assertRaises(ApiError):
            self.cloud.zones.list(filter="colour = 1").first()
        self.cloud.zones.delete(zone.uuid)

    def test_nobody_at_home(self):
        with Client("http://127.0.0.1:9", tries=2, token="t") as nowhere, self.assertRaises(ConnectionFailed):
            nowhere.zones.list().first()


del CloudTest
