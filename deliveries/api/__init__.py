"""The HTTP door: it parses, calls the pipeline or the ledger, answers."""
