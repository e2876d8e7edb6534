"""A change of the configuration that would remove most copies is held, on a real API server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.processes import PullSecrets
from tests.integration.site.commands import of_release
from tests.integration.site.playground import COPY, SOURCE, Playground, eventually

Maker = Callable[..., Playground]

NAMESPACES = 60


@pytest.fixture
def crowd(playground: Maker) -> tuple[Playground, list[str]]:
    """A release with 60 namespaces, all in order, and the configuration in force stored."""
    site = playground()
    site.set_source("first")
    site.installation.start_sync().wait_ready()
    namespaces = [site.namespace(selected=True) for _ in range(NAMESPACES)]
    for namespace in namespaces:
        site.await_selected(namespace, "first")
    eventually(lambda: "_configuration" in (state(site).get("data") or {}))
    return site, namespaces


def state(site: Playground) -> dict[str, Any]:
    return site.get(site.installation.namespace, "secrets", site.installation.state_secret) or {}


def typo(site: Playground) -> None:
    site.installation.set_configuration(optIn={"label": f"{site.label}s"})


def plan_of_typo(site: Playground, folder: Path) -> str:
    """Return what ``plan`` warns of, before the edit."""
    document = yaml.safe_load(site.installation.configuration_file.read_text())
    document["optIn"]["label"] = f"{site.label}s"
    file = folder / "new.yaml"
    file.write_text(yaml.safe_dump(document))
    return " ".join(of_release(site, "plan", "-A", f"--config={file}").err.split())


def correct(site: Playground) -> None:
    site.installation.set_configuration(optIn={"label": site.label})


def status(sync: PullSecrets) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sync.get("/status")[1])
    return found


def running(site: Playground, name: str = "sync") -> PullSecrets:
    return site.installation.processes[name]


def await_held(site: Playground, name: str = "sync") -> str:
    """Wait until the removals are held; return the message of the Event."""
    eventually(lambda: status(running(site, name))["heldRemovals"], lambda seen: seen == NAMESPACES)
    told = eventually(lambda: dict(site.events(site.installation.namespace)), lambda seen: "RemovalHeld" in seen)
    return told["RemovalHeld"]


def in_order(site: Playground, namespaces: list[str]) -> bool:
    return all(
        site.password_in_copy(namespace) == "first" and site.references(namespace) == [COPY] for namespace in namespaces
    )


def await_full_pass(site: Playground, name: str = "sync") -> None:
    """Wait until the loop has looked at every namespace and has nothing left to do."""
    eventually(lambda: status(running(site, name))["queue"], lambda seen: not (seen["waiting"] or seen["working"]))


def test_a_typing_error_in_the_label_removes_nothing_is_reported_and_its_correction_releases(
    crowd: tuple[Playground, list[str]], tmp_path: Path
) -> None:
    site, namespaces = crowd
    planned = plan_of_typo(site, tmp_path)
    assert f"would remove {NAMESPACES} of {NAMESPACES} copies, so the removal would be held" in planned
    typo(site)

    message = await_held(site)
    assert f"confirm it: {message.rpartition('confirm the removals: ')[2]} " in planned
    await_full_pass(site)

    assert in_order(site, namespaces)
    assert f"would remove {NAMESPACES} of {NAMESPACES} copies" in message
    assert "pullsecrets_sync_held_removals 60.0" in running(site).metrics()
    assert f"would remove {NAMESPACES} copies, so it is held" in running(site).get("/")[1]
    checks = eventually(
        lambda: json.loads(of_release(site, "check", "-o", "json").out)["checks"],
        lambda seen: any(each["code"] == "PSW035" and each["result"] == "finding" for each in seen),
    )
    (command,) = [each["command"] for each in checks if each["code"] == "PSW035"]
    assert "confirm-removals=" in command
    assert [each["result"] for each in checks if each["code"] == "PSW054"] == ["note"]
    # The webhook and the guard follow the new label, and so does everything but the removals.
    site.cluster.create_namespace(later := f"{namespaces[0]}-later", {f"{site.label}s": "enabled"})
    site.await_selected(later, "first")

    correct(site)

    eventually(lambda: status(running(site))["heldRemovals"], lambda seen: seen == 0)
    eventually(lambda: dict(site.events(site.installation.namespace)), lambda seen: "RemovalReleased" in seen)
    site.await_left(later)
    assert in_order(site, namespaces)
    site.set_source("rotated")
    for namespace in namespaces:
        site.await_selected(namespace, "rotated")


def test_it_is_held_after_a_restart_too_and_single_opt_outs_and_retired_names_pass(
    crowd: tuple[Playground, list[str]],
) -> None:
    site, namespaces = crowd
    typo(site)
    await_held(site)
    running(site).stop()
    site.installation.start_sync(name="restarted").wait_ready()
    await_held(site, "restarted")

    site.opt(namespaces[0], None)

    site.await_left(namespaces[0])
    await_full_pass(site, "restarted")
    assert in_order(site, namespaces[1:])
    site.installation.set_configuration(pullSecrets=[], retired=[COPY])
    for namespace in namespaces:
        site.await_left(namespace)


def test_the_command_in_the_event_confirms_this_configuration_and_no_other(
    crowd: tuple[Playground, list[str]],
) -> None:
    site, namespaces = crowd
    typo(site)
    command = shlex.split(await_held(site).partition("confirm the removals: ")[2])
    assert command[0] == "kubectl"
    site.installation.set_configuration(optIn={"label": f"{site.label}-another"})
    other = await_held_as(site, lambda digest: digest not in command[-1])
    site.cluster.kubectl(*command[1:])
    # Judged again after the confirmation of another configuration: a rotation of the held Secret is the sign.
    eventually(lambda: status(running(site))["heldConfiguration"], lambda seen: seen == other)
    assert in_order(site, namespaces)

    typo(site)

    for namespace in namespaces:
        site.await_left(namespace)
    eventually(lambda: status(running(site))["heldRemovals"], lambda seen: seen == 0)


def await_held_as(site: Playground, holds: Callable[[str], bool]) -> str:
    found: str = eventually(lambda: status(running(site))["heldConfiguration"], lambda seen: bool(seen) and holds(seen))
    return found


def test_many_small_edits_are_counted_together(playground: Maker) -> None:
    site = playground(pullSecrets=[{"name": COPY, "sources": [{"secretName": SOURCE}]}])
    site.set_source("first")
    site.installation.start_sync().wait_ready()
    groups = [[site.namespace(selected=True, labels={"group": str(number)}) for _ in range(15)] for number in range(3)]
    for namespace in [each for group in groups for each in group]:
        site.await_selected(namespace, "first")

    def drop(*numbers: int) -> None:
        values = [str(number) for number in numbers]
        selector = {"matchExpressions": [{"key": "group", "operator": "NotIn", "values": values}]}
        entry = {"name": COPY, "sources": [{"secretName": SOURCE}], "namespaceSelector": selector}
        site.installation.set_configuration(pullSecrets=[entry])

    drop(0)
    for namespace in groups[0]:
        site.await_left(namespace)
    drop(0, 1)
    eventually(lambda: status(running(site))["heldRemovals"], lambda seen: seen == 15)
    await_full_pass(site)
    assert in_order(site, groups[1] + groups[2])
