"""Commands that put the whole together."""
