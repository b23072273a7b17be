"""What runs inside the new process: standard library only, small, fast to start.

Nothing here imports the rest of the package, because these modules are loaded by the zygote,
a bare interpreter whose memory every waiting container shares. ``kernel`` is the one thin
layer of system calls; ``runstate.linux`` builds on it for the engine's side.
"""
