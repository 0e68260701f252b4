"""Samples: a day of history that never was, so that who starts the demo sees what the console is for."""
