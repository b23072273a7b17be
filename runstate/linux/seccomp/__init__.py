"""System call filters: from ``linux.seccomp`` of a configuration to BPF (seccomp(2)).

:mod:`library` asks libseccomp for the numbers of system calls, :mod:`compiler` reads the rules,
and :mod:`program` makes instructions of them, which init gives to the kernel (``load_seccomp``
among its operations).

The instructions are our own rather than libseccomp's because loading them is part of each
container's start, and the kernel's time for it goes with their number: rules for hundreds of calls
are few ranges of numbers, and a search among ranges has a tenth of the instructions of one among
calls. The tests hold both against each other, call by call.
"""
