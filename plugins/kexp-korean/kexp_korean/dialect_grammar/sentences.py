"""Composing sentences: who does what, when, where and why, and with which speech act.

Each ``_…`` builder draws one kind of sentence from the lexicon.  What may be combined is decided here:
one promises for oneself, asks the other, honours elders, and commands only what a will can bring about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import Final, Literal

from . import lexicon, situations
from .clauses import Clause, fill, fill_noun, fill_word, pair
from .dice import Dice
from .endings import STANDARD
from .rendering import Copula, Part, Phrase, Sentence, Verb, Word
from .slips import slip

Style = Literal["", "_p", "_f"]  # casual, polite, formal
Time = Literal["present", "past", "ongoing"]

STYLES: Final[tuple[Style, ...]] = ("", "", "", "", "", "_p", "_p", "_p", "_f")

# The speech acts of statements; some speak of what one has seen or heard, so not of oneself.
_OWN: Final = ("say", "say", "say", "tell", "explain", "explain", "remind", "trail", "trail", "insist")
_OTHERS: Final = (*_OWN, "exclaim", "exclaim", "confirm", "recall", "recall", "realise", "hear", "hear")
_QUALITY: Final = ("say", "say", "exclaim", "exclaim", "confirm", "remind", "recall", "trail", "realise")
_IDENTITY: Final = ("be", "be", "be_trail", "be_remind", "be_confirm")
_REQUESTS: Final = ("do", "do", "let_us", "shall_we", "will", "promise")
_QUESTIONS: Final = frozenset({"ask", "ask_what", "shall_we", "be_ask", "be_what"})


def compose(dice: Dice) -> Sentence:
    """Draw one sentence, with the slips of everyday speech."""
    builder = dice.pick(_BUILDERS)
    parts, job = builder(dice, dice.pick(STYLES))
    mark = "?" if job in _QUESTIONS else "."
    return slip(dice, Sentence(tuple(parts), mark))


def _verb(dice: Dice, lemma: str, job: str, style: Style = "", time: Time = "present", *, honors: bool = False) -> Verb:
    """Choose the standard ending for a job in a style."""
    name = _styled(job, style)
    return Verb(lemma, name, dice.pick(STANDARD[name]), time, honors)


def _styled(job: str, style: Style) -> str:
    """Name a job in a style; what the style has no ending for is simply said."""
    plain = "be" if job.startswith("be_") else "say"
    names = (job + style, job + "_p", plain + style) if style else (job,)
    return next(name for name in names if name in STANDARD)


def _self(dice: Dice, style: Style) -> Phrase:
    """Draw a subject that includes the speaker."""
    own = [Phrase("저", "는"), Phrase("제", "가")] if style else [Phrase("나", "는"), Phrase("내", "가")]
    return dice.pick([*own, Phrase("우리", "는"), Phrase("우리", "가")])


def _other(dice: Dice, bound: dict[str, str]) -> tuple[Phrase, bool]:
    """Draw someone else as the subject, and whether they are honoured."""
    name = dice.pick(("elder", "peer"))
    noun = dice.pick([noun for noun in lexicon.NOUNS[name] if noun not in bound.values()])
    own = dice.chance(0.25) and noun not in ("민수", "영희", "순자", "철수", "미경이", "옆집 아이")
    subject = Phrase(f"우리 {noun}" if own else noun, dice.pick(("가", "가", "는")))
    return subject, name == "elder" and dice.chance(0.7)


def _scene(dice: Dice, action: lexicon.Action, sayable: Set[str] | None = None) -> tuple[Clause, dict[str, str]]:
    """Fill an action, adding a place and one of the sayable adverbs at times."""
    bound: dict[str, str] = {}
    clause = fill(dice, action.clause, bound)
    before = list(clause.before)
    if action.places and dice.chance(0.4):
        before.insert(0, fill_word(dice, dice.pick(action.places), bound))
    adverbs = [adverb for adverb in action.adverbs if sayable is None or adverb in sayable]
    if adverbs and dice.chance(0.45):
        before.append(Word(dice.pick(adverbs)))
    return replace(clause, before=tuple(before)), bound


def _sayable(time: Time) -> Set[str] | None:
    """Return the adverbs that fit a time, None for all."""
    return lexicon.SAYABLE_WHILE_ONGOING if time == "ongoing" else None


def _wilful(dice: Dice, time: Time = "present") -> lexicon.Action:
    """Draw an action that one can decide on, of those that can be going on where the time is ongoing."""
    return dice.pick([action for action in lexicon.ACTIONS if action.wilful and (action.lasting or time != "ongoing")])


def _lead(dice: Dice, when: Sequence[str], subject: Phrase) -> list[Part]:
    """Say when and who, in either order, or only who."""
    lead: list[Part] = [Word(dice.pick(when)), subject]
    if dice.chance(0.3):
        lead.reverse()
    return lead if dice.chance(0.75) else [subject]


Built = tuple[list[Part], str]  # the parts, and the job of the last ending


def _statement(dice: Dice, style: Style) -> Built:
    """What someone did, does or is doing."""
    time: Time = dice.pick(("past", "past", "present", "ongoing"))
    action = dice.pick(lexicon.ACTIONS) if time == "past" else _wilful(dice, time)
    clause, bound = _scene(dice, action, _sayable(time))
    when = lexicon.PERIODS[time]
    own = dice.chance(0.4)
    subject, honors = (_self(dice, style), False) if own else _other(dice, bound)
    job = "say" if style == "_f" else dice.pick(_OWN if own else _OTHERS)
    verb = _verb(dice, clause.lemma, job, style, time, honors=honors)
    return [*_lead(dice, when, subject), *clause.before, verb], job


def _plan(dice: Dice, style: Style) -> Built:
    """What someone will do."""
    clause, bound = _scene(dice, _wilful(dice))
    job = dice.pick(("will", "will", "promise"))
    own = job == "promise" or dice.chance(0.4)
    subject, honors = (_self(dice, style), False) if own else _other(dice, bound)
    verb = _verb(dice, clause.lemma, job, style, honors=honors)
    return [*_lead(dice, lexicon.FUTURE_TIMES, subject), *clause.before, verb], job


def _request(dice: Dice, style: Style) -> Built:
    """A command, a prohibition or a suggestion."""
    job = dice.pick(("do", "do", "do_not", "let_us", "shall_we"))
    clause, _ = _scene(dice, _wilful(dice), lexicon.FORBIDDABLE if job == "do_not" else None)
    lead: list[Part] = [Word(dice.pick(lexicon.FUTURE_TIMES))] if dice.chance(0.6) else []
    if job in ("let_us", "shall_we") and dice.chance(0.4):
        lead.append(Word("우리"))
    return [*lead, *clause.before, _verb(dice, clause.lemma, job, style)], job


def _state(dice: Dice, style: Style) -> Built:
    """How something is or was at a time."""
    time: Time = dice.pick(("present", "present", "past"))
    when = lexicon.PAST_TIMES if time == "past" else lexicon.STATE_TIMES
    return _description(dice, style, dice.pick(lexicon.STATES), when, time)


def _quality(dice: Dice, style: Style) -> Built:
    """What something is like somewhere."""
    return _description(dice, style, dice.pick(lexicon.QUALITIES), lexicon.QUALITY_OWNERS, "present")


def _description(dice: Dice, style: Style, text: str, leads: Sequence[str], time: Time) -> Built:
    """Say a quality, often with its time or owner and always with a degree where there are degrees."""
    clause = fill(dice, text.replace("/", " "), {})
    lead: list[Part] = [Word(dice.pick(leads))] if dice.chance(0.6) else []
    degree: list[Part] = [Word(dice.pick(lexicon.DEGREE))] if clause.lemma not in ("없다", "시원찮다") else []
    job = "say" if style == "_f" else dice.pick(_QUALITY)
    return [*lead, *clause.before, *degree, _verb(dice, clause.lemma, job, style, time)], job


def _question(dice: Dice, style: Style) -> Built:
    """Whether someone did or does something."""
    time: Time = dice.pick(("past", "past", "present", "ongoing"))
    action = _wilful(dice, time)
    clause, bound = _scene(dice, action, _sayable(time))
    when = lexicon.PERIODS[time]
    lead, honors = _asked(dice, style, bound, when)
    return [*lead, *clause.before, _verb(dice, clause.lemma, "ask", style, time, honors=honors)], "ask"


def _asked(dice: Dice, style: Style, bound: dict[str, str], when: Sequence[str]) -> tuple[list[Part], bool]:
    """Draw the time and the subject of a question; only intimates are called 너."""
    if not style and dice.chance(0.5):
        return _lead(dice, when, dice.pick((Phrase("너", "는"), Phrase("네", "가")))), False
    subject, honors = _other(dice, bound)
    return _lead(dice, when, subject), honors


def _question_what(dice: Dice, style: Style) -> Built:
    """What, whom, where, when or why."""
    time: Time = dice.pick(("past", "past", "ongoing"))
    action = _wilful(dice, time)
    clause, bound = _scene(dice, action, _sayable(time))
    before = list(clause.before)
    targets = [index for index, part in enumerate(before) if isinstance(part, Phrase)]
    when = ("어제", "아까", "아침에") if time == "past" else ("지금", "요즘")
    lead, honors = _asked(dice, style, bound, when)
    if action.asked and targets and dice.chance(0.6):
        old = before[targets[-1]]
        assert isinstance(old, Phrase)
        before[targets[-1]] = replace(old, noun=action.asked)
    else:
        before.insert(0, Word(dice.pick(("왜", "왜", "언제") if time == "past" else ("왜",))))
        lead = lead[-1:] if isinstance(lead[-1], Phrase) else lead[:1]
    return [*lead, *before, _verb(dice, clause.lemma, "ask_what", style, time, honors=honors)], "ask_what"


def _reason(dice: Dice, style: Style) -> Built:
    """Because of one thing, another is to be done, or was."""
    cause, response = pair(dice, situations.SITUATIONS)
    if dice.chance(0.7):
        job = dice.pick(_REQUESTS)
        because = _verb(dice, cause.lemma, "because", time="past" if cause.over else "present")
        end = _verb(dice, response.lemma, job, style)
    else:
        job = "say" if style == "_f" else dice.pick(_OWN)
        because = _verb(dice, cause.lemma, "so")
        end = _verb(dice, response.lemma, job, style, "past")
    return [*cause.before, because, *response.before, end], job


def _sequel(dice: Dice, style: Style) -> Built:
    """One thing and then, or to the end of, another."""
    link, table = dice.pick(_LINKS)
    first, second = pair(dice, table)
    happened = link == "meaning_to" or dice.chance(0.5)
    subject = _self(dice, style)
    if happened:
        lead = _lead(dice, lexicon.PAST_TIMES, subject)
        job = "say" if style == "_f" else dice.pick(_OWN)
    else:
        job = dice.pick(_REQUESTS)
        lead = [Word(dice.pick(lexicon.FUTURE_TIMES))]
        link = "then_next" if link == "then" else link
    end = _verb(dice, second.lemma, job, style, "past" if happened else "present")
    return [*lead, *first.before, _verb(dice, first.lemma, link), *second.before, end], job


def _condition(dice: Dice, style: Style) -> Built:
    """If one thing, then another."""
    first, second = pair(dice, situations.CONDITIONS)
    refused = any(part == Word("못") for part in second.before)
    job = "will" if refused else dice.pick(_REQUESTS)
    lead: list[Part] = [Word(dice.pick(lexicon.FUTURE_TIMES))] if dice.chance(0.5) else []
    end = _verb(dice, second.lemma, job, style)
    return [*lead, *first.before, _verb(dice, first.lemma, "if"), *second.before, end], job


def _contrast(dice: Dice, style: Style) -> Built:
    """One thing, and yet another."""
    first, second = pair(dice, situations.CONTRASTS)
    job = dice.pick(("but", "but", "though"))
    link = _verb(dice, first.lemma, job, time="past" if first.over else "present")
    job = "say" if style == "_f" else dice.pick(_QUALITY)
    end = _verb(dice, second.lemma, job, style, "past" if second.over else "present")
    return [*first.before, link, *second.before, end], job


def _identity(dice: Dice, style: Style) -> Built:
    """What or who something is, told or asked."""
    asks_what = dice.chance(0.35)
    table = situations.QUESTIONS_OF_IDENTITY if asks_what else situations.IDENTITIES
    situation = dice.pick(table)
    bound: dict[str, str] = {}
    topic = [fill_word(dice, word, bound) for word in dice.pick(situation.causes).split(" ")]
    *owners, noun = fill_noun(dice, dice.pick(situation.responses), bound).split(" ")
    job = "be_what" if asks_what else dice.pick((*_IDENTITY, "be_ask"))
    name = _styled(job, style)
    return [*topic, *map(Word, owners), Copula(noun, name, dice.pick(STANDARD[name]))], job


_LINKS: Final = (
    ("then", situations.SEQUENCES),
    ("in_order", situations.ERRANDS),
    ("meaning_to", situations.INTENTIONS),
)

_BUILDERS: Final[tuple[Callable[[Dice, Style], Built], ...]] = (
    *[_statement] * 6, *[_question] * 2, *[_question_what] * 2, *[_state] * 3, _quality, *[_reason] * 3,
    _plan, _plan, _request, _request, _sequel, _sequel, _condition, _contrast, _identity,
)  # fmt: skip
