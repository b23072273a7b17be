# Everything a person needs from here: `make demo`, `make test`, `make check`, `make bench`.
#
# On a fresh Debian machine git, python3 and make are enough. As root, what is missing is
# installed; as an ordinary user, what is missing is named.

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

TEST_PACKAGES := busybox-static iproute2 libseccomp2 procps uidmap
VM_PACKAGES := debootstrap e2fsprogs qemu-system-x86
BENCH_PACKAGES := busybox-static crun runc

# The whole environment must be the same whoever calls.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help demo test vm-test check bench docs clean

help:
	@echo "make demo    run a real container through its whole life, and show each transition"
	@echo "make test    run every test"
	@echo "make vm-test run tests in an emulated Debian machine: cgroup v2 alone, systemd, AppArmor (root)"
	@echo "make check   format, lint, types"
	@echo "make bench   measure against runc and crun (root; installs them)"
	@echo "make docs    write the generated parts of the docs anew"
	@echo "make clean   remove what the others have made here"

demo: $(READY)
	@$(BIN)/python examples/demo.py

test: $(READY)
	@$(call debian,$(TEST_PACKAGES))
	$(BIN)/python -m pytest -rs --no-fold-skipped $(PYTEST_ARGS)

# Slow: everything in it is emulated. Which tests: make vm-test PYTEST_ARGS="tests/…".
vm-test: $(READY)
	@$(call debian,$(VM_PACKAGES))
	$(BIN)/python -m tests.vm $(PYTEST_ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	@$(call debian,$(BENCH_PACKAGES))
	$(BIN)/python -m bench $(BENCH_ARGS)

docs: $(READY)
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment, with this directory installed in it; made anew when its
# description changes.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: there is no $(PYTHON); install Python 3.11 or newer, or say make PYTHON=..." >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: runstate needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
	    "Say make PYTHON=python3.11, or newer." >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  package="python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"; \
	  $(call debian,$$package); \
	  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "make: $(PYTHON) cannot make virtual environments. On Debian, install the package" \
	      "$$package (as root: apt-get install $$package), then try again." >&2; \
	    exit 1; }; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[test,check,diagram]'
	@touch $@

# Shell text: as root on Debian, install those of these packages that are missing.
define debian
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  missing=; \
  for package in $(1); do \
    case "$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null)" in \
      installed) ;; \
      *) missing="$$missing $$package" ;; \
    esac; \
  done; \
  if [ -n "$$missing" ]; then \
    echo "installing Debian packages:$$missing"; \
    apt-get update -qq </dev/null && DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
      apt-get install -qq --yes --no-install-recommends $$missing </dev/null >/dev/null; \
  fi; \
fi
endef
