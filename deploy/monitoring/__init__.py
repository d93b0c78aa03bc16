"""What watches COBY: Prometheus' rules, Alertmanager, Grafana. The dashboards are written by dashboards.py."""
