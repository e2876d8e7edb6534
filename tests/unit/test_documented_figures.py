"""Limits and times that pages tell are those of the code."""

from __future__ import annotations

import pytest

from tests.unit.documented import DOCS
from webhook.cli.check import POLL_SECONDS
from webhook.cli.cleanup import LINES
from webhook.http.limits import ADMISSION, Deadlines
from webhook.inspect.checks import configuration as copies
from webhook.kube import reflector
from webhook.kube.connections import IDLE_SECONDS, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL
from webhook.kube.events import RECENT_LIMIT
from webhook.kube.lease import Timing
from webhook.ops.attention import MOST_ITEMS
from webhook.ops.page import MOST_ENTRIES, PER_PAGE, RELOAD_SECONDS
from webhook.registries.login import LOGIN_SECONDS
from webhook.rules.dockerconfig import LARGEST_COPY
from webhook.serve.endpoint import LARGEST_BODY, MAX_HELD_BYTES, SMALL_BODY
from webhook.serve.review import HEAVY_BODY
from webhook.sync import certificates, queue, status, write_gate
from webhook.sync import controller as loop
from webhook.sync import planner as grace

KIB, MIB = 1024, 1024 * 1024
WORDS = {2: "two", 5: "five", 10: "ten", 20: "twenty", 100: "hundred"}
CLIENT = Deadlines()
LEASE = Timing()
RELIST_HOURS = (
    reflector.RELIST_SECONDS / 3600,
    (reflector.RELIST_SECONDS + reflector.RELIST_JITTER_SECONDS) / 3600,
)


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("injection.md", f"Bodies over {LARGEST_BODY // MIB} MiB are rejected with 413"),
        (
            "injection.md",
            f"cut off after {CLIENT.handshake:g}, {CLIENT.header:g} and {CLIENT.body:g} seconds",
        ),
        ("injection.md", f"A replica holds at most {MAX_HELD_BYTES // MIB} MiB of bodies"),
        ("injection.md", f"Reviews of up to {SMALL_BODY // KIB} KiB that come in one piece"),
        ("injection.md", f"It serves at most {ADMISSION.connections:,} connections"),
        ("serving.md", f"than {HEAVY_BODY // KIB} KiB is decoded by another process"),
        ("metrics.md", f"at most {MAX_HELD_BYTES // MIB} MiB, beyond which requests get 429"),
        ("metrics.md", f"full](serving.md#when-a-port-is-full): {ADMISSION.connections:,} connections"),
        ("metrics.md", f"took more than {CLIENT.handshake:g} seconds"),
        ("architecture.md", f"Idle connections live for {CLIENT.idle:g} s"),
        ("architecture.md", f"After {LEASE.renew_deadline:g} s without success it no longer calls itself leader"),
        ("architecture.md", f"after {LEASE.duration:g} s another may take over"),
        ("architecture.md", f"from {queue.RETRY_BASE:g} s, doubling, at most {queue.RETRY_CAP:g} s"),
        ("architecture.md", f"up to {WORDS[loop.CONFLICT_ATTEMPTS]} times without delay"),
        ("sync.md", f"Every {loop.RESYNC_SECONDS / 60:g} minutes all namespaces are checked"),
        ("sync.md", f"its references stay for {WORDS[int(grace.GRACE_SECONDS / 60)]} minutes"),
        ("resilience.md", f"begin with {write_gate.FIRST_LIMIT} writes at a time"),
        ("resilience.md", f"Every {write_gate.PROBE_SECONDS:g} s they begin with {write_gate.FIRST_LIMIT} again"),
        ("resilience.md", f"waits: {queue.RETRY_BASE:g} s, doubling, at most {queue.RETRY_CAP:g} s"),
        ("resilience.md", f"again after {reflector.BACKOFF_BASE:g} s, doubling, at most {reflector.BACKOFF_CAP:g} s"),
        ("resilience.md", f"after {KEEPALIVE_IDLE} s, then every {KEEPALIVE_INTERVAL} s"),
        ("resilience.md", f"is given up after {reflector.INACTIVITY_SECONDS:g} s"),
        (
            "resilience.md",
            f"lasts {reflector.WATCH_SECONDS} to {reflector.WATCH_SECONDS + reflector.WATCH_JITTER_SECONDS} s",
        ),
        ("resilience.md", f"not used again after {IDLE_SECONDS:g} s"),
        ("resilience.md", f"after {WORDS[reflector.FAILED_WATCHES]} watches in a row"),
        ("resilience.md", f"pauses between lists grow up to {reflector.WATCH_BACKOFF_CAP:g} s"),
        ("resilience.md", f"listed again every {RELIST_HOURS[0]:g} to {RELIST_HOURS[1]:g} hours"),
        ("sync.md", f"a result over {LARGEST_COPY // MIB} MiB"),
        ("certificates.md", f"it looks every {certificates.POLL_SECONDS:g} seconds"),
        ("status.md", f"name {WORDS[status.EXAMPLES]} at most"),
        ("status.md", f"a {WORDS[PER_PAGE]} are on one page"),
        ("status.md", f"At most {MOST_ITEMS} findings, {MOST_ENTRIES} pull secrets and {MOST_ENTRIES} sources"),
        ("status.md", f"the last {RECENT_LIMIT} Events of this process"),
        ("status.md", f"Reload every {RELOAD_SECONDS} s"),
        ("check.md", f"looks again every {WORDS[int(POLL_SECONDS)]} seconds"),
        ("check.md", f"A registry has {WORDS[int(LOGIN_SECONDS)]} seconds"),
        ("check.md", f"{WORDS[copies.SHOWN]} are named and the others counted"),
        ("commands.md", f"at most {LINES} lines"),
    ],
)
def test_a_figure_on_a_page_is_that_of_the_code(page: str, sentence: str) -> None:
    assert sentence in " ".join((DOCS / page).read_text().split())
