"""Modules that the tests of this package share."""

import sys
from pathlib import Path

# pytest's importlib mode leaves their folder out.
sys.path.insert(0, str(Path(__file__).parent))
