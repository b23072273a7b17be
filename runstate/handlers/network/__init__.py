"""Network handlers: one module each."""
