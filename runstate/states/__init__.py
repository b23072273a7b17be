"""Status, State, and for each status what must be true on the host while it holds."""
