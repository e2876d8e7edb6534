"""Define the stable codes of ``pullsecrets check``: subject, meaning and advice, in the words of docs/check.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = "docs/check.md"

GROUPS: Mapping[str, str] = {
    "PSW00": "rights",
    "PSW01": "webhooks",
    "PSW02": "certificate",
    "PSW03": "configuration",
    "PSW04": "sources",
    "PSW05": "copies and references",
    "PSW06": "processes",
    "PSW07": "injection",
    "PSW08": "policies",
    "PSW09": "before an installation",
}
"""The groups of the codes, by prefix, in the order in which they are printed."""


class Code(msgspec.Struct, frozen=True):
    """The subject of a check, the meaning of a finding, and advice; names are in backticks."""

    title: str
    meaning: str
    advice: str


CODES: Mapping[str, Code] = {
    "PSW001": Code(
        "rights of sync",
        "An identity of the release lacks a right of rights.md: `pullsecrets sync` cannot do its work, or only a "
        "part of it.",
        "Upgrade the release, so that the chart recreates its roles. Find out who removed the rule, or the binding.",
    ),
    "PSW002": Code(
        "rights of the webhook",
        "The webhook lacks a right of rights.md: a replica that starts finds no certificate, or cannot read the "
        "labels of namespaces.",
        "Upgrade the release, so that the chart recreates its roles. Find out who removed the rule, or the binding.",
    ),
    "PSW003": Code(
        "no right to read every Secret",
        "An identity of the release may read every Secret of the cluster. No identity needs that, and the chart does "
        "not grant it.",
        "Find the role that grants it: `kubectl auth can-i --list --as=system:serviceaccount:NAMESPACE:NAME`. Remove "
        "it.",
    ),
    "PSW010": Code(
        "webhooks registered",
        "The MutatingWebhookConfiguration of the release, or one of its two webhooks, is gone. The API server calls "
        "no webhook, and new objects get no reference.",
        "Upgrade the release. Find in the audit log who removed it.",
    ),
    "PSW011": Code(
        "rules of the webhooks",
        "A webhook is not called for objects that it must see (CREATE of Pods; CREATE and UPDATE of "
        "ServiceAccounts), or is called for more.",
        "Upgrade the release.",
    ),
    "PSW012": Code(
        "selectors of the webhooks",
        "The selectors of a webhook differ from the configuration: the opt-in label, the excluded namespaces, the "
        "opt-out of objects. With a selector that is too wide, the API server calls the webhook for namespaces that "
        "have not opted in, and depends on it there.",
        "Upgrade the release, so that selectors and configuration are made from the same values. Selectors that you "
        "add by values are not findings.",
    ),
    "PSW013": Code(
        "policies of the webhooks",
        "A policy of a webhook differs from the chart: `sideEffects` or `matchPolicy`. Or somebody other than the "
        "installer of the release has changed `failurePolicy`, `reinvocationPolicy` or `timeoutSeconds`, according "
        "to the API server's `managedFields`.",
        "Set it by the values of the chart, and upgrade the release.",
    ),
    "PSW014": Code(
        "match conditions of the webhooks",
        "The match condition of a webhook does not name a pull secret that may be due. So the API server does not "
        "call the webhook for objects that lack it. Or no condition has the patterns of `excludedNamespaces`, and the "
        "API server calls the webhook for these namespaces, too. It is a note if there is no condition at all, as "
        "before Kubernetes 1.28.",
        "Upgrade the release.",
    ),
    "PSW015": Code(
        "caBundle trusts the certificate",
        "The `caBundle` of a webhook is empty, or does not trust the serving certificate. The API server cannot "
        "connect to the webhook, and new objects pass without a reference (or are rejected, with `failurePolicy: "
        "Fail`).",
        "With `certificates.mode: self-managed` check that `sync` runs (PSW060) and may patch the "
        "MutatingWebhookConfiguration (PSW001). In the other modes check its manager: certificates.md. In the mode "
        "`provided` an empty `caBundle` is only a note. Then the roots of the API server's system apply, which "
        "`check` cannot read; PSW070 tests the result.",
    ),
    "PSW020": Code(
        "serving certificate usable",
        "The Secret `<fullname>-tls` is absent. Or it lacks a certificate with its key, or the certificate is not "
        "for servers. Running replicas continue with the pair that they have; a new one does not become ready.",
        "With `certificates.mode: self-managed` check that `sync` runs (PSW060) and may write the Secret (PSW001). "
        "In the other modes check its manager: certificates.md.",
    ),
    "PSW021": Code(
        "serving certificate renewed in time",
        "The serving certificate has expired, is not valid yet, or is past four fifths of its lifetime. Renewal is "
        "due after two thirds.",
        "Read the log and the Events of its issuer: `sync`, cert-manager, or your own.",
    ),
    "PSW022": Code(
        "serving certificate has the right name",
        "The serving certificate is not for the name that the API server calls.",
        "With `certificates.mode: provided`, issue one for that name; otherwise check `--tls-san`, or the Certificate.",
    ),
    "PSW023": Code(
        "served certificate is the stored one",
        "The replica that answers at `webhook.url` serves a certificate other than the one in the Secret. With a "
        "Service this is not visible from outside, and is not checked.",
        "Read the log of the replica for the reason. A finding that disappears within a minute is a rotation in "
        "progress.",
    ),
    "PSW024": Code(
        "authority valid",
        "The authority stored with the serving certificate has expired, or its renewal is overdue.",
        "Read the log and the Events of its issuer: `sync`, cert-manager, or your own.",
    ),
    "PSW030": Code(
        "configuration valid",
        "The configuration document in the ConfigMap is invalid, or the ConfigMap does not exist or lacks it. Running "
        "processes keep the configuration that they have read. A new process needs a valid one. No other item can be "
        "checked then.",
        "Correct the values and upgrade the release. The detail names each mistake with its path.",
    ),
    "PSW031": Code(
        "opt-in labels without typing errors",
        "A namespace has a label that looks like the opt-in label with a typing error, in its key or its value. "
        "`explain`, `plan` and the status page also show such a label.",
        "Label the namespace again, or remove the label if it has another purpose.",
    ),
    "PSW032": Code(
        "every pull secret is used",
        "A note: no namespace is selected for a pull secret.",
        "If this is not intended, label a namespace, or check the `namespaceSelector`.",
    ),
    "PSW033": Code(
        "no opt-in label where it has no effect",
        "A namespace that the configuration excludes has the opt-in label. It gets no copy and no reference.",
        "Remove the label, or remove the namespace from `excludedNamespaces`.",
    ),
    "PSW034": Code(
        "names were retired before they were dropped",
        "The cluster has copies of a pull secret that is no longer in the configuration, or the issued Secret of a "
        "renewing source that is not. The right to delete them was dropped with the name, so `sync` leaves them. If "
        "you lack the right to list Secrets, this is not checked, and a note reports it.",
        "Add the name of a pull secret to `retired` in the values and upgrade the release. When the copies are gone, "
        "remove it from `retired`. Delete an issued Secret with kubectl.",
    ),
    "PSW035": Code(
        "no mass removal held",
        "A change of the configuration would remove more copies than allowed in one step. Sync holds these removals: "
        "none of these copies, and no reference to them, is removed. Copies of retired names, and of namespaces that "
        "opt out, are still removed.",
        "Correct the configuration. A typing error in `optIn`, `excludedNamespaces` or a `namespaceSelector` is the "
        "usual cause. If the removals are intended, confirm them with the command in the finding. "
        "There is no command while the removals are those of an earlier configuration: check that `sync` has a leader "
        "(PSW060).",
    ),
    "PSW036": Code(
        "names of sources stay",
        "A note: the name of a source ends with a hash, as Kustomize adds it. The name changes with the content, and "
        "the configuration then names a Secret that does not exist any more.",
        "Set `generatorOptions.disableNameSuffixHash: true` in the kustomization, and name the source without a hash.",
    ),
    "PSW037": Code(
        "no rotation held",
        "A rotation is held: the sources have a content that the namespaces do not get. A rotation that a person has "
        "aborted is a note.",
        "Look at it with `pullsecrets rotate`, which prints the next command: correct the source or the right at the "
        "registry, or promote the rotation.",
    ),
    "PSW040": Code(
        "sources there",
        "A source does not exist in the release namespace. New copies get the last good content, and there are none "
        "if it was never stored; copies with it stay unchanged.",
        "Create it: `kubectl create secret docker-registry`.",
    ),
    "PSW041": Code(
        "sources usable",
        "A source cannot be copied; the detail has the reason id.",
        "Follow the advice of the reason id.",
    ),
    "PSW042": Code(
        "credentials log in",
        "Only with `--registries`: a registry refuses the credential of a source. Nodes keep the images that they "
        "have, and cannot pull others.",
        "Issue a new credential, and change the source: every copy follows. After a change, some registries need "
        "minutes to accept the new credential.",
    ),
    "PSW043": Code(
        "entries of sources",
        "An entry of a source is left out of the copies because no reader can use it. Or it is copied with a "
        "warning; then this is a note. The other entries of the source are copied.",
        "Correct or remove the entry according to the detail. credentials.md lists the reasons.",
    ),
    "PSW044": Code(
        "last good contents kept",
        "The Secret `<fullname>-state` lacks the current content of a pull secret, or another Secret has its name. "
        "If a source were missing and `sync` restarted, a namespace that opts in would get no copy.",
        "Check that `sync` has a leader (PSW060) and its rights (PSW001). Read the Event `StateNotStored` in the "
        "release namespace. Contents of more than 1 MB together do not fit: remove registries from the sources.",
    ),
    "PSW045": Code(
        "credentials not expired",
        "The time of expiry of a credential has passed. If that time is right, its registry refuses it: nodes keep "
        "the images that they have, and cannot pull others.",
        "Issue a new credential, and change the source: every copy follows. If the credential works, correct the "
        "annotation `pullsecrets.webhook/expires-at` of the source.",
    ),
    "PSW046": Code(
        "no credential expires within 3 days",
        "A credential of a source expires within three days. If its lifetime is known and short, within an eighth of "
        "it.",
        "Issue a new credential, and change the source: every copy follows. A source that a program renews should "
        "have been renewed by now: read the log of that program.",
    ),
    "PSW047": Code(
        "no credential expires within 14 days",
        "A note: a credential of a source expires within 14 days. If its lifetime is known and short, within a "
        "quarter of it.",
        "Plan to issue a new credential. A source that a program renews should have been renewed by now: read the log "
        "of that program.",
    ),
    "PSW048": Code(
        "times of expiry readable",
        "An annotation of a source, or a token in it, names a time of expiry that is not a time or cannot be right. "
        "The credential is copied nevertheless, and its expiry is not known.",
        "Write the annotation as RFC 3339 requires: `2026-12-01T10:00:00Z`. expiry.md lists the places that are read.",
    ),
    "PSW049": Code(
        "sources renewed in time",
        "A source that renews itself got no new credential. The previous one stays in all copies and works until it "
        "expires.",
        "Correct the cause: renewing.md explains the reason id at the end of the sentence. Then have the credential "
        "renewed, or wait: `sync` tries again after 5 minutes at most.",
    ),
    "PSW050": Code(
        "copies there",
        "A copy is missing. Shortly after a namespace is labelled, this is normal: check again with `--wait`.",
        "Check that `sync` has a leader (PSW060) and its rights (PSW001). Read the Events of the namespace: a quota "
        "or a policy may reject the copy.",
    ),
    "PSW051": Code(
        "copies current",
        "A copy does not have the content, or the labels and annotations, that are due. While a source is unusable, "
        "copies that keep the last good content are a note, one for each pull secret. The source itself is the "
        "finding. A copy with another content then is a finding.",
        "Check that `sync` has a leader (PSW060) and its rights (PSW001). Read the Events of the namespace: a quota "
        "or a policy may reject the write.",
    ),
    "PSW052": Code(
        "no foreign Secret in a copy's place",
        "A Secret that this release did not make has the name of a copy. It is never changed.",
        "Rename it, which keeps its content, or rename the pull secret. If a controller owns it, change its name "
        "there.",
    ),
    "PSW053": Code(
        "references in ServiceAccounts",
        "A ServiceAccount lacks a reference that is due.",
        "Check that `sync` has a leader (PSW060) and its rights (PSW001). Read the Events of the namespace: a quota "
        "or a policy may reject the write. If another writer keeps removing the reference, an Event reports that.",
    ),
    "PSW054": Code(
        "nothing left behind",
        "A copy, or a reference to it, still exists although its namespace is not selected or its pull secret is "
        "retired.",
        "Check that `sync` has a leader (PSW060) and its rights (PSW001). Read the Events of the namespace: a quota "
        "or a policy may reject the write. References of ServiceAccounts that enforce them stay for two minutes.",
    ),
    "PSW055": Code(
        "no ServiceAccount whose Pods are refused",
        "A ServiceAccount enforces its references, is labelled `disabled`, and lacks one that its Pods get. The API "
        "server rejects these Pods.",
        "Exclude it by `serviceAccounts.exclude` instead of the label: see sync.md.",
    ),
    "PSW056": Code(
        "ServiceAccounts of tokens exist",
        "A copy needs a token of a ServiceAccount of its namespace (`perNamespace`), and the namespace has none of "
        "that name. The copy is not made, or keeps its content.",
        "Create the ServiceAccount in the namespace, or let the namespace opt out: see renewing.md.",
    ),
    "PSW057": Code(
        "images can be pulled",
        "Only with `--image`: a registry refuses the pull of an image with the credentials of a pull secret, or no "
        "pull secret has a credential for it. A credential that logs in can lack the right to one repository.",
        "Give the credential the right to pull from the repository, or add a credential for it to a source.",
    ),
    "PSW060": Code(
        "sync has a leader",
        "The Lease of `sync` has no holder, or its holder has not renewed it. No copy follows its source, no new "
        "namespace gets its copies, and no certificate is renewed.",
        "Check the Pods of `sync` and their logs.",
    ),
    "PSW061": Code(
        "replicas ready",
        "Fewer replicas are ready than the Deployment specifies, or one of the two Deployments does not exist. It is a "
        "note if neither exists: with `deployments.enabled: false`, the processes run elsewhere.",
        "`kubectl describe` the Pods, and read `/readyz?verbose` of one of them. If the Deployment does not exist, "
        "upgrade the release.",
    ),
    "PSW062": Code(
        "versions agree",
        "The two Deployments run different images. It is a note if the versions of the chart and this command differ, "
        "or if a Deployment does not exist.",
        "Upgrade the release; use the command of its version.",
    ),
    "PSW063": Code(
        "clocks agree",
        "The clock of the API server, or of the leader, differs by more than five seconds from the clock of the "
        "machine that runs this command. The validity of Leases and certificates depends on clocks. The clock of the "
        "API server is read from the answer to a dry run (PSW070, PSW071).",
        "Set the wrong clock.",
    ),
    "PSW070": Code(
        "a new Pod is injected",
        "A Pod, created by dry run in a selected namespace, came back without a reference that is due. Or the API "
        "server rejected it because the webhook does not answer.",
        "Follow the other findings. If there is none, check that the API server reaches the webhook. Look for "
        "network policies, proxies and firewalls between control plane and nodes.",
    ),
    "PSW071": Code(
        "a new ServiceAccount is injected",
        "A ServiceAccount, created by dry run in a selected namespace, came back without a reference that is due. Or "
        "the API server rejected it because the webhook does not answer.",
        "Follow the other findings. If there is none, check that the API server reaches the webhook. Look for "
        "network policies, proxies and firewalls between control plane and nodes.",
    ),
    "PSW072": Code(
        "healing continues",
        "Healing has evicted a Pod, and the Pod that replaced it lacks the reference as well. So no other Pod of this "
        "controller is evicted.",
        "Find out why the webhook did not add the reference: follow the other findings first. Then recreate the Pods "
        "of the controller, for example with `kubectl rollout restart`.",
    ),
    "PSW080": Code(
        "policies guard the identities",
        "A ValidatingAdmissionPolicy that limits the identities to their tasks is gone, is not enforced, or allows "
        "requests that it cannot evaluate. It is a note if there is none at all: the policies can be off, or the API "
        "server may not support them.",
        "Upgrade the release.",
    ),
    "PSW090": Code(
        "API server new enough",
        "The API server is older than Kubernetes 1.28, the oldest version that the chart supports. It is a note if "
        "it is older than 1.30: then the chart installs no ValidatingAdmissionPolicies, and `guard.enabled` has no "
        "effect.",
        "Upgrade the cluster before you install the chart.",
    ),
    "PSW091": Code(
        "rights to install",
        "You lack the right to create an object of the chart.",
        "Ask an administrator of the cluster for the right, or to install the chart.",
    ),
    "PSW092": Code(
        "cert-manager installed",
        "The values have `certificates.mode: cert-manager`, and the API server does not serve the kinds of "
        "cert-manager.",
        "Install cert-manager first, or set `certificates.mode: self-managed` in the values.",
    ),
    "PSW093": Code(
        "Pods accepted in the namespace",
        "The namespace is being deleted, or it refuses a Pod like those of the chart, created by dry run: by its "
        "Pod security standard, a quota, a policy, or because you lack the right to create Pods.",
        "Follow the message of the API server, or install into another namespace.",
    ),
    "PSW094": Code(
        "names free",
        "An object of the cluster has the name of an object of the chart, and does not belong to this release.",
        "Choose another name with `fullnameOverride`, or remove the other object.",
    ),
}

BEFORE = tuple(code for code in CODES if code.startswith("PSW09"))
"""The codes of ``check --pre``."""

AFTER = tuple(code for code in CODES if code not in BEFORE)
"""The codes of an installation."""


def group_of(code: str) -> str:
    """Return the group of a code."""
    return GROUPS[code[:5]]


def link(code: str) -> str:
    """Return the section of the page about a code."""
    heading = f"{code} {CODES[code].title}".lower()
    words = "".join(letter for letter in heading if letter.isalnum() or letter in "_ -")
    return f"{PAGE}#{words.replace(' ', '-')}"
