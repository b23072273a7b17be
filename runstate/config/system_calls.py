"""Every system call of Linux, by who may make it in a container with the default filter.

Made from the kernel's own tables (the unistd.h of each architecture, up to Linux 6.17), call by
call. A call is safe for everyone when all it can reach is the caller's own, or is checked against
the caller's namespaces, credentials and cgroup as anything of an unprivileged user is. Each call is
here exactly once; a test compares with the kernel's headers and with libseccomp's tables.

Calls that some architectures alone have are listed like the others: where they do not exist, the
compiler leaves them out.
"""

from __future__ import annotations

EVERYONE = {
    "files and directories": """
        access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3
        faccessat faccessat2 fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod
        fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64
        fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents
        getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64 mkdir mkdirat
        mknod mknodat name_to_handle_at newfstatat open openat openat2 readahead readlink
        readlinkat rename renameat renameat2 rmdir sendfile sendfile64 stat stat64 statfs
        statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2
        arm_sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat
        utimensat_time64 utimes cachestat file_getattr file_setattr
    """,
    "extended attributes": """
        fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr
        listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr
        setxattrat
    """,
    "reading and writing": """
        read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 pipe pipe2
        splice tee vmsplice io_cancel io_destroy io_getevents io_pgetevents
        io_pgetevents_time64 io_setup io_submit
    """,
    "waiting for events": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
        epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init
        inotify_init1 inotify_rm_watch _newselect poll ppoll ppoll_time64 pselect6
        pselect6_time64 select signalfd signalfd4
    """,
    "memory": """
        brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
        mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
        pkey_mprotect process_mrelease remap_file_pages map_shadow_stack
    """,
    "processes and threads": """
        execve execveat exit exit_group fork vfork wait4 waitid waitpid getpgid getpgrp getpid
        getppid getsid gettid setpgid setsid set_tid_address arch_prctl get_thread_area
        get_tls set_thread_area set_tls modify_ldt prctl pidfd_open pidfd_send_signal seccomp
        landlock_add_rule landlock_create_ruleset landlock_restrict_self getcpu rseq
        restart_syscall
    """,
    "looking into processes of the same user (ptrace(2) asks for more for any other)": """
        ptrace process_vm_readv process_vm_writev
    """,
    "users and rights": """
        capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
        getgroups32 getresgid getresgid32 getresuid getresuid32 getuid getuid32 setfsgid
        setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid
        setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid
        setuid32
    """,
    "limits and scheduling": """
        getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_getaffinity
        sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
        sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
        sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
        setpriority setrlimit ugetrlimit
    """,
    "signals": """
        kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
        rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack
        sigprocmask sigreturn tgkill tkill sigaction sigpending sigsuspend signal sgetmask
        ssetmask
    """,
    "locks between threads": """
        futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list
        set_robust_list
    """,
    "time and timers (setting the clock by these needs CAP_SYS_TIME in the first namespace)": """
        adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64
        clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer
        gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun
        timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd timerfd_create
        timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
    """,
    "sockets, but for making one": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom
        recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown
        socketcall socketpair
    """,
    "System V and POSIX communication, in the ipc namespace": """
        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
        mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget
        semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
    """,
    "the system at large": "getrandom sysinfo uname statmount listmount",
    "what one architecture has for its own processor": """
        breakpoint cacheflush usr26 usr32 riscv_flush_icache swapcontext
        riscv_hwprobe s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr
        s390_guarded_storage uretprobe
    """,
}
"""By subject, the calls that are safe for everyone."""

WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
"""The calls that a container may make when its bounding set has the capability.

The kernel asks for the capability too, mostly. But it does so late, after much code has run on
what the caller gave it; and in a user namespace of its own making every process has all
capabilities. A filter answers before any of that.
"""

CONDITIONALLY = "clone clone3 personality socket"
"""The calls that are decided by their arguments, in :mod:`runstate.config.seccomp_profile`."""

NOBODY = {
    "the kernel's keys have no namespace: what one container adds or asks for, others see": """
        add_key keyctl request_key
    """,
    "starts another kernel": "kexec_file_load kexec_load",
    "the machine's swap is nobody's in a container": "swapoff swapon",
    "a container's root is made before it starts, and stays": "pivot_root",
    "moves other processes' memory between nodes": "migrate_pages move_pages",
    "a ring whose operations no filter sees, and the source of many escapes": """
        io_uring_enter io_uring_register io_uring_setup
    """,
    "pauses the kernel in the middle of its work, which makes races easy to win": "userfaultfd",
    "drives the kernel's own servers and devices": """
        nfsservctl pciconfig_iobase pciconfig_read pciconfig_write rtas spu_create spu_run
        s390_sthyi cachectl sysmips
    """,
    "obsolete; no program that still runs needs it": """
        _sysctl bdflush create_module ftime get_kernel_syms nice oldfstat oldlstat oldolduname
        oldstat olduname query_module readdir sysfs uselib ustat
    """,
    "makes another call under its own number (MIPS)": "syscall",
    "the processor's modes for programs of other systems": """
        multiplexer subpage_prot switch_endian sys_debug_setcontext vm86 vm86old
    """,
    "only a number, never a call": """
        afs_syscall break getpmsg gtty idle lock mpx prof profil putpmsg security stty tuxcall
        ulimit vserver
    """,
}
"""By reason, the calls that a container may not make whatever its capabilities."""
