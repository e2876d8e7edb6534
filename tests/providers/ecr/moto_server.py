"""moto as a server, made stricter where it trusts everybody, and with a lifetime of its tokens of ECR.

It runs as a script, with the packages of ``.ci/moto.txt``. Its argument is a JSON object with these keys: ``port``;
``jwks``, the keys of the cluster; ``ready``, the file that it writes when it listens, with the keys of a user that may
get tokens of ECR; ``lifetime``, seconds of such a token; ``audience``; and ``subjects``, by account.

Users sign their requests, and only those with a policy get a token of ECR: moto checks that itself. A role is assumed
with a token that the cluster has signed, for that audience and the subject of the role's account.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from moto import settings as moto_settings
from moto.core.responses import ActionResult
from moto.ecr.responses import ECRResponse
from moto.iam.models import iam_backends
from moto.server import ThreadedMotoServer
from moto.sts.exceptions import STSClientError
from moto.sts.responses import TokenResponse

ACCOUNT = "123456789012"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}],
    }
)
_token_of_ecr = ECRResponse.get_authorization_token
_assume_role = TokenResponse.assume_role_with_web_identity


def refusal() -> Exception:
    """Return the error for a token that is not accepted, as STS has it."""
    error: Exception = STSClientError("InvalidIdentityToken", "No trust for this token")
    return error


def claims_of(token: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    """Return the claims of a token (JWT, ES256) that one of the keys has signed."""
    try:
        signed, _, signature = token.rpartition(".")
        header, claims = (json.loads(decoded(part)) for part in signed.split("."))
        (key,) = (key for key in keys if key["kid"] == header["kid"])
        x, y = (int.from_bytes(decoded(key[name]), "big") for name in ("x", "y"))
        r, s = (int.from_bytes(decoded(signature)[half], "big") for half in (slice(32), slice(32, 64)))
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        public.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(SHA256()))
    except (ValueError, KeyError, InvalidSignature) as error:
        raise refusal() from error
    return dict(claims)


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def patch(trusted: list[dict[str, str]], audience: str, subjects: dict[str, str], lifetime: float) -> None:
    """Give moto's tokens a time of expiry, which is in 2015 otherwise, and let its STS check tokens."""

    def get_authorization_token(self: ECRResponse) -> ActionResult:
        answer: dict[str, Any] = _token_of_ecr(self).result
        for entry in answer["authorizationData"]:
            entry["expiresAt"] = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=lifetime)
        return ActionResult(answer)

    def assume_role_with_web_identity(self: TokenResponse) -> ActionResult:
        claims = claims_of(self._get_param("WebIdentityToken"), trusted)
        account = self._get_param("RoleArn").split(":")[4]
        if claims["aud"] != [audience] or claims["sub"] != subjects.get(account) or claims["exp"] < time.time():
            raise refusal()
        return _assume_role(self)

    ECRResponse.get_authorization_token = get_authorization_token
    TokenResponse.assume_role_with_web_identity = assume_role_with_web_identity
    # A request with a token has no signature that moto could check.
    TokenResponse._authenticate_and_authorize_normal_action = lambda *_, **__: None


def main(settings: dict[str, Any]) -> None:
    """Serve until the process is ended."""
    patch(json.loads(settings["jwks"])["keys"], settings["audience"], settings["subjects"], settings["lifetime"])
    users = iam_backends[ACCOUNT]["aws"]
    users.create_user("us-east-1", "puller")
    users.put_user_policy("puller", "pull", POLICY)
    key = users.create_access_key("puller")
    for account in settings["subjects"]:
        roles = iam_backends[account]["aws"]
        roles.create_role("pull", "{}", "/", None, "", [], 3600)
        roles.put_role_policy("pull", "pull", POLICY)
    moto_settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0  # check signatures and policies from the first request
    ThreadedMotoServer("127.0.0.1", settings["port"], verbose=False).start()
    whole = Path(settings["ready"]).with_suffix(".new")
    whole.write_text(json.dumps({"access_key": key.access_key_id, "secret_key": key.secret_access_key}))
    whole.rename(settings["ready"])
    threading.Event().wait()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
