"""Explain every reason id: its meaning and what to do about it, in the same words as docs/reasons.md.

``explain`` prints these texts. The tables of the page are generated from this module, so that people can look up every
id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from webhook.rules.gates import GATES
from webhook.rules.healing import DUE_TEXTS, HealingReason
from webhook.rules.healing import GATES as HEALING_GATES

if TYPE_CHECKING:
    from collections.abc import Mapping


class ReasonText(msgspec.Struct, frozen=True):
    """The meaning of a reason id, and advice; both begin in lower case, names are in backticks."""

    meaning: str
    advice: str


CATALOG: Mapping[str, ReasonText] = {
    "internal-error": ReasonText(
        "a defect of pull-secret-webhook: the object is admitted as it is, and the log has a traceback",
        "please report it, with the traceback",
    ),
    "operation-ignored": ReasonText(
        "not a CREATE of a Pod, nor a CREATE or UPDATE of a ServiceAccount",
        "nothing",
    ),
    "resource-ignored": ReasonText(
        "another kind, or a subresource",
        "nothing; if it is frequent, look at the rules of the MutatingWebhookConfiguration",
    ),
    "object-absent": ReasonText(
        "the request carries no object",
        "nothing",
    ),
    "object-unreadable": ReasonText(
        "a field that the decision needs is absent or has a wrong type",
        "correct the object; the API server refuses most of these itself",
    ),
    **{gate.reason.value: ReasonText(gate.meaning, gate.advice) for gate in GATES},
    "injected": ReasonText(
        "at least one reference is added",
        "nothing",
    ),
    "source-absent": ReasonText(
        "the Secret does not exist in the release namespace",
        "create it there: `kubectl create secret docker-registry`",
    ),
    "source-not-issued": ReasonText(
        "the source renews itself, and the Secret of its credential does not exist",
        "look at the Events of its Secret and at the log of sync, which name the reason",
    ),
    "source-terminating": ReasonText(
        "the Secret is being deleted",
        "create it again once it is gone, or retire the pull secret",
    ),
    "source-is-a-copy": ReasonText(
        "the Secret was itself written by pull-secret-webhook",
        "name the original as the source",
    ),
    "source-type-unsupported": ReasonText(
        "its type is neither `kubernetes.io/dockerconfigjson` nor `kubernetes.io/dockercfg`; External Secrets "
        "writes `Opaque` by default",
        "create it again with the type that its message names, because the type of a Secret cannot be changed; if a "
        "controller owns it, set the type there",
    ),
    "source-key-absent": ReasonText(
        "`.dockerconfigjson` (or `.dockercfg`) is absent or empty",
        "put the document under that key",
    ),
    "source-base64-invalid": ReasonText(
        "the value under `data` is not base64",
        "encode it, or write it under `stringData`",
    ),
    "source-json-invalid": ReasonText(
        "the document is not a JSON object",
        "correct the document",
    ),
    "source-auths-invalid": ReasonText(
        "`auths` is absent, empty or not an object; or there are only credential helpers, which a node cannot "
        "call; or the content is for the other type",
        "write the credentials under `auths`, or create the Secret with the other type",
    ),
    "source-registry-invalid": ReasonText(
        "no image can match a key of `auths`, and no other entry can be used",
        "correct the key: `host[:port][/path]`",
    ),
    "source-entry-invalid": ReasonText(
        "an entry of `auths` is not an object, or its `auth` is not base64 of `user:password`, and no other entry "
        "can be used",
        "correct the entry",
    ),
    "source-credential-unusable": ReasonText(
        "the user name or the password is empty or has a character that HTTP does not allow, or there is only a "
        "token; and no other entry can be used",
        "write a user name and a password",
    ),
    "source-credential-refused": ReasonText(
        "a registry refuses a credential that was changed, and still accepts the previous one; only where `sync` tries "
        "credentials (`--login-interval`)",
        "correct the source; the copies keep the previous credential",
    ),
    "copy-too-large": ReasonText(
        "the merged sources exceed the 1 MiB that a Secret holds",
        "remove registries, or split the pull secret in two",
    ),
    "credential-expires-soon": ReasonText(
        "a credential expires within 14 days, or within a quarter of its lifetime if that is shorter",
        "issue a new credential and change the source; for a source that is renewed by a program, see why it was not",
    ),
    "credential-expires-very-soon": ReasonText(
        "a credential expires within 3 days, or within an eighth of its lifetime if that is shorter",
        "issue a new credential and change the source; for a source that is renewed by a program, see why it was not",
    ),
    "credential-expired": ReasonText(
        "the time of expiry of a credential has passed; the copies still have it",
        "issue a new credential and change the source; every copy follows",
    ),
    "credential-expiry-unreadable": ReasonText(
        "an annotation or a token names a time of expiry that is not a time or cannot be right; the credential is "
        "copied nevertheless",
        "write the annotation as `2026-12-01T10:00:00Z`, or issue a token with a usable time",
    ),
    "rollout-refused": ReasonText(
        "a registry refuses the new content of a pull secret, so no namespace gets it",
        "correct the source: the rotation continues when the registry accepts it, and ends when the source has the "
        "previous content again",
    ),
    "rollout-unproved": ReasonText(
        "a registry did not answer, so it is unknown whether it accepts the new content; no namespace gets it",
        "wait for the registry, or continue without the proof: promote the rotation",
    ),
    "rollout-canary-empty": ReasonText(
        "no selected namespace matches the patterns of the canary, so the new content would not be tried",
        "correct `rollout.canary.namespaces`, label a namespace, or promote the rotation",
    ),
    "rollout-pods-refused": ReasonText(
        "a registry refused a pull to a Pod of a canary namespace after its copy got the new content, and the rotation "
        "changes the credential for that image; only with `rollout.canary.watchPods`",
        "look at the Pod that the message names: correct the source, or promote the rotation if the Pod fails for "
        "another cause, such as a repository that does not exist",
    ),
    "copy-conflict": ReasonText(
        "a Secret of the copy's name is there that this release did not make: it is left alone",
        "rename it, which keeps its content, or rename the pull secret; if a controller owns it, change its name there",
    ),
    "source-unavailable": ReasonText(
        "a source cannot be used: copies keep or get the last good content; if there never was one, no copy is made",
        "see the reason of the source",
    ),
    "reference-required": ReasonText(
        "a ServiceAccount enforces its references, is labelled `disabled`, and lacks one that its Pods get at "
        "admission: the API server refuses these Pods",
        "remove the label, or exclude the ServiceAccount by `serviceAccounts.exclude`",
    ),
    "references-too-many": ReasonText(
        "a ServiceAccount has more than 5,000 references: `sync` adds none to a list of that length",
        "remove references from the ServiceAccount, or exclude it by `serviceAccounts.exclude`",
    ),
    "copy-terminating": ReasonText(
        "a copy is being deleted, and a finalizer of somebody else keeps it: it is still updated, and keeps its "
        "credential after an opt-out",
        "ask the owner of the finalizer; if the owner is gone, remove the finalizer from the Secret",
    ),
    "token-account-absent": ReasonText(
        "a copy needs a token of a ServiceAccount of its namespace, and the namespace has none of that name: the copy "
        "is not made, or keeps its content",
        "create the ServiceAccount in the namespace, or let the namespace opt out",
    ),
    "namespace-selected": ReasonText(
        "at least one pull secret applies to the namespace",
        "nothing",
    ),
    "source-valid": ReasonText(
        "the source can be copied",
        "nothing",
    ),
    "source-not-seen": ReasonText(
        "a source is not among the files, so the content of the copy is not known",
        "add the source to the files and name its namespace with `--release-namespace`, or ignore this row",
    ),
    "credential-due": ReasonText(
        "the source renews itself, and sync issues a new credential of it now; copies follow when it has",
        "nothing",
    ),
    "source-name-hashed": ReasonText(
        "the name of a source has a hash, as Kustomize adds it; the name changes with the content, so the "
        "configuration names a Secret that does not stay",
        "set `generatorOptions.disableNameSuffixHash: true` in the kustomization, and name the source without a hash; "
        "`sync` follows the content by itself",
    ),
    "copy-due": ReasonText(
        "the copy would be written",
        "nothing, `sync` writes it within seconds while it runs; if it does not: `pullsecrets check`",
    ),
    "copy-current": ReasonText(
        "the copy is there with the right content",
        "nothing",
    ),
    "copy-kept": ReasonText(
        "the copy keeps the last good content while a source cannot be used",
        "nothing for the copy; correct the source",
    ),
    "copy-outdated": ReasonText(
        "a source cannot be used; the copy was written after the last good content was made, and holds another one: it "
        "stays as it is",
        "correct the source, and `sync` writes the copy; or delete the copy, and `sync` makes it of the last good "
        "content",
    ),
    "copy-dropped": ReasonText(
        "the copy of a name that was removed from the configuration and not retired: `sync` lost the right to delete "
        "it with the name",
        "add the name to `retired` in the values; when the copies are gone, remove it again",
    ),
    "copy-not-wanted": ReasonText(
        "the copy would be deleted, after the references to it: its pull secret is retired, or its namespace is "
        "no longer selected",
        "nothing; to keep it, take the name out of `retired`, or opt in again",
    ),
    "copy-not-seen": ReasonText(
        "you lack the right to read the Secrets of the copy's name, so it is not known whether the copy is there",
        "ask somebody who has the right, or ask for `get` and `list` on that name",
    ),
    "rotation-under-way": ReasonText(
        "a rotation in stages is under way or about to begin, so namespaces can have different contents",
        "nothing, or follow it: `kubectl pullsecrets rotate NAME --wait`",
    ),
    "rotation-aborted": ReasonText(
        "a person has aborted the rotation: the sources have the new content, and no namespace is to have it",
        "put the previous or a corrected content into the source, or begin again with "
        "`kubectl pullsecrets rotate NAME --promote`",
    ),
    "rotation-not-seen": ReasonText(
        "you lack the right to read the stage of the rotation, so it is unknown which content the namespace must have",
        "ask somebody who has the right to run `kubectl pullsecrets rotate NAME`",
    ),
    "tenant-secret-absent": ReasonText(
        "a Secret that belongs to the namespace (`tenantOwned`) does not exist; nodes and Knative ignore "
        "references to it",
        "nothing, if the namespace needs no credential of its own; otherwise create it with the command of `explain`",
    ),
    "tenant-secret-unusable": ReasonText(
        "nodes get no credential from a Secret that belongs to the namespace (`tenantOwned`): its type or its content "
        "is wrong; if they cannot decode it, they pull no image of a Pod that references it",
        "ask the owner of the namespace to create it again: `kubectl create secret docker-registry`",
    ),
    "tenant-secret-not-seen": ReasonText(
        "you lack the right to read a Secret that belongs to the namespace (`tenantOwned`), so it is not known whether "
        "it exists",
        "ask the owner of the namespace, or ask for `get` on that name",
    ),
    "pod-without-reference": ReasonText(
        "the Pod lacks a reference that is due: it was created before the namespace opted in, or while no "
        "replica of the webhook answered",
        "recreate it, for example with `kubectl rollout restart`: the references of an existing Pod cannot be changed",
    ),
    "reference-due": ReasonText(
        "a ServiceAccount lacks a reference that is due",
        "nothing, `sync` adds it within seconds when the copy is there; if it does not: `pullsecrets check`",
    ),
    "registry-not-covered": ReasonText(
        "no pull secret that the Pod gets has a credential for the registry of an image",
        "add the registry to a source; nothing, if the image can be pulled without a credential",
    ),
    "webhook-not-registered": ReasonText(
        "no MutatingWebhookConfiguration of the release has a webhook for this kind of object",
        "install the chart again, and see who removed it",
    ),
    "webhook-not-asked": ReasonText(
        "the selectors of the MutatingWebhookConfiguration leave the object out, although the configuration does not",
        "upgrade the release, so that both are made from the same values",
    ),
    "webhook-unreachable": ReasonText(
        "no replica of the webhook can answer, so objects pass as they are, or are refused where `failurePolicy` "
        "is `Fail`",
        "look at the Pods of the webhook and their logs",
    ),
    "webhook-not-seen": ReasonText(
        "from here, or with your rights, it cannot be seen if a replica of the webhook can answer",
        "run `pullsecrets check`: it makes the API server call the webhook, by a dry run",
    ),
    **{gate.reason.value: ReasonText(gate.meaning, gate.advice) for gate in HEALING_GATES},
    HealingReason.DUE.value: ReasonText(*DUE_TEXTS),
}


WRITE_RESULTS: Mapping[str, ReasonText] = {
    "conflict": ReasonText(
        "another writer was first; the namespace is planned again without delay",
        "nothing, if it goes away; if it does not: look which other controller writes the object",
    ),
    "undone": ReasonText(
        "the write succeeded, and a webhook reverted it in the same request",
        "exclude our ServiceAccount or these objects from that webhook",
    ),
    "denied": ReasonText(
        "a right, a quota, a policy or an admission webhook rejects it, or an admission webhook cannot be called",
        "read the message of the Event in the namespace; it has the answer of the API server",
    ),
    "invalid": ReasonText(
        "the API server rejects the object as invalid",
        "read the message of the Event in the namespace; it has the answer of the API server",
    ),
    "not-found": ReasonText(
        "the object, or its namespace, does not exist any more",
        "nothing",
    ),
    "throttled": ReasonText(
        "the API server itself has too many requests",
        "nothing, writes slow down by themselves; if it lasts: look at the load of the API server",
    ),
    "unavailable": ReasonText(
        "no answer, an error of the API server, or an answer that does not come from it",
        "see whether the API server is available: `kubectl get --raw /readyz`",
    ),
    "error": ReasonText(
        "any other failure",
        "look at the log of `sync`",
    ),
}
"""The failures of a write; ``ok`` needs no explanation."""


def advice(reason: str) -> str:
    """Return what to do about a reason id, as a terminal shows it."""
    return CATALOG[reason].advice.replace("`", "")
