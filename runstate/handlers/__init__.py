"""Filesystem, network and exec handlers: the contracts, the registry, and ours."""
