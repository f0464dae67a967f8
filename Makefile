# What developers run; `make check` is what CI runs besides the tests.
.PHONY: install check format test schema

install:
	pip install -c constraints.txt -e '.[test]' -e plugins/kexp-korean -e 'plugins/kexp-backtranslation[test]' -e 'plugins/kexp-ray[test]'

check:
	ruff check .
	ruff format --check .
	mypy

format:
	ruff check --fix .
	ruff format .

test:
	pytest tests plugins

# The JSON Schema that the experiments name for editors; a test holds it equal to what is installed.
schema:
	kexp schema > kexp.schema.json
