"""What a Confluent schema registry would answer about our topics: subjects, versions and ids, from schemas/.

Subjects are those of Confluent's TopicNameStrategy, ``<topic>-value``; a topic's second record has the one of its
TopicRecordNameStrategy, ``<topic>-<record's full name>``, as its schema is no version of the first. Versions of a
subject count 1, 2, 3 … in the order of ids: ids are append-only, so a version once given stays. Nothing can be
registered here.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import fastavro
from fastavro.schema import to_parsing_canonical_form

from COBY.topics import TOPICS, topic_name
from COBY.utils.exceptions import ValidationError
from schemas import FORMER, IDS, former_text, schema_text

COMPATIBILITY = "FULL_TRANSITIVE"
LATEST = "latest"
VERSION_ALLOWED = f"an integer from 1 to 2^31-1, or {LATEST}"


class Version(NamedTuple):
    """One version of one subject; ``schema`` is its text as it lies in schemas/."""

    subject: str
    version: int
    id: int
    schema: str


class SchemaRegistry:
    """Every version of every subject of the topics under one prefix."""

    def __init__(self, prefix: str) -> None:
        """``prefix`` is TOPIC_PREFIX."""
        self.subjects = dict(sorted(_subjects(prefix).items()))
        """Subject -> its versions, 1 first."""
        self._by_id = {found.id: found for versions in self.subjects.values() for found in versions}

    def by_id(self, number: int) -> Version:
        """The version with this id; ValidationError registry.unknown_schema."""
        if (found := self._by_id.get(number)) is None:
            raise ValidationError("registry.unknown_schema", f"Schema {number} not found", where="id")
        return found

    def versions(self, subject: str) -> list[Version]:
        """All versions of a subject; ValidationError registry.unknown_subject."""
        if (found := self.subjects.get(subject)) is None:
            raise ValidationError(
                "registry.unknown_subject", f"Subject {subject!r} not found.", where="subject"
            )
        return found

    def version(self, subject: str, wanted: str) -> Version:
        """The version ``wanted``: a number, or ``latest`` (also as -1).

        ValidationError registry.unknown_subject, registry.invalid_version, registry.unknown_version.
        """
        found = self.versions(subject)
        if wanted in (LATEST, "-1"):
            return found[-1]
        number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= 10 else 0
        if not 0 < number < 2**31:
            message = f"The specified version {wanted!r} is not a valid version id"
            raise ValidationError(
                "registry.invalid_version", message, where="version", allowed=VERSION_ALLOWED
            )
        if number > len(found):
            raise ValidationError("registry.unknown_version", f"Version {number} not found.", where="version")
        return found[number - 1]

    def lookup(self, subject: str, schema: str) -> Version:
        """The version of a subject whose schema this is, however it is written.

        ValidationError registry.unknown_subject, registry.invalid_schema, registry.unknown_schema.
        """
        found, wanted = self.versions(subject), _canonical(schema)
        for version in found:
            if _canonical(version.schema) == wanted:
                return version
        raise ValidationError("registry.unknown_schema", "Schema not found", where="schema")


def _subjects(prefix: str) -> dict[str, list[Version]]:
    subjects: dict[str, list[Version]] = {}
    for row in TOPICS.values():
        if row.schema is not None:
            topic = topic_name(prefix, row.name)
            subjects[f"{topic}-value"] = _versions(f"{topic}-value", row.schema)
            for name in row.also:
                subject = f"{topic}-coby.{json.loads(schema_text(name))['name']}"
                subjects[subject] = _versions(subject, name)
    return subjects


def _versions(subject: str, name: str) -> list[Version]:
    texts = {number: former_text(number) for number, former in FORMER.items() if former == name}
    texts[IDS[name]] = schema_text(name)
    ordered = enumerate(sorted(texts.items()), start=1)
    return [Version(subject, version, number, text) for version, (number, text) in ordered]


def _canonical(schema: str) -> str:
    """Avro's Parsing Canonical Form: names in full, without documentation, defaults and white space."""
    try:
        form: str = to_parsing_canonical_form(fastavro.parse_schema(json.loads(schema), named_schemas={}))
    except (
        Exception
    ) as error:  # whatever json and fastavro raise of a text that is no schema, RecursionError too
        message = f"no Avro schema: {error or type(error).__name__}"
        raise ValidationError("registry.invalid_schema", message, where="schema") from error
    return form
