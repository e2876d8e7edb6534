"""Make the API server record which manager sets which field of an object, if it does not do so yet.

The API server skips an object that has no managedFields, and most ServiceAccounts have none. The guard then cannot
distinguish the writes of this project from those of a mutating policy in the same request, and refuses both. An entry
in the same patch makes the API server record the change. The entry owns an annotation that is never set, so it
conflicts with no other manager.

Source: k8s.io/apimachinery, pkg/util/managedfields/internal/skipnonapplied.go.
"""

from __future__ import annotations

from typing import Any

from webhook.kube.lease import timestamp
from webhook.kube.objects import decode_entries
from webhook.rules.ownership import FIELD_MANAGER

NEVER_SET = "pullsecrets.webhook/tracked"


def is_tracked(content: bytes) -> bool:
    """Return True if the API server records which manager sets which field; ``content`` is the object's JSON."""
    return bool(decode_entries(content))


def begin_tracking() -> dict[str, Any]:
    """Return the JSON Patch operation that makes the API server record this change and all later ones.

    It replaces all existing entries. Use it only for an object that is not tracked, with a test of its version.
    """
    entry = {
        "manager": FIELD_MANAGER,
        "operation": "Update",
        "apiVersion": "v1",
        "time": f"{timestamp()[:19]}Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{NEVER_SET}": {}}}},
    }
    return {"op": "add", "path": "/metadata/managedFields", "value": [entry]}
