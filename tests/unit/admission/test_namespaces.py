from __future__ import annotations

from webhook.admission.namespaces import NamespaceLabels
from webhook.core.selection import Namespace


def test_labels_follow_the_watch() -> None:
    labels = NamespaceLabels()
    assert labels.labels_of("a") is None
    labels.replace([Namespace("a", {"x": "1"}), Namespace("b")])
    assert (labels.labels_of("a"), labels.labels_of("b")) == ({"x": "1"}, {})
    labels.upsert(Namespace("a", {"x": "2"}))
    labels.remove(Namespace("b"))
    assert (labels.labels_of("a"), labels.labels_of("b")) == ({"x": "2"}, None)
    labels.replace([Namespace("c")])
    assert labels.labels_of("a") is None
