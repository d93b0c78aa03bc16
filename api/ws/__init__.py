"""The WebSocket API: live and replayed records alike, by subscription, each message provable and resumable."""
