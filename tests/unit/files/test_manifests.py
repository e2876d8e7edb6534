from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from webhook.errors import UsageError
from webhook.files.manifests import read_manifests, repeated
from webhook.report.preview.manifest import Manifest

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: migrate, namespace: team-a}\n"
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: api}\n"


def read(tmp_path: Path, text: str, name: str = "a.yaml") -> list[Manifest]:
    (tmp_path / name).write_text(text)
    return read_manifests([str(tmp_path / name)])


def titles(manifests: list[Manifest]) -> list[str]:
    return [f"{manifest.namespace} {manifest.title}" for manifest in manifests]


def refusal(tmp_path: Path, text: str, name: str = "a.yaml") -> str:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text, name)
    return str(caught.value).replace(str(tmp_path), "")


def test_each_document_of_a_stream_is_an_object(tmp_path: Path) -> None:
    manifests = read(tmp_path, f"---\n---\n{POD}---\n# nothing\n---\n{ACCOUNT}")

    assert titles(manifests) == ["team-a Pod/migrate", "default ServiceAccount/api"]
    assert [manifest.origin.rpartition(", ")[2] for manifest in manifests] == ["document 2", "document 4"]
    assert manifests[0].body == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "migrate", "namespace": "team-a"},
    }


def test_an_object_without_a_namespace_gets_the_default_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{ACCOUNT}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: team-b}}\n")

    manifests = read_manifests([str(tmp_path / "a.yaml")], "team-a")

    assert titles(manifests) == ["team-a ServiceAccount/api", "team-b Namespace/team-b"]


def test_a_generated_name_is_marked(tmp_path: Path) -> None:
    (manifest,) = read(tmp_path, "apiVersion: v1\nkind: Pod\nmetadata: {generateName: job-, name: ''}\n")

    assert manifest.title == "Pod/job-*"


def test_json_objects_may_follow_each_other(tmp_path: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    text = f"\n {json.dumps(pod)} {json.dumps(pod, indent=2)}\n"

    assert titles(read(tmp_path, text, "a.json")) == ["default Pod/a", "default Pod/a"]


def test_yaml_may_begin_with_a_brace(tmp_path: Path) -> None:
    assert titles(read(tmp_path, "{apiVersion: v1, kind: Pod, metadata: {name: a}}")) == ["default Pod/a"]


def test_lists_are_taken_apart_and_typed_ones_name_their_items(tmp_path: Path) -> None:
    text = """
    apiVersion: v1
    kind: List
    items:
    - {apiVersion: v1, kind: Pod, metadata: {name: a}}
    - apiVersion: apps/v1
      kind: DeploymentList
      items:
      - {metadata: {name: b}}
    """

    manifests = read(tmp_path, text)

    assert [(manifest.api_version, manifest.title) for manifest in manifests] == [
        ("v1", "Pod/a"),
        ("apps/v1", "Deployment/b"),
    ]
    assert manifests[1].origin.endswith("a.yaml, document 1, item 2, item 1")
    assert manifests[1].body["kind"] == "Deployment"


def test_a_folder_is_read_with_all_below_it_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "sub/c.json", ".hidden.yaml", ".git/d.yaml", "notes.md", "sub/deeper/e.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name[0]}}))

    manifests = read_manifests([str(tmp_path), str(tmp_path)])

    assert [manifest.origin.removeprefix(f"{tmp_path}/").partition(",")[0] for manifest in manifests] == [
        "a.yaml",
        "b.yml",
        "sub/c.json",
        "sub/deeper/e.yaml",
    ]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + POD.encode())))

    (manifest,) = read_manifests(["-"])

    assert manifest.origin == "standard input, document 1"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a", "document 1", "apiVersion and kind"),
        ("- a", "document 1", "apiVersion and kind"),
        (f"{POD}---\nimage: x\n", "document 2", "kind"),
        ("kind: Pod\n", "document 1", "apiVersion"),
        ("kind: 1\napiVersion: v1\n", "document 1", "kind"),
        ("kind: Pod\napiVersion: v1\n", "document 1", "metadata"),
        ("kind: Pod\napiVersion: v1\nmetadata: {}", "document 1", "metadata.name"),
        ('kind: Pod\napiVersion: v1\nmetadata: {name: "\\e[31m"}', "document 1", "metadata.name"),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: a, namespace: 3}", "document 1", "metadata.namespace"),
        ("kind: List\napiVersion: v1\nitems: [3]", "document 1, item 1", "apiVersion and kind"),
    ],
)
def test_what_is_no_object_is_told_with_its_file_document_and_line(
    tmp_path: Path, text: str, where: str, what: str
) -> None:
    line, told = 5 if text.startswith(POD) else 1, refusal(tmp_path, text)
    assert told.startswith(f"/a.yaml, {where} is not a Kubernetes object: ")
    assert re.search(rf"\b{what}\b(?!\.)", told)
    assert told.endswith(f" (line {line}); look at it: sed -n '{line},{line + 5}p' /a.yaml")
    assert told.isprintable()


@pytest.mark.parametrize(
    ("text", "beginning", "way_out"),
    [
        (
            "kind: Pod\nmetadata: {{ .Values.a }}\n",
            "/a.yaml, document 1 has a key that is a list or a mapping",
            "helm template CHART | pullsecrets plan -f -",
        ),
        ("# nothing\n", "there is no object in /a.yaml", "helm template CHART | pullsecrets plan -f -"),
        (
            f"{POD}---\nkind: Pod\n\tapiVersion: v1\n",
            "/a.yaml, document 2 is not valid YAML: found a tab",
            "indent with spaces, not with tabs; look at it: sed -n '3,7p' /a.yaml",
        ),
        (
            f"{POD}---\nkind: *missing\n",
            "/a.yaml, document 2 has an alias",
            "(line 5); look at it: sed -n '2,6p' /a.yaml",
        ),
        (f"{POD}---\na: \0\n", "/a.yaml, document 1 is not valid YAML", "(line 5); look at it: sed -n '2,6p' /a.yaml"),
        (
            "kind: Pod\nmetadata: {name: a\nspec:\n  a: b\n",
            "/a.yaml, document 1 is not valid YAML: did not find expected ',' or '}' (line 3, column 5",
            "begins in line 2); look at it: sed -n '1,4p' /a.yaml",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place_and_a_command(
    tmp_path: Path, text: str, beginning: str, way_out: str
) -> None:
    told = refusal(tmp_path, text)
    assert told.startswith(beginning)
    assert told.endswith(way_out)


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, '{"a":' * 300 + "1" + "}" * 300, '{"a": 1', '{"kind": "Pod"} x'],
)
def test_broken_json_is_an_error_that_names_the_document(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text, "a.json").startswith("/a.json, document ")


def test_what_is_not_utf_8_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(POD.encode("utf-16"))

    with pytest.raises(UsageError, match=r"a\.yaml is not UTF-8 text \(line 1\): save it as UTF-8") as caught:
        read_manifests([str(tmp_path / "a.yaml")])
    assert caught.value.__context__ is None


def test_what_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the file .*/no\.yaml cannot be read \(No such file or directory\)"):
        read_manifests([str(tmp_path / "no.yaml")])
    with pytest.raises(UsageError, match=r"the folder .* does not contain a file that ends in \.yaml, \.yml, \.json"):
        read_manifests([str(tmp_path)])


def test_an_object_that_is_there_twice_is_found(tmp_path: Path) -> None:
    generated = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n"
    manifests = read(tmp_path, "---\n".join([POD, ACCOUNT, POD.replace("team-a", "team-b"), POD, generated, generated]))

    assert repeated(manifests) == [(manifests[3], manifests[0])]


def test_the_repr_of_a_manifest_does_not_show_its_body(tmp_path: Path) -> None:
    (manifest,) = read(tmp_path, "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {p: hunter2}\n")

    assert "hunter2" not in repr(manifest)
