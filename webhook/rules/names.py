"""Check names as Kubernetes does, with sentences: k8s.io/apimachinery, pkg/util/validation/validation.go."""

from __future__ import annotations

import re

LONGEST_SUBDOMAIN = 253
LONGEST_LABEL = 63

_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_LABEL = re.compile(_DNS_LABEL)
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_PATTERN = re.compile(r"[a-z0-9*?\[\]!-]+")
_HASHED = re.compile(r"(?P<stem>.+)-[2456789bcdfghkmt]{10}")
"""Kustomize writes a hash of the content without vowels, 0, 1 and 3: sigs.k8s.io/kustomize, api/hasher/hasher.go."""


def without_hash(name: str) -> str | None:
    """Return the name that Kustomize gave a hash of the content; None if ``name`` does not end with such a hash."""
    match = _HASHED.fullmatch(name)
    return match["stem"] if match else None


def problem_of_subdomain(text: str) -> str | None:
    """Return the problem with ``text`` as the name of a Secret (RFC 1123 subdomain), or None."""
    if len(text) > LONGEST_SUBDOMAIN:
        return f"is longer than {LONGEST_SUBDOMAIN} characters"
    if not _SUBDOMAIN.fullmatch(text):
        return "is not a valid name: lower case letters, digits, - and ., beginning and ending with a letter or digit"
    return None


def problem_of_namespace(text: str) -> str | None:
    """Return the problem with ``text`` as the name of a Namespace (RFC 1123 label), or None."""
    if len(text) > LONGEST_LABEL:
        return f"is longer than {LONGEST_LABEL} characters"
    if not _LABEL.fullmatch(text):
        return "is not a valid namespace name: lower case letters, digits and -, beginning and ending without -"
    return None


def problem_of_namespace_pattern(text: str) -> str | None:
    """Return the problem with ``text`` as a shell-style pattern of names of namespaces, or None."""
    return None if _PATTERN.fullmatch(text) else "is not a pattern that the name of a namespace can match"


def is_pattern(text: str) -> bool:
    """Return whether a name of namespaces is a shell-style pattern, and not the name of one."""
    return any(character in text for character in "*?[")


def matches_every_name(pattern: str) -> bool:
    """Return whether a shell-style pattern consists of asterisks."""
    return bool(pattern) and not pattern.strip("*")


def problem_of_label_key(text: str) -> str | None:
    """Return the problem with ``text`` as a label key (``prefix/name`` or ``name``), or None."""
    prefix, slash, name = text.rpartition("/")
    if slash and problem_of_subdomain(prefix) is not None:
        return "is not a valid label key: the part before / must be a DNS name"
    if len(name) > LONGEST_LABEL or not _QUALIFIED.fullmatch(name):
        return (
            f"is not a valid label key: up to {LONGEST_LABEL} letters, digits, -, _ and ., beginning and ending with"
            " a letter or digit"
        )
    return None


def problem_of_label_value(text: str) -> str | None:
    """Return the problem with ``text`` as a label value, or None."""
    if len(text) > LONGEST_LABEL or not (text == "" or _QUALIFIED.fullmatch(text)):
        return (
            f"is not a valid label value: up to {LONGEST_LABEL} letters, digits, -, _ and ., beginning and ending with"
            " a letter or digit"
        )
    return None
