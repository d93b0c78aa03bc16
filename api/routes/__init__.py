"""One file per resource, each with a `router`; api/app.py includes every one it finds here."""
