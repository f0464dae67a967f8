"""Hooks of MkDocs: the pages that are generated join those that are written."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink
from site_kinds import guides, title
from site_pages import PACKAGES, documented, pages, plural

from kexp.catalog import Catalog, load_catalog
from kexp.hookspecs import KINDS


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the navigation: below ``Components``, and after the first page of ``Plugins``."""
    catalog = _catalog()
    for item in config.nav or []:
        if isinstance(item, dict) and "Components" in item:
            item["Components"] = ["components/index.md", *(_below(catalog, kind) for kind in KINDS)]
        if isinstance(item, dict) and "Plugins" in item:
            item["Plugins"][1:1] = [{title(Path(place).stem): place} for place in guides()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    made = guides()
    written = {file.src_uri for file in files} | made.keys()
    for place, text in (made | pages(_catalog(), written)).items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Leave hundreds of keys out of the table of contents beside the page of keys; its sections stay."""
    if page.file.src_uri == "reference/spec.md":
        page.toc.items = [_only_sections(item) for item in page.toc]


def _only_sections(item: AnchorLink) -> AnchorLink:
    item.children = [_only_sections(child) for child in item.children if "[" in child.title]
    return item


def _below(catalog: Catalog, kind: str) -> dict[str, Any]:
    folder = f"components/{kind}"
    return {plural(kind): [f"{folder}/index.md", *(f"{folder}/{e.name}.md" for e in documented(catalog, kind))]}


def _catalog() -> Catalog:
    """Load the catalog; half a reference must not be published."""
    for package in PACKAGES:
        try:
            version(package)
        except PackageNotFoundError:
            raise PluginError(f"{package} is not installed, and its components could not be documented") from None
    catalog = load_catalog()
    broken = [plugin for plugin in catalog.broken if plugin.owner.package in PACKAGES]
    if broken or catalog.disabled:
        raise PluginError(f"plugins are missing: {[*broken, *catalog.disabled]}")
    return catalog
