# Made by `gyre manual` from the .proto files; do not edit.
"""The calls of Gyre's API: a class for each kind of resource and for each service without one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Dict, List, Optional

from . import types
from ._call import UNSET, Call, Calls, Source, Unset, given
from .pages import Pages
from .streams import Stream


class Accounts(Calls):
    """Who owns resources and signs in."""

    def create(
        self,
        account: types.Account,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Account:
        """Makes an account.

        account: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/accounts",
            "account",
            types.Account,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateAccountRequest(account=account).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Account:
        """Reads one.

        uuid: Which one (required, the UUID of an account)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/accounts/{uuid}",
            "",
            types.Account,
            timeout=timeout,
        )
        return self._send(_call, types.GetAccountRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Account, types.ListAccountsResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/accounts",
            "",
            types.ListAccountsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListAccountsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "accounts")

    def update(
        self,
        uuid: str,
        *,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        password: Unset[str] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Account:
        """Changes the fields that the mask names.

        uuid: which Account to change
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        password: The password to sign in with, 8 to 256 characters. Only sent, never answered; an
            update changes it
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/accounts/{account.uuid}",
            "account",
            types.Account,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Account,
            description=description,
            generation=generation,
            tags=tags,
            password=password,
        )
        _request = types.UpdateAccountRequest().encode()
        _request["account"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes an account, with its API keys; with `cascade`, all that it owns, too.

        uuid: Which one (required, the UUID of an account)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/accounts/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteAccountRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())

    def enable(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Account:
        """Lets an account sign in again.

        uuid: Which one (required, the UUID of an account)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/accounts/{uuid}:enable",
            "*",
            types.Account,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.EnableAccountRequest(uuid=uuid).encode())

    def disable(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Account:
        """Refuses an account its sign-in, tokens and keys.

        uuid: Which one (required, the UUID of an account)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/accounts/{uuid}:disable",
            "*",
            types.Account,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.DisableAccountRequest(uuid=uuid).encode())


class ApiKeys(Calls):
    """A key for programs, sent as `Authorization: Bearer`."""

    def create(
        self,
        api_key: types.ApiKey,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.ApiKey:
        """Makes a key for the calling account; the answer is the only one that holds the secret. Gyre keeps no
        copy of it: the same request id again answers the same key without its secret. Where the first
        answer was lost, delete the key and make another.

        api_key: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/api-keys",
            "api_key",
            types.ApiKey,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateApiKeyRequest(api_key=api_key).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.ApiKey:
        """Reads one.

        uuid: Which one (required, the UUID of an api-key)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/api-keys/{uuid}",
            "",
            types.ApiKey,
            timeout=timeout,
        )
        return self._send(_call, types.GetApiKeyRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.ApiKey, types.ListApiKeysResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/api-keys",
            "",
            types.ListApiKeysResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListApiKeysRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "api_keys")

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a key; gateways refuse it within five seconds.

        uuid: Which one (required, the UUID of an api-key)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/api-keys/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteApiKeyRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class Changes(Calls):
    """Something that was changed, or that somebody tried to change and was refused. Nobody writes it but
    Gyre, in the same transaction as the change itself.
    """

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Change:
        """Reads one change.

        uuid: The change (required, the UUID of a change)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/changes/{uuid}",
            "",
            types.Change,
            timeout=timeout,
        )
        return self._send(_call, types.GetChangeRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Change, types.ListChangesResponse]:
        """Lists changes, newest first. An account sees those of its own resources, administrators see all.

        filter: Which ones: comparisons of fields, such as `kind = "vm" AND action = UPDATE` or `outcome
            = REFUSED AND time > "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "time"; nothing means the newest first
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/changes",
            "",
            types.ListChangesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListChangesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "changes")


class Clusters(Calls):
    """Hosts alike enough that a machine may run on any of them."""

    def create(
        self,
        cluster: types.Cluster,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Cluster:
        """Makes a cluster.

        cluster: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/clusters",
            "cluster",
            types.Cluster,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateClusterRequest(cluster=cluster).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Cluster:
        """Reads one.

        uuid: Which one (required, the UUID of a cluster)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/clusters/{uuid}",
            "",
            types.Cluster,
            timeout=timeout,
        )
        return self._send(_call, types.GetClusterRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Cluster, types.ListClustersResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/clusters",
            "",
            types.ListClustersResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListClustersRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "clusters")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        cpu_overcommit: Unset[int] = UNSET,
        memory_overcommit: Unset[int] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Cluster:
        """Changes the fields that the mask names.

        uuid: which Cluster to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        cpu_overcommit: How many virtual processors are handed out for each thread of a host, 1 to 64; 0
            means 4
        memory_overcommit: How much memory is handed out for 100 bytes of a host's, 50 to 400; 0 means
            100
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/clusters/{cluster.uuid}",
            "cluster",
            types.Cluster,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Cluster,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
            cpu_overcommit=cpu_overcommit,
            memory_overcommit=memory_overcommit,
        )
        _request = types.UpdateClusterRequest().encode()
        _request["cluster"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a cluster; with `cascade`, its hosts, storage and networks, and the machines on them, too.

        uuid: Which one (required, the UUID of a cluster)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/clusters/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteClusterRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class DeadLetters(Calls):
    """A change that could not be delivered to a webhook within its time. It waits here until it is
    delivered again or deleted. Of one webhook the last 10,000 are kept.
    """

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.DeadLetter:
        """Reads one.

        uuid: Which one (required, the UUID of a dead-letter)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/dead-letters/{uuid}",
            "",
            types.DeadLetter,
            timeout=timeout,
        )
        return self._send(_call, types.GetDeadLetterRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.DeadLetter, types.ListDeadLettersResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `webhook.name = "billing" AND resource_kind =
            "vm"`
        order_by: Fields to sort by, such as "position" or "create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "position,error"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/dead-letters",
            "",
            types.ListDeadLettersResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListDeadLettersRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "dead_letters")

    def redeliver(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.RedeliverDeadLetterResponse:
        """Delivers one again, with as much time as a new change has. It is no dead letter any more, and
        becomes one anew if that fails, too.

        uuid: Which one (required, the UUID of a dead-letter)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/dead-letters/{uuid}:redeliver",
            "*",
            types.RedeliverDeadLetterResponse,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.RedeliverDeadLetterRequest(uuid=uuid).encode())

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes one: it is not delivered any more.

        uuid: Which one (required, the UUID of a dead-letter)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/dead-letters/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteDeadLetterRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class Debts(Calls):
    """What a stuck operation owes: a step that could not be undone, or not be finished past the point of
    no return. What the operation holds (its resource, room, addresses) stays held until it is paid.
    """

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Debt, types.ListDebtsResponse]:
        """Lists debts, newest first.

        filter: Which ones: comparisons of fields, such as `service = "vm" AND awaits_host = true`
        order_by: Fields to sort by, such as "create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/debts",
            "",
            types.ListDebtsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListDebtsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "debts")


class Hosts(Calls):
    """A machine that machines run on, worked by its agent."""

    def create(
        self,
        host: types.Host,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Adds a host: connects to its agent and reads what it has.

        host: What to make (required)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/hosts",
            "host",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.CreateHostRequest(host=host).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Host:
        """Reads one.

        uuid: Which one (required, the UUID of a host)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/hosts/{uuid}",
            "",
            types.Host,
            timeout=timeout,
        )
        return self._send(_call, types.GetHostRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Host, types.ListHostsResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/hosts",
            "",
            types.ListHostsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListHostsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "hosts")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        address: Unset[str] = UNSET,
        reserved_memory_bytes: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Host:
        """Changes the fields that the mask names.

        uuid: which Host to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        address: Where its agent listens: host:port, or "local" for the agent inside the one-process
            node. An agent belongs to one host; only a simulator stands for as many as have its address
            (required)
        reserved_memory_bytes: Memory kept from machines, in bytes
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/hosts/{host.uuid}",
            "host",
            types.Host,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Host,
            name=name,
            description=description,
            generation=generation,
            address=address,
            reserved_memory_bytes=reserved_memory_bytes,
            tags=tags,
        )
        _request = types.UpdateHostRequest().encode()
        _request["host"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Removes a host that no machine is on. Nothing on the host itself is changed, but that its agent may
        be added again.

        uuid: Which one (required, the UUID of a host)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/hosts/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteHostRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())

    def reconnect(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Opens the session with the host's agent anew and reads what runs there.

        uuid: Which one (required, the UUID of a host)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/hosts/{uuid}:reconnect",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.ReconnectHostRequest(uuid=uuid).encode())

    def enable(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Host:
        """Lets new machines be placed on a host.

        uuid: Which one (required, the UUID of a host)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/hosts/{uuid}:enable",
            "*",
            types.Host,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.EnableHostRequest(uuid=uuid).encode())

    def disable(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Host:
        """Places no new machines on a host; those that run there go on.

        uuid: Which one (required, the UUID of a host)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/hosts/{uuid}:disable",
            "*",
            types.Host,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.DisableHostRequest(uuid=uuid).encode())


class Images(Calls):
    """A disk that machines start from."""

    def create(
        self,
        image: types.Image,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Adds an image: fetches it, checks it, and keeps it.

        image: What to make (required)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/images",
            "image",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.CreateImageRequest(image=image).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Image:
        """Reads one.

        uuid: Which one (required, the UUID of an image)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/images/{uuid}",
            "",
            types.Image,
            timeout=timeout,
        )
        return self._send(_call, types.GetImageRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Image, types.ListImagesResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/images",
            "",
            types.ListImagesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListImagesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "images")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        shared: Unset[bool] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Image:
        """Changes the fields that the mask names.

        uuid: which Image to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        shared: Whether every account may start machines from it
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/images/{image.uuid}",
            "image",
            types.Image,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Image,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
            shared=shared,
        )
        _request = types.UpdateImageRequest().encode()
        _request["image"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        expunge: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Puts an image in the bin: no new machine starts from it, and its file stays until it is expunged.
        Machines that started from it keep their disks. One that waits for its upload has nothing to
        recover: it is deleted at once.

        uuid: Which one (required, the UUID of an image)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        expunge: Deletes it for good, whatever state it is in, instead of putting it in the bin
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/images/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteImageRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade, expunge=expunge).encode())

    def recover(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Takes an image out of the bin; it can be used again.

        uuid: Which one (required, the UUID of an image)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/images/{uuid}:recover",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.RecoverImageRequest(uuid=uuid).encode())

    def expunge(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes an image in the bin for good.

        uuid: Which one (required, the UUID of an image)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/images/{uuid}:expunge",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.ExpungeImageRequest(uuid=uuid).encode())

    def upload(
        self,
        uuid: str,
        data: Source,
        *,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Sends the bytes of an image that was made with the URL "upload", then checks and keeps it.

        uuid: The image; needed in the first message only (the UUID of an image)
        data: The next bytes, at most 1 MiB: bytes, an open file, or an iterable of bytes
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/images/{uuid}:upload",
            "*",
            types.Operation,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.UploadImageRequest(uuid=uuid).encode(), data)


class ImageServers(Calls):
    """Where images are kept: a folder on a host, served by its agent."""

    def create(
        self,
        image_server: types.ImageServer,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Adds an image server and prepares its folder.

        image_server: What to make (required)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/image-servers",
            "image_server",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.CreateImageServerRequest(image_server=image_server).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.ImageServer:
        """Reads one.

        uuid: Which one (required, the UUID of an image-server)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/image-servers/{uuid}",
            "",
            types.ImageServer,
            timeout=timeout,
        )
        return self._send(_call, types.GetImageServerRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.ImageServer, types.ListImageServersResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/image-servers",
            "",
            types.ListImageServersResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListImageServersRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "image_servers")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.ImageServer:
        """Changes the fields that the mask names.

        uuid: which ImageServer to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/image-servers/{image_server.uuid}",
            "image_server",
            types.ImageServer,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.ImageServer,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateImageServerRequest().encode()
        _request["imageServer"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Removes an image server that holds no image.

        uuid: Which one (required, the UUID of an image-server)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/image-servers/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteImageServerRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class InstanceOfferings(Calls):
    """A size of machine."""

    def create(
        self,
        instance_offering: types.InstanceOffering,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.InstanceOffering:
        """Makes an offering.

        instance_offering: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/instance-offerings",
            "instance_offering",
            types.InstanceOffering,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateInstanceOfferingRequest(instance_offering=instance_offering).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.InstanceOffering:
        """Reads one.

        uuid: Which one (required, the UUID of an instance-offering)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/instance-offerings/{uuid}",
            "",
            types.InstanceOffering,
            timeout=timeout,
        )
        return self._send(_call, types.GetInstanceOfferingRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.InstanceOffering, types.ListInstanceOfferingsResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/instance-offerings",
            "",
            types.ListInstanceOfferingsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListInstanceOfferingsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "instance_offerings")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.InstanceOffering:
        """Changes the fields that the mask names.

        uuid: which InstanceOffering to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/instance-offerings/{instance_offering.uuid}",
            "instance_offering",
            types.InstanceOffering,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.InstanceOffering,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateInstanceOfferingRequest().encode()
        _request["instanceOffering"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes an offering; machines made from it keep their size.

        uuid: Which one (required, the UUID of an instance-offering)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/instance-offerings/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteInstanceOfferingRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class IpRanges(Calls):
    """Addresses that machines on an L3 network get."""

    def create(
        self,
        ip_range: types.IpRange,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.IpRange:
        """Adds a range. Ranges of one L2 network do not overlap.

        ip_range: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/ip-ranges",
            "ip_range",
            types.IpRange,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateIpRangeRequest(ip_range=ip_range).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.IpRange:
        """Reads one.

        uuid: Which one (required, the UUID of an ip-range)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/ip-ranges/{uuid}",
            "",
            types.IpRange,
            timeout=timeout,
        )
        return self._send(_call, types.GetIpRangeRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.IpRange, types.ListIpRangesResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/ip-ranges",
            "",
            types.ListIpRangesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListIpRangesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "ip_ranges")

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a range of which no address is in use.

        uuid: Which one (required, the UUID of an ip-range)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/ip-ranges/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteIpRangeRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class L2Networks(Calls):
    """What machines are plugged into."""

    def create(
        self,
        l2_network: types.L2Network,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.L2Network:
        """Makes an L2 network.

        l2_network: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/l2-networks",
            "l2_network",
            types.L2Network,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateL2NetworkRequest(l2_network=l2_network).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.L2Network:
        """Reads one.

        uuid: Which one (required, the UUID of a l2-network)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/l2-networks/{uuid}",
            "",
            types.L2Network,
            timeout=timeout,
        )
        return self._send(_call, types.GetL2NetworkRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.L2Network, types.ListL2NetworksResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/l2-networks",
            "",
            types.ListL2NetworksResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListL2NetworksRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "l2_networks")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.L2Network:
        """Changes the fields that the mask names.

        uuid: which L2Network to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/l2-networks/{l2_network.uuid}",
            "l2_network",
            types.L2Network,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.L2Network,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateL2NetworkRequest().encode()
        _request["l2Network"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes an L2 network; with `cascade`, the L3 networks over it, too.

        uuid: Which one (required, the UUID of a l2-network)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/l2-networks/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteL2NetworkRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class L3Networks(Calls):
    """Addresses on an L2 network."""

    def create(
        self,
        l3_network: types.L3Network,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.L3Network:
        """Makes an L3 network.

        l3_network: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/l3-networks",
            "l3_network",
            types.L3Network,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateL3NetworkRequest(l3_network=l3_network).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.L3Network:
        """Reads one.

        uuid: Which one (required, the UUID of a l3-network)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/l3-networks/{uuid}",
            "",
            types.L3Network,
            timeout=timeout,
        )
        return self._send(_call, types.GetL3NetworkRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.L3Network, types.ListL3NetworksResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/l3-networks",
            "",
            types.ListL3NetworksResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListL3NetworksRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "l3_networks")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        dns: Unset[List[str]] = UNSET,
        shared: Unset[bool] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.L3Network:
        """Changes the fields that the mask names.

        uuid: which L3Network to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        dns: The name servers of its machines
        shared: Whether every account may plug machines into it
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/l3-networks/{l3_network.uuid}",
            "l3_network",
            types.L3Network,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.L3Network,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
            dns=dns,
            shared=shared,
        )
        _request = types.UpdateL3NetworkRequest().encode()
        _request["l3Network"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes an L3 network that no machine is plugged into, with its IP ranges.

        uuid: Which one (required, the UUID of a l3-network)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/l3-networks/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteL3NetworkRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class Nics(Calls):
    """A network interface of a machine. It comes with its machine and goes with it; only its name,
    description and tags are changed by calls.
    """

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Nic:
        """Reads one.

        uuid: Which one (required, the UUID of a nic)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/nics/{uuid}",
            "",
            types.Nic,
            timeout=timeout,
        )
        return self._send(_call, types.GetNicRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Nic, types.ListNicsResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/nics",
            "",
            types.ListNicsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListNicsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "nics")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Nic:
        """Changes the fields that the mask names.

        uuid: which Nic to change
        name: A name for people; it need not be unique. At first its place in the machine: "nic-0",
            "nic-1" (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/nics/{nic.uuid}",
            "nic",
            types.Nic,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Nic,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateNicRequest().encode()
        _request["nic"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)


class Operations(Calls):
    """A piece of work on one resource. It is durable before its caller hears of it, and either succeeds or
    is undone.
    """

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Reads an operation.

        uuid: The operation (required, the UUID of an operation)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/operations/{uuid}",
            "",
            types.Operation,
            timeout=timeout,
        )
        return self._send(_call, types.GetOperationRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Operation, types.ListOperationsResponse]:
        """Lists operations, newest first.

        filter: Which ones: comparisons of fields, such as `state = "RUNNING" AND resource_kind = "vm"`
        order_by: Fields to sort by, such as "create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/operations",
            "",
            types.ListOperationsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListOperationsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "operations")

    def watch(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> Stream[types.Operation]:
        """Streams an operation: as it is now, then at every change and progress, until it ends.

        uuid: The operation (required, the UUID of an operation)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/operations/{uuid}:watch",
            "",
            types.Operation,
            timeout=timeout,
        )
        return self._stream(_call, types.WatchOperationRequest(uuid=uuid).encode())

    def wait(
        self,
        uuid: str,
        *,
        timeout: Optional[timedelta] = None,
        call_timeout: Optional[float] = None,
    ) -> types.Operation:
        """Waits until an operation ends or the time is up, and answers it as it is then.

        uuid: The operation (required, the UUID of an operation)
        timeout: How long to wait at most; nothing means until the call's own deadline
        call_timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/operations/{uuid}:wait",
            "*",
            types.Operation,
            timeout=call_timeout,
        )
        return self._send(_call, types.WaitOperationRequest(uuid=uuid, timeout=timeout).encode())

    def cancel(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Asks an operation to stop and undo itself. One past its point of no return is refused.

        uuid: The operation (required, the UUID of an operation)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/operations/{uuid}:cancel",
            "*",
            types.Operation,
            timeout=timeout,
        )
        return self._send(_call, types.CancelOperationRequest(uuid=uuid).encode())

    def explain(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.ExplainOperationResponse:
        """Tells what happened to an operation: every step, where it ran, how long it took, what was tried
        again or undone. What is here of a running operation may be ahead of what is durable.

        uuid: The operation (required, the UUID of an operation)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/operations/{uuid}:explain",
            "",
            types.ExplainOperationResponse,
            timeout=timeout,
        )
        return self._send(_call, types.ExplainOperationRequest(uuid=uuid).encode())

    def retry(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Tries a stuck operation again now, instead of when its time comes. One that is not stuck is refused.

        uuid: The operation (required, the UUID of an operation)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/operations/{uuid}:retry",
            "*",
            types.Operation,
            timeout=timeout,
        )
        return self._send(_call, types.RetryOperationRequest(uuid=uuid).encode())


class Policies(Calls):
    """Denies or allows calls of an account, or of one of its API keys. What a DENY matches is refused.
    Where there is an ALLOW, what none of them matches is refused, too; those of one owner for the same
    subject are looked at together. Without policies everything is allowed that the account may do at
    all.
    """

    def create(
        self,
        policy: types.Policy,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Policy:
        """Makes a policy. It binds calls that come five seconds later, and may bind earlier ones.

        policy: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/policies",
            "policy",
            types.Policy,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreatePolicyRequest(policy=policy).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Policy:
        """Reads one.

        uuid: Which one (required, the UUID of a policy)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/policies/{uuid}",
            "",
            types.Policy,
            timeout=timeout,
        )
        return self._send(_call, types.GetPolicyRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Policy, types.ListPoliciesResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `effect = DENY AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,effect"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/policies",
            "",
            types.ListPoliciesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListPoliciesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "policies")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        effect: Unset[types.PolicyEffect] = UNSET,
        actions: Unset[List[str]] = UNSET,
        resource_kind: Unset[str] = UNSET,
        filter: Unset[str] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Policy:
        """Changes the fields that the mask names.

        uuid: which Policy to change
        name: A name for people, which refusals tell; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        effect: Whether it denies or allows (required)
        actions: Which calls: actions such as "vm:StopVm", where "*" stands for anything: "vm:*",
            "*:Get*" (required)
        resource_kind: The kind of resource that `filter` is about, such as "vm"
        filter: Which resources, with `resource_kind`: any filter of a list of that kind, such as
            `tags:"env=prod"`. The policy is about calls that name one such resource by its UUID then, and
            about no others: it does not shorten lists, and a resource that is to be made is none yet. It is
            asked in the name of the policy's owner
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/policies/{policy.uuid}",
            "policy",
            types.Policy,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Policy,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
            effect=effect,
            actions=actions,
            resource_kind=resource_kind,
            filter=filter,
        )
        _request = types.UpdatePolicyRequest().encode()
        _request["policy"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a policy.

        uuid: Which one (required, the UUID of a policy)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/policies/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeletePolicyRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class PrimaryStorages(Calls):
    """Where the disks of machines live."""

    def create(
        self,
        primary_storage: types.PrimaryStorage,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Adds primary storage and prepares it on every connected host of its cluster.

        primary_storage: What to make (required)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/primary-storages",
            "primary_storage",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.CreatePrimaryStorageRequest(primary_storage=primary_storage).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.PrimaryStorage:
        """Reads one.

        uuid: Which one (required, the UUID of a primary-storage)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/primary-storages/{uuid}",
            "",
            types.PrimaryStorage,
            timeout=timeout,
        )
        return self._send(_call, types.GetPrimaryStorageRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.PrimaryStorage, types.ListPrimaryStoragesResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/primary-storages",
            "",
            types.ListPrimaryStoragesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListPrimaryStoragesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "primary_storages")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        overcommit: Unset[int] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.PrimaryStorage:
        """Changes the fields that the mask names.

        uuid: which PrimaryStorage to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        overcommit: How many bytes of disks are promised for 100 bytes of room, 50 to 1000; 0 means 200
            (disks are thin)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/primary-storages/{primary_storage.uuid}",
            "primary_storage",
            types.PrimaryStorage,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.PrimaryStorage,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
            overcommit=overcommit,
        )
        _request = types.UpdatePrimaryStorageRequest().encode()
        _request["primaryStorage"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Removes primary storage that holds no disk.

        uuid: Which one (required, the UUID of a primary-storage)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/primary-storages/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeletePrimaryStorageRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class Settings(Calls):
    """A value of a setting, for the whole cloud or nearer. Which settings there are is declared in the
    .proto files of the services.
    """

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Setting, types.ListSettingsResponse]:
        """Lists the values that are set, as far as the caller sees them.

        filter: Which ones: comparisons of fields, such as `name = "vm.*" AND scope = CLUSTER`
        order_by: Fields to sort by, such as "name, update_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/settings",
            "",
            types.ListSettingsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListSettingsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "settings")

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Setting:
        """Reads one value that is set.

        uuid: Which one (required, the UUID of a setting)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/settings/{uuid}",
            "",
            types.Setting,
            timeout=timeout,
        )
        return self._send(_call, types.GetSettingRequest(uuid=uuid).encode())

    def set(
        self,
        name: str,
        *,
        value: str = "",
        resource_kind: str = "",
        resource_uuid: str = "",
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Setting:
        """Sets a value: for the whole cloud, or for the zone, cluster, account or resource that is named. It
        holds at once.

        name: The setting, such as "vm.stop-grace" (required)
        value: The value, as people write it: "45s", "4GiB", "true"
        resource_kind: The kind of what it is to hold for: "zone", "cluster", "account", or a kind of
            resource. Empty: the whole cloud
        resource_uuid: What it is to hold for (a UUID)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/settings",
            "*",
            types.Setting,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.SetSettingRequest(name=name, value=value, resource_kind=resource_kind, resource_uuid=resource_uuid).encode())

    def unset(
        self,
        name: str,
        *,
        resource_kind: str = "",
        resource_uuid: str = "",
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.UnsetSettingResponse:
        """Takes a value away: what is next nearest holds then. None is fine.

        name: The setting (required)
        resource_kind: The kind of what it holds for. Empty: the whole cloud
        resource_uuid: What it holds for (a UUID)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/settings:unset",
            "*",
            types.UnsetSettingResponse,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.UnsetSettingRequest(name=name, resource_kind=resource_kind, resource_uuid=resource_uuid).encode())

    def get_effective(
        self,
        name: str,
        *,
        resource_kind: str = "",
        resource_uuid: str = "",
        timeout: Optional[float] = None,
    ) -> types.EffectiveSetting:
        """Tells which value holds for something, and where it comes from.

        name: The setting (required)
        resource_kind: The kind of what is asked about: "vm", "cluster". Empty: the whole cloud
        resource_uuid: What is asked about (a UUID)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/settings/{name}:effective",
            "",
            types.EffectiveSetting,
            timeout=timeout,
        )
        return self._send(_call, types.GetEffectiveSettingRequest(name=name, resource_kind=resource_kind, resource_uuid=resource_uuid).encode())

    def list_declared(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> types.ListDeclaredSettingsResponse:
        """Lists all settings that there are, with their bounds and defaults.

        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/declaredSettings",
            "",
            types.ListDeclaredSettingsResponse,
            timeout=timeout,
        )
        return self._send(_call, types.ListDeclaredSettingsRequest().encode())


class Tags(Calls):
    """A tag: a mark on a resource, "key=value" or a plain word. Who may change the resource may tag it,
    and who sees it sees its tags.
    """

    def create(
        self,
        tag: types.Tag,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Tag:
        """Puts a tag on a resource.

        tag: What to put on which (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/tags",
            "tag",
            types.Tag,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateTagRequest(tag=tag).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Tag:
        """Reads one.

        uuid: Which one (required, the UUID of a tag)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/tags/{uuid}",
            "",
            types.Tag,
            timeout=timeout,
        )
        return self._send(_call, types.GetTagRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Tag, types.ListTagsResponse]:
        """Lists the tags of all resources that the caller sees.

        filter: Which ones: comparisons of fields, such as `resource_kind = "vm" AND key = "env"`
        order_by: Fields to sort by, such as "text, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/tags",
            "",
            types.ListTagsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListTagsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "tags")

    def delete(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.DeleteTagResponse:
        """Takes a tag off its resource.

        uuid: Which one (required, the UUID of a tag)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/tags/{uuid}",
            "",
            types.DeleteTagResponse,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteTagRequest(uuid=uuid).encode())


class Vms(Calls):
    """A virtual machine."""

    def create(
        self,
        vm: types.Vm,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Makes a machine and starts it.

        vm: What to make (required)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms",
            "vm",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.CreateVmRequest(vm=vm).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Vm:
        """Reads one.

        uuid: Which one (required, the UUID of a vm)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/vms/{uuid}",
            "",
            types.Vm,
            timeout=timeout,
        )
        return self._send(_call, types.GetVmRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Vm, types.ListVmsResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/vms",
            "",
            types.ListVmsResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListVmsRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "vms")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Vm:
        """Changes the fields that the mask names.

        uuid: which Vm to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/vms/{vm.uuid}",
            "vm",
            types.Vm,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Vm,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateVmRequest().encode()
        _request["vm"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        expunge: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Puts a machine in the bin: stops it and keeps its disk until it is expunged.

        uuid: Which one (required, the UUID of a vm)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        expunge: Deletes it for good, whatever state it is in, instead of putting it in the bin
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/vms/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteVmRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade, expunge=expunge).encode())

    def start(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Starts a stopped machine, on the host that holds its root volume.

        uuid: Which one (required, the UUID of a vm)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms/{uuid}:start",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.StartVmRequest(uuid=uuid).encode())

    def stop(
        self,
        uuid: str,
        *,
        force: bool = False,
        grace_seconds: int = 0,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Stops a machine: presses the power button, and after the grace period pulls the plug.

        uuid: Which one (required, the UUID of a vm)
        force: Pulls the plug at once
        grace_seconds: How long the guest may take to shut down, in seconds, 0 to 3600; 0 means what the
            setting vm.stop-grace says
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms/{uuid}:stop",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.StopVmRequest(uuid=uuid, force=force, grace_seconds=grace_seconds).encode())

    def reboot(
        self,
        uuid: str,
        *,
        force: bool = False,
        grace_seconds: int = 0,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Restarts a machine: shuts it down and starts it again, or resets it.

        uuid: Which one (required, the UUID of a vm)
        force: Resets at once instead of asking the guest
        grace_seconds: How long the guest may take to shut down, in seconds, 0 to 3600; 0 means what the
            setting vm.stop-grace says
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms/{uuid}:reboot",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.RebootVmRequest(uuid=uuid, force=force, grace_seconds=grace_seconds).encode())

    def recover(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Takes a machine out of the bin; it is stopped then.

        uuid: Which one (required, the UUID of a vm)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms/{uuid}:recover",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.RecoverVmRequest(uuid=uuid).encode())

    def expunge(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a machine in the bin for good, with its root volume and addresses.

        uuid: Which one (required, the UUID of a vm)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms/{uuid}:expunge",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.ExpungeVmRequest(uuid=uuid).encode())

    def read_console(
        self,
        uuid: str,
        *,
        tail_bytes: int = 0,
        follow: bool = False,
        timeout: Optional[float] = None,
    ) -> Stream[types.ReadVmConsoleResponse]:
        """Reads the serial console: what was printed lately, then, while it is followed, what is printed.

        uuid: The machine (required, the UUID of a vm)
        tail_bytes: How much of what was printed before to begin with, in bytes, at most 1 MiB; 0 means
            64 KiB
        follow: Goes on with what is printed from now on
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/vms/{uuid}:console",
            "",
            types.ReadVmConsoleResponse,
            timeout=timeout,
        )
        return self._stream(_call, types.ReadVmConsoleRequest(uuid=uuid, tail_bytes=tail_bytes, follow=follow).encode())

    def write_console(
        self,
        uuid: str,
        data: bytes,
        *,
        timeout: Optional[float] = None,
    ) -> types.WriteVmConsoleResponse:
        """Types into the serial console.

        uuid: The machine (required, the UUID of a vm)
        data: What to type, at most 4 KiB (required)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/vms/{uuid}:typeConsole",
            "*",
            types.WriteVmConsoleResponse,
            timeout=timeout,
        )
        return self._send(_call, types.WriteVmConsoleRequest(uuid=uuid, data=data).encode())


class Volumes(Calls):
    """A disk."""

    def create(
        self,
        volume: types.Volume,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Makes an empty data volume (qcow2, thin).

        volume: What to make (required)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/volumes",
            "volume",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.CreateVolumeRequest(volume=volume).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Volume:
        """Reads one.

        uuid: Which one (required, the UUID of a volume)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/volumes/{uuid}",
            "",
            types.Volume,
            timeout=timeout,
        )
        return self._send(_call, types.GetVolumeRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Volume, types.ListVolumesResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/volumes",
            "",
            types.ListVolumesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListVolumesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "volumes")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Volume:
        """Changes the fields that the mask names.

        uuid: which Volume to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/volumes/{volume.uuid}",
            "volume",
            types.Volume,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Volume,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateVolumeRequest().encode()
        _request["volume"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        expunge: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Puts a data volume in the bin: nothing can use it, and its file and room stay until it is expunged.

        uuid: Which one (required, the UUID of a volume)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        expunge: Deletes it for good, whatever state it is in, instead of putting it in the bin
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/volumes/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteVolumeRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade, expunge=expunge).encode())

    def recover(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Takes a data volume out of the bin; it can be used again.

        uuid: Which one (required, the UUID of a volume)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/volumes/{uuid}:recover",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.RecoverVolumeRequest(uuid=uuid).encode())

    def expunge(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a data volume in the bin for good.

        uuid: Which one (required, the UUID of a volume)
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/volumes/{uuid}:expunge",
            "*",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.ExpungeVolumeRequest(uuid=uuid).encode())


class Webhooks(Calls):
    """A URL that changes are posted to: those that its account sees in the log of changes, as far as
    `kinds` and the filters let them through. Each is delivered at least once, those of one resource in
    their order.
    """

    def create(
        self,
        webhook: types.Webhook,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Webhook:
        """Makes a webhook for the calling account. It is told of what changes from now on. The answer is the
        only one that holds the secret: the same request id again answers the same webhook without it.

        webhook: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/webhooks",
            "webhook",
            types.Webhook,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateWebhookRequest(webhook=webhook).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Webhook:
        """Reads one.

        uuid: Which one (required, the UUID of a webhook)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/webhooks/{uuid}",
            "",
            types.Webhook,
            timeout=timeout,
        )
        return self._send(_call, types.GetWebhookRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Webhook, types.ListWebhooksResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `state = FAILING AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/webhooks",
            "",
            types.ListWebhooksResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListWebhooksRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "webhooks")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        url: Unset[str] = UNSET,
        kinds: Unset[List[str]] = UNSET,
        filter: Unset[str] = UNSET,
        resource_filter: Unset[str] = UNSET,
        disabled: Unset[bool] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Webhook:
        """Changes the fields that the mask names. Deliveries that wait go where the webhook points now.

        uuid: which Webhook to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        url: Where changes are posted, http or https. The operator says where requests may go
            (`--callback-allow`) (required)
        kinds: The kinds of resources whose changes are wanted, such as "vm"; all where it is empty
        filter: Which changes: comparisons of a change's own fields, such as `action IN (CREATE, DELETE)
            AND outcome = DONE`
        resource_filter: Which resources, with one kind in `kinds`: comparisons of the resource's own
            fields, such as `state = RUNNING`. A change is delivered where they hold before it or after it,
            so that what leaves the list is told, too
        disabled: Sends nothing while it is true; what changes meanwhile is sent afterwards
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/webhooks/{webhook.uuid}",
            "webhook",
            types.Webhook,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Webhook,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
            url=url,
            kinds=kinds,
            filter=filter,
            resource_filter=resource_filter,
            disabled=disabled,
        )
        _request = types.UpdateWebhookRequest().encode()
        _request["webhook"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a webhook, with its dead letters and all that waits to be delivered.

        uuid: Which one (required, the UUID of a webhook)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/webhooks/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteWebhookRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())

    def test(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.TestWebhookResponse:
        """Posts a ping at once, signed like everything else, and answers what became of it. It is not tried
        again.

        uuid: To which one (required, the UUID of a webhook)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/webhooks/{uuid}:test",
            "*",
            types.TestWebhookResponse,
            timeout=timeout,
        )
        return self._send(_call, types.TestWebhookRequest(uuid=uuid).encode())

    def rotate_secret(
        self,
        uuid: str,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Webhook:
        """Makes a new key and answers it, once. Deliveries are signed with both, the new one and the one
        before, for 24 hours.

        uuid: Of which one (required, the UUID of a webhook)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/webhooks/{uuid}:rotateSecret",
            "*",
            types.Webhook,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.RotateWebhookSecretRequest(uuid=uuid).encode())

    def redeliver_dead_letters(
        self,
        uuid: str,
        *,
        filter: str = "",
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.RedeliverDeadLettersResponse:
        """Delivers dead letters of a webhook again: all of them, or those that a filter lets through.

        uuid: Of which webhook (required, the UUID of a webhook)
        filter: Which dead letters: comparisons of their fields, such as `resource_kind = "vm"`; all
            where it is empty
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/webhooks/{uuid}:redeliver",
            "*",
            types.RedeliverDeadLettersResponse,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.RedeliverDeadLettersRequest(uuid=uuid, filter=filter).encode())


class Zones(Calls):
    """A place that fails on its own: a building, a room. Clusters stand in it."""

    def create(
        self,
        zone: types.Zone,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Zone:
        """Makes a zone.

        zone: What to make (required)
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/zones",
            "zone",
            types.Zone,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.CreateZoneRequest(zone=zone).encode())

    def get(
        self,
        uuid: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.Zone:
        """Reads one.

        uuid: Which one (required, the UUID of a zone)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/zones/{uuid}",
            "",
            types.Zone,
            timeout=timeout,
        )
        return self._send(_call, types.GetZoneRequest(uuid=uuid).encode())

    def list(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        read_mask: Optional[List[str]] = None,
        count: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[types.Zone, types.ListZonesResponse]:
        """Lists them.

        filter: Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
            "2026-01-01T00:00:00Z"`
        order_by: Fields to sort by, such as "name, create_time desc"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        read_mask: The fields to answer, such as "name,state"; all of them where it is empty
        count: Counts all that the filter lets through, too, and answers `total_size`
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/zones",
            "",
            types.ListZonesResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.ListZonesRequest(filter=filter, order_by=order_by, page_size=page_size, read_mask=read_mask or [], count=count), "zones")

    def update(
        self,
        uuid: str,
        *,
        name: Unset[str] = UNSET,
        description: Unset[str] = UNSET,
        generation: Unset[int] = UNSET,
        tags: Unset[List[str]] = UNSET,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Zone:
        """Changes the fields that the mask names.

        uuid: which Zone to change
        name: A name for people; it need not be unique (required)
        description: What it is for
        generation: the one that was read: the change is refused when another came first
        tags: Marks of people and programs: "key=value" or a plain word each. An update that names this
            field puts the whole list in the place of the one that was there; `CreateTag` and `DeleteTag`
            change one
        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "PATCH",
            "/v1/zones/{zone.uuid}",
            "zone",
            types.Zone,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        _changes = given(
            types.Zone,
            name=name,
            description=description,
            generation=generation,
            tags=tags,
        )
        _request = types.UpdateZoneRequest().encode()
        _request["zone"] = {**_changes, "uuid": uuid}
        return self._send(_call, _request)

    def delete(
        self,
        uuid: str,
        *,
        validate_only: bool = False,
        force: bool = False,
        cascade: bool = False,
        request_id: Optional[str] = None,
        callback: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.Operation:
        """Deletes a zone; with `cascade`, all that is in it, too.

        uuid: Which one (required, the UUID of a zone)
        validate_only: Deletes nothing, and answers an operation whose `deletion` shows all that would
            go, be detached, or forbids it
        force: Goes on past hosts that are away: what is to be done there is owed, and done when they
            are back
        cascade: Deletes what depends on it, too; without it, a deletion that would take something else
            along is refused
        request_id: names this wish: the same id again is the same wish
        callback: the URL that the finished operation is posted to
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "DELETE",
            "/v1/zones/{uuid}",
            "",
            types.Operation,
            request_id=request_id,
            named=True,
            callback=callback,
            timeout=timeout,
        )
        return self._send(_call, types.DeleteZoneRequest(uuid=uuid, validate_only=validate_only, force=force, cascade=cascade).encode())


class CallbackCalls(Calls):
    """Callbacks: the key that they are signed with."""

    def get_key(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> types.CallbackKey:
        """Answers the key of the calling account; the first call makes it.

        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/callbackKey",
            "",
            types.CallbackKey,
            timeout=timeout,
        )
        return self._send(_call, types.GetCallbackKeyRequest().encode())

    def rotate_key(
        self,
        *,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> types.CallbackKey:
        """Makes a new key for the calling account. Callbacks are signed with both, the new one and the one
        before, for 24 hours.

        request_id: names this wish: the same id again is the same wish
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/callbackKey:rotate",
            "*",
            types.CallbackKey,
            request_id=request_id,
            named=True,
            timeout=timeout,
        )
        return self._send(_call, types.RotateCallbackKeyRequest().encode())


class LaneCalls(Calls):
    """Lanes with work."""

    def list(
        self,
        *,
        service: str = "",
        key_uuid: str = "",
        max_lanes: int = 0,
        here: bool = False,
        timeout: Optional[float] = None,
    ) -> types.ListLanesResponse:
        """Lists the lanes with work in the whole mesh, those with the longest wait first: the member that
        answers asks all others.

        service: Only the lanes of this service, such as "vm"
        key_uuid: Only the lanes of this resource or host (a UUID)
        max_lanes: Most lanes in the answer, 1 to 10000; 0 means 1000
        here: Only what the instance that is asked works itself: how members ask each other
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/lanes",
            "",
            types.ListLanesResponse,
            timeout=timeout,
        )
        return self._send(_call, types.ListLanesRequest(service=service, key_uuid=key_uuid, max_lanes=max_lanes, here=here).encode())


class MemberCalls(Calls):
    """The members of the mesh, as the answering gateway sees them."""

    def list(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> types.ListMembersResponse:
        """Lists the members and the epoch of the ring.

        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/members",
            "",
            types.ListMembersResponse,
            timeout=timeout,
        )
        return self._send(_call, types.ListMembersRequest().encode())


class QueryCalls(Calls):
    """Questions about resources of any kind, with fields of what they refer to, groups and sums."""

    def run(
        self,
        kind: str,
        *,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        fields: Optional[List[str]] = None,
        group_by: Optional[List[str]] = None,
        sum: Optional[List[str]] = None,
        min: Optional[List[str]] = None,
        max: Optional[List[str]] = None,
        count: bool = False,
        explain: bool = False,
        timeout: Optional[float] = None,
    ) -> Pages[Dict[str, Any], types.QueryResponse]:
        """Reads rows of a kind, or groups of them with sums, or the plan of how that would be found out.

        kind: The kind, or its plural: "vm", "vms" (required)
        filter: Which rows, such as `host.cluster.zone.name = "east" AND state = RUNNING`
        order_by: What to sort by, such as "host.name, create_time desc"; of groups also "count desc"
            and "sum.memory_bytes"
        page_size: Most rows in the answer, 1 to 1000; 0 means 100
        fields: The fields to answer, of the rows and of what they refer to, such as "name" and
            "host.name"; all of the rows' own where there are none
        group_by: Answers groups in place of rows: those that have these fields alike, each with its
            `count`
        sum: Numbers to sum up in each group, or over all rows where they are not grouped
        min: Fields whose smallest value is wanted
        max: Fields whose largest value is wanted
        count: Counts all rows, or groups, too, and answers `total_size`
        explain: Answers how it would be found out, and nothing else
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/query",
            "*",
            types.QueryResponse,
            timeout=timeout,
        )
        return self._pages(_call, types.QueryRequest(kind=kind, filter=filter, order_by=order_by, page_size=page_size, fields=fields or [], group_by=group_by or [], sum=sum or [], min=min or [], max=max or [], count=count, explain=explain), "rows")


class SessionCalls(Calls):
    """Signing in."""

    def create(
        self,
        account: str,
        password: str,
        *,
        timeout: Optional[float] = None,
    ) -> types.CreateSessionResponse:
        """Exchanges a name and a password for a short-lived token.

        account: The name of the account (required)
        password: Its password (required)
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "POST",
            "/v1/sessions",
            "*",
            types.CreateSessionResponse,
            timeout=timeout,
        )
        return self._send(_call, types.CreateSessionRequest(account=account, password=password).encode())


class WatchCalls(Calls):
    """Lists as live streams."""

    def run(
        self,
        kind: str,
        *,
        filter: str = "",
        position: str = "",
        timeout: Optional[float] = None,
    ) -> Stream[types.WatchResponse]:
        """Streams a list: first what is in it, then what comes in, changes there, and leaves, as far as the
        caller may see it. A stream that broke is gone on with from the position of its last event, at any
        instance.

        kind: The kind, or its plural: "vm", "vms" (required)
        filter: Which ones, as in a list; `uuid = "…"` is one resource
        position: Where to go on: the position of the last event that was taken. Over HTTP the header
            Last-Event-ID says the same
        timeout: seconds that the call may take, with all its tries
        """
        _call = Call(
            "GET",
            "/v1/{kind}:watch",
            "",
            types.WatchResponse,
            timeout=timeout,
        )
        return self._stream(_call, types.WatchRequest(kind=kind, filter=filter, position=position).encode())


class Services:
    """Every kind and every service, as attributes of a client."""

    def __init__(self, client: Any) -> None:
        self.accounts = Accounts(client)
        self.api_keys = ApiKeys(client)
        self.changes = Changes(client)
        self.clusters = Clusters(client)
        self.dead_letters = DeadLetters(client)
        self.debts = Debts(client)
        self.hosts = Hosts(client)
        self.images = Images(client)
        self.image_servers = ImageServers(client)
        self.instance_offerings = InstanceOfferings(client)
        self.ip_ranges = IpRanges(client)
        self.l2_networks = L2Networks(client)
        self.l3_networks = L3Networks(client)
        self.nics = Nics(client)
        self.operations = Operations(client)
        self.policies = Policies(client)
        self.primary_storages = PrimaryStorages(client)
        self.settings = Settings(client)
        self.tags = Tags(client)
        self.vms = Vms(client)
        self.volumes = Volumes(client)
        self.webhooks = Webhooks(client)
        self.zones = Zones(client)
        self.callback = CallbackCalls(client)
        self.lane = LaneCalls(client)
        self.member = MemberCalls(client)
        self.query = QueryCalls(client)
        self.session = SessionCalls(client)
        self.watch = WatchCalls(client)


KINDS: Dict[str, str] = {
    "account": "accounts",
    "api-key": "api_keys",
    "change": "changes",
    "cluster": "clusters",
    "dead-letter": "dead_letters",
    "host": "hosts",
    "image": "images",
    "image-server": "image_servers",
    "instance-offering": "instance_offerings",
    "ip-range": "ip_ranges",
    "l2-network": "l2_networks",
    "l3-network": "l3_networks",
    "nic": "nics",
    "operation": "operations",
    "policy": "policies",
    "primary-storage": "primary_storages",
    "setting": "settings",
    "tag": "tags",
    "vm": "vms",
    "volume": "volumes",
    "webhook": "webhooks",
    "zone": "zones",
}
"""From each kind that can be read to the attribute with its calls."""
