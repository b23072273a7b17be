"""Control groups, versions 1 and 2 and both at once: where they are, and one container's own.

:mod:`~runstate.linux.cgroups.layout` says what the host has mounted,
:mod:`~runstate.linux.cgroups.paths` where a container goes,
:mod:`~runstate.linux.cgroups.resources` what its limits mean as writes, and
:class:`~runstate.linux.cgroups.cgroup.Cgroup` acts.
"""
