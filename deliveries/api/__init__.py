"""The API: it parses, calls the ledger, answers."""
