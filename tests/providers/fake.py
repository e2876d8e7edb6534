"""A credential provider in the kubelet's protocol that does as its first argument says.

It counts its answers in the folder ``$FAKE_FOLDER``, and a file ``behaviour`` there replaces the argument. The password
of each answer names its number and the time until which it is valid, in Unix seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

VERSION = "credentialprovider.kubelet.k8s.io/v1"
DURATION = os.environ.get("FAKE_DURATION", "60s")
FOLDER = Path(os.environ.get("FAKE_FOLDER", "/nonexistent"))


def behaviour() -> str:
    """Return what to do now: the content of the file, or else the argument."""
    file = FOLDER / "behaviour"
    return file.read_text().strip() if file.exists() else sys.argv[1]


def number() -> int:
    """Count this answer, and return its number."""
    if not FOLDER.exists():
        return 1
    with (FOLDER / "answers").open("a") as file:
        file.write("x")
        file.flush()
        return file.tell()


def answer(image: str, **changes: object) -> None:
    """Print a valid answer for the registry of an image, with some fields changed."""
    valid_until = time.time() + float(os.environ.get("FAKE_VALID", DURATION.removesuffix("s")))
    login = {"username": "fake", "password": f"number-{number()} until {valid_until:.3f}"}
    whole = {
        "apiVersion": VERSION,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "cacheDuration": DURATION,
        "auth": {image.partition("/")[0]: login},
    }
    print(json.dumps({**whole, **changes}), flush=True)


def fail(request: dict[str, str]) -> None:
    sys.exit(f"cannot sign in with {request.get('serviceAccountToken', '')}: 403")


def flood(request: dict[str, str], stream: int = 1) -> None:
    while True:
        os.write(stream, request["image"].encode() * 1000)


def grandchild(request: dict[str, str]) -> None:
    """Answer, and leave a process behind that keeps the pipes open."""
    if os.fork() == 0:
        time.sleep(600)
    answer(request["image"])


def slow(request: dict[str, str]) -> None:
    time.sleep(float(os.environ["FAKE_SECONDS"]))
    answer(request["image"])


def token(request: dict[str, str]) -> None:
    """Answer with the token of the request as the password."""
    login = {"username": "jwt", "password": request["serviceAccountToken"]}
    answer(request["image"], auth={request["image"].partition("/")[0]: login})


def wait(request: dict[str, str]) -> None:
    """Answer when there is a file ``go``."""
    while not (FOLDER / "go").exists():
        time.sleep(0.01)
    answer(request["image"])


def show(request: dict[str, str]) -> None:
    """Print what this process can see."""
    descriptors = [entry.name for entry in Path("/proc/self/fd").iterdir()]
    shown = {"environment": dict(os.environ), "arguments": sys.argv, "folder": str(Path.cwd()), "request": request}
    print(json.dumps(shown | {"descriptors": descriptors, "group": os.getpgrp()}))


def record(request: dict[str, str]) -> None:
    """Answer, and keep what this process was given, one line for each run."""
    given = {"environment": dict(os.environ), "arguments": sys.argv, "request": request}
    with (FOLDER / "given").open("a") as file:
        file.write(f"{json.dumps(given)}\n")
    answer(request["image"])


BEHAVIOURS = {
    "answer": lambda request: answer(request["image"]),
    "other-version": lambda request: answer(request["image"], apiVersion="credentialprovider.kubelet.k8s.io/v1beta1"),
    "other-registry": lambda _: answer("other.example.net"),
    "cache-not": lambda request: answer(request["image"], cacheDuration="0s"),
    "cache-negative": lambda request: answer(request["image"], cacheDuration="-1h0m0s"),
    "cache-huge": lambda request: answer(request["image"], cacheDuration="2000000h0m0s"),
    "cache-beyond": lambda request: answer(request["image"], cacheDuration="9999999999h"),
    "cache-moment": lambda request: answer(request["image"], cacheDuration="1ns"),
    "cache-number": lambda request: answer(request["image"], cacheDuration=3600),
    "cache-words": lambda request: answer(request["image"], cacheDuration="one hour"),
    "no-entries": lambda request: answer(request["image"], auth={}),
    "anonymous": lambda request: answer(request["image"], auth={"*.example.com": {"username": "", "password": ""}}),
    "silent": lambda _: None,
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "garbage": lambda _: print("<html>please log in</html>"),
    "hang": lambda _: time.sleep(600),
    "fail": fail,
    "flood": flood,
    "flood-errors": lambda request: flood(request, stream=2),
    "grandchild": grandchild,
    "slow": slow,
    "token": token,
    "wait": wait,
    "show": show,
    "record": record,
}

if __name__ == "__main__":
    BEHAVIOURS[behaviour()](json.load(sys.stdin))
