# Made by `gyre manual` from the .proto files; do not edit.
"""The messages of Gyre's API as dataclasses, and its enums. A field without a value has the zero of its type."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as _field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Dict, List, Optional

from ._wire import SECRET, Message, OpenEnum, Wire
from .operations import OperationMethods

__all__ = [
    "Account",
    "AccountState",
    "AccountType",
    "ApiKey",
    "CallbackKey",
    "CallbackState",
    "CancelOperationRequest",
    "Change",
    "ChangeAction",
    "ChangeOutcome",
    "Cluster",
    "CreateAccountRequest",
    "CreateApiKeyRequest",
    "CreateClusterRequest",
    "CreateHostRequest",
    "CreateImageRequest",
    "CreateImageServerRequest",
    "CreateInstanceOfferingRequest",
    "CreateIpRangeRequest",
    "CreateL2NetworkRequest",
    "CreateL3NetworkRequest",
    "CreatePolicyRequest",
    "CreatePrimaryStorageRequest",
    "CreateSessionRequest",
    "CreateSessionResponse",
    "CreateTagRequest",
    "CreateVmRequest",
    "CreateVolumeRequest",
    "CreateWebhookRequest",
    "CreateZoneRequest",
    "DeadLetter",
    "Debt",
    "DeclaredSetting",
    "DeleteAccountRequest",
    "DeleteApiKeyRequest",
    "DeleteClusterRequest",
    "DeleteDeadLetterRequest",
    "DeleteHostRequest",
    "DeleteImageRequest",
    "DeleteImageServerRequest",
    "DeleteInstanceOfferingRequest",
    "DeleteIpRangeRequest",
    "DeleteL2NetworkRequest",
    "DeleteL3NetworkRequest",
    "DeletePolicyRequest",
    "DeletePrimaryStorageRequest",
    "DeleteTagRequest",
    "DeleteTagResponse",
    "DeleteVmRequest",
    "DeleteVolumeRequest",
    "DeleteWebhookRequest",
    "DeleteZoneRequest",
    "Deletion",
    "DeletionEffect",
    "DeletionItem",
    "DeletionNode",
    "DisableAccountRequest",
    "DisableHostRequest",
    "EffectiveSetting",
    "EnableAccountRequest",
    "EnableHostRequest",
    "Error",
    "ExplainOperationRequest",
    "ExplainOperationResponse",
    "ExpungeImageRequest",
    "ExpungeVmRequest",
    "ExpungeVolumeRequest",
    "FieldViolation",
    "GetAccountRequest",
    "GetApiKeyRequest",
    "GetCallbackKeyRequest",
    "GetChangeRequest",
    "GetClusterRequest",
    "GetDeadLetterRequest",
    "GetEffectiveSettingRequest",
    "GetHostRequest",
    "GetImageRequest",
    "GetImageServerRequest",
    "GetInstanceOfferingRequest",
    "GetIpRangeRequest",
    "GetL2NetworkRequest",
    "GetL3NetworkRequest",
    "GetNicRequest",
    "GetOperationRequest",
    "GetPolicyRequest",
    "GetPrimaryStorageRequest",
    "GetSettingRequest",
    "GetTagRequest",
    "GetVmRequest",
    "GetVolumeRequest",
    "GetWebhookRequest",
    "GetZoneRequest",
    "Host",
    "HostState",
    "HostStatus",
    "Image",
    "ImageFormat",
    "ImageServer",
    "ImageState",
    "InstanceOffering",
    "IpRange",
    "L2Network",
    "L2NetworkType",
    "L3Network",
    "Lane",
    "LaneKind",
    "ListAccountsRequest",
    "ListAccountsResponse",
    "ListApiKeysRequest",
    "ListApiKeysResponse",
    "ListChangesRequest",
    "ListChangesResponse",
    "ListClustersRequest",
    "ListClustersResponse",
    "ListDeadLettersRequest",
    "ListDeadLettersResponse",
    "ListDebtsRequest",
    "ListDebtsResponse",
    "ListDeclaredSettingsRequest",
    "ListDeclaredSettingsResponse",
    "ListHostsRequest",
    "ListHostsResponse",
    "ListImageServersRequest",
    "ListImageServersResponse",
    "ListImagesRequest",
    "ListImagesResponse",
    "ListInstanceOfferingsRequest",
    "ListInstanceOfferingsResponse",
    "ListIpRangesRequest",
    "ListIpRangesResponse",
    "ListL2NetworksRequest",
    "ListL2NetworksResponse",
    "ListL3NetworksRequest",
    "ListL3NetworksResponse",
    "ListLanesRequest",
    "ListLanesResponse",
    "ListMembersRequest",
    "ListMembersResponse",
    "ListNicsRequest",
    "ListNicsResponse",
    "ListOperationsRequest",
    "ListOperationsResponse",
    "ListPoliciesRequest",
    "ListPoliciesResponse",
    "ListPrimaryStoragesRequest",
    "ListPrimaryStoragesResponse",
    "ListSettingsRequest",
    "ListSettingsResponse",
    "ListTagsRequest",
    "ListTagsResponse",
    "ListVmsRequest",
    "ListVmsResponse",
    "ListVolumesRequest",
    "ListVolumesResponse",
    "ListWebhooksRequest",
    "ListWebhooksResponse",
    "ListZonesRequest",
    "ListZonesResponse",
    "Member",
    "Nic",
    "Operation",
    "OperationEvent",
    "OperationEventKind",
    "OperationState",
    "OperationStep",
    "OperationStepState",
    "Policy",
    "PolicyEffect",
    "PrimaryStorage",
    "PrimaryStorageState",
    "PrimaryStorageType",
    "QueryPlan",
    "QueryRequest",
    "QueryResponse",
    "ReadVmConsoleRequest",
    "ReadVmConsoleResponse",
    "RebootVmRequest",
    "ReconnectHostRequest",
    "RecoverImageRequest",
    "RecoverVmRequest",
    "RecoverVolumeRequest",
    "RedeliverDeadLetterRequest",
    "RedeliverDeadLetterResponse",
    "RedeliverDeadLettersRequest",
    "RedeliverDeadLettersResponse",
    "RetryOperationRequest",
    "RotateCallbackKeyRequest",
    "RotateWebhookSecretRequest",
    "SetSettingRequest",
    "Setting",
    "SettingScope",
    "SettingType",
    "StartVmRequest",
    "StopVmRequest",
    "Tag",
    "TagType",
    "TestWebhookRequest",
    "TestWebhookResponse",
    "UnsetSettingRequest",
    "UnsetSettingResponse",
    "UpdateAccountRequest",
    "UpdateClusterRequest",
    "UpdateHostRequest",
    "UpdateImageRequest",
    "UpdateImageServerRequest",
    "UpdateInstanceOfferingRequest",
    "UpdateL2NetworkRequest",
    "UpdateL3NetworkRequest",
    "UpdateNicRequest",
    "UpdatePolicyRequest",
    "UpdatePrimaryStorageRequest",
    "UpdateVmRequest",
    "UpdateVolumeRequest",
    "UpdateWebhookRequest",
    "UpdateZoneRequest",
    "UploadImageRequest",
    "Vm",
    "VmNic",
    "VmState",
    "Volume",
    "VolumeState",
    "VolumeType",
    "WaitOperationRequest",
    "WatchEventType",
    "WatchOperationRequest",
    "WatchRequest",
    "WatchResponse",
    "Webhook",
    "WebhookState",
    "WriteVmConsoleRequest",
    "WriteVmConsoleResponse",
    "Zone",
]


class AccountState(OpenEnum):
    """Whether an account may sign in."""

    UNSPECIFIED = "ACCOUNT_STATE_UNSPECIFIED"
    """Not said."""
    ENABLED = "ACCOUNT_STATE_ENABLED"
    """It may sign in."""
    DISABLED = "ACCOUNT_STATE_DISABLED"
    """It may not, and its tokens and keys are refused."""


class AccountType(OpenEnum):
    """What an account may do."""

    UNSPECIFIED = "ACCOUNT_TYPE_UNSPECIFIED"
    """Not said."""
    NORMAL = "ACCOUNT_TYPE_NORMAL"
    """Works with its own resources and what is shared."""
    ADMIN = "ACCOUNT_TYPE_ADMIN"
    """Administers the cloud."""


class CallbackState(OpenEnum):
    """Where a callback stands."""

    UNSPECIFIED = "CALLBACK_STATE_UNSPECIFIED"
    """None was asked for."""
    PENDING = "CALLBACK_STATE_PENDING"
    """Waits for the operation's end, or for its next try."""
    DELIVERED = "CALLBACK_STATE_DELIVERED"
    """The receiver took it."""
    GAVE_UP = "CALLBACK_STATE_GAVE_UP"
    """The receiver did not take it within 24 hours, or said that it never will (410)."""


class ChangeAction(OpenEnum):
    """What happened to a resource."""

    UNSPECIFIED = "CHANGE_ACTION_UNSPECIFIED"
    """Not said."""
    CREATE = "CHANGE_ACTION_CREATE"
    """It was made."""
    UPDATE = "CHANGE_ACTION_UPDATE"
    """It was changed."""
    DELETE = "CHANGE_ACTION_DELETE"
    """It was deleted."""
    BEGIN = "CHANGE_ACTION_BEGIN"
    """An operation on it was accepted."""
    END = "CHANGE_ACTION_END"
    """An operation on it ended, or came to rest as STUCK."""
    CALL = "CHANGE_ACTION_CALL"
    """A call that would have changed it was refused."""


class ChangeOutcome(OpenEnum):
    """What became of a change."""

    UNSPECIFIED = "CHANGE_OUTCOME_UNSPECIFIED"
    """Not said."""
    DONE = "CHANGE_OUTCOME_DONE"
    """It was made."""
    REFUSED = "CHANGE_OUTCOME_REFUSED"
    """It was refused, and nothing changed."""
    ACCEPTED = "CHANGE_OUTCOME_ACCEPTED"
    """The operation was accepted; how it ended stands in the change with the action END."""
    SUCCEEDED = "CHANGE_OUTCOME_SUCCEEDED"
    """The operation did what it should."""
    FAILED = "CHANGE_OUTCOME_FAILED"
    """The operation failed, and what it did was undone."""
    CANCELLED = "CHANGE_OUTCOME_CANCELLED"
    """The operation was cancelled, and what it did was undone."""
    STUCK = "CHANGE_OUTCOME_STUCK"
    """The operation owes something; it is looked after again."""


class DeletionEffect(OpenEnum):
    """What becomes of a resource when another is deleted."""

    UNSPECIFIED = "DELETION_EFFECT_UNSPECIFIED"
    """Not said."""
    DELETE = "DELETION_EFFECT_DELETE"
    """It is deleted, before what it refers to."""
    PART = "DELETION_EFFECT_PART"
    """It is a part of what it refers to, and goes in the same step."""
    DETACH = "DELETION_EFFECT_DETACH"
    """Its reference is cleared."""
    FORBID = "DELETION_EFFECT_FORBID"
    """It forbids the deletion."""
    BIN = "DELETION_EFFECT_BIN"
    """It is put into the bin, with all that is its own, and can be recovered from there."""


class HostState(OpenEnum):
    """Whether operators let new machines be placed on a host."""

    UNSPECIFIED = "HOST_STATE_UNSPECIFIED"
    """Not said."""
    ENABLED = "HOST_STATE_ENABLED"
    """New machines may come."""
    DISABLED = "HOST_STATE_DISABLED"
    """No new machines."""


class HostStatus(OpenEnum):
    """Whether a host's agent answers."""

    UNSPECIFIED = "HOST_STATUS_UNSPECIFIED"
    """Not said."""
    CONNECTING = "HOST_STATUS_CONNECTING"
    """A session is being opened."""
    CONNECTED = "HOST_STATUS_CONNECTED"
    """It answers."""
    DISCONNECTED = "HOST_STATUS_DISCONNECTED"
    """It does not answer."""


class ImageFormat(OpenEnum):
    """Formats of images."""

    UNSPECIFIED = "IMAGE_FORMAT_UNSPECIFIED"
    """Not said."""
    RAW = "IMAGE_FORMAT_RAW"
    """The disk byte for byte."""
    QCOW2 = "IMAGE_FORMAT_QCOW2"
    """QEMU's format, version 2 or 3, without backing file or outside data file."""


class ImageState(OpenEnum):
    """Where an image stands."""

    UNSPECIFIED = "IMAGE_STATE_UNSPECIFIED"
    """Not said."""
    CREATING = "IMAGE_STATE_CREATING"
    """It is being fetched and checked."""
    UPLOADING = "IMAGE_STATE_UPLOADING"
    """It waits for its upload."""
    READY = "IMAGE_STATE_READY"
    """Machines can start from it."""
    DELETING = "IMAGE_STATE_DELETING"
    """It is being deleted."""
    DESTROYED = "IMAGE_STATE_DESTROYED"
    """It is in the bin and can be recovered."""


class L2NetworkType(OpenEnum):
    """Kinds of L2 networks."""

    UNSPECIFIED = "L2_NETWORK_TYPE_UNSPECIFIED"
    """Not said."""
    BRIDGE = "L2_NETWORK_TYPE_BRIDGE"
    """A plain Linux bridge on each host."""


class LaneKind(OpenEnum):
    """What queues in a lane."""

    UNSPECIFIED = "LANE_KIND_UNSPECIFIED"
    """Not said."""
    RESOURCE = "LANE_KIND_RESOURCE"
    """Operations on one resource, one after the other."""
    HOST_WORK = "LANE_KIND_HOST_WORK"
    """Tasks of one kind on one host."""


class OperationEventKind(OpenEnum):
    """What happened to an operation."""

    UNSPECIFIED = "OPERATION_EVENT_KIND_UNSPECIFIED"
    """Not said."""
    QUEUED = "OPERATION_EVENT_KIND_QUEUED"
    """It was accepted, and waits for other work on the same resource."""
    BEGAN = "OPERATION_EVENT_KIND_BEGAN"
    """It began to work on its resource."""
    STEP_STARTED = "OPERATION_EVENT_KIND_STEP_STARTED"
    """A try of a step began."""
    STEP_DONE = "OPERATION_EVENT_KIND_STEP_DONE"
    """The step is done."""
    STEP_FAILED = "OPERATION_EVENT_KIND_STEP_FAILED"
    """A try of the step failed."""
    STEP_RETRIED = "OPERATION_EVENT_KIND_STEP_RETRIED"
    """The step is tried again."""
    POINT_OF_NO_RETURN = "OPERATION_EVENT_KIND_POINT_OF_NO_RETURN"
    """From here on it is not undone any more."""
    UNDO_BEGAN = "OPERATION_EVENT_KIND_UNDO_BEGAN"
    """It turned back: what was done is undone."""
    STEP_UNDO_STARTED = "OPERATION_EVENT_KIND_STEP_UNDO_STARTED"
    """A try to undo a step began."""
    STEP_UNDO_DONE = "OPERATION_EVENT_KIND_STEP_UNDO_DONE"
    """The step is undone."""
    STEP_UNDO_FAILED = "OPERATION_EVENT_KIND_STEP_UNDO_FAILED"
    """A try to undo the step failed."""
    STUCK = "OPERATION_EVENT_KIND_STUCK"
    """It rests as STUCK."""
    TAKEN = "OPERATION_EVENT_KIND_TAKEN"
    """Another instance took it over, with the next fence."""
    RESUMED = "OPERATION_EVENT_KIND_RESUMED"
    """It was taken up again after it rested."""
    CANCEL_ASKED = "OPERATION_EVENT_KIND_CANCEL_ASKED"
    """Somebody asked it to stop."""
    ENDED = "OPERATION_EVENT_KIND_ENDED"
    """It ended."""
    CALLBACK_DELIVERED = "OPERATION_EVENT_KIND_CALLBACK_DELIVERED"
    """Its callback was delivered."""
    CALLBACK_FAILED = "OPERATION_EVENT_KIND_CALLBACK_FAILED"
    """A try to deliver its callback failed; it is made again."""
    CALLBACK_GIVEN_UP = "OPERATION_EVENT_KIND_CALLBACK_GIVEN_UP"
    """Its callback was given up."""


class OperationState(OpenEnum):
    """Where an operation stands."""

    UNSPECIFIED = "OPERATION_STATE_UNSPECIFIED"
    """Not said."""
    QUEUED = "OPERATION_STATE_QUEUED"
    """Waits for other work on the same resource."""
    RUNNING = "OPERATION_STATE_RUNNING"
    """Its steps run."""
    UNDOING = "OPERATION_STATE_UNDOING"
    """A step failed, or it was cancelled; what was done is being undone."""
    SUCCEEDED = "OPERATION_STATE_SUCCEEDED"
    """Done."""
    FAILED = "OPERATION_STATE_FAILED"
    """Failed, and everything was undone."""
    CANCELLED = "OPERATION_STATE_CANCELLED"
    """Cancelled, and everything was undone."""
    STUCK = "OPERATION_STATE_STUCK"
    """Something could not be undone; it is looked after again."""


class OperationStepState(OpenEnum):
    """Where a step stands."""

    UNSPECIFIED = "OPERATION_STEP_STATE_UNSPECIFIED"
    """Not said."""
    PENDING = "OPERATION_STEP_STATE_PENDING"
    """Not begun."""
    RUNNING = "OPERATION_STEP_STATE_RUNNING"
    """Under way."""
    DONE = "OPERATION_STEP_STATE_DONE"
    """Done."""
    FAILED = "OPERATION_STEP_STATE_FAILED"
    """Failed."""
    UNDONE = "OPERATION_STEP_STATE_UNDONE"
    """Undone."""


class PolicyEffect(OpenEnum):
    """What a policy does."""

    UNSPECIFIED = "POLICY_EFFECT_UNSPECIFIED"
    """Not said."""
    ALLOW = "POLICY_EFFECT_ALLOW"
    """What it matches is allowed, and what no policy like it matches is refused."""
    DENY = "POLICY_EFFECT_DENY"
    """What it matches is refused."""


class PrimaryStorageState(OpenEnum):
    """Whether new disks may be placed on a primary storage."""

    UNSPECIFIED = "PRIMARY_STORAGE_STATE_UNSPECIFIED"
    """Not said."""
    ENABLED = "PRIMARY_STORAGE_STATE_ENABLED"
    """New disks may come."""
    DISABLED = "PRIMARY_STORAGE_STATE_DISABLED"
    """No new disks."""


class PrimaryStorageType(OpenEnum):
    """Kinds of primary storage."""

    UNSPECIFIED = "PRIMARY_STORAGE_TYPE_UNSPECIFIED"
    """Not said."""
    LOCAL = "PRIMARY_STORAGE_TYPE_LOCAL"
    """A folder on each host; a disk stays on the host where it was made."""


class SettingScope(OpenEnum):
    """Where a value of a setting holds. The nearest wins: a resource's before its account's, the account's
    before its cluster's, the cluster's before its zone's, the zone's before the cloud's.
    """

    UNSPECIFIED = "SETTING_SCOPE_UNSPECIFIED"
    """Not said."""
    DEFAULT = "SETTING_SCOPE_DEFAULT"
    """Nobody set it: the default."""
    GLOBAL = "SETTING_SCOPE_GLOBAL"
    """For the whole cloud."""
    ZONE = "SETTING_SCOPE_ZONE"
    """In one zone."""
    CLUSTER = "SETTING_SCOPE_CLUSTER"
    """In one cluster."""
    ACCOUNT = "SETTING_SCOPE_ACCOUNT"
    """For what one account owns."""
    RESOURCE = "SETTING_SCOPE_RESOURCE"
    """For one resource."""


class SettingType(OpenEnum):
    """What a setting holds."""

    UNSPECIFIED = "SETTING_TYPE_UNSPECIFIED"
    """Not said."""
    BOOL = "SETTING_TYPE_BOOL"
    """true or false."""
    INT = "SETTING_TYPE_INT"
    """A whole number."""
    BYTES = "SETTING_TYPE_BYTES"
    """A size: 4GiB, 512MiB, or plain bytes."""
    DURATION = "SETTING_TYPE_DURATION"
    """A length of time: 250ms, 30s, 5m, 12h, 90d."""
    TEXT = "SETTING_TYPE_TEXT"
    """A text."""
    ENUM = "SETTING_TYPE_ENUM"
    """One of some words."""


class TagType(OpenEnum):
    """Who gives a tag a meaning."""

    UNSPECIFIED = "TAG_TYPE_UNSPECIFIED"
    """Not said."""
    USER = "TAG_TYPE_USER"
    """People and their programs: Gyre stores and finds it."""
    SYSTEM = "TAG_TYPE_SYSTEM"
    """Gyre: it changes what Gyre does with the resource."""


class VmState(OpenEnum):
    """What a machine is doing."""

    UNSPECIFIED = "VM_STATE_UNSPECIFIED"
    """Not said."""
    CREATING = "VM_STATE_CREATING"
    """It is being made."""
    STARTING = "VM_STATE_STARTING"
    """It is being started."""
    RUNNING = "VM_STATE_RUNNING"
    """It runs."""
    STOPPING = "VM_STATE_STOPPING"
    """It is being stopped."""
    STOPPED = "VM_STATE_STOPPED"
    """It is off."""
    REBOOTING = "VM_STATE_REBOOTING"
    """It is being restarted."""
    DESTROYING = "VM_STATE_DESTROYING"
    """It is being put in the bin."""
    DESTROYED = "VM_STATE_DESTROYED"
    """It is in the bin and can be recovered."""
    EXPUNGING = "VM_STATE_EXPUNGING"
    """It is being deleted for good."""
    UNKNOWN = "VM_STATE_UNKNOWN"
    """Its host does not answer."""


class VolumeState(OpenEnum):
    """Where a volume stands."""

    UNSPECIFIED = "VOLUME_STATE_UNSPECIFIED"
    """Not said."""
    CREATING = "VOLUME_STATE_CREATING"
    """It is being made."""
    READY = "VOLUME_STATE_READY"
    """It can be used."""
    DELETING = "VOLUME_STATE_DELETING"
    """It is being deleted."""
    DESTROYED = "VOLUME_STATE_DESTROYED"
    """It is in the bin and can be recovered."""


class VolumeType(OpenEnum):
    """What a volume is for."""

    UNSPECIFIED = "VOLUME_TYPE_UNSPECIFIED"
    """Not said."""
    ROOT = "VOLUME_TYPE_ROOT"
    """A machine starts from it."""
    DATA = "VOLUME_TYPE_DATA"
    """It holds data."""


class WatchEventType(OpenEnum):
    """What happened in a list."""

    UNSPECIFIED = "WATCH_EVENT_TYPE_UNSPECIFIED"
    """Not said."""
    SNAPSHOT = "WATCH_EVENT_TYPE_SNAPSHOT"
    """It is in the list as the stream begins."""
    SYNCED = "WATCH_EVENT_TYPE_SYNCED"
    """All that was in the list was told; what follows are changes."""
    ADDED = "WATCH_EVENT_TYPE_ADDED"
    """It came into the list: it was made, or changed so that the filter lets it through or the caller may
    see it.
    """
    MODIFIED = "WATCH_EVENT_TYPE_MODIFIED"
    """It changed, and stays in the list."""
    REMOVED = "WATCH_EVENT_TYPE_REMOVED"
    """It left the list: it was deleted, or changed so that the filter or the caller's rights leave it out."""
    PROGRESS = "WATCH_EVENT_TYPE_PROGRESS"
    """Nothing happened; the stream lives, and is here."""
    RESET = "WATCH_EVENT_TYPE_RESET"
    """It cannot go on where it was: what was told is void, and all that is in the list follows."""


class WebhookState(OpenEnum):
    """Whether what a webhook sends arrives."""

    UNSPECIFIED = "WEBHOOK_STATE_UNSPECIFIED"
    """Not said."""
    ACTIVE = "WEBHOOK_STATE_ACTIVE"
    """It does, as far as Gyre knows."""
    FAILING = "WEBHOOK_STATE_FAILING"
    """The last three tries or more failed."""
    DISABLED = "WEBHOOK_STATE_DISABLED"
    """It is disabled."""


@dataclass(repr=False)
class Account(Message):
    """Who owns resources and signs in."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """The name to sign in with; unique (required, fixed at creation)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: AccountState = AccountState.UNSPECIFIED
    """Whether it may sign in (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    type: AccountType = AccountType.UNSPECIFIED
    """What it may do (fixed at creation)"""

    password: str = ""
    """The password to sign in with, 8 to 256 characters. Only sent, never answered; an update changes it."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "AccountState"),
        "tags": ("tags", "*text"),
        "type": ("type", "AccountType"),
        "password": ("password", "text", SECRET),
    }


@dataclass(repr=False)
class ApiKey(Message):
    """A key for programs, sent as `Authorization: Bearer`."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    expire_time: Optional[datetime] = None
    """When it stops working; nothing means never (fixed at creation)"""

    secret: str = ""
    """The key itself. Answered once, by the call that makes it (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "expireTime": ("expire_time", "time"),
        "secret": ("secret", "text", SECRET),
    }


@dataclass(repr=False)
class CallbackKey(Message):
    """The key that an account's callbacks are signed with, as Standard Webhooks has it
    (https://www.standardwebhooks.com): HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`.
    """

    account_uuid: str = ""
    """The account (set by Gyre, a UUID)"""

    secret: str = ""
    """The key: "whsec_" and the base64 of its 32 bytes (set by Gyre)"""

    create_time: Optional[datetime] = None
    """When it was made."""

    previous_secret: str = ""
    """The key before, while it signs too; empty afterwards (set by Gyre)"""

    previous_expire_time: Optional[datetime] = None
    """Until when the key before signs too."""

    _wire: ClassVar[Wire] = {
        "accountUuid": ("account_uuid", "text"),
        "secret": ("secret", "text", SECRET),
        "createTime": ("create_time", "time"),
        "previousSecret": ("previous_secret", "text", SECRET),
        "previousExpireTime": ("previous_expire_time", "time"),
    }


@dataclass(repr=False)
class CancelOperationRequest(Message):
    """Cancels an operation."""

    uuid: str = ""
    """The operation (required, the UUID of an operation)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class Change(Message):
    """Something that was changed, or that somebody tried to change and was refused. Nobody writes it but
    Gyre, in the same transaction as the change itself.
    """

    uuid: str = ""
    """Identity, chosen by Gyre (set by Gyre)"""

    account_uuid: str = ""
    """The account that owns the resource, and sees the change; of a call that was refused, the account
    that made it; of a sign-in that failed, the one that it named. Empty for what no account owns:
    administrators see that (set by Gyre, the UUID of an account)
    """

    time: Optional[datetime] = None
    """When."""

    position: int = 0
    """The place in the log. Changes of one resource follow one another by it."""

    kind: str = ""
    """The kind of the resource, such as "vm"."""

    resource_uuid: str = ""
    """The resource (set by Gyre, a UUID)"""

    action: ChangeAction = ChangeAction.UNSPECIFIED
    """What happened."""

    actor_uuid: str = ""
    """The account that asked for it; all zeros for Gyre itself; empty for somebody who was not signed in
    (set by Gyre, the UUID of an account)
    """

    api_key_uuid: str = ""
    """The API key that was used (set by Gyre, the UUID of an api-key)"""

    client_address: str = ""
    """The address that the call came from, as the gateway saw it. What a step of an operation changes has
    none: the change with the action BEGIN of the same operation has.
    """

    user_agent: str = ""
    """What the client called itself."""

    method: str = ""
    """The call's action as policies name it, such as "vm:StartVm"."""

    request_id: str = ""
    """The id of the wish."""

    operation_uuid: str = ""
    """The operation that it is part of (set by Gyre, the UUID of an operation)"""

    outcome: ChangeOutcome = ChangeOutcome.UNSPECIFIED
    """What became of it."""

    reason: str = ""
    """Why a call was refused or an operation failed, for programs."""

    before: Any = None
    """The resource before; nothing for what is new. It never holds secrets."""

    after: Any = None
    """The resource after; nothing for what was deleted."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "accountUuid": ("account_uuid", "text"),
        "time": ("time", "time"),
        "position": ("position", "int64"),
        "kind": ("kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "action": ("action", "ChangeAction"),
        "actorUuid": ("actor_uuid", "text"),
        "apiKeyUuid": ("api_key_uuid", "text"),
        "clientAddress": ("client_address", "text"),
        "userAgent": ("user_agent", "text"),
        "method": ("method", "text"),
        "requestId": ("request_id", "text"),
        "operationUuid": ("operation_uuid", "text"),
        "outcome": ("outcome", "ChangeOutcome"),
        "reason": ("reason", "text"),
        "before": ("before", "json"),
        "after": ("after", "json"),
    }


@dataclass(repr=False)
class Cluster(Message):
    """Hosts alike enough that a machine may run on any of them."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    zone_uuid: str = ""
    """The zone it stands in (required, fixed at creation, the UUID of a zone)"""

    cpu_overcommit: int = 0
    """How many virtual processors are handed out for each thread of a host, 1 to 64; 0 means 4."""

    memory_overcommit: int = 0
    """How much memory is handed out for 100 bytes of a host's, 50 to 400; 0 means 100."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "zoneUuid": ("zone_uuid", "text"),
        "cpuOvercommit": ("cpu_overcommit", "int32"),
        "memoryOvercommit": ("memory_overcommit", "int32"),
    }


@dataclass(repr=False)
class CreateAccountRequest(Message):
    """Makes an account."""

    account: Optional[Account] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "account": ("account", "Account"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateApiKeyRequest(Message):
    """Makes a key for the calling account; the answer is the only one that holds the secret."""

    api_key: Optional[ApiKey] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "apiKey": ("api_key", "ApiKey"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateClusterRequest(Message):
    """Makes a cluster."""

    cluster: Optional[Cluster] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "cluster": ("cluster", "Cluster"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateHostRequest(Message):
    """Adds a host: connects to its agent and reads what it has."""

    host: Optional[Host] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "host": ("host", "Host"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateImageRequest(Message):
    """Adds an image: fetches it, checks it, and keeps it."""

    image: Optional[Image] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "image": ("image", "Image"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateImageServerRequest(Message):
    """Adds an image server and prepares its folder."""

    image_server: Optional[ImageServer] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "imageServer": ("image_server", "ImageServer"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateInstanceOfferingRequest(Message):
    """Makes an offering."""

    instance_offering: Optional[InstanceOffering] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "instanceOffering": ("instance_offering", "InstanceOffering"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateIpRangeRequest(Message):
    """Adds a range. Ranges of one L2 network do not overlap."""

    ip_range: Optional[IpRange] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "ipRange": ("ip_range", "IpRange"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateL2NetworkRequest(Message):
    """Makes an L2 network."""

    l2_network: Optional[L2Network] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "l2Network": ("l2_network", "L2Network"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateL3NetworkRequest(Message):
    """Makes an L3 network."""

    l3_network: Optional[L3Network] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "l3Network": ("l3_network", "L3Network"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreatePolicyRequest(Message):
    """Makes a policy."""

    policy: Optional[Policy] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "policy": ("policy", "Policy"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreatePrimaryStorageRequest(Message):
    """Adds primary storage and prepares it on every connected host of its cluster."""

    primary_storage: Optional[PrimaryStorage] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "primaryStorage": ("primary_storage", "PrimaryStorage"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateSessionRequest(Message):
    """Signs in."""

    account: str = ""
    """The name of the account (required)"""

    password: str = ""
    """Its password (required)"""

    _wire: ClassVar[Wire] = {
        "account": ("account", "text"),
        "password": ("password", "text", SECRET),
    }


@dataclass(repr=False)
class CreateSessionResponse(Message):
    """Signed in."""

    token: str = ""
    """What to send as `Authorization: Bearer`."""

    expire_time: Optional[datetime] = None
    """When it stops working."""

    account_uuid: str = ""
    """The account."""

    _wire: ClassVar[Wire] = {
        "token": ("token", "text", SECRET),
        "expireTime": ("expire_time", "time"),
        "accountUuid": ("account_uuid", "text"),
    }


@dataclass(repr=False)
class CreateTagRequest(Message):
    """Puts a tag on a resource."""

    tag: Optional[Tag] = None
    """What to put on which (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "tag": ("tag", "Tag"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateVmRequest(Message):
    """Makes a machine and starts it."""

    vm: Optional[Vm] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "vm": ("vm", "Vm"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateVolumeRequest(Message):
    """Makes an empty data volume (qcow2, thin)."""

    volume: Optional[Volume] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "volume": ("volume", "Volume"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateWebhookRequest(Message):
    """Makes a webhook for the calling account."""

    webhook: Optional[Webhook] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "webhook": ("webhook", "Webhook"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class CreateZoneRequest(Message):
    """Makes a zone."""

    zone: Optional[Zone] = None
    """What to make (required)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "zone": ("zone", "Zone"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class DeadLetter(Message):
    """A change that could not be delivered to a webhook within its time. It waits here until it is
    delivered again or deleted. Of one webhook the last 10,000 are kept.
    """

    uuid: str = ""
    """Identity, chosen by Gyre (set by Gyre)"""

    account_uuid: str = ""
    """The account that owns the webhook (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was given up (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change (set by Gyre)"""

    webhook_uuid: str = ""
    """The webhook (set by Gyre, the UUID of a webhook)"""

    change_uuid: str = ""
    """The change. It is in the log as long as `change.retention` says; afterwards it cannot be delivered
    again (set by Gyre, the UUID of a change)
    """

    position: int = 0
    """The place of the change in the log (set by Gyre)"""

    change_time: Optional[datetime] = None
    """When the change was made (set by Gyre)"""

    resource_kind: str = ""
    """The kind of the resource that changed, such as "vm" (set by Gyre)"""

    resource_uuid: str = ""
    """The resource that changed (set by Gyre, a UUID)"""

    attempts: int = 0
    """How often it was tried (set by Gyre)"""

    error: str = ""
    """Why the last try failed (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "webhookUuid": ("webhook_uuid", "text"),
        "changeUuid": ("change_uuid", "text"),
        "position": ("position", "int64"),
        "changeTime": ("change_time", "time"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "attempts": ("attempts", "int64"),
        "error": ("error", "text"),
    }


@dataclass(repr=False)
class Debt(Message):
    """What a stuck operation owes: a step that could not be undone, or not be finished past the point of
    no return. What the operation holds (its resource, room, addresses) stays held until it is paid.
    """

    uuid: str = ""
    """The operation that owes it (set by Gyre)"""

    account_uuid: str = ""
    """The account on whose behalf the operation runs (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """Since when it is owed."""

    update_time: Optional[datetime] = None
    """When it was last tried."""

    generation: int = 0
    """Grows with every try."""

    service: str = ""
    """The service that the operation belongs to."""

    workflow: str = ""
    """The workflow, such as "create-vm"."""

    resource_kind: str = ""
    """The kind of the resource that the operation holds."""

    resource_uuid: str = ""
    """The resource that the operation holds."""

    step: str = ""
    """The step that is owed."""

    undoing: bool = False
    """Whether the step is to be undone; otherwise it is to be finished."""

    reason: str = ""
    """Why the last try failed, for programs."""

    message: str = ""
    """Why the last try failed, for people."""

    attempts: int = 0
    """How often the operation came to rest."""

    next_time: Optional[datetime] = None
    """When it is tried next, at the latest."""

    host_uuid: str = ""
    """The host that the last try needed (set by Gyre, the UUID of a host)"""

    awaits_host: bool = False
    """Whether that host was away: it is tried again as soon as the host is back."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "service": ("service", "text"),
        "workflow": ("workflow", "text"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "step": ("step", "text"),
        "undoing": ("undoing", "bool"),
        "reason": ("reason", "text"),
        "message": ("message", "text"),
        "attempts": ("attempts", "int32"),
        "nextTime": ("next_time", "time"),
        "hostUuid": ("host_uuid", "text"),
        "awaitsHost": ("awaits_host", "bool"),
    }


@dataclass(repr=False)
class DeclaredSetting(Message):
    """A setting as it is declared."""

    name: str = ""
    """Its name, such as "vm.stop-grace"."""

    type: SettingType = SettingType.UNSPECIFIED
    """What it holds."""

    default_value: str = ""
    """The value where nobody set it."""

    min: str = ""
    """The smallest value."""

    max: str = ""
    """The largest value."""

    values: List[str] = _field(default_factory=list)
    """The words that it may be."""

    scopes: List[SettingScope] = _field(default_factory=list)
    """Where it may be set."""

    resource_kinds: List[str] = _field(default_factory=list)
    """The kinds of resources on which it may be set."""

    set_by_accounts: bool = False
    """Whether an account may set it for itself and its resources; otherwise administrators do."""

    help: str = ""
    """What it does."""

    _wire: ClassVar[Wire] = {
        "name": ("name", "text"),
        "type": ("type", "SettingType"),
        "defaultValue": ("default_value", "text"),
        "min": ("min", "text"),
        "max": ("max", "text"),
        "values": ("values", "*text"),
        "scopes": ("scopes", "*SettingScope"),
        "resourceKinds": ("resource_kinds", "*text"),
        "setByAccounts": ("set_by_accounts", "bool"),
        "help": ("help", "text"),
    }


@dataclass(repr=False)
class DeleteAccountRequest(Message):
    """Deletes an account, with its API keys; with `cascade`, all that it owns, too."""

    uuid: str = ""
    """Which one (required, the UUID of an account)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteApiKeyRequest(Message):
    """Deletes a key; gateways refuse it within five seconds."""

    uuid: str = ""
    """Which one (required, the UUID of an api-key)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteClusterRequest(Message):
    """Deletes a cluster; with `cascade`, its hosts, storage and networks, and the machines on them, too."""

    uuid: str = ""
    """Which one (required, the UUID of a cluster)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteDeadLetterRequest(Message):
    """Deletes one."""

    uuid: str = ""
    """Which one (required, the UUID of a dead-letter)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteHostRequest(Message):
    """Removes a host that no machine is on; nothing on the host itself is changed."""

    uuid: str = ""
    """Which one (required, the UUID of a host)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteImageRequest(Message):
    """Puts an image in the bin: no new machine starts from it, and its file stays until it is expunged.
    Machines that started from it keep their disks. One that waits for its upload has nothing to
    recover: it is deleted at once.
    """

    uuid: str = ""
    """Which one (required, the UUID of an image)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    expunge: bool = False
    """Deletes it for good, whatever state it is in, instead of putting it in the bin."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
        "expunge": ("expunge", "bool"),
    }


@dataclass(repr=False)
class DeleteImageServerRequest(Message):
    """Removes an image server that holds no image."""

    uuid: str = ""
    """Which one (required, the UUID of an image-server)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteInstanceOfferingRequest(Message):
    """Deletes an offering; machines made from it keep their size."""

    uuid: str = ""
    """Which one (required, the UUID of an instance-offering)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteIpRangeRequest(Message):
    """Deletes a range of which no address is in use."""

    uuid: str = ""
    """Which one (required, the UUID of an ip-range)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteL2NetworkRequest(Message):
    """Deletes an L2 network; with `cascade`, the L3 networks over it, too."""

    uuid: str = ""
    """Which one (required, the UUID of a l2-network)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteL3NetworkRequest(Message):
    """Deletes an L3 network that no machine is plugged into, with its IP ranges."""

    uuid: str = ""
    """Which one (required, the UUID of a l3-network)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeletePolicyRequest(Message):
    """Deletes a policy."""

    uuid: str = ""
    """Which one (required, the UUID of a policy)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeletePrimaryStorageRequest(Message):
    """Removes primary storage that holds no disk."""

    uuid: str = ""
    """Which one (required, the UUID of a primary-storage)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteTagRequest(Message):
    """Takes a tag off its resource."""

    uuid: str = ""
    """Which one (required, the UUID of a tag)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class DeleteTagResponse(Message):
    """It is gone."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class DeleteVmRequest(Message):
    """Puts a machine in the bin: stops it and keeps its disk until it is expunged."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    expunge: bool = False
    """Deletes it for good, whatever state it is in, instead of putting it in the bin."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
        "expunge": ("expunge", "bool"),
    }


@dataclass(repr=False)
class DeleteVolumeRequest(Message):
    """Puts a data volume in the bin: nothing can use it, and its file and room stay until it is expunged."""

    uuid: str = ""
    """Which one (required, the UUID of a volume)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    expunge: bool = False
    """Deletes it for good, whatever state it is in, instead of putting it in the bin."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
        "expunge": ("expunge", "bool"),
    }


@dataclass(repr=False)
class DeleteWebhookRequest(Message):
    """Deletes one."""

    uuid: str = ""
    """Which one (required, the UUID of a webhook)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class DeleteZoneRequest(Message):
    """Deletes a zone; with `cascade`, all that is in it, too."""

    uuid: str = ""
    """Which one (required, the UUID of a zone)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    validate_only: bool = False
    """Deletes nothing, and answers an operation whose `deletion` shows all that would go, be detached, or
    forbids it.
    """

    force: bool = False
    """Goes on past hosts that are away: what is to be done there is owed, and done when they are back."""

    cascade: bool = False
    """Deletes what depends on it, too; without it, a deletion that would take something else along is
    refused.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "validateOnly": ("validate_only", "bool"),
        "force": ("force", "bool"),
        "cascade": ("cascade", "bool"),
    }


@dataclass(repr=False)
class Deletion(Message):
    """What deleting a resource would do. It follows from the references' options (`refers_to`,
    `on_delete`) alone.
    """

    allowed: bool = False
    """Whether the call would be accepted as it was made."""

    refusal: str = ""
    """Why not, for people; empty where it is allowed."""

    nodes: List[DeletionNode] = _field(default_factory=list)
    """The tree in the order of an outline: what depends on a node follows it, one deeper. The first is the
    resource itself.
    """

    _wire: ClassVar[Wire] = {
        "allowed": ("allowed", "bool"),
        "refusal": ("refusal", "text"),
        "nodes": ("nodes", "*DeletionNode"),
    }


@dataclass(repr=False)
class DeletionItem(Message):
    """One resource in such a tree."""

    uuid: str = ""
    """Its UUID."""

    name: str = ""
    """Its name."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
    }


@dataclass(repr=False)
class DeletionNode(Message):
    """Resources of one kind that refer to those of the node above by one field."""

    depth: int = 0
    """How deep it stands; 0 for the resource that is to be deleted."""

    kind: str = ""
    """The kind."""

    field: str = ""
    """The field by which they refer to what stands above; empty for the resource itself."""

    effect: DeletionEffect = DeletionEffect.UNSPECIFIED
    """What becomes of them."""

    count: int = 0
    """How many there are."""

    items: List[DeletionItem] = _field(default_factory=list)
    """The first of them."""

    hidden: bool = False
    """Whether there are more that the caller may not see. They forbid the deletion."""

    plugin: str = ""
    """The step of a plugin of the operator's that keeps these, outside of Gyre; `kind` is what the
    operator calls them then, and they have no UUIDs. Empty for resources.
    """

    _wire: ClassVar[Wire] = {
        "depth": ("depth", "int32"),
        "kind": ("kind", "text"),
        "field": ("field", "text"),
        "effect": ("effect", "DeletionEffect"),
        "count": ("count", "int64"),
        "items": ("items", "*DeletionItem"),
        "hidden": ("hidden", "bool"),
        "plugin": ("plugin", "text"),
    }


@dataclass(repr=False)
class DisableAccountRequest(Message):
    """Refuses an account its sign-in, tokens and keys."""

    uuid: str = ""
    """Which one (required, the UUID of an account)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class DisableHostRequest(Message):
    """Places no new machines on a host; those that run there go on."""

    uuid: str = ""
    """Which one (required, the UUID of a host)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class EffectiveSetting(Message):
    """A setting as it holds for something."""

    name: str = ""
    """Its name."""

    value: str = ""
    """The value."""

    scope: SettingScope = SettingScope.UNSPECIFIED
    """Where it comes from."""

    resource_kind: str = ""
    """The kind of what it comes from, such as "cluster"; empty for the whole cloud and the default."""

    resource_uuid: str = ""
    """What it comes from; empty for the whole cloud and the default."""

    _wire: ClassVar[Wire] = {
        "name": ("name", "text"),
        "value": ("value", "text"),
        "scope": ("scope", "SettingScope"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
    }


@dataclass(repr=False)
class EnableAccountRequest(Message):
    """Lets an account sign in again."""

    uuid: str = ""
    """Which one (required, the UUID of an account)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class EnableHostRequest(Message):
    """Lets new machines be placed on a host."""

    uuid: str = ""
    """Which one (required, the UUID of a host)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class Error(Message):
    """Why an operation or a step failed: the same facts as in the status of a refused call."""

    code: str = ""
    """The name of the canonical gRPC code, such as "NOT_FOUND"."""

    reason: str = ""
    """A stable reason for programs, such as "NO_HOST_WITH_ROOM"."""

    message: str = ""
    """What was wrong, with which value, and what to do."""

    field_violations: List[FieldViolation] = _field(default_factory=list)
    """Each field that broke a rule."""

    metadata: Dict[str, Any] = _field(default_factory=dict)
    """Further facts by name, such as the refusal of each host."""

    retry_after: Optional[timedelta] = None
    """When to try again, where that makes sense."""

    _wire: ClassVar[Wire] = {
        "code": ("code", "text"),
        "reason": ("reason", "text"),
        "message": ("message", "text"),
        "fieldViolations": ("field_violations", "*FieldViolation"),
        "metadata": ("metadata", "json"),
        "retryAfter": ("retry_after", "duration"),
    }


@dataclass(repr=False)
class ExplainOperationRequest(Message):
    """Tells what happened to an operation."""

    uuid: str = ""
    """The operation (required, the UUID of an operation)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class ExplainOperationResponse(Message):
    """What happened to an operation."""

    operation: Optional[Operation] = None
    """The operation as it is now."""

    events: List[OperationEvent] = _field(default_factory=list)
    """The events in order; of very many, the first and the last."""

    dropped: int = 0
    """How many events were left out."""

    kept_before: int = 0
    """How many of the events stand before those that were left out."""

    _wire: ClassVar[Wire] = {
        "operation": ("operation", "Operation"),
        "events": ("events", "*OperationEvent"),
        "dropped": ("dropped", "int32"),
        "keptBefore": ("kept_before", "int32"),
    }


@dataclass(repr=False)
class ExpungeImageRequest(Message):
    """Deletes an image in the bin for good."""

    uuid: str = ""
    """Which one (required, the UUID of an image)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class ExpungeVmRequest(Message):
    """Deletes a machine in the bin for good, with its root volume and addresses."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class ExpungeVolumeRequest(Message):
    """Deletes a data volume in the bin for good."""

    uuid: str = ""
    """Which one (required, the UUID of a volume)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class FieldViolation(Message):
    """One field that broke a rule."""

    field: str = ""
    """The path of the field, such as "vm.cpu_count"."""

    description: str = ""
    """What it must be, and what was sent."""

    _wire: ClassVar[Wire] = {
        "field": ("field", "text"),
        "description": ("description", "text"),
    }


@dataclass(repr=False)
class GetAccountRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of an account)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetApiKeyRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of an api-key)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetCallbackKeyRequest(Message):
    """Answers the key of the calling account."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class GetChangeRequest(Message):
    """Reads a change."""

    uuid: str = ""
    """The change (required, the UUID of a change)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetClusterRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a cluster)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetDeadLetterRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a dead-letter)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetEffectiveSettingRequest(Message):
    """Asks which value holds."""

    name: str = ""
    """The setting (required)"""

    resource_kind: str = ""
    """The kind of what is asked about: "vm", "cluster". Empty: the whole cloud."""

    resource_uuid: str = ""
    """What is asked about (a UUID)"""

    _wire: ClassVar[Wire] = {
        "name": ("name", "text"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
    }


@dataclass(repr=False)
class GetHostRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a host)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetImageRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of an image)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetImageServerRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of an image-server)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetInstanceOfferingRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of an instance-offering)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetIpRangeRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of an ip-range)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetL2NetworkRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a l2-network)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetL3NetworkRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a l3-network)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetNicRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a nic)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetOperationRequest(Message):
    """Reads an operation."""

    uuid: str = ""
    """The operation (required, the UUID of an operation)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetPolicyRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a policy)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetPrimaryStorageRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a primary-storage)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetSettingRequest(Message):
    """Reads one value."""

    uuid: str = ""
    """Which one (required, the UUID of a setting)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetTagRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a tag)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetVmRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetVolumeRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a volume)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetWebhookRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a webhook)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class GetZoneRequest(Message):
    """Reads one."""

    uuid: str = ""
    """Which one (required, the UUID of a zone)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class Host(Message):
    """A machine that machines run on, worked by its agent."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: HostState = HostState.UNSPECIFIED
    """Whether operators let new machines be placed here (set by Gyre)"""

    status: HostStatus = HostStatus.UNSPECIFIED
    """Whether its agent answers (set by Gyre)"""

    cluster_uuid: str = ""
    """The cluster it belongs to (required, fixed at creation, the UUID of a cluster)"""

    zone_uuid: str = ""
    """The zone of its cluster (set by Gyre, the UUID of a zone)"""

    address: str = ""
    """Where its agent listens: host:port, or "local" for the agent inside the one-process node. An agent
    belongs to one host; only a simulator stands for as many as have its address (required)
    """

    reserved_memory_bytes: int = 0
    """Memory kept from machines, in bytes."""

    cpu_count: int = 0
    """Threads of the processors, as the agent found them (set by Gyre)"""

    memory_bytes: int = 0
    """Memory in bytes, as the agent found it (set by Gyre)"""

    cpu_capacity: int = 0
    """Virtual processors that machines may take in all (set by Gyre)"""

    cpu_used: int = 0
    """Virtual processors that machines have taken (set by Gyre)"""

    memory_capacity_bytes: int = 0
    """Memory that machines may take in all, in bytes (set by Gyre)"""

    memory_used_bytes: int = 0
    """Memory that machines have taken, in bytes (set by Gyre)"""

    hypervisor: str = ""
    """What runs machines here: "qemu" or "simulator" (set by Gyre)"""

    hypervisor_version: str = ""
    """The hypervisor's version (set by Gyre)"""

    accelerator: str = ""
    """How guests' instructions run: "kvm", "tcg" (software emulation) or "simulated" (set by Gyre)"""

    architecture: str = ""
    """The processor architecture, such as "x86_64" (set by Gyre)"""

    operating_system: str = ""
    """The operating system and its version (set by Gyre)"""

    agent_version: str = ""
    """The agent's version (set by Gyre)"""

    network_mode: str = ""
    """How machines reach the network: "bridge", "user" (QEMU's own user-mode network) or "simulated" (set
    by Gyre)
    """

    status_time: Optional[datetime] = None
    """When the status last changed (set by Gyre)"""

    status_reason: str = ""
    """Why it is not connected, where it is not (set by Gyre)"""

    unknown_vm_uuids: List[str] = _field(default_factory=list)
    """Machines on this host that should not be here as far as Gyre knows: it has never heard of them, or
    has them on another host. They are left alone; at most 100 are named (set by Gyre, a UUID)
    """

    unknown_vm_count: int = 0
    """How many such machines there are (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "HostState"),
        "status": ("status", "HostStatus"),
        "clusterUuid": ("cluster_uuid", "text"),
        "zoneUuid": ("zone_uuid", "text"),
        "address": ("address", "text"),
        "reservedMemoryBytes": ("reserved_memory_bytes", "int64"),
        "cpuCount": ("cpu_count", "int32"),
        "memoryBytes": ("memory_bytes", "int64"),
        "cpuCapacity": ("cpu_capacity", "int64"),
        "cpuUsed": ("cpu_used", "int64"),
        "memoryCapacityBytes": ("memory_capacity_bytes", "int64"),
        "memoryUsedBytes": ("memory_used_bytes", "int64"),
        "hypervisor": ("hypervisor", "text"),
        "hypervisorVersion": ("hypervisor_version", "text"),
        "accelerator": ("accelerator", "text"),
        "architecture": ("architecture", "text"),
        "operatingSystem": ("operating_system", "text"),
        "agentVersion": ("agent_version", "text"),
        "networkMode": ("network_mode", "text"),
        "statusTime": ("status_time", "time"),
        "statusReason": ("status_reason", "text"),
        "unknownVmUuids": ("unknown_vm_uuids", "*text"),
        "unknownVmCount": ("unknown_vm_count", "int32"),
        "tags": ("tags", "*text"),
    }


@dataclass(repr=False)
class Image(Message):
    """A disk that machines start from."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: ImageState = ImageState.UNSPECIFIED
    """Where it stands (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    image_server_uuid: str = ""
    """The image server that keeps it; empty picks one (fixed at creation, the UUID of an image-server)"""

    url: str = ""
    """Where it comes from: an http:// or https:// URL, a file:// path on the image server (both only where
    the operator allows them), or "upload" for one that is sent with UploadImage (required, fixed at
    creation)
    """

    format: ImageFormat = ImageFormat.UNSPECIFIED
    """What it claims to be; it is checked (required, fixed at creation)"""

    size_bytes: int = 0
    """The size of the disk that a machine sees, in bytes (set by Gyre)"""

    file_bytes: int = 0
    """The size of the file, in bytes (set by Gyre)"""

    sha256: str = ""
    """The SHA-256 of the file, 64 hex digits. One that is given at creation is checked (fixed at creation)"""

    shared: bool = False
    """Whether every account may start machines from it."""

    destroy_time: Optional[datetime] = None
    """When it was put in the bin (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "ImageState"),
        "tags": ("tags", "*text"),
        "imageServerUuid": ("image_server_uuid", "text"),
        "url": ("url", "text"),
        "format": ("format", "ImageFormat"),
        "sizeBytes": ("size_bytes", "int64"),
        "fileBytes": ("file_bytes", "int64"),
        "sha256": ("sha256", "text"),
        "shared": ("shared", "bool"),
        "destroyTime": ("destroy_time", "time"),
    }


@dataclass(repr=False)
class ImageServer(Message):
    """Where images are kept: a folder on a host, served by its agent."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    host_uuid: str = ""
    """The host whose agent keeps the images (required, fixed at creation, the UUID of a host)"""

    path: str = ""
    """The folder on that host (required, fixed at creation)"""

    total_bytes: int = 0
    """Bytes of the file system (set by Gyre)"""

    available_bytes: int = 0
    """Bytes that were free when it was last looked at (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "hostUuid": ("host_uuid", "text"),
        "path": ("path", "text"),
        "totalBytes": ("total_bytes", "int64"),
        "availableBytes": ("available_bytes", "int64"),
    }


@dataclass(repr=False)
class InstanceOffering(Message):
    """A size of machine."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    cpu_count: int = 0
    """Virtual processors, 1 to 256 (required, fixed at creation)"""

    memory_bytes: int = 0
    """Memory in bytes, 16 MiB to 16 TiB (required, fixed at creation)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "cpuCount": ("cpu_count", "int32"),
        "memoryBytes": ("memory_bytes", "int64"),
    }


@dataclass(repr=False)
class IpRange(Message):
    """Addresses that machines on an L3 network get."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    l3_network_uuid: str = ""
    """The L3 network that it belongs to (required, fixed at creation, the UUID of a l3-network)"""

    start_address: str = ""
    """The first address (required, fixed at creation)"""

    end_address: str = ""
    """The last address (required, fixed at creation)"""

    gateway: str = ""
    """The router of the subnet; inside the subnet, outside the range (required, fixed at creation)"""

    prefix_length: int = 0
    """The length of the subnet's prefix, such as 24 (required, fixed at creation)"""

    total_count: int = 0
    """Addresses in the range (set by Gyre)"""

    used_count: int = 0
    """Addresses in use (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "l3NetworkUuid": ("l3_network_uuid", "text"),
        "startAddress": ("start_address", "text"),
        "endAddress": ("end_address", "text"),
        "gateway": ("gateway", "text"),
        "prefixLength": ("prefix_length", "int32"),
        "totalCount": ("total_count", "int64"),
        "usedCount": ("used_count", "int64"),
    }


@dataclass(repr=False)
class L2Network(Message):
    """What machines are plugged into."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    type: L2NetworkType = L2NetworkType.UNSPECIFIED
    """What kind it is (required, fixed at creation)"""

    cluster_uuid: str = ""
    """The cluster whose hosts have it (required, fixed at creation, the UUID of a cluster)"""

    bridge: str = ""
    """The bridge on each host. Hosts whose agent has the right to make it make it; on others machines get
    QEMU's user network (required, fixed at creation)
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "type": ("type", "L2NetworkType"),
        "clusterUuid": ("cluster_uuid", "text"),
        "bridge": ("bridge", "text"),
    }


@dataclass(repr=False)
class L3Network(Message):
    """Addresses on an L2 network."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    l2_network_uuid: str = ""
    """The L2 network that it runs over (required, fixed at creation, the UUID of a l2-network)"""

    dns: List[str] = _field(default_factory=list)
    """The name servers of its machines."""

    shared: bool = False
    """Whether every account may plug machines into it."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "l2NetworkUuid": ("l2_network_uuid", "text"),
        "dns": ("dns", "*text"),
        "shared": ("shared", "bool"),
    }


@dataclass(repr=False)
class Lane(Message):
    """A queue of work that must not run all at once. It is there while it has work."""

    kind: LaneKind = LaneKind.UNSPECIFIED
    """What queues there."""

    service: str = ""
    """The service that works it."""

    instance_uuid: str = ""
    """The instance that works it."""

    key_uuid: str = ""
    """The resource, or the host."""

    work: str = ""
    """The kind of work on the host, such as "start_machine"; empty for a resource."""

    width: int = 0
    """How many run at once."""

    running: int = 0
    """How many run now."""

    waiting: int = 0
    """How many wait."""

    waiting_housekeeping: int = 0
    """How many of those that wait are Gyre's own housekeeping, which lets the work of users go first."""

    head: str = ""
    """What is at the head: the operation, or the id of the task, which runs or is next."""

    oldest_wait: Optional[timedelta] = None
    """How long the one has waited that waits longest."""

    _wire: ClassVar[Wire] = {
        "kind": ("kind", "LaneKind"),
        "service": ("service", "text"),
        "instanceUuid": ("instance_uuid", "text"),
        "keyUuid": ("key_uuid", "text"),
        "work": ("work", "text"),
        "width": ("width", "int32"),
        "running": ("running", "int32"),
        "waiting": ("waiting", "int32"),
        "waitingHousekeeping": ("waiting_housekeeping", "int32"),
        "head": ("head", "text"),
        "oldestWait": ("oldest_wait", "duration"),
    }


@dataclass(repr=False)
class ListAccountsRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListAccountsResponse(Message):
    """A page of them."""

    accounts: List[Account] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "accounts": ("accounts", "*Account"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListApiKeysRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListApiKeysResponse(Message):
    """A page of them."""

    api_keys: List[ApiKey] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "apiKeys": ("api_keys", "*ApiKey"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListChangesRequest(Message):
    """Lists changes."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `kind = "vm" AND action = UPDATE` or `outcome = REFUSED
    AND time > "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "time"; nothing means the newest first."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListChangesResponse(Message):
    """A page of changes."""

    changes: List[Change] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "changes": ("changes", "*Change"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListClustersRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListClustersResponse(Message):
    """A page of them."""

    clusters: List[Cluster] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "clusters": ("clusters", "*Cluster"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListDeadLettersRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `webhook.name = "billing" AND resource_kind = "vm"`."""

    order_by: str = ""
    """Fields to sort by, such as "position" or "create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "position,error"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListDeadLettersResponse(Message):
    """A page of them."""

    dead_letters: List[DeadLetter] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "deadLetters": ("dead_letters", "*DeadLetter"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListDebtsRequest(Message):
    """Lists debts."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `service = "vm" AND awaits_host = true`."""

    order_by: str = ""
    """Fields to sort by, such as "create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListDebtsResponse(Message):
    """A page of debts."""

    debts: List[Debt] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "debts": ("debts", "*Debt"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListDeclaredSettingsRequest(Message):
    """Lists what is declared."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class ListDeclaredSettingsResponse(Message):
    """All settings, by name."""

    declared_settings: List[DeclaredSetting] = _field(default_factory=list)
    """The settings."""

    _wire: ClassVar[Wire] = {
        "declaredSettings": ("declared_settings", "*DeclaredSetting"),
    }


@dataclass(repr=False)
class ListHostsRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListHostsResponse(Message):
    """A page of them."""

    hosts: List[Host] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "hosts": ("hosts", "*Host"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListImageServersRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListImageServersResponse(Message):
    """A page of them."""

    image_servers: List[ImageServer] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "imageServers": ("image_servers", "*ImageServer"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListImagesRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListImagesResponse(Message):
    """A page of them."""

    images: List[Image] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "images": ("images", "*Image"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListInstanceOfferingsRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListInstanceOfferingsResponse(Message):
    """A page of them."""

    instance_offerings: List[InstanceOffering] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "instanceOfferings": ("instance_offerings", "*InstanceOffering"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListIpRangesRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListIpRangesResponse(Message):
    """A page of them."""

    ip_ranges: List[IpRange] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "ipRanges": ("ip_ranges", "*IpRange"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListL2NetworksRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListL2NetworksResponse(Message):
    """A page of them."""

    l2_networks: List[L2Network] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "l2Networks": ("l2_networks", "*L2Network"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListL3NetworksRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListL3NetworksResponse(Message):
    """A page of them."""

    l3_networks: List[L3Network] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "l3Networks": ("l3_networks", "*L3Network"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListLanesRequest(Message):
    """Lists lanes."""

    service: str = ""
    """Only the lanes of this service, such as "vm"."""

    key_uuid: str = ""
    """Only the lanes of this resource or host (a UUID)"""

    max_lanes: int = 0
    """Most lanes in the answer, 1 to 10000; 0 means 1000."""

    here: bool = False
    """Only what the instance that is asked works itself: how members ask each other."""

    _wire: ClassVar[Wire] = {
        "service": ("service", "text"),
        "keyUuid": ("key_uuid", "text"),
        "maxLanes": ("max_lanes", "int32"),
        "here": ("here", "bool"),
    }


@dataclass(repr=False)
class ListLanesResponse(Message):
    """The lanes with work."""

    lanes: List[Lane] = _field(default_factory=list)
    """The lanes, those with the longest wait first."""

    total: int = 0
    """How many there are, also beyond those in the answer."""

    unanswered: List[Member] = _field(default_factory=list)
    """Members that did not answer in time: their lanes are not in the answer."""

    _wire: ClassVar[Wire] = {
        "lanes": ("lanes", "*Lane"),
        "total": ("total", "int64"),
        "unanswered": ("unanswered", "*Member"),
    }


@dataclass(repr=False)
class ListMembersRequest(Message):
    """Lists the members."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class ListMembersResponse(Message):
    """The members."""

    members: List[Member] = _field(default_factory=list)
    """The members, by service and UUID."""

    epoch: int = 0
    """The epoch: the etcd revision of the last change to any ring, or a count of changes in one process."""

    _wire: ClassVar[Wire] = {
        "members": ("members", "*Member"),
        "epoch": ("epoch", "int64"),
    }


@dataclass(repr=False)
class ListNicsRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListNicsResponse(Message):
    """A page of them."""

    nics: List[Nic] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "nics": ("nics", "*Nic"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListOperationsRequest(Message):
    """Lists operations."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `state = "RUNNING" AND resource_kind = "vm"`."""

    order_by: str = ""
    """Fields to sort by, such as "create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListOperationsResponse(Message):
    """A page of operations."""

    operations: List[Operation] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "operations": ("operations", "*Operation"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListPoliciesRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `effect = DENY AND create_time > "2026-01-01T00:00:00Z"`."""

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,effect"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListPoliciesResponse(Message):
    """A page of them."""

    policies: List[Policy] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "policies": ("policies", "*Policy"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListPrimaryStoragesRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListPrimaryStoragesResponse(Message):
    """A page of them."""

    primary_storages: List[PrimaryStorage] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "primaryStorages": ("primary_storages", "*PrimaryStorage"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListSettingsRequest(Message):
    """Lists values."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "vm.*" AND scope = CLUSTER`."""

    order_by: str = ""
    """Fields to sort by, such as "name, update_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListSettingsResponse(Message):
    """A page of values."""

    settings: List[Setting] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "settings": ("settings", "*Setting"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListTagsRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `resource_kind = "vm" AND key = "env"`."""

    order_by: str = ""
    """Fields to sort by, such as "text, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListTagsResponse(Message):
    """A page of them."""

    tags: List[Tag] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "tags": ("tags", "*Tag"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListVmsRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListVmsResponse(Message):
    """A page of them."""

    vms: List[Vm] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "vms": ("vms", "*Vm"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListVolumesRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListVolumesResponse(Message):
    """A page of them."""

    volumes: List[Volume] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "volumes": ("volumes", "*Volume"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListWebhooksRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `state = FAILING AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListWebhooksResponse(Message):
    """A page of them."""

    webhooks: List[Webhook] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "webhooks": ("webhooks", "*Webhook"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class ListZonesRequest(Message):
    """Lists them."""

    filter: str = ""
    """Which ones: comparisons of fields, such as `name = "web-1" AND create_time >
    "2026-01-01T00:00:00Z"`.
    """

    order_by: str = ""
    """Fields to sort by, such as "name, create_time desc"."""

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    read_mask: List[str] = _field(default_factory=list)
    """The fields to answer, such as "name,state"; all of them where it is empty."""

    count: bool = False
    """Counts all that the filter lets through, too, and answers `total_size`."""

    _wire: ClassVar[Wire] = {
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "readMask": ("read_mask", "mask"),
        "count": ("count", "bool"),
    }


@dataclass(repr=False)
class ListZonesResponse(Message):
    """A page of them."""

    zones: List[Zone] = _field(default_factory=list)
    """The rows."""

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many there are on all pages together, where the request says `count`."""

    _wire: ClassVar[Wire] = {
        "zones": ("zones", "*Zone"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
    }


@dataclass(repr=False)
class Member(Message):
    """An instance of a service that is in the ring."""

    uuid: str = ""
    """The instance, chosen when it started."""

    service: str = ""
    """The service: "identity", "host", "storage", "network", "vm" or "gateway"."""

    address: str = ""
    """Where it is reached: host:port, or "local" inside one process."""

    version: str = ""
    """Its version."""

    start_time: Optional[datetime] = None
    """When it started."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "service": ("service", "text"),
        "address": ("address", "text"),
        "version": ("version", "text"),
        "startTime": ("start_time", "time"),
    }


@dataclass(repr=False)
class Nic(Message):
    """A network interface of a machine. It comes with its machine and goes with it; only its name,
    description and tags are changed by calls.
    """

    uuid: str = ""
    """Identity. Version 4; chosen by Gyre with the machine (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique. At first its place in the machine: "nic-0", "nic-1"
    (required)
    """

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it: its machine's (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    vm_uuid: str = ""
    """The machine that it belongs to (set by Gyre, the UUID of a vm)"""

    l3_network_uuid: str = ""
    """The L3 network that it is plugged into (set by Gyre, the UUID of a l3-network)"""

    mac: str = ""
    """Its hardware address (set by Gyre)"""

    ip: str = ""
    """Its IPv4 address; empty while its machine is being made (set by Gyre)"""

    gateway: str = ""
    """The router (set by Gyre)"""

    prefix_length: int = 0
    """The length of the subnet's prefix (set by Gyre)"""

    bridge: str = ""
    """The bridge on the host (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "vmUuid": ("vm_uuid", "text"),
        "l3NetworkUuid": ("l3_network_uuid", "text"),
        "mac": ("mac", "text"),
        "ip": ("ip", "text"),
        "gateway": ("gateway", "text"),
        "prefixLength": ("prefix_length", "int32"),
        "bridge": ("bridge", "text"),
    }


@dataclass(repr=False)
class Operation(OperationMethods, Message):
    """A piece of work on one resource. It is durable before its caller hears of it, and either succeeds or
    is undone.
    """

    uuid: str = ""
    """Identity, chosen by Gyre (set by Gyre)"""

    account_uuid: str = ""
    """The account on whose behalf it runs (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When the call was accepted."""

    update_time: Optional[datetime] = None
    """When it last changed durably."""

    generation: int = 0
    """Grows with every durable change."""

    state: OperationState = OperationState.UNSPECIFIED
    """Where it stands."""

    service: str = ""
    """The service that owns the resource."""

    workflow: str = ""
    """The workflow, such as "create-vm"."""

    resource_kind: str = ""
    """The kind of the resource that it works on."""

    resource_uuid: str = ""
    """The resource that it works on."""

    percent: int = 0
    """How far it is, 0 to 100."""

    steps: List[OperationStep] = _field(default_factory=list)
    """The steps so far, in order."""

    error: Optional[Error] = None
    """Why it failed, once it did."""

    end_time: Optional[datetime] = None
    """When it ended."""

    fence: int = 0
    """Names the attempt that may act: a higher fence has the say."""

    instance_uuid: str = ""
    """The instance that runs it."""

    request_id: str = ""
    """The request id of the call that asked for it."""

    trace_parent: str = ""
    """The trace that it belongs to (W3C trace context)."""

    callback_url: str = ""
    """Where the finished operation is posted to, as the call asked with X-Gyre-Callback; empty where it
    did not.
    """

    callback_state: CallbackState = CallbackState.UNSPECIFIED
    """Where the callback stands."""

    callback_attempts: int = 0
    """How often it was tried."""

    callback_time: Optional[datetime] = None
    """While it is pending, when it is tried next, once the operation has ended; then, when it was
    delivered or given up.
    """

    callback_error: str = ""
    """Why the last try failed."""

    deletion: Optional[Deletion] = None
    """What a deletion would do, where its call asked for nothing else (`validate_only`); such an operation
    is not kept (set by Gyre)
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "OperationState"),
        "service": ("service", "text"),
        "workflow": ("workflow", "text"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "percent": ("percent", "int32"),
        "steps": ("steps", "*OperationStep"),
        "error": ("error", "Error"),
        "endTime": ("end_time", "time"),
        "fence": ("fence", "int64"),
        "instanceUuid": ("instance_uuid", "text"),
        "requestId": ("request_id", "text"),
        "traceParent": ("trace_parent", "text"),
        "callbackUrl": ("callback_url", "text"),
        "callbackState": ("callback_state", "CallbackState"),
        "callbackAttempts": ("callback_attempts", "int32"),
        "callbackTime": ("callback_time", "time"),
        "callbackError": ("callback_error", "text"),
        "deletion": ("deletion", "Deletion"),
    }


@dataclass(repr=False)
class OperationEvent(Message):
    """Something that happened to an operation."""

    kind: OperationEventKind = OperationEventKind.UNSPECIFIED
    """What it was."""

    time: Optional[datetime] = None
    """When."""

    step: str = ""
    """The step that it is about; empty for what is about the whole operation."""

    attempt: int = 0
    """Which try of the step it was."""

    instance_uuid: str = ""
    """The instance that worked on the operation then."""

    fence: int = 0
    """The fence that it worked under."""

    host_uuid: str = ""
    """The host that a task of the step ran on."""

    duration: Optional[timedelta] = None
    """How long what ended here took."""

    message: str = ""
    """What there is to say of it, for people: an error, or a state."""

    _wire: ClassVar[Wire] = {
        "kind": ("kind", "OperationEventKind"),
        "time": ("time", "time"),
        "step": ("step", "text"),
        "attempt": ("attempt", "int32"),
        "instanceUuid": ("instance_uuid", "text"),
        "fence": ("fence", "int64"),
        "hostUuid": ("host_uuid", "text"),
        "duration": ("duration", "duration"),
        "message": ("message", "text"),
    }


@dataclass(repr=False)
class OperationStep(Message):
    """One step of an operation."""

    name: str = ""
    """The step's name in the workflow."""

    state: OperationStepState = OperationStepState.UNSPECIFIED
    """Where it stands."""

    percent: int = 0
    """How far it is, 0 to 100, as its doer reports."""

    message: str = ""
    """What it does or did, for people."""

    start_time: Optional[datetime] = None
    """When it began."""

    end_time: Optional[datetime] = None
    """When it ended."""

    attempts: int = 0
    """How often it was tried."""

    _wire: ClassVar[Wire] = {
        "name": ("name", "text"),
        "state": ("state", "OperationStepState"),
        "percent": ("percent", "int32"),
        "message": ("message", "text"),
        "startTime": ("start_time", "time"),
        "endTime": ("end_time", "time"),
        "attempts": ("attempts", "int32"),
    }


@dataclass(repr=False)
class Policy(Message):
    """Denies or allows calls of an account, or of one of its API keys. What a DENY matches is refused.
    Where there is an ALLOW, what none of them matches is refused, too; those of one owner for the same
    subject are looked at together. Without policies everything is allowed that the account may do at
    all.
    """

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people, which refusals tell; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it, and may change it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed. Gateways go by it within five seconds (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    effect: PolicyEffect = PolicyEffect.UNSPECIFIED
    """Whether it denies or allows (required)"""

    actions: List[str] = _field(default_factory=list)
    """Which calls: actions such as "vm:StopVm", where "*" stands for anything: "vm:*", "*:Get*" (required)"""

    subject_uuid: str = ""
    """The account whose calls it is about; its owner's own where it is not given. Others than the own are
    for administrators (fixed at creation, the UUID of an account)
    """

    api_key_uuid: str = ""
    """The API key of that account whose calls it is about; where it is empty, all calls of the account. An
    administrator's account is bound by the policies of its keys only (fixed at creation, the UUID of an
    api-key)
    """

    resource_kind: str = ""
    """The kind of resource that `filter` is about, such as "vm"."""

    filter: str = ""
    """Which resources, with `resource_kind`: any filter of a list of that kind, such as `tags:"env=prod"`.
    The policy is about calls that name one such resource by its UUID then, and about no others: it does
    not shorten lists, and a resource that is to be made is none yet. It is asked in the name of the
    policy's owner.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
        "effect": ("effect", "PolicyEffect"),
        "actions": ("actions", "*text"),
        "subjectUuid": ("subject_uuid", "text"),
        "apiKeyUuid": ("api_key_uuid", "text"),
        "resourceKind": ("resource_kind", "text"),
        "filter": ("filter", "text"),
    }


@dataclass(repr=False)
class PrimaryStorage(Message):
    """Where the disks of machines live."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: PrimaryStorageState = PrimaryStorageState.UNSPECIFIED
    """Whether new disks may be placed here (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    type: PrimaryStorageType = PrimaryStorageType.UNSPECIFIED
    """What kind of storage it is (required, fixed at creation)"""

    cluster_uuid: str = ""
    """The cluster whose hosts use it (required, fixed at creation, the UUID of a cluster)"""

    path: str = ""
    """The folder on each host (required, fixed at creation)"""

    overcommit: int = 0
    """How many bytes of disks are promised for 100 bytes of room, 50 to 1000; 0 means 200 (disks are
    thin).
    """

    total_bytes: int = 0
    """Bytes on all its hosts together (set by Gyre)"""

    used_bytes: int = 0
    """Bytes promised to disks on all its hosts together (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "PrimaryStorageState"),
        "tags": ("tags", "*text"),
        "type": ("type", "PrimaryStorageType"),
        "clusterUuid": ("cluster_uuid", "text"),
        "path": ("path", "text"),
        "overcommit": ("overcommit", "int32"),
        "totalBytes": ("total_bytes", "int64"),
        "usedBytes": ("used_bytes", "int64"),
    }


@dataclass(repr=False)
class QueryPlan(Message):
    """How a question would be answered."""

    sql: str = ""
    """The statement, with a question mark for each value."""

    database: List[str] = _field(default_factory=list)
    """What the database says that it would do, line by line; for administrators only."""

    _wire: ClassVar[Wire] = {
        "sql": ("sql", "text"),
        "database": ("database", "*text"),
    }


@dataclass(repr=False)
class QueryRequest(Message):
    """A question."""

    kind: str = ""
    """The kind, or its plural: "vm", "vms" (required)"""

    filter: str = ""
    """Which rows, such as `host.cluster.zone.name = "east" AND state = RUNNING`."""

    order_by: str = ""
    """What to sort by, such as "host.name, create_time desc"; of groups also "count desc" and
    "sum.memory_bytes".
    """

    page_size: int = 0
    """Most rows in the answer, 1 to 1000; 0 means 100."""

    page_token: str = ""
    """Where the page before ended."""

    fields: List[str] = _field(default_factory=list)
    """The fields to answer, of the rows and of what they refer to, such as "name" and "host.name"; all of
    the rows' own where there are none.
    """

    group_by: List[str] = _field(default_factory=list)
    """Answers groups in place of rows: those that have these fields alike, each with its `count`."""

    sum: List[str] = _field(default_factory=list)
    """Numbers to sum up in each group, or over all rows where they are not grouped."""

    min: List[str] = _field(default_factory=list)
    """Fields whose smallest value is wanted."""

    max: List[str] = _field(default_factory=list)
    """Fields whose largest value is wanted."""

    count: bool = False
    """Counts all rows, or groups, too, and answers `total_size`."""

    explain: bool = False
    """Answers how it would be found out, and nothing else."""

    _wire: ClassVar[Wire] = {
        "kind": ("kind", "text"),
        "filter": ("filter", "text"),
        "orderBy": ("order_by", "text"),
        "pageSize": ("page_size", "int32"),
        "pageToken": ("page_token", "text"),
        "fields": ("fields", "*text"),
        "groupBy": ("group_by", "*text"),
        "sum": ("sum", "*text"),
        "min": ("min", "*text"),
        "max": ("max", "*text"),
        "count": ("count", "bool"),
        "explain": ("explain", "bool"),
    }


@dataclass(repr=False)
class QueryResponse(Message):
    """The answer."""

    rows: List[Any] = _field(default_factory=list)
    """The rows, as the resources' JSON; fields of what they refer to lie in objects, as in {"name": …,
    "host": {"name": …}}. Groups have the fields that they are grouped by, `count`, and what was asked
    for in `sum`, `min` and `max`.
    """

    next_page_token: str = ""
    """Where the next page begins; empty after the last."""

    total_size: int = 0
    """How many rows or groups there are on all pages together, where the request says `count`."""

    plan: Optional[QueryPlan] = None
    """How it would be found out, where the request says `explain`."""

    _wire: ClassVar[Wire] = {
        "rows": ("rows", "*json"),
        "nextPageToken": ("next_page_token", "text"),
        "totalSize": ("total_size", "int64"),
        "plan": ("plan", "QueryPlan"),
    }


@dataclass(repr=False)
class ReadVmConsoleRequest(Message):
    """Reads a console."""

    uuid: str = ""
    """The machine (required, the UUID of a vm)"""

    tail_bytes: int = 0
    """How much of what was printed before to begin with, in bytes, at most 1 MiB; 0 means 64 KiB."""

    follow: bool = False
    """Goes on with what is printed from now on."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "tailBytes": ("tail_bytes", "int32"),
        "follow": ("follow", "bool"),
    }


@dataclass(repr=False)
class ReadVmConsoleResponse(Message):
    """A piece of output."""

    data: bytes = b""
    """The bytes as the guest wrote them."""

    _wire: ClassVar[Wire] = {
        "data": ("data", "bytes"),
    }


@dataclass(repr=False)
class RebootVmRequest(Message):
    """Restarts a machine: shuts it down and starts it again, or resets it."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    force: bool = False
    """Resets at once instead of asking the guest."""

    grace_seconds: int = 0
    """How long the guest may take to shut down, in seconds, 0 to 3600; 0 means what the setting
    vm.stop-grace says.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "force": ("force", "bool"),
        "graceSeconds": ("grace_seconds", "int32"),
    }


@dataclass(repr=False)
class ReconnectHostRequest(Message):
    """Opens the session with the host's agent anew and reads what runs there."""

    uuid: str = ""
    """Which one (required, the UUID of a host)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RecoverImageRequest(Message):
    """Takes an image out of the bin; it can be used again."""

    uuid: str = ""
    """Which one (required, the UUID of an image)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RecoverVmRequest(Message):
    """Takes a machine out of the bin; it is stopped then."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RecoverVolumeRequest(Message):
    """Takes a data volume out of the bin; it can be used again."""

    uuid: str = ""
    """Which one (required, the UUID of a volume)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RedeliverDeadLetterRequest(Message):
    """Delivers one again."""

    uuid: str = ""
    """Which one (required, the UUID of a dead-letter)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RedeliverDeadLetterResponse(Message):
    """It is delivered again."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class RedeliverDeadLettersRequest(Message):
    """Delivers dead letters again."""

    uuid: str = ""
    """Of which webhook (required, the UUID of a webhook)"""

    filter: str = ""
    """Which dead letters: comparisons of their fields, such as `resource_kind = "vm"`; all where it is
    empty.
    """

    request_id: str = ""
    """Names this wish. What was taken up once is no dead letter any more, so that a repeat is harmless."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "filter": ("filter", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RedeliverDeadLettersResponse(Message):
    """What is delivered again."""

    count: int = 0
    """How many were taken up."""

    _wire: ClassVar[Wire] = {
        "count": ("count", "int64"),
    }


@dataclass(repr=False)
class RetryOperationRequest(Message):
    """Tries a stuck operation again."""

    uuid: str = ""
    """The operation (required, the UUID of an operation)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class RotateCallbackKeyRequest(Message):
    """Makes a new key for the calling account."""

    request_id: str = ""
    """Names this wish: the same id again makes no other key. Chosen by the gateway where it is empty."""

    _wire: ClassVar[Wire] = {
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class RotateWebhookSecretRequest(Message):
    """Makes a new key."""

    uuid: str = ""
    """Of which one (required, the UUID of a webhook)"""

    request_id: str = ""
    """Names this wish: the same id again makes no other key, and answers none. Chosen by the gateway where
    it is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class SetSettingRequest(Message):
    """Sets a value."""

    name: str = ""
    """The setting, such as "vm.stop-grace" (required)"""

    value: str = ""
    """The value, as people write it: "45s", "4GiB", "true"."""

    resource_kind: str = ""
    """The kind of what it is to hold for: "zone", "cluster", "account", or a kind of resource. Empty: the
    whole cloud.
    """

    resource_uuid: str = ""
    """What it is to hold for (a UUID)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "name": ("name", "text"),
        "value": ("value", "text"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class Setting(Message):
    """A value of a setting, for the whole cloud or nearer. Which settings there are is declared in the
    .proto files of the services.
    """

    uuid: str = ""
    """Identity: it follows from the name and what the value holds for (set by Gyre)"""

    name: str = ""
    """The setting, such as "vm.stop-grace" (set by Gyre)"""

    description: str = ""
    """What it does (set by Gyre)"""

    account_uuid: str = ""
    """The account that it holds for, or that owns the resource which it holds for (set by Gyre, the UUID
    of an account)
    """

    create_time: Optional[datetime] = None
    """When it was first set (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change (set by Gyre)"""

    value: str = ""
    """The value, as people write it: "45s", "4GiB", "true" (set by Gyre)"""

    scope: SettingScope = SettingScope.UNSPECIFIED
    """Where it holds (set by Gyre)"""

    resource_kind: str = ""
    """The kind of what it holds for, such as "cluster"; empty for the whole cloud (set by Gyre)"""

    resource_uuid: str = ""
    """What it holds for; empty for the whole cloud (set by Gyre, a UUID)"""

    shared: bool = False
    """Whether everybody who is signed in sees it: what holds for more than one account's resources (set by
    Gyre)
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "value": ("value", "text"),
        "scope": ("scope", "SettingScope"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "shared": ("shared", "bool"),
    }


@dataclass(repr=False)
class StartVmRequest(Message):
    """Starts a stopped machine, on the host that holds its root volume."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class StopVmRequest(Message):
    """Stops a machine: presses the power button, and after the grace period pulls the plug."""

    uuid: str = ""
    """Which one (required, the UUID of a vm)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    force: bool = False
    """Pulls the plug at once."""

    grace_seconds: int = 0
    """How long the guest may take to shut down, in seconds, 0 to 3600; 0 means what the setting
    vm.stop-grace says.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "requestId": ("request_id", "text"),
        "force": ("force", "bool"),
        "graceSeconds": ("grace_seconds", "int32"),
    }


@dataclass(repr=False)
class Tag(Message):
    """A tag: a mark on a resource, "key=value" or a plain word. Who may change the resource may tag it,
    and who sees it sees its tags.
    """

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """The text again, so that a tag is found like all else by its name (set by Gyre)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns the resource (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change (set by Gyre)"""

    resource_kind: str = ""
    """The kind of the resource, such as "vm" (required, fixed at creation)"""

    resource_uuid: str = ""
    """The resource (required, fixed at creation, a UUID)"""

    text: str = ""
    """The tag: "key=value", or a plain word (required, fixed at creation)"""

    key: str = ""
    """What stands before the first "="; of a plain word, all of it (set by Gyre)"""

    value: str = ""
    """What stands after the first "="; of a plain word, nothing (set by Gyre)"""

    type: TagType = TagType.UNSPECIFIED
    """Who gives it a meaning (set by Gyre)"""

    shared: bool = False
    """Whether everybody who is signed in sees it, since everybody sees the resource (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "text": ("text", "text"),
        "key": ("key", "text"),
        "value": ("value", "text"),
        "type": ("type", "TagType"),
        "shared": ("shared", "bool"),
    }


@dataclass(repr=False)
class TestWebhookRequest(Message):
    """Posts a ping."""

    uuid: str = ""
    """To which one (required, the UUID of a webhook)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class TestWebhookResponse(Message):
    """What became of a ping."""

    delivered: bool = False
    """Whether the receiver answered with a 2xx."""

    error: str = ""
    """Why not."""

    _wire: ClassVar[Wire] = {
        "delivered": ("delivered", "bool"),
        "error": ("error", "text"),
    }


@dataclass(repr=False)
class UnsetSettingRequest(Message):
    """Takes a value away."""

    name: str = ""
    """The setting (required)"""

    resource_kind: str = ""
    """The kind of what it holds for. Empty: the whole cloud."""

    resource_uuid: str = ""
    """What it holds for (a UUID)"""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "name": ("name", "text"),
        "resourceKind": ("resource_kind", "text"),
        "resourceUuid": ("resource_uuid", "text"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UnsetSettingResponse(Message):
    """It is taken away."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class UpdateAccountRequest(Message):
    """Changes some fields."""

    account: Optional[Account] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "account": ("account", "Account"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateClusterRequest(Message):
    """Changes some fields."""

    cluster: Optional[Cluster] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "cluster": ("cluster", "Cluster"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateHostRequest(Message):
    """Changes some fields."""

    host: Optional[Host] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "host": ("host", "Host"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateImageRequest(Message):
    """Changes some fields."""

    image: Optional[Image] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "image": ("image", "Image"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateImageServerRequest(Message):
    """Changes some fields."""

    image_server: Optional[ImageServer] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "imageServer": ("image_server", "ImageServer"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateInstanceOfferingRequest(Message):
    """Changes some fields."""

    instance_offering: Optional[InstanceOffering] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "instanceOffering": ("instance_offering", "InstanceOffering"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateL2NetworkRequest(Message):
    """Changes some fields."""

    l2_network: Optional[L2Network] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "l2Network": ("l2_network", "L2Network"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateL3NetworkRequest(Message):
    """Changes some fields."""

    l3_network: Optional[L3Network] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "l3Network": ("l3_network", "L3Network"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateNicRequest(Message):
    """Changes some fields."""

    nic: Optional[Nic] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "nic": ("nic", "Nic"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdatePolicyRequest(Message):
    """Changes some fields."""

    policy: Optional[Policy] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "policy": ("policy", "Policy"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdatePrimaryStorageRequest(Message):
    """Changes some fields."""

    primary_storage: Optional[PrimaryStorage] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "primaryStorage": ("primary_storage", "PrimaryStorage"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateVmRequest(Message):
    """Changes some fields."""

    vm: Optional[Vm] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "vm": ("vm", "Vm"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateVolumeRequest(Message):
    """Changes some fields."""

    volume: Optional[Volume] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "volume": ("volume", "Volume"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateWebhookRequest(Message):
    """Changes one."""

    webhook: Optional[Webhook] = None
    """What to change: the UUID, and the new values (required)"""

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change; nothing means those that are given."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "webhook": ("webhook", "Webhook"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UpdateZoneRequest(Message):
    """Changes some fields."""

    zone: Optional[Zone] = None
    """The UUID of the one to change, and the new values. A generation that is not 0 must be the present
    one (required)
    """

    update_mask: List[str] = _field(default_factory=list)
    """The fields to change. Where it is empty: those in the JSON body, or those that are not zero."""

    request_id: str = ""
    """Names this wish: the same id again answers what the first call did. Chosen by the gateway where it
    is empty.
    """

    _wire: ClassVar[Wire] = {
        "zone": ("zone", "Zone"),
        "updateMask": ("update_mask", "mask"),
        "requestId": ("request_id", "text"),
    }


@dataclass(repr=False)
class UploadImageRequest(Message):
    """A piece of an image."""

    uuid: str = ""
    """The image; needed in the first message only (the UUID of an image)"""

    data: bytes = b""
    """The next bytes, at most 1 MiB."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "data": ("data", "bytes"),
    }


@dataclass(repr=False)
class Vm(Message):
    """A virtual machine."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: VmState = VmState.UNSPECIFIED
    """What it is doing; docs/vm-states.md has the table (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    instance_offering_uuid: str = ""
    """The size; or else give cpu_count and memory_bytes (fixed at creation, the UUID of an
    instance-offering)
    """

    cpu_count: int = 0
    """Virtual processors, 1 to 256 (fixed at creation)"""

    memory_bytes: int = 0
    """Memory in bytes, 16 MiB to 16 TiB (fixed at creation)"""

    image_uuid: str = ""
    """The image of its root volume (required, fixed at creation, the UUID of an image)"""

    root_volume_bytes: int = 0
    """The size of its root volume in bytes; 0 means the image's (fixed at creation)"""

    l3_network_uuids: List[str] = _field(default_factory=list)
    """The L3 networks to plug it into, one interface each, at most 8 (fixed at creation, the UUID of a
    l3-network)
    """

    cluster_uuid: str = ""
    """The cluster to place it in; empty lets Gyre pick (fixed at creation, the UUID of a cluster)"""

    host_uuid: str = ""
    """The host to place it on; empty lets Gyre pick. Afterwards the host that it is on (fixed at creation,
    the UUID of a host)
    """

    root_volume_uuid: str = ""
    """Its root volume (set by Gyre, the UUID of a volume)"""

    nics: List[VmNic] = _field(default_factory=list)
    """Its interfaces (set by Gyre)"""

    addresses: List[str] = _field(default_factory=list)
    """The addresses of its interfaces, for a quick look (set by Gyre)"""

    destroy_time: Optional[datetime] = None
    """When it was put in the bin (set by Gyre)"""

    state_reason: str = ""
    """Why it is in the state that it is in, where that needs saying (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "VmState"),
        "tags": ("tags", "*text"),
        "instanceOfferingUuid": ("instance_offering_uuid", "text"),
        "cpuCount": ("cpu_count", "int32"),
        "memoryBytes": ("memory_bytes", "int64"),
        "imageUuid": ("image_uuid", "text"),
        "rootVolumeBytes": ("root_volume_bytes", "int64"),
        "l3NetworkUuids": ("l3_network_uuids", "*text"),
        "clusterUuid": ("cluster_uuid", "text"),
        "hostUuid": ("host_uuid", "text"),
        "rootVolumeUuid": ("root_volume_uuid", "text"),
        "nics": ("nics", "*VmNic"),
        "addresses": ("addresses", "*text"),
        "destroyTime": ("destroy_time", "time"),
        "stateReason": ("state_reason", "text"),
    }


@dataclass(repr=False)
class VmNic(Message):
    """A network interface of a machine."""

    uuid: str = ""
    """Identity."""

    l3_network_uuid: str = ""
    """The L3 network that it is plugged into."""

    mac: str = ""
    """Its hardware address."""

    address: str = ""
    """Its IPv4 address."""

    gateway: str = ""
    """The router."""

    prefix_length: int = 0
    """The length of the subnet's prefix."""

    bridge: str = ""
    """The bridge on the host."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "l3NetworkUuid": ("l3_network_uuid", "text"),
        "mac": ("mac", "text"),
        "address": ("address", "text"),
        "gateway": ("gateway", "text"),
        "prefixLength": ("prefix_length", "int32"),
        "bridge": ("bridge", "text"),
    }


@dataclass(repr=False)
class Volume(Message):
    """A disk."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it (set by Gyre, the UUID of an account)"""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: VolumeState = VolumeState.UNSPECIFIED
    """Where it stands (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    type: VolumeType = VolumeType.UNSPECIFIED
    """What it is for (set by Gyre)"""

    primary_storage_uuid: str = ""
    """The primary storage that holds it; empty picks one of the host's cluster (fixed at creation, the
    UUID of a primary-storage)
    """

    host_uuid: str = ""
    """The host that holds it (local storage) (required, fixed at creation, the UUID of a host)"""

    size_bytes: int = 0
    """The size that a machine sees, in bytes (required, fixed at creation)"""

    image_uuid: str = ""
    """The image that it was made from (set by Gyre, the UUID of an image)"""

    vm_uuid: str = ""
    """The machine that it belongs to (set by Gyre, the UUID of a vm)"""

    path: str = ""
    """The file on the host (set by Gyre)"""

    destroy_time: Optional[datetime] = None
    """When it was put in the bin (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "VolumeState"),
        "tags": ("tags", "*text"),
        "type": ("type", "VolumeType"),
        "primaryStorageUuid": ("primary_storage_uuid", "text"),
        "hostUuid": ("host_uuid", "text"),
        "sizeBytes": ("size_bytes", "int64"),
        "imageUuid": ("image_uuid", "text"),
        "vmUuid": ("vm_uuid", "text"),
        "path": ("path", "text"),
        "destroyTime": ("destroy_time", "time"),
    }


@dataclass(repr=False)
class WaitOperationRequest(Message):
    """Waits for an operation."""

    uuid: str = ""
    """The operation (required, the UUID of an operation)"""

    timeout: Optional[timedelta] = None
    """How long to wait at most; nothing means until the call's own deadline."""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "timeout": ("timeout", "duration"),
    }


@dataclass(repr=False)
class WatchOperationRequest(Message):
    """Streams an operation."""

    uuid: str = ""
    """The operation (required, the UUID of an operation)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
    }


@dataclass(repr=False)
class WatchRequest(Message):
    """Streams a list."""

    kind: str = ""
    """The kind, or its plural: "vm", "vms" (required)"""

    filter: str = ""
    """Which ones, as in a list; `uuid = "…"` is one resource."""

    position: str = ""
    """Where to go on: the position of the last event that was taken. Over HTTP the header Last-Event-ID
    says the same.
    """

    _wire: ClassVar[Wire] = {
        "kind": ("kind", "text"),
        "filter": ("filter", "text"),
        "position": ("position", "text"),
    }


@dataclass(repr=False)
class WatchResponse(Message):
    """Something that happened in a list."""

    type: WatchEventType = WatchEventType.UNSPECIFIED
    """What."""

    position: str = ""
    """Where to go on from after this event."""

    uuid: str = ""
    """The resource that it is about; empty where it is about none."""

    resource: Any = None
    """The resource: as it is now, or, removed, as it last was. Nothing where that is not known any more."""

    _wire: ClassVar[Wire] = {
        "type": ("type", "WatchEventType"),
        "position": ("position", "text"),
        "uuid": ("uuid", "text"),
        "resource": ("resource", "any"),
    }


@dataclass(repr=False)
class Webhook(Message):
    """A URL that changes are posted to: those that its account sees in the log of changes, as far as
    `kinds` and the filters let them through. Each is delivered at least once, those of one resource in
    their order.
    """

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    account_uuid: str = ""
    """The account that owns it. What an administrator owns is told of all changes (set by Gyre, the UUID
    of an account)
    """

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    state: WebhookState = WebhookState.UNSPECIFIED
    """Whether changes arrive (set by Gyre)"""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    url: str = ""
    """Where changes are posted, http or https. The operator says where requests may go
    (`--callback-allow`) (required)
    """

    kinds: List[str] = _field(default_factory=list)
    """The kinds of resources whose changes are wanted, such as "vm"; all where it is empty."""

    filter: str = ""
    """Which changes: comparisons of a change's own fields, such as `action IN (CREATE, DELETE) AND outcome
    = DONE`.
    """

    resource_filter: str = ""
    """Which resources, with one kind in `kinds`: comparisons of the resource's own fields, such as `state
    = RUNNING`. A change is delivered where they hold before it or after it, so that what leaves the
    list is told, too.
    """

    secret: str = ""
    """The key that deliveries are signed with: "whsec_" and the base64 of 24 to 64 bytes. Made where it is
    not given. Only sent; answered once, by the call that makes the webhook or rotates the key (fixed at
    creation)
    """

    disabled: bool = False
    """Sends nothing while it is true; what changes meanwhile is sent afterwards."""

    last_error: str = ""
    """Why the last tries failed, while it is FAILING; why Gyre disabled it (set by Gyre)"""

    failing_since: Optional[datetime] = None
    """Since when it is FAILING (set by Gyre)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "accountUuid": ("account_uuid", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "state": ("state", "WebhookState"),
        "tags": ("tags", "*text"),
        "url": ("url", "text"),
        "kinds": ("kinds", "*text"),
        "filter": ("filter", "text"),
        "resourceFilter": ("resource_filter", "text"),
        "secret": ("secret", "text", SECRET),
        "disabled": ("disabled", "bool"),
        "lastError": ("last_error", "text"),
        "failingSince": ("failing_since", "time"),
    }


@dataclass(repr=False)
class WriteVmConsoleRequest(Message):
    """Types into a console."""

    uuid: str = ""
    """The machine (required, the UUID of a vm)"""

    data: bytes = b""
    """What to type, at most 4 KiB (required)"""

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "data": ("data", "bytes"),
    }


@dataclass(repr=False)
class WriteVmConsoleResponse(Message):
    """It is typed."""

    _wire: ClassVar[Wire] = {}


@dataclass(repr=False)
class Zone(Message):
    """A place that fails on its own: a building, a room. Clusters stand in it."""

    uuid: str = ""
    """Identity. Version 4; chosen by the caller or else by Gyre (fixed at creation)"""

    name: str = ""
    """A name for people; it need not be unique (required)"""

    description: str = ""
    """What it is for."""

    create_time: Optional[datetime] = None
    """When it was made (set by Gyre)"""

    update_time: Optional[datetime] = None
    """When it last changed (set by Gyre)"""

    generation: int = 0
    """Grows with every change. An update that names one is refused when another change came first."""

    tags: List[str] = _field(default_factory=list)
    """Marks of people and programs: "key=value" or a plain word each. An update that names this field puts
    the whole list in the place of the one that was there; `CreateTag` and `DeleteTag` change one.
    """

    _wire: ClassVar[Wire] = {
        "uuid": ("uuid", "text"),
        "name": ("name", "text"),
        "description": ("description", "text"),
        "createTime": ("create_time", "time"),
        "updateTime": ("update_time", "time"),
        "generation": ("generation", "int64"),
        "tags": ("tags", "*text"),
    }
