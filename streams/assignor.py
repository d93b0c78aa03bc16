"""Who reads what: partition p of every topic goes to member p mod n, the members sorted.

So the partitions of one number, which hold the same symbols of all exchanges, stay together on one worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

Assigned = dict[str, dict[str, list[int]]]


def assign(partitions: Mapping[str, Iterable[int]], members: Mapping[str, Iterable[str]]) -> Assigned:
    """Topic -> partitions, member -> its topics; gives member -> topic -> partitions, in ascending order.

    n counts the members that subscribed to the topic: workers of one stage only share only its topics.
    """
    subscribed = {member: set(topics) for member, topics in members.items()}
    assigned: Assigned = {member: {} for member in subscribed}
    for topic in sorted(partitions):
        readers = sorted(member for member, topics in subscribed.items() if topic in topics)
        for partition in sorted(partitions[topic]) if readers else ():
            assigned[readers[partition % len(readers)]].setdefault(topic, []).append(partition)
    return assigned


class ModuloAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """The rule above, as aiokafka takes it."""

    name = "coby-modulo"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """See AbstractPartitionAssignor; called on the member that leads the group."""
        topics = {member: metadata.subscription for member, metadata in members.items()}
        known = {
            topic: cluster.partitions_for_topic(topic) or () for names in topics.values() for topic in names
        }
        return {
            member: ConsumerProtocolMemberAssignment(cls.version, sorted(own.items()), b"")
            for member, own in assign(known, topics).items()
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a member says when it joins: its topics."""
        return ConsumerProtocolMemberMetadata(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Nothing: there is no state to keep."""
