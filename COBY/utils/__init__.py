"""What any module may use: errors, logging, validation, times. Import from here or from the single files.

Pure modules import `COBY.utils.exceptions`, `.intervals` and `.validation` directly: these read no clock and
log nothing.
"""

from COBY.utils.correlation import clear_correlation_id, get_correlation_id, set_correlation_id
from COBY.utils.exceptions import (
    AggregationError,
    BrokerError,
    CobyError,
    ConfigurationError,
    ExchangeError,
    ProcessingError,
    ReplayError,
    ServiceError,
    StorageError,
    ValidationError,
)
from COBY.utils.logging import get_logger, setup_logging
from COBY.utils.timing import (
    Stopwatch,
    WallClock,
    floor_us,
    format_us,
    from_us,
    interval_us,
    measure,
    parse_time,
    to_us,
    utc_now,
)
from COBY.utils.validation import (
    quality_of,
    validate_price,
    validate_settings,
    validate_size,
    validate_symbol,
)

__all__ = [
    "AggregationError",
    "BrokerError",
    "CobyError",
    "ConfigurationError",
    "ExchangeError",
    "ProcessingError",
    "ReplayError",
    "ServiceError",
    "Stopwatch",
    "StorageError",
    "ValidationError",
    "WallClock",
    "clear_correlation_id",
    "floor_us",
    "format_us",
    "from_us",
    "get_correlation_id",
    "get_logger",
    "interval_us",
    "measure",
    "parse_time",
    "quality_of",
    "set_correlation_id",
    "setup_logging",
    "to_us",
    "utc_now",
    "validate_price",
    "validate_settings",
    "validate_size",
    "validate_symbol",
]
