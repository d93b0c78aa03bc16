"""Replay sessions as their users see them: what may be asked, orders, places, topics. Who plays them is `replay/`."""
