"""The kernel in typed Python: processes, mounts, namespaces, cgroups, capabilities."""
