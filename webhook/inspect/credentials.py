"""Read the credentials of sources with the rights of the caller: present ones, replaced ones, and those in a file.

``ask`` tests at registries which of them still pull an image.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from webhook.errors import SourceInvalid, UsageError
from webhook.inspect.reader import lacking
from webhook.inspect.secrets import read_state
from webhook.kube.objects import decode_secret
from webhook.kube.resources import SECRETS
from webhook.registries.login import AnonymousAccess, Login
from webhook.report.pod_groups import owners_of
from webhook.report.revocation import PullAnswer, Question
from webhook.rules.dockerconfig import read_document
from webhook.rules.go_json import JsonObject, decode
from webhook.rules.rollout import Stage
from webhook.rules.state_document import STATE_SUFFIX, credentials_of
from webhook.rules.text import listed
from webhook.sync.source import read_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import InstalledRelease
    from webhook.registries.login import Registries
    from webhook.report.pod_groups import Owners
    from webhook.rules.configuration import PullSecret
    from webhook.rules.credential import Credential
    from webhook.rules.dockerconfig import Credentials

QUESTIONS_AT_ONCE = 8


def find_entries(installed: InstalledRelease, name: str) -> list[PullSecret]:
    """Return the pull secrets with this name, or with a source of this name. Raises UsageError if there are none."""
    configuration = installed.configuration
    secret = renewing_secrets(installed).get(name, name)
    entries = [
        entry
        for entry in configuration.pull_secrets
        if name == entry.name or secret in entry.sources or _has_token(entry, name)
    ]
    if not entries:
        source_list = listed(sorted({*configuration.source_names, *renewing_secrets(installed)})) or "none"
        raise UsageError(f"release {installed.release.name} has no source {name}: its sources are {source_list}")
    return entries


def _has_token(entry: PullSecret, name: str) -> bool:
    return any(token.name == name for token in entry.tokens)


def renewing_secrets(installed: InstalledRelease) -> dict[str, str]:
    """Return the Secret of each source that renews itself, by the name of the source."""
    return {source.name: source.secret for source in installed.configuration.renewing}


def find_source(installed: InstalledRelease, name: str) -> str:
    """Return the Secret of a source, which can be named as a source, or as a pull secret that has only one.

    Raises:
        UsageError: there is no such source, or the pull secret has several.
    """
    entry, secret = find_entries(installed, name)[0], renewing_secrets(installed).get(name, name)
    if secret in installed.configuration.source_names:
        return secret
    if entry.tenant_owned:
        raise UsageError(
            f"Secret {name} belongs to each namespace, so its owners revoke what is in it. "
            f"Next: kubectl pullsecrets usage {name}"
        )
    if name != entry.name and _has_token(entry, name):
        raise UsageError(f"source {name} is a token of each namespace: revoke the ServiceAccounts at the registry")
    if len(entry.sources) == 1:
        return entry.sources[0]
    if entry.sources:
        raise UsageError(f"pull secret {name} has the sources {listed(entry.sources)}: name one of them")
    raise UsageError(
        f"pull secret {name} has only tokens of each namespace: revoke the ServiceAccounts at the registry"
    )


def read_owners(reader: Reader, installed: InstalledRelease) -> Owners:
    """Return the source of each key of the pull secrets, as far as the caller may read the sources."""
    sources = {
        name: credentials
        for name in installed.configuration.source_names
        if (credentials := read_source_credentials(reader, installed, name)) is not None
    }
    return owners_of(installed.configuration, sources)


def read_source_credentials(reader: Reader, installed: InstalledRelease, name: str) -> Credentials | None:
    """Return the credentials of a source; None if it does not exist, cannot be used, or must not be read."""
    content, _ = reader.get_if_allowed(SECRETS, name, installed.release.namespace)
    return None if content is None else read_source(decode_secret(content)).credentials


def present_content(reader: Reader, installed: InstalledRelease, source: str) -> Mapping[str, Credential]:
    """Return the credential that a source has now. Raises UsageError if it cannot be read, or used."""
    credentials = read_source_credentials(reader, installed, source)
    if credentials is None:
        where = f"{installed.release.namespace}/{source}"
        raise UsageError(
            f"Secret {where} has no usable content, or you lack the right to get it: give the credential with "
            f"--from-file. Next: kubectl auth can-i get secret/{source} -n {installed.release.namespace}"
        )
    return credentials


def previous_content(reader: Reader, installed: InstalledRelease, name: str) -> Mapping[str, Credential]:
    """Return what the last rotation has replaced.

    Raises UsageError if it is not kept, if it has replaced nothing, or if a Secret that decides it cannot be read.
    """
    state = read_state(reader, installed)
    if not state.is_read:
        namespace, secret = installed.release.namespace, f"{installed.fullname}{STATE_SUFFIX}"
        lacks = lacking("get", f"{SECRETS.plural}/{secret}", namespace)
        raise UsageError(
            f"the previous credential of {name} is unknown, because {lacks}: ask for it, or give the credential with "
            f"--from-file. Next: kubectl auth can-i get secrets/{secret} -n {namespace}"
        )
    unchanged = []
    for entry in find_entries(installed, name):
        stored = state.rollouts.get(entry.name)
        is_complete = stored is not None and stored.rollout.stage is Stage.COMPLETE
        replaced_content = stored.kept if stored is not None and is_complete else state.last_good.get(entry.name)
        if stored is None or replaced_content is None:
            continue
        # A source that is unknown may have any of the previous credentials, and then they must not be revoked.
        kept = [
            credential for source in entry.sources for credential in present_content(reader, installed, source).values()
        ]
        previous = credentials_of(replaced_content)
        replaced = {key: credential for key, credential in previous.items() if credential not in kept}
        if replaced:
            return replaced
        if is_complete or stored.rollout.is_under_way:
            unchanged.append(entry.name)
    if unchanged:
        raise UsageError(
            f"the last rotation of {listed(unchanged)} has replaced no credential: give the one to revoke with "
            "--from-file"
        )
    raise UsageError(
        f"the previous credential of {name} is not known: it is kept during a rotation in stages, until its overlap "
        "is over. Give it with --from-file"
    )


def file_content(content: bytes, file: object) -> Mapping[str, Credential]:
    """Return the credentials in a Docker configuration. Raises UsageError if there are none."""
    document = decode(content)
    if not isinstance(document, JsonObject):
        raise UsageError(f"--from-file {file} is not a Docker configuration in JSON")
    legacy = not any(document.named("auths"))
    try:
        credentials = read_document(document, legacy=legacy, where="its content")
    except SourceInvalid as error:
        raise UsageError(f"--from-file {file}: {error}") from None
    if not credentials:
        raise UsageError(f"--from-file {file} has no usable credential: {credentials.remark}")
    return credentials


def ask(registries: Registries, questions: Iterable[Question]) -> dict[Question, PullAnswer]:
    """Return the answers of the registries to all questions."""
    question_list = list(questions)
    with ThreadPoolExecutor(QUESTIONS_AT_ONCE, "pull") as pool:
        return dict(
            zip(question_list, pool.map(lambda question: _answer(registries, question), question_list), strict=True)
        )


_ACCESS = {
    AnonymousAccess.OPEN: PullAnswer.ACCEPTED,
    AnonymousAccess.PUBLIC: PullAnswer.PUBLIC,
    AnonymousAccess.LOGIN: PullAnswer.REFUSED,
    AnonymousAccess.UNKNOWN: PullAnswer.UNKNOWN,
}


def _answer(registries: Registries, question: Question) -> PullAnswer:
    if question.credential is None:
        return _ACCESS[registries.pull_without(question.image).access]
    result = registries.pull_with(question.image, question.key, question.credential)
    if result.login is Login.ACCEPTED:
        return PullAnswer.ACCEPTED
    # A node cannot pull an image that the registry does not find with this credential.
    is_refused = result.login is Login.REFUSED or result.is_missing
    return PullAnswer.REFUSED if is_refused else PullAnswer.UNKNOWN
