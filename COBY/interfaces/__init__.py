"""The five interfaces that the user's documents name."""

from COBY.interfaces.aggregation_engine import AggregationEngine
from COBY.interfaces.data_processor import DataProcessor
from COBY.interfaces.exchange_connector import ExchangeConnector
from COBY.interfaces.replay_manager import ReplayManager
from COBY.interfaces.storage_manager import StorageManager

__all__ = ["AggregationEngine", "DataProcessor", "ExchangeConnector", "ReplayManager", "StorageManager"]
