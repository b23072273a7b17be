"""The command line. Only here does anything exit or write to the standard streams."""
