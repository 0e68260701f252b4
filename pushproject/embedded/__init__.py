"""The Django database backend for a PostgreSQL that the service keeps itself, under `var/`."""
