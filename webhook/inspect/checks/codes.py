"""Define the stable codes of ``pullsecrets check``: the subject of each, as in the headings of docs/check.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLES: Mapping[str, str] = {
    "PSW001": "rights of sync",
    "PSW002": "rights of the webhook",
    "PSW003": "no right to read every Secret",
    "PSW010": "webhooks registered",
    "PSW011": "rules of the webhooks",
    "PSW012": "selectors of the webhooks",
    "PSW013": "policies of the webhooks",
    "PSW014": "match conditions of the webhooks",
    "PSW015": "caBundle trusts the certificate",
    "PSW020": "serving certificate usable",
    "PSW021": "serving certificate renewed in time",
    "PSW022": "serving certificate has the right name",
    "PSW023": "served certificate is the stored one",
    "PSW024": "authority valid",
    "PSW030": "configuration valid",
    "PSW031": "opt-in labels without typing errors",
    "PSW032": "every pull secret is used",
    "PSW033": "no opt-in label where it has no effect",
    "PSW034": "names were retired before they were dropped",
    "PSW035": "no mass removal held",
    "PSW040": "sources there",
    "PSW041": "sources usable",
    "PSW042": "credentials log in",
    "PSW043": "entries of sources",
    "PSW044": "last good contents kept",
    "PSW050": "copies there",
    "PSW051": "copies current",
    "PSW052": "no foreign Secret in a copy's place",
    "PSW053": "references in ServiceAccounts",
    "PSW054": "nothing left behind",
    "PSW055": "no ServiceAccount whose Pods are refused",
    "PSW060": "sync has a leader",
    "PSW061": "replicas ready",
    "PSW062": "versions agree",
    "PSW063": "clocks agree",
    "PSW070": "a new Pod is injected",
    "PSW071": "a new ServiceAccount is injected",
    "PSW080": "policies guard the identities",
}
