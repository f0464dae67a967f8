"""A lexicon of words that stand for one another, and looking a word up as it stands in a text.

Korean words stand in texts with particles and endings on them. A noun is found under its particles, which agree anew
with its replacement (영화는, 작품은); verbs and adjectives are found by an index of their conjugated forms, and the
replacement takes the same ending (예쁜, 고운; 추천하시는, 권하시는); other words are found as they are.
"""

from kexp_korean.lexicon.entries import PARTS, Context, Entry, Part
from kexp_korean.lexicon.files import BUNDLED, bundled, read_lexicon
from kexp_korean.lexicon.lookup import Lexicon, Reading

__all__ = ["BUNDLED", "PARTS", "Context", "Entry", "Lexicon", "Part", "Reading", "bundled", "read_lexicon"]
