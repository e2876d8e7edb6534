"""Define the output formats of the commands."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from webhook.rules.text import ascii_json

if TYPE_CHECKING:
    from typing import TextIO


class Output(StrEnum):
    """The formats of ``--output``."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MANIFESTS = "manifests"


class Form(StrEnum):
    """The formats of ``--output`` without manifests."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class ReportForm(StrEnum):
    """The formats of ``--output`` of a check."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


class PageForm(StrEnum):
    """The formats of ``--output`` of reports that people share."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


def write_document(document: object, form: Form, file: TextIO) -> None:
    """Write a document as JSON or YAML, both in ASCII."""
    if form is Form.YAML:
        from webhook.files.yaml_writer import dump  # noqa: PLC0415 - slow to import

        dump([document], file)
        return
    file.write(f"{ascii_json(json.dumps(document, indent=2))}\n")
