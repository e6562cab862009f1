# `make demo` and `make test` are the two commands; `make` alone lists them all.
SHELL := /bin/bash
# The system's Python, or another that is new enough.
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
# How many virtual Pis the demo has, and their Debian: trixie (13) or bookworm (12).
FLEET ?= 1
SUITE ?= trixie
# What they run: debian, or raspios: as a card that Raspberry Pi Imager makes. (Not ?=: OS is in some environments.)
OS = debian
# What they are: container, vm (a virtual machine), or auto: vm where containers are not possible.
KIND ?= auto
# Whose Pis `make site`, `make verify` and their like are about: the demo's, or INVENTORY=inventory.ini for your own.
INVENTORY ?= build/virtual/inventory.ini

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
VIRTUAL := $(PYTHON) -m tests.virtual
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# $(call install,WHAT FOR,PACKAGES): Debian's packages, once. Only the demo, the tests, the image and `make fetch` need any.
define install
{ \
    command -v apt-get >/dev/null || { echo "$(1): this needs Debian 12 or 13 and its packages $(2); this computer has no apt-get. (make site, verify, update, report, labels, collect, handout, restore and reset do without.)" >&2; exit 1; }; \
    [ -z "$(SUDO)" ] || command -v sudo >/dev/null || { echo "$(1): let root run 'apt-get install $(2)', then run this again; there is no sudo here." >&2; exit 1; }; \
    echo "== $(1): $(2)"; \
    $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(2); \
}
endef
QEMU_USER = $(shell apt-cache show qemu-user-binfmt >/dev/null 2>&1 && echo qemu-user qemu-user-binfmt || echo qemu-user-static)
define PYTHON_WANTED
This needs Python 3.11 or newer, with venv and pip. On Debian, Ubuntu, Raspberry Pi OS and WSL: sudo apt install python3-venv. On Fedora: sudo dnf install python3. On openSUSE: sudo zypper install python313. On Arch: sudo pacman -S python. On a Mac: brew install python.
endef
export PYTHON_WANTED

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop find site fetch update verify report labels compilers image image-tools board board-stop board-test offline-test update-test students-test board-tools board-bench power-cuts ladder record overnight test test-all lint bench lock clean compiler card-tools apt-cache browser

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/ready compiler  ## virtual Pis come up, are provisioned, verified, and can be browsed to (FLEET=3, SUITE=bookworm, KIND=vm, OS=raspios)
	@python -m tests.classroom.demo --fleet $(FLEET) --suite $(SUITE) --kind $(KIND) --os $(OS)

demo-stop:  ## the virtual Pis end, and nothing of them stays
	@$(VIRTUAL) down

find: .venv/ready  ## finds Pis in your network and proposes lines for inventory.ini (NAMES='lab[1:20]': asks for these too)
	@PYTHONPATH=collections python playbooks/find.py $(if $(NAMES),--names '$(NAMES)')

site: .venv/ready  ## every Pi becomes a notebook server (INVENTORY=inventory.ini: your own Pis)
	ansible-playbook -i $(INVENTORY) playbooks/site.yml

update: .venv/ready  ## every package of every Pi is brought up to date, one Pi first (TO=trixie: Debian 12 becomes 13)
	ansible-playbook -i $(INVENTORY) playbooks/update.yml -e update_to=$(TO)

fetch: .venv/ready apt-cache  ## all that `make site` needs: after this it needs no Internet (INVENTORY=inventory.ini)
	ansible-playbook -i $(INVENTORY) playbooks/fetch.yml

verify: .venv/ready  ## every Pi is asked whether it is one; the answer is dist/report/index.html
	ansible-playbook -i $(INVENTORY) playbooks/verify.yml

report: .venv/ready  ## how every Pi is, and how it was, quickly: dist/report/index.html
	ansible-playbook -i $(INVENTORY) playbooks/report.yml

# PI=pi07.local: one Pi only.
.PHONY: collect handout restore reset
WORK = ansible-playbook -i $(INVENTORY) playbooks/$@.yml $(if $(PI),--limit '$(PI)')

collect: .venv/ready  ## what students made comes here: dist/work/DATE/PI/STUDENT
	$(WORK)

handout: .venv/ready  ## every student gets a folder's files, and nothing is overwritten (FROM=worksheets)
	$(WORK) -e '{"student_work_handout": "$(FROM)"}'

restore: .venv/ready  ## a Pi gets what was collected of it, or of another (PI=pi07.local FROM=pi03.local DATE=2026-11-25)
	$(WORK) $(if $(FROM),-e student_work_from='$(FROM)') $(if $(DATE),-e student_work_date='$(DATE)')

reset: .venv/ready  ## what was collected is cleared away, for the next class (PASSWORDS=new)
	$(WORK) $(if $(PASSWORDS),-e student_work_reset_passwords=true)

labels: .venv/ready  ## a label to print for each Pi and student, with its password and a QR code: dist/labels
	ansible-playbook -i $(INVENTORY) playbooks/labels.yml

compilers:  ## so that your Pis learn far faster: a C compiler for each kind of Pi (about 200 MB, once)
	@[ $$(command -v aarch64-linux-gnu-gcc arm-linux-gnueabihf-gcc arm-linux-gnueabi-gcc | wc -l) -eq 3 ] || \
	    $(call install,Compilers for the processors of the Pis,python3-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
	    gcc-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-arm-linux-gnueabi libc6-dev-armel-cross)

image: .venv/ready compiler compilers image-tools  ## an SD-card image of a Pi Zero: dist/ (about 15 minutes; later ones 3)
	ansible-playbook playbooks/image.yml

board: .venv/ready board-tools  ## a Pi Zero, emulated, boots the newest image in dist (IMAGE=...), and can be browsed to
	@$(PYTHON) -m tests.virtual board up --image $(or $(IMAGE),$(shell ls -t dist/*.img.xz 2>/dev/null | head -1))

board-stop:  ## it ends, and nothing of it stays
	@$(PYTHON) -m tests.virtual board down

board-test: .venv/ready compiler compilers image-tools board-tools browser  ## what `make test-all` leaves out for the time it takes (an hour)
	pytest -m "long or not long" tests/classroom/test_board.py

students-test: .venv/ready compiler  ## what `make test-all` leaves out of several students a Pi (five minutes)
	pytest -m "long or not long" tests/classroom/test_students.py

offline-test: .venv/ready compiler apt-cache  ## a whole classroom without the Internet, as root (some minutes)
	pytest -m "long or not long" tests/classroom/test_offline.py

update-test: .venv/ready compiler  ## what `make test-all` leaves out of updates: power cuts, full cards, Debian 12 becomes 13 (half an hour)
	pytest -m "long or not long" tests/classroom/test_update.py tests/classroom/test_update_release.py

.PHONY: raspios-test repair-test vm-test
repair-test: .venv/ready compiler  ## what `make test-all` leaves out of faults and their repair (half an hour)
	pytest -m long $(patsubst %,tests/classroom/test_%.py,cut_off dead_pi faults mirror repair shared site verify)

vm-test: .venv/ready compiler  ## a virtual machine is provisioned, verified, updated, and runs out of memory (twenty minutes without KVM)
	pytest -m "long or not long" tests/classroom/test_vm.py

raspios-test: .venv/ready compiler  ## what `make test-all` leaves out of Raspberry Pi OS: every playbook, and Ansible without mitogen (ten minutes)
	pytest -m "long or not long" tests/classroom/test_raspios.py

board-bench: .venv/ready board-tools  ## what it takes for what it does (three hours): dist/board-bench.txt
	python -m tests.classroom.board_bench

power-cuts: .venv/ready board-tools  ## its power is cut at twenty moments (hours): dist/power-cuts.txt
	python -m tests.classroom.power_cuts

.PHONY: cut-offs
cut-offs: .venv/ready compiler  ## fifty runs are cut off at random moments, and completed (an hour and a half): dist/cut-offs.txt
	python -m tests.classroom.cut_offs

ladder:  ## the blog's figures, of ten networks each, on this computer: dist/ladder (about a quarter of an hour)
record:  ## as far as the network goes: dist/record (about a quarter of an hour)
overnight:  ## what a Pi Zero reaches in a night: dist/overnight (minutes here)
ladder record overnight: .venv/ready compiler mnist
	python setup.py --quiet build_ext --inplace
	python -m mynn experiment $@ --data build/mnist --out dist/$@

# MNIST on this computer, as the Pis get it.
.PHONY: mnist
mnist: .venv/ready
	@ansible localhost -m include_role -a name=mnist -e '{"mnist_folder": "$(CURDIR)/build/mnist"}'

test: .venv/ready compiler card-tools apt-cache browser  ## lint, unit tests, and one virtual Pi: provisioned, verified, browsed (ten minutes)
	python -m tests.stages quick

test-all: .venv/ready compiler compilers image-tools board-tools apt-cache browser  ## that, and all that can befall many Pis and an image (an hour)
	python -m tests.stages all

lint: .venv/ready  ## what can be said of the code without running it
	yamllint --strict .
	ansible-lint --offline
	ruff check
	ruff format --check
	mypy

bench: .venv/ready  ## how long a run takes, and how it grows with the fleet
	python -m tests.classroom.bench

lock: .venv/ready  ## requirements.txt and the Pis' requirements anew, at today's versions
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --generate-hashes \
	    --group control --custom-compile-command "make lock" --output-file requirements.txt
	for suite in bookworm:3.11 trixie:3.13; do \
	    apt=roles/python/files/apt-$${suite%:*}.txt; \
	    uv pip compile --quiet --upgrade --python-version $${suite#*:} --python-platform linux --no-annotate \
	        --generate-hashes --group pi --constraints $$apt \
	        $$(sed -n 's/^\([a-z].*\)==.*/--no-emit-package \1/p' $$apt) \
	        --custom-compile-command "make lock" \
	        --output-file roles/python/files/requirements-$${suite%:*}.txt || exit; \
	done

clean:  ## everything that was built goes; passwords, certificates, reports and students' work in dist/ stay
	@$(VIRTUAL) down --wait
	rm -rf .venv build

.venv/ready: requirements.txt
	@[ -n "$(PYTHON)" ] || { echo "$$PYTHON_WANTED" >&2; exit 1; }
	@command -v ssh >/dev/null || { echo "This needs the program ssh, which is not installed: it is in the package openssh-client or openssh." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call install,Python environments,python3-venv)
	@echo "== The control node's tools: .venv, from requirements.txt (about a minute, once)"
	@SECONDS=0; \
	$(PYTHON) -m venv --clear .venv && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt && \
	touch $@ && echo "== The control node's tools: $$SECONDS s"

# For the network's kernel.
compiler:
	@headers=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	[ -e $$headers/Python.h ] && command -v gcc >/dev/null || \
	    $(call install,A C compiler for the kernel of the network,gcc libc6-dev python3-dev)

# What lays out an SD card and packs it.
card-tools:
	@export PATH=$$PATH:/usr/sbin; \
	[ $$(command -v bmaptool mke2fs mkfs.vfat mcopy sfdisk xz | wc -l) -eq 6 ] || \
	    $(call install,The tools that lay out an SD card,bmap-tools dosfstools e2fsprogs fdisk mtools xz-utils)

# What making an image needs besides: an emulator of the Pi's processor that Linux hands its programs to.
image-tools: card-tools
	@[ $$(command -v arch-test mmdebstrap | wc -l) -eq 2 ] && [ -e /usr/lib/binfmt.d/qemu-arm.conf ] || \
	    $(call install,The tools that make an image,arch-test mmdebstrap $(QEMU_USER))

# An emulator of the whole Pi Zero, and what changes a device tree for it.
board-tools:
	@[ $$(command -v qemu-system-arm fdtput mcopy xz | wc -l) -eq 4 ] || \
	    $(call install,An emulator of the Pi Zero,qemu-system-arm device-tree-compiler mtools xz-utils)

# What keeps the packages that apt on the Pis downloads. It is no service of this computer's: a playbook starts its own.
apt-cache:
	@[ -x /usr/sbin/apt-cacher-ng ] || { \
	    $(SUDO) ln -sfn /dev/null /etc/systemd/system/apt-cacher-ng.service; \
	    $(call install,A cache of packages for the Pis,apt-cacher-ng); }

# What only the tests need.
browser:
	@[ -x /usr/bin/chromium ] || $(call install,A browser for the tests,chromium fonts-dejavu-core)
