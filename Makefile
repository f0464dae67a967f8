# What developers run; `make check` is what CI runs besides the tests.
.PHONY: install check format test schema docs

install:
	pip install -c constraints.txt -e '.[docs,test]' -e plugins/kexp-korean -e 'plugins/kexp-backtranslation[test]' -e 'plugins/kexp-ray[test]'

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

# The documentation, into site/. Material for MkDocs is told to keep its notice about later versions of MkDocs to itself.
docs:
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
