"""Sources as people write them, and a generator of others of the same kind."""

from __future__ import annotations

import json
from base64 import b64encode
from random import Random
from typing import Any

from tests.oracle.comparison import Document
from webhook.rules.dockerconfig import COPY_TYPE, LEGACY_TYPE

IMAGES = (
    *(
        "nginx",
        "nginx:1.27",
        "library/nginx",
        "org/app",
        "organisation/app",
        "docker.io/org/app:1",
        "index.docker.io/org/app",
    ),
    *("registry-1.docker.io/library/nginx", "access-token/app", "v1/app", "v2x/app", "myorg/app", "MYORG/app"),
    *(
        "ghcr.io/org/app",
        "ghcr.io/org/app:latest",
        "ghcr.io/organisation/app",
        "ghcr.io/other/app",
        "ghcr.io/v1/org/app",
    ),
    *("ghcr.io/v2/app", "GHCR.io/org/app", "ghcr.io:443/org/app", "http.io/org/app"),
    *("registry.gitlab.com/group/app", "registry.gitlab.com/group-two/app", "registry.gitlab.com/grouptwo/app"),
    *("eu.registry.example.com/team/app", "us.registry.example.com:5000/team/app", "registry.example.com/v2/team/app"),
    *(
        "localhost/app",
        "localhost:5000/team/app",
        "registry:5000/team/app",
        "[::1]:5000/team/app",
        "[::1]/app",
        "a_b.io/app",
    ),
)


def auth(username: str, password: str) -> str:
    return b64encode(f"{username}:{password}".encode()).decode()


GOOGLE_KEY = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nMII\n-----END\n"}, indent=2)

GOOD: tuple[Any, ...] = (
    {"auth": auth("alice", "secret")},
    {"username": "alice", "password": "secret"},
    {"username": "alice", "password": "secret", "email": "a@b.c", "auth": auth("alice", "secret")},
    {"username": "x", "password": "y", "auth": auth("alice", "secret")},
    {"auth": auth("alice", "a:b:c")},
    {"auth": auth("alice", "secret2").rstrip("=")},
    {"auth": auth("alice", "secret-long")[:8] + "\r\n" + auth("alice", "secret-long")[8:]},
    {"username": "_json_key", "password": GOOGLE_KEY},
    {"auth": auth("_json_key", GOOGLE_KEY)},
    {"username": "_json_key_base64", "password": "\n".join(["QUJD" * 19] * 3)},
    {"username": "alice", "password": "ends\n"},
    {"username": "alice", "password": "tab\tescape\x1bbell\x07"},
    {"username": "älice", "password": "päß€𝄞\u202e"},
    {"username": "a:b", "password": "colon"},
    {"username": "bob", "password": "x", "identitytoken": "identity"},
    {"username": "bob", "password": "x", "registrytoken": "registry"},
    {"UserName": "bob", "PASSWORD": "case"},
    {"username": "bob", "password": "null", "auth": None, "other": [1, {"a": None}]},
    {"username": " bob ", "password": " blank "},
)

BAD: tuple[Any, ...] = (
    *({}, None, 5, "text", [], {"email": "a@b.c"}, {"username": "alice"}, {"password": "secret"}),
    *({"auth": auth("", "x")}, {"auth": auth("alice", "")}, {"auth": "alice:secret"}, {"auth": "%"}, {"auth": 5}),
    *({"auth": auth("alice", "x") + "="}, {"auth": b64encode(b"nocolon").decode()}, {"username": 5, "password": "x"}),
    *({"auth": b64encode(auth("alice", "x").encode()).decode()}, {"auth": b64encode(b"alice:\xff").decode()}),
    *({"identitytoken": "t"}, {"auth": auth("0000", ""), "identitytoken": "t"}, {"registrytoken": "t"}),
    *({"username": "al\nice", "password": "x"}, {"username": "alice", "password": "x\0"}),
    *({"username": "alice", "password": "ghp_abc\n"}, {"username": "alice", "password": "eyJa.b.c\r\n"}),
)

KEYS = (
    *(
        "https://index.docker.io/v1/",
        "https://index.docker.io/v2/",
        "index.docker.io",
        "docker.io",
        "https://docker.io/v1/",
    ),
    *("docker.io/org", "docker.io/org/", "docker.io/library", "https://index.docker.io/v1/org", "index.docker.io/v1"),
    *("https://index.docker.io/v1/access-token", "https://index.docker.io/v1/refresh-token", "registry-1.docker.io"),
    *("*.io", "*.docker.io", "d*.io", "docker.*", "*.*", "*", "*:5000", "*.*:5000"),
    *(
        "ghcr.io",
        "https://ghcr.io",
        "http://ghcr.io/",
        "ghcr.io/v1/",
        "https://ghcr.io/v2/",
        "ghcr.io/v2",
        "ghcr.io/v1/v2/",
    ),
    *(
        "ghcr.io/org",
        "ghcr.io/org/",
        "ghcr.io/org/app",
        "ghcr.io/v1/org",
        "ghcr.io/v2/v1/org",
        "ghcr.io/o",
        "ghcr.io/org-",
    ),
    *("GHCR.io", "HTTPS://ghcr.io", "ghcr.io/Org", "oci://ghcr.io", " ghcr.io", "ghcr.io ", "ghcr.io/org/app:latest"),
    *(
        "ghcr.io/org/app@sha256:00",
        "ghcr.io:443",
        "ghcr.io:",
        "ghcr.io:/org",
        "ghcr.io:latest",
        "ghcr.io//org",
        "ghcr.io.",
    ),
    *(
        "user:pass@ghcr.io",
        "user@ghcr.io/org",
        "ghcr.io?x=1",
        "ghcr.io/org?x",
        "ghcr.io#x",
        "ghcr.io/org#%zz",
        "us er@ghcr.io",
    ),
    *(
        "ghcr.io/%6frg",
        "ghcr.io/%256frg",
        "ghcr.io/org%3fx",
        "ghcr.io/%zz",
        "ghcr.io/org%2f",
        "%67hcr.io",
        "ghcr.io/%76%31/org",
    ),
    *(
        "gh\u212ar.io",
        "ghcr.io\n",
        "ghcr.io/\torg",
        "",
        "/",
        "https://",
        "//ghcr.io",
        "https://https://ghcr.io",
        "ghcr.io/*",
    ),
    *(
        "registry.gitlab.com/group",
        "registry.gitlab.com/group/",
        "registry.gitlab.com/group-two",
        "registry.gitlab.com",
    ),
    *("*.registry.example.com", "eu.*.example.com/team", "*.registry.example.com:5000", "e*u.registry.example.com"),
    *("registry.example.com/v2/team", "registry.example.com/v2/v2/team", "registry.example.com/v2/"),
    *(
        "localhost",
        "localhost:5000",
        "localhost:5000/team",
        "registry:5000",
        "registry",
        "myorg",
        "MYORG",
        "[::1]:5000",
        "[::1]",
    ),
    *(
        "[::1]:5000/team",
        "[::g]:5000",
        "[fe80::1%25eth0]:5000",
        "a_b.io",
        "-a.io",
        "a.io-",
        "*-*.io",
        "loc*",
        "http.io",
    ),
)


def document(auths: object, **others: object) -> Document:
    return Document(json.dumps({"auths": auths} | others).encode())


def legacy(auths: object) -> Document:
    return Document(json.dumps(auths).encode(), LEGACY_TYPE)


ANCHOR = {"quay.example.com": {"auth": auth("anchor", "anchor")}}


def table() -> list[tuple[str, list[Document]]]:
    """Return named cases: every key beside a good entry, every entry, and sources that people were seen to write."""
    good = GOOD[0]
    cases = [(f"key {key!r}", [document({key: good, **ANCHOR})]) for key in KEYS]
    cases += [(f"entry {entry!r}", [document({"ghcr.io": entry, **ANCHOR})]) for entry in (*GOOD, *BAD)]
    cases += [(f"dockercfg {entry!r}", [legacy({"ghcr.io": entry, **ANCHOR})]) for entry in GOOD[:5]]
    hub, other = "https://index.docker.io/v1/", GOOD[4]
    cases += [
        ("docker desktop", [document({hub: {}, "quay.io": good}, credsStore="desktop")]),
        ("helpers", [document(ANCHOR, credHelpers={"gcr.io": "gcloud"})]),
        ("docker login by browser", [document({hub: good, f"{hub}access-token": good, f"{hub}refresh-token": good})]),
        ("two spellings of Docker Hub", [document({hub: good, "docker.io": good})]),
        ("two credentials of Docker Hub", [document({hub: good, "docker.io": other})]),
        ("Docker Hub and a part of it", [document({"docker.io": good, "docker.io/org": other})]),
        ("Docker Hub and a wildcard", [document({"docker.io": good, "*.io": other})]),
        ("host and paths", [document({"ghcr.io": good, "ghcr.io/org": other, "ghcr.io/org/app": GOOD[5]})]),
        ("two spellings", [document({"ghcr.io": good, "https://ghcr.io/v2/": other})]),
        ("two sources", [document({"ghcr.io": good}), document({"https://ghcr.io": other, "ghcr.io/org": other})]),
        ("sources of both types", [legacy({"ghcr.io": good}), document({"docker.io": other}), document({hub: good})]),
        ("repeated key", [Document(b'{"auths":{"ghcr.io":{"auth":"YTpi"},"ghcr.io":{"auth":"YTpj"}}}')]),
        ("repeated auths", [Document(b'{"auths":{"ghcr.io":{"auth":"YTpi"}},"Auths":{"localhost":{"auth":"YTpj"}}}')]),
        (
            "auths null between",
            [Document(b'{"auths":{"x.io":{"auth":"YTpj"}},"auths":null,"AUTHS":{"ghcr.io":{"auth":"YTpi"}}}')],
        ),
        ("surrogate", [Document(b'{"auths":{"ghcr.io":{"username":"a","password":"x\\ud800y\\ud83d\\ude00"}}}')]),
        ("bytes that are not UTF-8", [Document(b'{"auths":{"ghcr.io":{"username":"a","password":"\xe2\x82x\xff"}}}')]),
        (
            "long s and Kelvin",
            [Document('{"auth\u017f":{"ghcr.io":{"u\u017fername":"a","pa\u017f\u017fword":"b"}}}'.encode())],
        ),
        ("sharp s", [Document('{"auths":{"ghcr.io":{"username":"a","paßword":"b","password":"c"}}}'.encode())]),
        ("email of a wrong type", [document({"ghcr.io": {"auth": auth("a", "b"), "email": 5}})]),
        ("headers of a wrong type", [document({"ghcr.io": good}, HttpHeaders={"a": 5})]),
    ]
    return cases


def generated(random: Random) -> list[Document]:
    """Return one to three sources of random entries."""
    return [_generated(random) for _ in range(random.choice((1, 1, 1, 2, 3)))]


def _generated(random: Random) -> Document:
    pairs = [(_key(random), _entry(random)) for _ in range(random.randint(1, 5))]
    body = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(entry)}" for key, entry in pairs) + "}"
    if random.random() < 0.15:
        return Document(body.encode(), LEGACY_TYPE)
    name = random.choice(("auths", "auths", "auths", "Auths"))
    extra = random.choice(("", "", ',"credsStore":"desktop"', ',"credHelpers":{"gcr.io":"gcloud"}', ',"x":[1e999,{}]'))
    return Document(f'{{"{name}":{body}{extra}}}'.encode(), COPY_TYPE)


def _entry(random: Random) -> object:
    return random.choice(GOOD) if random.random() < 0.8 else random.choice(BAD)


def _key(random: Random) -> str:
    key = random.choice(KEYS)
    while random.random() < 0.25:
        position = random.randint(0, len(key))
        inserted = random.choice(
            (
                "",
                "/",
                ":",
                ".",
                "*",
                "-",
                "_",
                "v1/",
                "/v2/",
                "%",
                "%2f",
                "%25",
                "A",
                "a",
                "@",
                "?",
                "#",
                "[",
                " ",
                "https://",
            )
        )
        key = key[:position] + inserted + key[position + random.randint(0, 2) :]
    return key
