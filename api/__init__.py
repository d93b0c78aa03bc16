"""The API: REST and WebSocket over what the pipeline has made. `python -m api`."""
