"""A whole Debian machine under emulation, for what the machine at hand cannot show."""
