"""The services around ours: how each is called, in which dialect, and what may be believed of its answers."""
