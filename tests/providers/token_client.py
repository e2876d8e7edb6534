"""A credential provider that gets each credential from a token service, which decides how long it is valid.

It runs in the container of sync, as a file of a ConfigMap: only the standard library is there. Its environment names
the service as ``TOKENS_NAME``, ``TOKENS_ADDRESS`` and ``TOKENS_PORT``, and the file of its authority as ``TOKENS_CA``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys

SECONDS = 30


def credential() -> dict[str, str]:
    """Return a new credential. The address is given, because there is no DNS."""
    name, port = os.environ["TOKENS_NAME"], int(os.environ["TOKENS_PORT"])
    context = ssl.create_default_context(cafile=os.environ["TOKENS_CA"])
    plain = socket.create_connection((os.environ["TOKENS_ADDRESS"], port), timeout=SECONDS)
    connection = http.client.HTTPConnection(name, port)
    connection.sock = context.wrap_socket(plain, server_hostname=name)
    connection.request("GET", "/credential")
    answer = connection.getresponse()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"the token service answers {answer.status}")
    issued: dict[str, str] = json.load(answer)
    return issued


if __name__ == "__main__":
    image = json.load(sys.stdin)["image"]
    issued = credential()
    login = {"username": issued["username"], "password": issued["password"]}
    answer = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "cacheDuration": f"{issued['seconds']}s",
        "auth": {image.partition("/")[0]: login},
    }
    print(json.dumps(answer))
