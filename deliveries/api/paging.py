"""Pages of a list that grows while it is read: each begins where another one ended, not at a number of rows."""

from __future__ import annotations

import re

from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

PAGE = 50
LARGEST_PAGE = 500

#: Ids are unique, so a direction and an id say where a page begins.
CURSOR = re.compile(r"^(older|newer)-[0-9]{1,18}$")


class ById(CursorPagination):
    """The newest first; `cursor` has been checked by then."""

    ordering = "-id"
    page_size = PAGE
    max_page_size = LARGEST_PAGE
    page_size_query_param = "page_size"

    def decode_cursor(self, request: Request) -> Cursor | None:
        given = request.query_params.get(self.cursor_query_param)
        if given is None:
            return None
        direction, id = given.split("-")
        return Cursor(offset=0, reverse=direction == "newer", position=int(id))

    def encode_cursor(self, cursor: Cursor) -> str:
        direction = "newer" if cursor.reverse else "older"
        return replace_query_param(str(self.base_url), self.cursor_query_param, f"{direction}-{cursor.position}")
