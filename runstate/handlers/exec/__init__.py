"""Exec handlers: one module each."""
