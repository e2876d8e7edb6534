"""Text that a terminal obeys, written by a tenant where the API server accepts it: every command prints it escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.commands import of_release
from tests.integration.playground import SOURCE, Playground, pod

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \r\n\x85\x9b2J\u202eright\u2066left\u200b\ufeff" + "x" * 3000
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
COMMANDS = {
    "explain": ("explain", "{target}", "-n", "{team}", "-o"),
    "check": ("check", "-o"),
    "plan": ("plan", "-A", "-o"),
    "coverage": ("coverage", "-n", "{team}", "-o"),
}
FORMS = {
    "explain": ("table", "json", "yaml"),
    "check": ("table", "json", "junit"),
    "plan": ("table", "json", "yaml"),
    "coverage": ("table", "json", "html"),
}


@pytest.fixture
def attacked(playground: Callable[..., Playground]) -> tuple[Playground, str]:
    """An installation whose source and one tenant hold hostile text; no process runs."""
    ours = playground()
    team = ours.namespace(selected=True)
    ours.create(
        team, "pods", pod("web", image=f"registry.example.com/{HOSTILE}:1", imagePullSecrets=[{"name": HOSTILE}])
    )
    account = {"metadata": {"name": "api", "annotations": {"note": HOSTILE}}, "imagePullSecrets": [{"name": HOSTILE}]}
    ours.create(team, "serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", **account})
    event = {
        "metadata": {"generateName": "hostile-"},
        "involvedObject": {"kind": "Namespace", "name": team, "namespace": team},
        "reason": "CopyDenied",
        "message": HOSTILE[:900],
        "type": "Warning",
        "source": {"component": "pull-secret-webhook"},
    }
    ours.create(team, "events", {"apiVersion": "v1", "kind": "Event", **event})
    text = '{"auths":{"' + HOSTILE.encode("unicode_escape").decode().replace("\\x", "\\u00") + '":{"auth":"dTpw"}}}'
    ours.apply(
        ours.installation.namespace,
        "Secret",
        SOURCE,
        {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": text}},
    )
    return ours, team


def test_no_command_prints_what_a_terminal_obeys(attacked: tuple[Playground, str]) -> None:
    ours, team = attacked
    seen = ""
    for name, command in COMMANDS.items():
        for target in ("pod/web", "sa/api", f"ns/{team}") if name == "explain" else ("",):
            arguments = [each.format(target=target, team=team) for each in command]
            for form in FORMS[name]:
                ran = of_release(ours, *arguments, form)
                where = (name, target, form)
                assert ran.code in (0, 1, 2, 4), (where, ran.err)
                assert "Traceback" not in ran.err, where
                assert UNSAFE.findall(ran.out + ran.err) == [], where
                assert form not in ("json", "yaml") or ran.out.isascii(), where
                seen += ran.out
    # The control: the hostile text did reach the commands.
    assert "\\x1b" in seen
    assert "\\u001b" in seen or "\\e[31m" in seen
