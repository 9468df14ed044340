# Two commands: `make repro` and `make test`. Both set up .venv first; `make help` lists the rest.

PYTHON ?= python3
STAMP := .venv/.installed
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
# One process a core. A module's tests stay together, as they share what it sets up; tests/conftest.py orders modules.
PYTEST := python -m pytest -q --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

PIP := python -m pip install --progress-bar off
# Of pip's output: a line for each package, what is being downloaded, and how it ended.
SHORT := python -uc 'import sys; w = ("Collecting", "  Downloading", "Installing", "Successfully", "ERROR"); [print(l.split(" (from")[0][:110].rstrip()) for l in sys.stdin if l.startswith(w)]'

SHELL := /bin/bash
# An install without CUDA stays one: where torch came from is kept for the next time.
TORCH_INDEX ?= $(shell cat .venv/torch-index 2>/dev/null)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Experiments: each changes one parameter, or two with + between. null is all posts.
SEEDS ?= 2 3 4 5
INPUTS ?= both image caption
LIMITS ?= 250 500 1000 null
MODELS ?= attention transformer classifier neighbours
BACKBONES ?= resnet18
# Caption encoders, which need a package and weights: CAPTIONS="model2vec=FOLDER sentence-transformers=NAME". Of signs,
# folders and names may have / . _ and -.
CAPTIONS ?=
# Sentiment needs a package that setup does not install; without it, its experiment would only fail.
SENTIMENT ?= $(shell .venv/bin/python -c "import textblob" 2>/dev/null && echo true)

# Experiments that run side by side share the cores: of one training, a second core does less than a training of its own.
# Their workers outlive DVC's own command, so that Ctrl-C must end them too.
CORES := $(shell getconf _NPROCESSORS_ONLN)
JOBS ?= $(if $(filter 1,$(CORES)),1,2)
seeds ablations: export OMP_NUM_THREADS := $(shell n=$$(( $(CORES) / $(JOBS) )); echo $$(( n > 0 ? n : 1 )))

# An experiment of the last commit for each change in $(1), unless it is there; then all are compared in the page $(2).
# One that changes nothing (its dvc.lock is the same) or that has failed is left out.
define experiments
git diff --quiet HEAD -- dvc.lock dvc.yaml hashgen metrics params.yaml stages || \
  { echo "error: a file differs from the last commit: make repro, commit, then make $@"; exit 1; }; \
base=$$(git rev-parse HEAD); compared=(); \
name() { \
  local named="$${1%%+*}" second="$${1#*+*=}"; \
  [[ $$1 == *+* ]] && named+="-$${second//[^[:alnum:]]/-}"; \
  echo "$${named/=/-}-$${base:0:7}"; \
}; \
ref() { echo "refs/exps/$${base:0:2}/$${base:2}/$$(name $$1)"; }; \
is_there() { git rev-parse --quiet --verify "$$(ref $$1)" >/dev/null; }; \
for change in $(1); do \
  is_there $$change && continue; \
  dvc queue remove "$$(name $$change)" >/dev/null 2>&1; \
  IFS=+ read -ra settings <<< "$$change"; \
  dvc exp run --quiet --queue --name "$$(name $$change)" "$${settings[@]/#/--set-param=}" || exit 1; \
done; \
trap 'dvc queue stop --kill; exit 130' INT; \
dvc exp run --run-all --jobs $(JOBS); \
trap - INT; \
for change in $(1); do \
  if ! is_there $$change; then echo "warning: $$(name $$change) has failed and is left out"; \
  elif ! git diff --quiet HEAD "$$(ref $$change)" -- dvc.lock; then compared+=("$$(name $$change)"); fi; \
done; \
hashgen compare HEAD "$${compared[@]}" --out $(2)
endef

.DEFAULT_GOAL := help
.PHONY: help setup repro demo seeds ablations test test-fast fuzz lint lock docs-images check-machine

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP)  ## create .venv with the pinned packages (7 GB, once; TORCH_INDEX=URL: without CUDA)
	@test "$(TORCH_INDEX)" = "$$(cat .venv/torch-index 2>/dev/null)" || \
	  { echo "error: .venv is there already, with torch from elsewhere: remove it first: rm -r .venv"; exit 1; }

repro: $(STAMP)  ## run the pipeline: what is up to date is not run again (Q=1: only the scores)
	@$(if $(Q),HASHGEN_QUIET=1 dvc repro >/dev/null,dvc repro)
	@python -m hashgen summary --evaluate metrics/evaluate.json --baselines metrics/baselines.json \
	  --report reports/report.html

demo: $(STAMP)  ## open the page that suggests hashtags while you write (after make repro; PORT=8001: another port)
	@hashgen serve --open $(if $(PORT),--port $(PORT))

seeds: $(STAMP)  ## other seeds for training, and for the split, compared (SEEDS="2 3"; JOBS=1: one at a time)
	@$(call experiments,$(SEEDS:%=train.seed=%) $(SEEDS:%=split.seed=%),reports/seeds.html)

ablations: $(STAMP)  ## each input alone, other models and encoders, fewer posts, and sentiment, compared (LIMITS="250 1000 null")
	@$(if $(SENTIMENT),,echo 'sentiment is left out; to add it: .venv/bin/pip install "textblob>=0.19"';) \
	$(call experiments,$(INPUTS:%=train.inputs=%) $(MODELS:%=suggester.model=%) $(BACKBONES:%=featurize.backbone=%) $(foreach one,$(CAPTIONS),featurize.captions=$(subst =,+featurize.caption_weights=,$(one))) $(LIMITS:%=split.limit=%) $(SENTIMENT:%=train.sentiment=%),reports/ablations.html)

test: lint  ## lint, types, import contracts and all tests
	$(PYTEST)

test-fast: $(STAMP)  ## the tests that take seconds
	$(PYTEST) -m "not slow"

fuzz: $(STAMP)  ## the property tests on new random examples, ten times as many (SEED=7: on those of 7)
	@echo "make fuzz SEED=$(SEED)"
	@$(PYTEST) -m hypothesis --hypothesis-profile fuzz --hypothesis-seed $(SEED) || \
	  { echo "To repeat: make fuzz SEED=$(SEED). One test on the example it failed on: add @reproduce_failure as shown above."; exit 1; }

lint: $(STAMP)  ## ruff, mypy and the import contracts
	ruff check .
	ruff format --check .
	mypy
	lint-imports

lock:  ## update requirements.lock from pyproject.toml (needs uv; UPGRADE=1: to the newest versions)
	uv pip compile pyproject.toml --extra pipeline --extra serve --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --quiet $(if $(UPGRADE),--upgrade) --output-file requirements.lock

docs-images: repro  ## make the pictures in docs/images from this run
	python docs/make_images.py plots/cards/grid.png reports/report.html docs/images

# With TORCH_INDEX, torch and torchvision come from that package index (or folder of wheels) at the locked versions, and
# nothing of CUDA is installed. The CPU wheels of PyTorch are not those of the lock, so these two have no hash to check.
# Tried with a folder of stand-in wheels, not with PyTorch's own index.
$(STAMP): requirements.lock | check-machine
	@echo "Setting up .venv, once: $(if $(TORCH_INDEX),torch from $(TORCH_INDEX); about 1 GB to download and 2 GB on disk,torch with CUDA; about 3 GB to download and 7 GB on disk)."
	@$(PYTHON) -m venv .venv
ifneq ($(strip $(TORCH_INDEX)),)
	@echo "$(TORCH_INDEX)" > .venv/torch-index
	@awk '/^[^ ]/ {cuda = /^(torch|torchvision|triton|nvidia-|cuda-)/} !cuda' requirements.lock > .venv/without-torch.lock
	@set -o pipefail; $(PIP) --require-hashes -r .venv/without-torch.lock | $(SHORT)
	@set -o pipefail; $(PIP) --no-deps $(if $(wildcard $(TORCH_INDEX)),--no-index --find-links,--index-url) $(TORCH_INDEX) \
	  $(shell grep -oE '^torch(vision)?==[^ ;]+' requirements.lock) | $(SHORT)
else
	@set -o pipefail; $(PIP) --require-hashes -r requirements.lock | $(SHORT)
endif
	@# compat: a plain path, which a folder named hashgen in the current one (this clone) cannot hide.
	@$(PIP) --quiet --no-deps --no-build-isolation --editable . --config-settings editable_mode=compat
	@touch $(STAMP)

# Each fault in one line with its remedy, before anything is downloaded.
check-machine:
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON): install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "error: $$($(PYTHON) --version) is not supported: name a Python 3.11, 3.12 or 3.13: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: this Python cannot make virtual environments: install its venv package (Debian: apt install python3-venv)"; exit 1; }
	@command -v git >/dev/null || { echo "error: no git: install it (Debian: apt install git)"; exit 1; }
	@test "$$(git rev-parse --show-prefix 2>/dev/null || echo none)" = "" || { echo "error: $(CURDIR) is not the root of a git clone, which DVC needs: git clone the project instead of unpacking a ZIP"; exit 1; }
