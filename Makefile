# Each target brings a fresh Debian or Raspberry Pi OS machine from nothing to done, and says what it does.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
comma := ,
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# What the product needs from Debian, what its demo speaks with, and what its tests start.
APT_RUN := python3-venv libportaudio2 libspeexdsp1 espeak-ng flite mosquitto openssh-client
APT_TEST := openssl pulseaudio pulseaudio-utils libasound2-plugins festival festvox-kallpc16k festvox-us-slt-hts sox postgresql systemd systemd-container zstd
APT_IMAGE := mmdebstrap arch-test qemu-user-static binfmt-support e2fsprogs genimage mtools dosfstools zstd systemd device-tree-compiler u-boot-tools \
	qemu-system-arm u-boot-qemu openssh-client flite sox

.PHONY: help setup demo test lint fast clean install image boot-test apt-run apt-test
help:
	@echo "make setup   the environment in .venv      make demo   hear it do three real things"
	@echo "make test    lint, types, every test       make clean  remove what make made"
	@echo "make install as a service on this machine  make image  a card image for Raspberry Pi; make boot-test boots it"

apt-run:
	@sh devices/apt-install.sh "$(SUDO)" $(APT_RUN)
apt-test: apt-run
	@sh devices/apt-install.sh "$(SUDO)" $(APT_TEST)

$(PY): | apt-run
	@echo "Creating the Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check --upgrade pip

$(VENV)/.demo: pyproject.toml | $(PY)
	@echo "Installing voice-needle with its demo extras (once)"
	@$(PY) -m pip install -q --disable-pip-version-check -e ".[demo]"
	@touch $@
$(VENV)/.dev: pyproject.toml | $(PY)
	@echo "Installing voice-needle with its development extras (once)"
	@$(PY) -m pip install -q --disable-pip-version-check $(if $(WITH_TRAIN),torch==2.13.0) -e ".[dev$(if $(WITH_TRAIN),$(comma)train)]"
	@touch $@ $(VENV)/.demo

setup: apt-run $(VENV)/.demo
	@echo "Ready: $(VENV)/bin/voice-needle --help"

demo: setup
	@$(VENV)/bin/voice-needle demo

lint: $(VENV)/.dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

# WITH_TRAIN=1 also installs PyTorch, without which the tests of training are skipped.
# Fast tests first: a mistake shows in a minute.
fast: $(VENV)/.dev lint
	@$(PY) -m pytest tests/unit tests/contracts -m "not slow"

# Memory is measured with no library of ours mapped by another process: its pages would count, used or not.
ALONE := tests/flows/test_memory.py
test: apt-test fast
	@$(PY) -m pytest tests/unit tests/contracts -m slow
	@$(PY) -m pytest $(ALONE)
	@$(PY) -m pytest tests/flows tests/audio --ignore=$(ALONE)

install:
	@$(SUDO) sh devices/install.sh

image: | $(PY)
	@sh devices/apt-install.sh "$(SUDO)" $(APT_IMAGE)
	@$(PY) -m pip install -q --disable-pip-version-check uv
	@$(SUDO) env UV=$(abspath $(VENV)/bin/uv) PYTHON=$(abspath $(PY)) sh devices/image/build.sh

boot-test: image $(VENV)/.demo
	@$(SUDO) sh devices/image/boot-test.sh
	@$(SUDO) env PYTHON=$(abspath $(PY)) sh devices/image/cores.sh

clean:
	rm -rf $(VENV) out runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
