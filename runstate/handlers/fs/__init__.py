"""Filesystem handlers: one module each."""
