"""Samples: what the demo made up, and how such rows are told from those of real pushes.

What marks them is what nothing real has: a source of its own, a hash that is none, a token that no provider gave out.
"""

from __future__ import annotations

#: The source of such notifications.
SOURCE = "sample"
#: How their ids begin, and the hashes of such dead letters, and their devices' tokens.
MARK = "sample-"
