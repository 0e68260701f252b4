"""The Django project: settings from the environment, addresses, logging. Wiring only."""
