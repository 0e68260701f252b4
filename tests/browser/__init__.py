"""What operators do in the console, done in a real browser; `make check-console` runs it."""
