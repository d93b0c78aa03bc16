"""The pure half of the registry's read side: subjects, versions, ids. Expected are the files and numbers themselves."""

import json
from pathlib import Path

import pytest

import schemas
from api.registry import SchemaRegistry
from COBY.topics import TOPICS
from COBY.utils.exceptions import ValidationError
from schemas import FORMER, IDS

FILES = Path(schemas.__file__).parent
REGISTRY = SchemaRegistry("coby")


def code(call, *arguments):
    with pytest.raises(ValidationError) as raised:
        call(*arguments)
    return raised.value.code, raised.value.where


def test_each_topic_with_a_schema_has_its_subject_and_each_id_one_version():
    topics = {name for name, row in TOPICS.items() if row.schema}
    expected = {f"coby.{name}.v1-value" for name in topics} | {"coby.session.v1-coby.Place"}
    assert list(REGISTRY.subjects) == sorted(expected)
    ids = [version.id for versions in REGISTRY.subjects.values() for version in versions]
    assert sorted(ids) == sorted([*IDS.values(), *FORMER])


@pytest.mark.parametrize(
    ("number", "subject", "version", "file"),
    [
        (1, "coby.trade.v1-value", 1, "trade.avsc"),
        (4, "coby.quality.v1-value", 1, "former/quality.4.avsc"),
        (11, "coby.quality.v1-value", 2, "quality.avsc"),
        (14, "coby.session.v1-coby.Place", 1, "former/place.14.avsc"),
        (15, "coby.session.v1-coby.Place", 2, "place.avsc"),
    ],
)
def test_an_id_is_a_version_of_a_subject_with_the_text_of_its_file(number, subject, version, file):
    text = (FILES / file).read_text()
    assert REGISTRY.by_id(number) == (subject, version, number, text)
    assert REGISTRY.version(subject, str(version)).id == number


def test_latest_is_the_newest_version():
    subject = "coby.quality.v1-value"
    assert [version.id for version in REGISTRY.versions(subject)] == [4, 11]
    assert REGISTRY.version(subject, "latest").id == REGISTRY.version(subject, "-1").id == 11


def test_subjects_follow_the_prefix():
    assert "t9.trade.v1-value" in SchemaRegistry("t9").subjects


def test_what_is_not_there_is_told_by_its_code():
    assert code(REGISTRY.by_id, 99) == ("registry.unknown_schema", "id")
    assert code(REGISTRY.versions, "coby.raw.v1-value") == ("registry.unknown_subject", "subject")
    assert code(REGISTRY.version, "nothing", "1") == ("registry.unknown_subject", "subject")
    assert code(REGISTRY.version, "coby.trade.v1-value", "2") == ("registry.unknown_version", "version")


@pytest.mark.parametrize("wanted", ["0", "-2", "one", "", "1.0", "²", "2147483648", "9" * 5_000])
def test_what_is_no_version_is_invalid(wanted):
    assert code(REGISTRY.version, "coby.trade.v1-value", wanted) == ("registry.invalid_version", "version")


def test_a_schema_is_found_however_it_is_written():
    found = json.loads((FILES / "quality.avsc").read_text())
    found["fields"] = [{"type": field["type"], "name": field["name"]} for field in found["fields"]]
    assert REGISTRY.lookup("coby.quality.v1-value", json.dumps(found)).version == 2
    former = (FILES / "former/quality.4.avsc").read_text()
    assert REGISTRY.lookup("coby.quality.v1-value", former).version == 1


@pytest.mark.parametrize("text", ["", "{}", "7", '{"type": "record"}', '["null", "nosuch"]', "[" * 100_000])
def test_a_text_that_is_no_schema_is_refused(text):
    assert code(REGISTRY.lookup, "coby.trade.v1-value", text) == ("registry.invalid_schema", "schema")


def test_a_schema_of_another_subject_is_not_found():
    other = (FILES / "gap.avsc").read_text()
    assert code(REGISTRY.lookup, "coby.trade.v1-value", other) == ("registry.unknown_schema", "schema")
