"""Django's PostgreSQL backend, which sees to it before each connection that the server is up."""

from typing import Any

from django.db.backends.postgresql import base

from pushproject.embedded.sharing import SharedCluster


class DatabaseWrapper(base.DatabaseWrapper):
    """HOST is the directory of the server's socket, OPTIONS["cluster"] its data directory."""

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        SharedCluster.at(params.pop("cluster")).attach()
        return params
