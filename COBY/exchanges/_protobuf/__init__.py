"""Binary messages of exchanges: a .proto file each, and what `make proto` makes of it."""
