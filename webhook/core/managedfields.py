"""Read ``metadata.managedFields``, in which the API server records who wrote an object.

Source: k8s.io/apimachinery/pkg/apis/meta/v1/types.go (ManagedFieldsEntry); KEP-555 (server-side apply).
"""

from __future__ import annotations

import msgspec


class Writer(msgspec.Struct, frozen=True, gc=False):
    """One entry: a field manager, and whether it writes by server-side apply (``Apply``) or otherwise (``Update``)."""

    manager: str = ""
    operation: str = ""
