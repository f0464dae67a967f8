"""Sentence endings and connectives by what they do, and the standard ones.

Every ending does one job ("explain", "because", "ask"), and a variety answers for a job with the
endings it uses instead; where it has no row it says it as the standard does (``regional_endings``).
Alternatives are separated by ", "; a repeated one is so much the commoner.

An ending is up to three forms, "verb|adjective|past": the past one serves 있다 and 없다 too.  A past
form marked "<" goes to the bare stem and says the past by itself (Jeju 먹언).  "then" leads on to
something that has happened, "then_next" to something that has not: Jeju tells 간 from 강.  Jobs named
``be_*`` are those of the copula, whose forms join a noun as particles do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Ending:
    """One ending, in the forms that verbs, adjectives and past stems take."""

    verb: str
    adjective: str
    past: str
    absolute: bool = False  # the past form joins the bare stem


Table = dict[str, tuple[Ending, ...]]


def _ending(text: str) -> Ending:
    """Read "verb|adjective|past", or a single form that serves all three."""
    forms = text.split("|")
    verb, adjective, past = forms if len(forms) == 3 else forms * 3
    return Ending(verb, adjective, past.removeprefix("<"), past.startswith("<"))


def table(rows: dict[str, str]) -> Table:
    """Read a table of jobs, each with its alternatives."""
    return {job: tuple(_ending(text) for text in row.split(", ")) for job, row in rows.items()}


# A job ending in _p is polite (해요), in _f formal (합니다); the others are casual.
STANDARD: Final = table({
    "say": "어",
    "tell": "는다/ㄴ다|다|다",
    "exclaim": "네",
    "confirm": "지",
    "explain": "거든",
    "remind": "잖아",
    "recall": "더라",
    "trail": "는데|은데|는데",
    "insist": "는다니까/ㄴ다니까|다니까|다니까",
    "realise": "는구나|구나|구나",
    "hear": "는대/ㄴ대|대|대",
    "say_p": "어요",
    "exclaim_p": "네요",
    "confirm_p": "지요",
    "explain_p": "거든요",
    "remind_p": "잖아요",
    "recall_p": "더라고요",
    "trail_p": "는데요|은데요|는데요",
    "hear_p": "는대요/ㄴ대요|대요|대요",
    "say_f": "습니다/ㅂ니다",
    "ask": "어, 니, 나|은가|나, 냐",
    "ask_p": "어요, 나요|은가요|나요",
    "ask_f": "습니까/ㅂ니까",
    "ask_what": "어, 니, 냐",
    "ask_what_p": "어요, 나요|은가요|나요",
    "ask_what_f": "습니까/ㅂ니까",
    "will": "을 거야",
    "will_p": "을 거예요",
    "promise": "을게",
    "promise_p": "을게요",
    "let_us": "자",
    "let_us_p": "읍시다",
    "shall_we": "을까",
    "shall_we_p": "을까요",
    "do": "어라, 어, 게",
    "do_p": "으세요, 어요",
    "do_not": "지 마, 지 마라",
    "do_not_p": "지 마세요",
    "because": "으니까",
    "so": "어서",
    "then": "어서",
    "then_next": "어서",
    "but": "는데|은데|는데",
    "though": "지만",
    "if": "으면",
    "in_order": "으러",
    "meaning_to": "으려고",
    "be": "이야/야",
    "be_p": "이에요/예요",
    "be_f": "입니다",
    "be_trail": "인데",
    "be_remind": "이잖아/잖아",
    "be_confirm": "이지/지",
    "be_ask": "이야/야, 이니/니",
    "be_ask_p": "이에요/예요",
    "be_what": "이야/야, 이니/니",
    "be_what_p": "이에요/예요",
})  # fmt: skip
