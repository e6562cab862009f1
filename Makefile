# `make demo` and `make test` are the two commands; `make` alone lists them all.
SHELL := /bin/bash
# The system's Python, or another one that is new enough.
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
# Number of virtual Pis in the demo, and their Debian: trixie (13) or bookworm (12).
FLEET ?= 1
SUITE ?= trixie
# Number of students who share each of them. Several share a Pi with 4 GB, one has a Pi Zero's memory.
STUDENTS ?= 1
# Their system: debian, or raspios, like a card from Raspberry Pi Imager. (Not ?=: some environments set OS.)
OS = debian
# Their kind: container, vm (a virtual machine), or auto (vm if containers are not possible).
KIND ?= auto
# The kind of Pi that an image is for.
BOARD ?= zero
# The inventory of `make site`, `make verify` and the like: classroom.ini, or else the demo's virtual Pis.
DEMO := build/virtual/inventory.ini
OWN := classroom.ini
INVENTORY ?= $(firstword $(wildcard $(OWN) $(DEMO)) $(OWN))
# The desk writes a second inventory beside it, with the Pis that were added on the desk's page.
PIS = $(addprefix -i ,$(INVENTORY) $(wildcard $(basename $(INVENTORY)).desk.yml))

# VERBOSE=1: show Ansible's own output, instead of plugins/callback/progress.py.
ifdef VERBOSE
export ANSIBLE_STDOUT_CALLBACK := default
endif

VIRTUAL := $(PYTHON) -m tests.virtual
PLAYBOOK = ansible-playbook $(PIS) playbooks/$@.yml
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# $(call stage,WHAT,COMMAND): one stage of the demo.
define stage
@echo; echo "== $(1)"; SECONDS=0; $(2) && echo "== $(1): $$SECONDS s" || { \
    echo "The demo failed here; see above. Run \`make demo\` again to continue, or \`make demo-stop\` to clean up." >&2; exit 1; }
endef
define PYTHON_WANTED
This needs Python 3.11 or newer, with venv and pip. On Debian, Ubuntu, Raspberry Pi OS and WSL: sudo apt install python3-venv. On Fedora: sudo dnf install python3. On openSUSE: sudo zypper install python313. On Arch: sudo pacman -S python. On a Mac: brew install python.
endef
export PYTHON_WANTED

# Groups of Debian packages.
GROUPS := compiler compilers card-tools image-tools board-tools apt-cache browser radius ssh-server

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop find adopt site update fetch verify collect handout restore reset cards labels desk \
    message off known-pi translated cluster image board wheels release test test-more test-all lint lock words

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

# Ports for at least ten students per Pi, and for the cluster's worker.
PORTS = $(shell seq -s , 8888 $$((8887 + ($(STUDENTS) > 10 ? $(STUDENTS) : 10)))),8785
demo: .venv/ready compiler  ## Start virtual Pis, provision and verify them (FLEET=3, STUDENTS=30, SUITE=bookworm, KIND=vm, OS=raspios)
	$(call stage,Start virtual Pis,$(VIRTUAL) up --fleet $(FLEET) --suite $(SUITE) --kind $(KIND) --os $(OS) --students $(STUDENTS) --publish $(PORTS))
	$(call stage,Run playbooks/site.yml,ansible-playbook -i $(DEMO) playbooks/site.yml)
	$(call stage,Run playbooks/verify.yml,ansible-playbook -i $(DEMO) playbooks/verify.yml)
	@ansible-playbook -i $(DEMO) playbooks/demo.yml

demo-stop:  ## Remove the virtual Pis and the emulated one
	@$(VIRTUAL) down
	@$(VIRTUAL) board down

find: translated  ## Find Pis on your network and propose lines for classroom.ini (NAMES='lab[1:20]': also look for these names)
	@python -m mynn_control.find $(if $(NAMES),--names '$(NAMES)')

adopt: .venv/ready  ## Put your SSH key onto the Pis, by their account's password, which is asked for (PI=pi07.local)
	$(PLAYBOOK) --ask-pass

site: .venv/ready  ## Make every Pi a notebook server (INVENTORY=FILE: another list of Pis; PASSWORDS=new: replace another computer's passwords)
	$(PLAYBOOK) $(if $(filter new,$(PASSWORDS)),-e jupyter_new_passwords=true)

update: .venv/ready  ## Update every package of every Pi, one Pi first (TO=trixie: upgrade Debian 12 to 13)
	$(PLAYBOOK) -e update_to=$(TO)

fetch: .venv/ready apt-cache  ## Download all that `make site` needs, so that it then works without the Internet (CLUSTER=yes: `make cluster` too)
	$(PLAYBOOK) $(if $(CLUSTER),-e '{"fetch_cluster": true}')

verify: translated  ## Check that every Pi works as it should; the desk shows it (CHECKS=no: only ask how each Pi is)
	ansible-playbook $(PIS) playbooks/$(if $(filter no,$(CHECKS)),report,verify).yml

adopt cards collect handout restore reset desk message off: PLAYBOOK += $(if $(PI),--limit '$(PI)')
adopt cards collect handout restore reset desk message off: known-pi
handout restore reset: PLAYBOOK += $(if $(STUDENT),-e student_work_student='$(STUDENT)')
known-pi: .venv/ready
	$(if $(PI),@ansible pis $(PIS) --limit '$(PI)' --list-hosts >/dev/null 2>&1 || { \
	    echo "$(INVENTORY) names no Pi $(PI). It names:"; ansible pis $(PIS) --list-hosts | tail -n +2; exit 1; } >&2)

collect: .venv/ready  ## Copy the students' work to this computer: dist/work/DATE/PI/STUDENT (PI=pi07.local: from one Pi)
	$(PLAYBOOK)

handout: .venv/ready  ## Copy a folder to every student, without overwriting anything (FROM=worksheets; STUDENT=seat07)
	$(PLAYBOOK) -e '{"student_work_handout": "$(FROM)"}'

restore: .venv/ready  ## Restore work that was collected from this Pi or another (PI=pi07.local FROM=pi03.local DATE=2026-11-25 STUDENT=seat07)
	$(PLAYBOOK) $(if $(FROM),-e student_work_from='$(FROM)') $(if $(DATE),-e student_work_date='$(DATE)')

reset: .venv/ready  ## Clear the students' folders for the next class, if their work is collected (PASSWORDS=new; DISCARD=yes: in any case; STUDENT=seat07)
	$(PLAYBOOK) $(if $(PASSWORDS),-e reset_passwords=true) $(if $(filter yes,$(DISCARD)),-e reset_uncollected=true)

desk: translated | $(filter $(OWN),$(INVENTORY))  ## Open your page: the class, its wall, tasks and work, and the Pis; until Ctrl-C (PI=pi07.local, STUDENT=morning)
	@python -m mynn_control.desk dist/desk $(INVENTORY) $(if $(PI),--limit '$(PI)') $(if $(STUDENT),--student '$(STUDENT)')

message: .venv/ready  ## Show a line on every student's pages (TEXT='Five more minutes'; TEXT= removes it)
	$(if $(filter command,$(origin TEXT)),,$(error Say what to show, as in: make message TEXT='Five more minutes'. TEXT= removes it))
	$(PLAYBOOK)
# The text as typed: make would expand a $ in it.
message: export MESSAGE = $(value TEXT)

off: .venv/ready  ## Let students' pages save, and switch every Pi off (PI=pi07.local)
	$(PLAYBOOK)

cluster: .venv/ready  ## Make the class one computer: a Dask scheduler here, and a worker on each Pi (STOP=yes: stop them)
	ansible-playbook $(PIS) playbooks/cluster$(if $(STOP),_stop).yml

# Virtual Pis have no cards.
cards: DEMO :=
cards: PLAYBOOK += $(if $(IMAGE),-e '{"cards_image": "$(abspath $(IMAGE))"}') $(if $(FILES),-e '{"cards_files": true}') \
    $(if $(AGAIN),-e '{"cards_again": true}')
cards: .venv/ready card-tools  ## Write an SD card for each Pi, one after the other (FILES=yes: image files; PI=pi07.local)
	@python -m mynn_control.cards $(PLAYBOOK)

labels: translated  ## Make labels to print, with password and QR code, for each Pi and student: dist/labels
	$(PLAYBOOK)

image: .venv/ready compiler compilers image-tools  ## Make an SD-card image: dist/ (21 minutes; BOARD=zero, 2, 3, zero2w, 4 or 5; DESK=yes: for your desk; FROM=FILE: from Raspberry Pi OS Lite)
	ansible-playbook playbooks/image.yml -e image_board=$(BOARD) $(if $(filter yes,$(DESK)),-e '{"image_desk": true}') \
	    $(if $(FROM),-e '{"image_from": "$(abspath $(FROM))"}') $(if $(SHA256),-e image_from_sha256=$(SHA256))

board: .venv/ready board-tools  ## Boot the latest image in dist/ on an emulated Pi (IMAGE=...)
	@$(PYTHON) -m tests.virtual board up --image $(or $(IMAGE),$(shell ls -t dist/*.img.xz 2>/dev/null | head -1))

wheels: translated compiler compilers  ## Build the Python package for an index of packages: dist/*.whl, dist/*.tar.gz
	@python -m mynn_control.wheels . --to dist

KEY ?= ~/.ssh/mynn-release
release: translated compiler compilers image-tools  ## Make a release of the tagged commit: dist/release/VERSION (BOARDS=zero,desk; URL=https://...; KEY=FILE)
	@python -m mynn_control.release '$(BOARDS)' '$(URL)' '$(KEY)'

test: .venv/ready compiler card-tools apt-cache browser ssh-server  ## Run lint, the quick unit tests and the tests with one virtual Pi (five minutes)
	python -m tests.stages quick

test-more: .venv/ready $(GROUPS)  ## Run what `make test` leaves out: slow unit tests, a school year on virtual Pis, and the image (half an hour)
	python -m tests.stages more

test-all: test test-more  ## Run all tests, first the quick ones (forty minutes)

lint: .venv/ready build/ansible-lint  ## Check the code without running it
	yamllint --strict .
	ruff check
	ruff check --select F notebooks/*.ipynb
	ruff format --check
	mypy
	python -m mynn_control.languages check
	python -m tests.prose

.PHONY: docs
docs: .venv/ready  ## Build the manual: build/docs/index.html (LINKCHECK=1: also check external links)
	sphinx-build -q -E -W --keep-going -b html docs build/docs
	! grep -rE --include=*.html 'role="heading">|href="tcp:' build/docs
	$(if $(LINKCHECK),sphinx-build -q -b linkcheck docs build/linkcheck)

lint: docs

# This takes as long as all other checks together, so it runs only after a change of its sources.
build/ansible-lint: .venv/ready .ansible-lint ansible.cfg $(shell find playbooks plugins roles ! -type l ! -path '*__pycache__*')
	ansible-lint --offline
	@mkdir -p build && touch $@

words: .venv/ready  ## Update the translations in locale/ after a change, and check them
	$(foreach do,update build check,python -m mynn_control.languages $(do) &&) true

LOCK := uv pip compile --quiet --no-annotate --generate-hashes --custom-compile-command "make lock"
lock: .venv/ready  ## Pin the latest versions in requirements.txt and in the Pis' requirements
	$(LOCK) --upgrade --universal --python-version 3.11 --group control --output-file requirements.txt
	for suite in bookworm:3.11 trixie:3.13; do \
	    lock="--upgrade --python-platform linux --python-version $${suite#*:}"; suite=$${suite%:*}; \
	    apt=roles/python/files/apt-$$suite.txt pip=roles/python/files/requirements-$$suite.txt; \
	    $(LOCK) $$lock --group pi --output-file $$pip --constraints $$apt \
	        $$(sed -n 's/^\([a-z].*\)==.*/--no-emit-package \1/p' $$apt) || exit; \
	    $(LOCK) $$lock --group cluster --output-file roles/cluster/files/requirements-$$suite.txt \
	        --constraints $$apt --constraints $$pip \
	        --constraints <(sed -n 's/^\(cloudpickle\|dask\|distributed\)==[^ ]*/&/p' requirements.txt | tr -d '\\') \
	        $$(sed -n 's/^\([a-z].*\)==.*/--no-emit-package \1/p' $$apt $$pip) || exit; \
	done
	$(LOCK) --python-version 3.13 --python-platform linux --group desk \
	    --constraints <(sed -n 's/^[a-z][^ ]*==[^\\]*/&/p' requirements.txt | tr -d '\\') \
	    --output-file roles/desk/files/requirements-trixie.txt
	$(MAKE) .venv/ready
	python -m pytest --quiet tests/unit/test_private_parts.py

.venv/ready: requirements.txt
	@[ -n "$(PYTHON)" ] || { echo "$$PYTHON_WANTED" >&2; exit 1; }
	@command -v ssh >/dev/null || { echo "This needs ssh: install the package openssh-client (or openssh)." >&2; exit 1; }
	@$(PYTHON) -m mynn_control.programs venv
	@echo "== The control node's tools: .venv, from requirements.txt (about a minute, once)"
	@SECONDS=0; \
	$(PYTHON) -m venv --clear .venv && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.txt && \
	printf '%s\n' '$(CURDIR)' '$(CURDIR)/collections' >$$(echo .venv/lib/python3*/site-packages)/mynn-pi.pth && \
	touch $@ && echo "== The control node's tools: $$SECONDS s"

$(OWN):
	@cp inventory.ini $@ && echo "== Your Pis belong into $@, which was copied from inventory.ini"

translated: .venv/ready
	@python -m mynn_control.languages build

# The Debian packages that commands need: mynn_control/programs.py has the table.
.PHONY: $(GROUPS)
$(GROUPS):
	@$(PYTHON) -m mynn_control.programs $@

image-tools: card-tools
