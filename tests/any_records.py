"""Any record of any schema, for tests: as our structs hold it, and as a reader must give it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from COBY import records
from COBY.records import NAMES

STRUCTS = {NAMES[struct]: struct for struct in NAMES}
TEXT = st.text(max_size=30).filter(lambda text: "\ud800" not in text)
TIMES = st.integers(0, 4_000_000_000_000_000)
LIMITS = {20: 10**20 - 1, 30: 10**30 - 1, 10: 10**10 - 1}


def values(schema, named):
    """Any value of a schema, as our structs hold it: decimals and times as ints."""
    if isinstance(schema, list):
        return st.none() | values(schema[1], named)
    if isinstance(schema, str):
        plain = {"string": TEXT, "boolean": st.booleans(), "int": st.integers(-(2**31), 2**31 - 1)}
        plain["long"] = st.integers(-(2**63), 2**63 - 1)
        return plain[schema] if schema in plain else structs(named[schema], named)
    if schema["type"] == "record":
        named[f"coby.{schema['name']}"] = schema
        return structs(schema, named)
    if schema["type"] == "array":
        return st.lists(values(schema["items"], named), max_size=4)
    if schema.get("logicalType") == "decimal":
        return st.integers(-LIMITS[schema["precision"]], LIMITS[schema["precision"]])
    return TIMES


def structs(schema, named):
    top = {"TradeEvent", "BookTick"}
    name = schema["name"]
    struct = getattr(records, name) if name in top or hasattr(records, name) else STRUCTS[name.lower()]
    fields = {field["name"]: values(field["type"], named) for field in schema["fields"]}
    assert list(fields) == list(struct.__struct_fields__)
    return st.builds(struct, **fields)


def plain(value, schema, named):
    """What a reader must give for a value of ours: decimals, aware times, dicts."""
    if isinstance(schema, list):
        return None if value is None else plain(value, schema[1], named)
    if isinstance(schema, str):
        return plain(value, named[schema], named) if schema in named else value
    if schema["type"] == "record":
        named[f"coby.{schema['name']}"] = schema
        return {
            field["name"]: plain(getattr(value, field["name"]), field["type"], named)
            for field in schema["fields"]
        }
    if schema["type"] == "array":
        # An empty array must still make its item's type known, for those after it that name it.
        if isinstance(schema["items"], dict) and schema["items"]["type"] == "record":
            named[f"coby.{schema['items']['name']}"] = schema["items"]
        return [plain(item, schema["items"], named) for item in value]
    if schema.get("logicalType") == "decimal":
        return Decimal(f"{value}E-8")  # exact, whatever the context
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
