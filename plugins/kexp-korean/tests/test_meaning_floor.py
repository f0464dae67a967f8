"""What no augmenter may change: a list of sentences, and the label that a linear model gives to real reviews."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
import pytest

from kexp.builtin.augmenters import RandomDeletion, RandomSwap, SpacingNoise, TfIdfReplacement
from kexp.contracts import AugmenterContext, AugmenterOptions
from kexp_korean.synonyms import RandomInsertion, SynonymSwap

SHARED = Path(os.environ.get("KEXP_SHARED", Path(__file__).parents[4] / "shared"))

# Sentences, and what of them must be found in every augmented text; | parts several.
FLOOR = """
이 배우의 연기는 도저히 볼 수 없다 / 도저히 볼 수 없다
나는 이런 영화를 한 번도 본 적 없다 / 한 번도 본 적 없다
이런 감독은 처음 본 적이 없는 사람이다 / 본 적이 없는
저 감독은 영화를 만들 줄 모른다 / 만들 줄 모른다
우리 형은 웃을 줄 아는 사람이 아니다 / 웃을 줄 아는 사람이 아니다
어제 본 영화는 정말 지루하지 않았다 / 지루하지 않았다
배우들이 연기를 너무 잘하지 못한다 / 잘하지 못한다
친구들아 이 영화는 절대 보지 마라 / 절대 보지 마라
오늘 극장에서 이 작품을 보지 말았어야 했다 / 지 말았어야 했다
이 드라마는 재미가 하나도 없다 / 재미가 하나도 없다
정말 이 영화에는 감동이 하나도 없었어요 / 감동이 하나도 없었어요
솔직히 이 영화는 전혀 무섭지 않다 / 전혀 무섭지 않다
스토리가 별로 재미있지는 않네요 / 별로 재미있지는 않네요
이 감독은 결코 포기하지 않는다 / 결코 포기하지 않는다
감동은커녕 정말 하품만 나온 영화 / 감동은커녕 | 하품만 나온
재미는 커녕 시간만 아까웠던 작품 / 재미는 커녕 시간만
배우 얼굴 빼고 볼 것이 없는 드라마 / 배우 얼굴 빼고 볼 것이 없는
음악을 제외하고 모두 엉망인 영화 / 음악을 제외하고 모두 엉망인
명작이라더니 정말 지루한 영화 / 명작이라더니
재미있다더니 완전 속았다 / 재미있다더니
1편보다 2편이 훨씬 낫다 / 1편보다 2편이 훨씬 낫다
이 영화는 원작보다 못한 작품이다 / 원작보다 못한
10점은 알바이고 1점은 관객이다 / 10점은 알바이고 1점은
솔직히 1점도 아깝다 / 1점도 아깝다
이 영화에는 별 반개도 아깝다 / 별 반개도 아깝다
정말 10점 만점에 1점 준다 / 10점 만점에 1점
하나도 안 지루하고 정말 재미있는 영화 / 하나도 안 지루하고
배우가 연기를 못 해서 집중이 안 된다 / 못 해서 | 안 된다
정말 이 영화를 못 보겠다 / 못 보겠다
이 감독은 사람을 웃길 수 있다 / 웃길 수 있다
정말 한번 볼 만한 영화입니다 / 볼 만한
이 영화는 볼 가치가 없다 / 볼 가치가 없다
돈 주고 볼 필요가 전혀 없는 영화 / 볼 필요가 전혀 없는
어제 이 영화를 보다가 잘 뻔했다 / 잘 뻔했다
이 배우는 연기를 잘하는 줄 알았는데 / 잘하는 줄 알았는데
나는 이 영화를 두 번 다시 안 본다 / 안 본다
이 영화는 최고의 영화가 아니다 / 최고의 영화가 아니다
감독이 천재인 건 아닌 것 같다 / 천재인 건 아닌 것 같다
배우들의 연기만 좋았다 / 연기만 좋았다
이 영화에 볼거리라고는 액션밖에 없다 / 액션밖에 없다
그 배우조차 이 영화를 살리지 못했다 / 그 배우조차 | 살리지 못했다
이 영화는 왜 만든 건지 모르겠다 / 왜 만든 건지 모르겠다
누가 이런 영화를 좋아하겠어요 / 누가 | 좋아하겠어요
이 작품은 기대 이하였다 / 기대 이하
정말 이 영화는 쓰레기다 / 쓰레기다
역시 이 감독의 최고의 작품이다 / 최
이 영화는 재미있다가 갑자기 지루해진다 / 재미있다가 | 지루해
역시 이 배우가 나온 영화는 비추천 / 비추
어두운 밤을 비추는 불빛이 아름답다 / 비추는 불빛이
도대체 대체 에너지에 대한 영화인가요 / 대체 에너지
감독의 무지가 드러난 작품이다 / 무지가
수작 부리는 남자가 나오는 드라마 / 수작 부리는
심심한 사과의 말씀을 전합니다 / 심심한 사과의
정점을 찍은 배우의 점을 찍다 / 점을 찍다
믿을 수 없는 반전이 있는 영화 / 믿을 수 없는 반전이
할아버지께서 이 영화를 좋아하셨어요 / 할아버지께서 | 좋아하셨어요
감독님께서 직접 무대에 오르셨다 / 감독님께서 | 오르셨다
이 영화가 좋다고 말할 수는 없다 / 말할 수는 없다
별점이 왜 높은지 이해가 안 간다 / 왜 높은지 | 안 간다
졸작이라고 하기에는 조금 아깝다 / 아깝다
아무도 이 영화를 추천하지 않았다 / 추천하지 않았다
이 영화는 지루할 틈이 없어요 / 지루할 틈이 없어요
눈을 뗄 수 없는 영상과 음악이 좋다 / 눈을 뗄 수 없는
이 배우가 나온다면 보지 않을 이유가 없다 / 보지 않을 이유가 없다
연기가 어색하지만 않으면 볼 텐데 / 어색하지만 않으면
이 영화를 안 보면 안 된다 / 안 보면 안 된다
재미없지는 않은데 재밌지도 않다 / 재미없지는 않은데 | 재밌지도 않다
스릴은 고사하고 긴장감조차 없는 영화 / 스릴은 고사하고 긴장감조차 없는
배우들 연기 빼고 다 좋았다 / 연기 빼고 다
최고의 스릴러라더니 하품만 했다 / 스릴러라더니 하품만 했다
별 다섯개 중에 네개 준다 / 별 다섯개 | 네개
밤에 밤을 구워 먹는 장면이 좋다 / 구워 먹는
솔직히 연기는 낫지만 내용은 길다 / 연기
이렇게 말도 안 되는 영화는 처음 본다 / 말도 안 되는
이 영화를 보는 내내 긴장을 늦출 수 없었다 / 늦출 수 없었다
관광청에서 만든 다큐를 극장에서 봤다 / 관광청에서 만든
도대체 이런 영화를 왜 만드는 거냐 / 왜 만드는 거냐
이 영화는 믿는 도끼에 발등 찍힌 영화다 / 도끼에
나쁜 영화는 아니지만 좋은 영화도 아니다 / 나쁜 영화는 아니지만 | 영화도 아니다
"""
CASES = [
    (text.strip(), [one.strip() for one in kept.split("|")])
    for text, kept in (line.split(" / ") for line in FLOOR.strip().split("\n"))
]
ANALYSERS = [
    "rules",
    pytest.param(
        "kiwi",
        marks=pytest.mark.skipif(
            find_spec("kiwipiepy") is None and "KEXP_NO_SKIPS" not in os.environ,
            reason="needs kiwipiepy: pip install -e 'plugins/kexp-korean[morphology]'",
        ),
    ),
]
STRONG: dict[str, Callable[[str], AugmenterOptions]] = {
    "synonym-swap": lambda name: SynonymSwap(share=1, analyser=name),
    "random-insertion": lambda name: RandomInsertion(
        share=1, parts=("adverb", "noun", "adjective", "verb"), analyser=name
    ),
    "random-deletion": lambda name: RandomDeletion(p=0.9, analyser=name),
    "random-swap": lambda name: RandomSwap(share=1, analyser=name),
    "tf-idf-replacement": lambda name: TfIdfReplacement(p=1, analyser=name),
    "spacing-noise": lambda name: SpacingNoise(remove=1, insert=1, analyser=name),
}
TRAIN = tuple(text for text, _ in CASES)
CONTEXT = AugmenterContext(TRAIN)


def augmented(options: AugmenterOptions, texts: Sequence[str], context: AugmenterContext, seed: int = 0) -> list[str]:
    made = options.build(context)(texts, [Random(f"{seed}/{row}") for row in range(len(texts))])
    return [str(text) for text in made]


def test_the_list_is_long_enough() -> None:
    assert len(CASES) >= 60
    assert all(part in text for text, kept in CASES for part in kept)


@pytest.mark.parametrize("analyser", ANALYSERS)
@pytest.mark.parametrize("name", STRONG)
def test_what_carries_the_meaning_stays(name: str, analyser: str) -> None:
    lost, changed = [], 0
    for seed in range(12):
        for (text, kept), new in zip(CASES, augmented(STRONG[name](analyser), TRAIN, CONTEXT, seed), strict=True):
            changed += text != new
            # Spacing noise may part and join what belongs together, but leaves every syllable where it is.
            squeezed = new.replace(" ", "")
            lost += [(part, new) for part in kept if part.replace(" ", "") not in squeezed]
            if name == "spacing-noise":
                assert squeezed == text.replace(" ", "")
            else:
                lost += [(part, new) for part in kept if part not in new]
    assert not lost, "\n".join(f"{part}: {new}" for part, new in dict.fromkeys(lost))
    assert changed >= 12


# --- real reviews --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> tuple[list[str], list[int], list[str]]:
    """Texts and labels to learn from, and 2,000 others."""
    folder = SHARED / "data" / "nsmc"
    if not folder.is_dir():
        pytest.skip(f"needs real reviews: {folder} is not there, and KEXP_SHARED names no other folder")
    train, test = (
        [line.split("\t") for line in (folder / file).read_text("utf-8").split("\n")[1:] if line.count("\t") == 2]
        for file in ("ratings_train.txt", "ratings_test.txt")
    )
    return [row[1] for row in train[:40_000]], [int(row[2]) for row in train[:40_000]], [row[1] for row in test[:2000]]


@pytest.fixture(scope="module")
def judge(rows: tuple[list[str], list[int], list[str]]) -> Callable[[Sequence[str]], np.ndarray]:
    """A linear model of character n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels, _ = rows
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=3, sublinear_tf=True)
    model = LogisticRegression(C=3, max_iter=200).fit(vectors.fit_transform(texts), labels)
    return lambda given: np.asarray(model.predict(vectors.transform(given)))


DEFAULTS: dict[str, tuple[Callable[[str], AugmenterOptions], float]] = {
    "synonym-swap": (lambda name: SynonymSwap(analyser=name), 0.97),
    "random-insertion": (lambda name: RandomInsertion(analyser=name), 0.97),
    "random-deletion": (lambda name: RandomDeletion(analyser=name), 0.97),
    "random-swap": (lambda name: RandomSwap(analyser=name), 0.94),
    "tf-idf-replacement": (lambda name: TfIdfReplacement(analyser=name), 0.94),
    "spacing-noise": (lambda name: SpacingNoise(analyser=name), 0.94),
}


@pytest.mark.shared
@pytest.mark.parametrize("analyser", ANALYSERS)
@pytest.mark.parametrize("name", DEFAULTS)
def test_a_linear_model_keeps_its_label(
    name: str,
    analyser: str,
    rows: tuple[list[str], list[int], list[str]],
    judge: Callable[[Sequence[str]], np.ndarray],
) -> None:
    make, floor = DEFAULTS[name]
    train, _, texts = rows
    new = augmented(make(analyser), texts, AugmenterContext(train[:8000]))
    changed = np.array([one != other for one, other in zip(texts, new, strict=True)])
    same = judge(texts) == judge(new)
    print(
        f"{name}, {analyser}: {changed.mean():.3f} changed, {same.mean():.4f} of all and {same[changed].mean():.4f} of these keep"
    )
    assert same.mean() >= floor
    # Of those alone that are changed at all: what is asked of all rows must not hold because most stay as they are.
    assert same[changed].mean() >= floor - 0.04
    assert changed.sum() > 20
