# What developers run; `make check` is what CI runs besides the tests.
.PHONY: install check format test chaos lowest audit schema docs constraints

install:
	pip install -c constraints.txt -e '.[docs,test]' -e plugins/kexp-korean -e 'plugins/kexp-backtranslation[test]' -e 'plugins/kexp-ray[test]' \
	  -e 'plugins/kexp-slurm[test]'

check:
	ruff check .
	ruff format --check .
	mypy

format:
	ruff check --fix .
	ruff format .

test:
	pytest tests plugins

# Every kind of kill, failing write and damaged file, many times; the counts stand at the end. An hour or so.
chaos:
	KEXP_CHAOS=long KEXP_FUZZ_CASES=200 pytest tests/chaos tests/results/test_damaged_folders.py

# The lowest versions that pyproject.toml allows, in an environment of their own. Needs uv and a network.
lowest:
	uv venv --clear .venv-lowest
	uv pip install --python .venv-lowest --resolution lowest-direct -e '.[test]' -e plugins/kexp-korean
	.venv-lowest/bin/python -m pytest tests/spec tests/plan tests/data tests/train tests/experiment tests/search/test_tune.py

# Known vulnerabilities of what is installed here. Needs a network, so it is no part of CI.
audit:
	pip-audit --skip-editable

# The JSON Schema that the experiments name for editors; a test holds it equal to what is installed.
schema:
	kexp schema > kexp.schema.json

# The documentation, into site/; what it needs beside kexp is installed if it is missing. Material for MkDocs is told to
# keep its notice about later versions of MkDocs to itself.
docs:
	python -c "import hypothesis, pytest, material, mkdocs, mkdocstrings, kexp_backtranslation, kexp_korean, kexp_ray, kexp_slurm" \
	  || pip install -c constraints.txt -e '.[docs]' \
	  -e plugins/kexp-korean -e plugins/kexp-backtranslation -e plugins/kexp-ray -e plugins/kexp-slurm
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# Every version that is installed, for every Python and system that kexp supports. What is pinned stays as it is unless
# UPGRADE=--upgrade (or --upgrade-package NAME) says otherwise. Needs uv and a network.
constraints:
	printf -- '-e %s\n' '.[adamw-8bit,docs,energy,test]' 'plugins/kexp-korean[test]' 'plugins/kexp-backtranslation[test]' 'plugins/kexp-ray[test]' 'plugins/kexp-slurm[test]' \
	| uv pip compile -q - --universal --python-version 3.11 --no-annotate --custom-compile-command 'make constraints' $(UPGRADE) \
		$(foreach name,kexp kexp-korean kexp-backtranslation kexp-ray kexp-slurm,--no-emit-package $(name)) --output-file constraints.txt
