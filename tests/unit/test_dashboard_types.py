"""What the dashboard takes the API's records for, against the schemas they are made by."""

from api.record_schemas import record_schema
from deploy import dashboard_types


def test_the_dashboards_types_are_in_step_with_the_schemas():
    assert dashboard_types.FILE.read_text() == dashboard_types.text(), "run: python -m deploy.dashboard_types"


def test_every_field_of_a_record_is_there_with_its_kind():
    text = dashboard_types.text()
    heatmap = text[text.index("interface HeatmapRecord") :]
    heatmap = heatmap[: heatmap.index("\n}")]
    for field in record_schema("heatmap")["properties"]:
        assert f"  {field}: " in heatmap
    assert "  timestamp: Time;" in heatmap
    assert "  covered_low: Decimal | null;" in heatmap
    assert "    exchange_count: number;" in heatmap
