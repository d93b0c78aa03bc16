"""What aiokafka knows of its consumer group and offers no public way to: all that we take from its inside."""

from __future__ import annotations

import aiokafka


def rebalances(consumer: aiokafka.AIOKafkaConsumer) -> bool:
    """Whether the consumer is about to join its group, or has not yet been told the outcome."""
    coordinator, subscription = consumer._coordinator, consumer._subscription.subscription
    if coordinator is None or subscription is None:
        return True
    return bool(coordinator._performed_join_prepare or coordinator.need_rejoin(subscription))


def give_up_place(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Have the consumer leave its group when it is stopped, also if it has a name there.

    aiokafka keeps the place of a named member for its return; one killed has it kept, one asked to stop has not.
    """
    if consumer._coordinator is not None:
        consumer._coordinator._group_instance_id = None
