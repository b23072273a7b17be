"""Run tests in a Debian machine: another kernel, cgroup v2 alone, systemd, AppArmor.

``python -m tests.vm [PYTEST ARGUMENT…]`` (as root) makes the machine with debootstrap, puts this
repository and the virtual environment's packages into it, boots it in QEMU without
acceleration, runs pytest in it, and exits with pytest's status. The machine without the
repository is kept in a cache, and is made anew when its list of packages changes.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "linux-image-cloud-amd64", "python3", "apparmor",
    "busybox-static", "iproute2", "procps", "uidmap", "libseccomp2", "strace",
)  # fmt: skip
SECONDS = 3000
_COMMAND_LINE = (
    "console=ttyS0 root=/dev/vda rw panic=-1 quiet loglevel=0 systemd.show_status=false"
    " lsm=apparmor"
)
DEFAULT = ("tests/linux/cgroups",)

_UNIT = """\
[Unit]
Description=The tests
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /repository/.vm-run
StandardOutput=null
[Install]
WantedBy=multi-user.target
"""
_RUN = """\
cd /repository
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONPATH=/packages PYTHONDONTWRITEBYTECODE=1
exec >/dev/ttyS0 2>&1
python3 -m pytest -q --color=no -p no:cacheprovider {arguments}
echo "pytest-status $?"
systemctl poweroff --force
"""


def main(arguments: list[str]) -> int:
    """Make the machine, run the tests, and pass on their status."""
    base = machine()
    with tempfile.TemporaryDirectory(prefix="runstate-vm-", dir=base.parent) as directory:
        top = Path(directory) / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(top)], check=True)
        install(top, arguments or list(DEFAULT))
        kernel, initrd = (
            shutil.copy(found(base, name), directory) for name in ("vmlinuz", "initrd.img")
        )
        image = Path(directory) / "disk"
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(top), str(image), "4G"], check=True)
        shutil.rmtree(top)
        return boot(str(kernel), str(initrd), str(image))


def found(base: Path, name: str) -> Path:
    """The kernel's or the initial ramdisk's file."""
    return next((base / "boot").glob(f"{name}-*"))


def machine() -> Path:
    """A directory with a Debian of these packages, from the cache or made now."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "runstate-vm"
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    base = cache / f"bookworm-{digest}"
    if not base.exists():
        cache.mkdir(parents=True, exist_ok=True)
        making = cache / f"{base.name}.{os.getpid()}"
        try:
            subprocess.run(
                [
                    "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}",
                    "bookworm", str(making), mirror(),
                ],
                check=True, stdout=sys.stderr,
            )  # fmt: skip
            making.rename(base)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return base


def mirror() -> str:
    """Where this machine gets its own Debian packages from."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    lines = [line.split() for line in targets.splitlines()]
    return next(uri for uri, release in lines if release == "bookworm")


def install(top: Path, arguments: list[str]) -> None:
    """Put the repository, the packages and the unit that runs the tests into the machine."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        if (REPOSITORY / name).is_file():
            (top / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, top / "repository" / name)
    schemas = REPOSITORY.parent / "shared" / "oci-schema"
    if schemas.is_dir():
        shutil.copytree(schemas, top / "shared" / "oci-schema")
    shutil.copytree(
        sysconfig.get_path("purelib"), top / "packages",
        ignore=shutil.ignore_patterns("__pycache__", "pip*", "mypy*", "ruff*"),
    )  # fmt: skip
    run = _RUN.format(arguments=shlex.join(arguments))
    (top / "repository" / ".vm-run").write_text(run)
    units = top / "etc/systemd/system"
    (units / "tests.service").write_text(_UNIT)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/tests.service").symlink_to("../tests.service")
    # It would take the console over.
    (units / "serial-getty@ttyS0.service").symlink_to("/dev/null")
    (top / "etc/fstab").write_text("")
    (top / "etc/hostname").write_text("machine\n")


def boot(kernel: str, initrd: str, image: str) -> int:
    """Boot, print what the tests print, and return their status."""
    process = subprocess.Popen(
        [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
            "-m", "2048", "-nographic", "-no-reboot", "-nic", "none", "-kernel", kernel,
            "-initrd", initrd, "-drive", f"file={image},if=virtio,format=raw", "-append",
            _COMMAND_LINE,
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    status = 1
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("pytest-status "):
                status = int(line.split()[1])
            else:
                sys.stdout.write(line)
                sys.stdout.flush()
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
