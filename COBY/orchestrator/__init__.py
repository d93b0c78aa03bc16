"""What one programs against: one client for live and replay, and what models train on. docs/orchestrator.md."""

from COBY.orchestrator.adapter import DataAdapter
from COBY.orchestrator.interface import OrchestratorInterface
from COBY.orchestrator.messages import Message, Missed, Moved, Place, Update
from COBY.orchestrator.subscription import Subscription
from COBY.orchestrator.training import CandleTensor, TrainingSet

__all__ = [
    "CandleTensor",
    "DataAdapter",
    "Message",
    "Missed",
    "Moved",
    "OrchestratorInterface",
    "Place",
    "Subscription",
    "TrainingSet",
    "Update",
]
