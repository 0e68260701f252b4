"""Where Django's admin looks for what to register."""

import deliveries.console  # noqa: F401
