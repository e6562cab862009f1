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
# Whose Pis `make site`, `make verify` and the like are for: the demo's, or INVENTORY=inventory.ini for your own.
DEMO := build/virtual/inventory.ini
INVENTORY ?= $(DEMO)

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
VIRTUAL := $(PYTHON) -m tests.virtual
PLAYBOOK = ansible-playbook -i $(INVENTORY) playbooks/$@.yml
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# $(call install,WHAT FOR,PACKAGES): Debian's packages. Only the demo, the tests, the image and `make fetch` need any.
define install
{ \
    command -v apt-get >/dev/null || { echo "$(1): this needs Debian 12 or 13 and its packages $(2); this computer has no apt-get. (make site, verify, update, report, labels, collect, handout, restore and reset do without.)" >&2; exit 1; }; \
    [ -z "$(SUDO)" ] || command -v sudo >/dev/null || { echo "$(1): let root run 'apt-get install $(2)', then run this again; there is no sudo here." >&2; exit 1; }; \
    echo "== $(1): $(2)"; \
    $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(2); \
}
endef
# $(call need,WHAT FOR,PROGRAMS AND FILES,PACKAGES): the packages are installed unless all programs and files are there.
define need
@PATH=$$PATH:/usr/sbin; for thing in $(2); do \
    [ -e "$$(command -v $$thing || echo $$thing)" ] || { $(call install,$(1),$(strip $(3))) && break || exit; }; \
done
endef
# $(call stage,WHAT,COMMAND): one stage of the demo.
define stage
@echo; echo "== $(1)"; SECONDS=0; $(2) && echo "== $(1): $$SECONDS s" || { \
    echo "The demo ended here, and why stands above. Run \`make demo\` again to carry on, or \`make demo-stop\` to clear up." >&2; exit 1; }
endef
QEMU_USER = $(shell apt-cache show qemu-user-binfmt >/dev/null 2>&1 && echo qemu-user qemu-user-binfmt || echo qemu-user-static)
define PYTHON_WANTED
This needs Python 3.11 or newer, with venv and pip. On Debian, Ubuntu, Raspberry Pi OS and WSL: sudo apt install python3-venv. On Fedora: sudo dnf install python3. On openSUSE: sudo zypper install python313. On Arch: sudo pacman -S python. On a Mac: brew install python.
endef
export PYTHON_WANTED

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop find site update fetch verify report collect handout restore reset labels compilers \
    image board board-stop test test-all test-long lint bench board-bench power-cuts cut-offs ladder record overnight \
    mnist lock clean compiler card-tools image-tools board-tools apt-cache browser

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

# The pages of up to ten students a Pi.
PORTS = $(shell seq -s , 8888 8897)
demo: .venv/ready compiler  ## Start virtual Pis, provision and verify them (FLEET=3, SUITE=bookworm, KIND=vm, OS=raspios)
	$(call stage,Start virtual Pis,$(VIRTUAL) up --fleet $(FLEET) --suite $(SUITE) --kind $(KIND) --os $(OS) --publish $(PORTS))
	$(call stage,Run playbooks/site.yml,ansible-playbook -i $(DEMO) playbooks/site.yml)
	$(call stage,Run playbooks/verify.yml,ansible-playbook -i $(DEMO) playbooks/verify.yml)
	@ansible-playbook -i $(DEMO) playbooks/demo.yml

demo-stop:  ## Remove the virtual Pis and all that belongs to them
	@$(VIRTUAL) down

find: .venv/ready  ## Find Pis in your network and propose lines for inventory.ini (NAMES='lab[1:20]': ask for these names too)
	@PYTHONPATH=collections python playbooks/find.py $(if $(NAMES),--names '$(NAMES)')

site: .venv/ready  ## Make every Pi a notebook server (INVENTORY=inventory.ini: your own Pis)
	$(PLAYBOOK)

update: .venv/ready  ## Bring every package of every Pi up to date, one Pi first (TO=trixie: upgrade Debian 12 to 13)
	$(PLAYBOOK) -e update_to=$(TO)

fetch: .venv/ready apt-cache  ## Fetch all that `make site` needs, so that it needs no Internet afterwards
	$(PLAYBOOK)

verify: .venv/ready  ## Check that every Pi is what it should be, and write dist/report/index.html
	$(PLAYBOOK)

report: .venv/ready  ## Write how every Pi is, and how it was, without the checks: dist/report/index.html
	$(PLAYBOOK)

collect handout restore reset: PLAYBOOK += $(if $(PI),--limit '$(PI)')

collect: .venv/ready  ## Copy the students' work to this computer: dist/work/DATE/PI/STUDENT (PI=pi07.local: of one Pi)
	$(PLAYBOOK)

handout: .venv/ready  ## Copy a folder's files to every student, and overwrite nothing (FROM=worksheets)
	$(PLAYBOOK) -e '{"student_work_handout": "$(FROM)"}'

restore: .venv/ready  ## Give a Pi the work that was collected from it or from another (PI=pi07.local FROM=pi03.local DATE=2026-11-25)
	$(PLAYBOOK) $(if $(FROM),-e student_work_from='$(FROM)') $(if $(DATE),-e student_work_date='$(DATE)')

reset: .venv/ready  ## Clear the students' folders for the next class, once their work is collected (PASSWORDS=new)
	$(PLAYBOOK) $(if $(PASSWORDS),-e student_work_reset_passwords=true)

labels: .venv/ready  ## Draw a label with password and QR code for each Pi and student: dist/labels
	$(PLAYBOOK)

compilers:  ## Install C compilers for the Pis, which then train far faster (about 200 MB, once)
	$(call need,Compilers for the processors of the Pis,aarch64-linux-gnu-gcc arm-linux-gnueabihf-gcc arm-linux-gnueabi-gcc,\
	    gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross \
	    gcc-arm-linux-gnueabi libc6-dev-armel-cross)

image: .venv/ready compiler compilers image-tools  ## Make an SD-card image for the Pi Zero: dist/ (about 15 minutes; later ones 3)
	ansible-playbook playbooks/image.yml

board: .venv/ready board-tools  ## Boot the newest image in dist on an emulated Pi Zero (IMAGE=...)
	@$(PYTHON) -m tests.virtual board up --image $(or $(IMAGE),$(shell ls -t dist/*.img.xz 2>/dev/null | head -1))

board-stop:  ## Remove the emulated Pi Zero
	@$(PYTHON) -m tests.virtual board down

board-bench: .venv/ready board-tools  ## Measure an emulated Pi Zero (three hours): dist/board-bench.txt
	python -m tests.benchmarks.board

power-cuts: .venv/ready board-tools  ## Cut the power of an emulated Pi Zero at twenty moments (hours): dist/power-cuts.txt
	python -m tests.benchmarks.power_cuts

cut-offs: .venv/ready compiler  ## Kill fifty runs at random moments and complete them (an hour and a half): dist/cut-offs.txt
	python -m tests.benchmarks.cut_offs

ladder:  ## Train the blog's networks, ten of each (a quarter of an hour): dist/ladder
record:  ## Train the most accurate networks (a quarter of an hour): dist/record
overnight:  ## Train what a Pi Zero reaches in a night (minutes here): dist/overnight
ladder record overnight: .venv/ready compiler mnist
	python setup.py --quiet build_ext --inplace
	python -m mynn experiment $@ --data build/mnist --out dist/$@

# MNIST on this computer, as the Pis get it.
mnist: .venv/ready
	@ansible localhost -m include_role -a name=mnist -e '{"mnist_folder": "$(CURDIR)/build/mnist"}'

test: .venv/ready compiler card-tools apt-cache browser  ## Run lint, the unit tests and the tests of one virtual Pi (ten minutes)
	python -m tests.stages quick

test-all: .venv/ready compiler compilers image-tools board-tools apt-cache browser  ## Run these and the tests of many Pis and of the image (an hour)
	python -m tests.stages all

test-long: .venv/ready compiler compilers image-tools board-tools apt-cache browser  ## Run what `make test-all` leaves out for the time it takes (hours; ONLY='vm update': these files of tests/classroom)
	pytest -m long $(or $(ONLY:%=tests/classroom/test_%.py),tests/classroom)

lint: .venv/ready  ## Check the code without running it
	yamllint --strict .
	ansible-lint --offline
	ruff check
	ruff format --check
	mypy

.PHONY: docs
docs: .venv/ready  ## Build the manual as web pages: build/docs/index.html (LINKCHECK=1: also check links to other sites)
	sphinx-build -q -E -W --keep-going -b html docs build/docs
	$(if $(LINKCHECK),sphinx-build -q -b linkcheck docs build/linkcheck)

lint: docs

bench: .venv/ready  ## Measure how long a run takes and how that grows with the fleet: dist/bench.txt
	python -m tests.benchmarks.site

lock: .venv/ready  ## Pin today's versions in requirements.txt and in the Pis' requirements
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

clean:  ## Delete all that was built; what is in dist/ stays
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
	$(call need,A C compiler for the kernel of the network,gcc /usr/include/math.h,gcc libc6-dev)

card-tools:
	$(call need,The tools that lay out and compress an SD card,bmaptool genimage mke2fs mkfs.vfat mcopy sfdisk xz,\
	    bmap-tools dosfstools e2fsprogs fdisk genimage mtools xz-utils)

# Linux hands the programs of the Pi to an emulator of its processor.
image-tools: card-tools
	$(call need,The tools that make an image,arch-test mmdebstrap /usr/lib/binfmt.d/qemu-arm.conf,\
	    arch-test mmdebstrap $(QEMU_USER))

# An emulator of the whole Pi Zero, and what changes a device tree for it.
board-tools:
	$(call need,An emulator of the Pi Zero,qemu-system-arm fdtput mcopy xz,\
	    qemu-system-arm device-tree-compiler mtools xz-utils)

# It keeps the packages that apt on the Pis downloads. A playbook starts its own; it does not run as a service.
apt-cache:
	@[ -x /usr/sbin/apt-cacher-ng ] || $(SUDO) ln -sfn /dev/null /etc/systemd/system/apt-cacher-ng.service 2>/dev/null || true
	$(call need,A cache of packages for the Pis,apt-cacher-ng,apt-cacher-ng)

browser:
	$(call need,A browser for the tests,chromium,chromium fonts-dejavu-core)
