"""In-batch losses with a guide, which leaves false negatives out: as GISTEmbedLoss, and beyond it."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import MultipleNegativesRankingLoss as CrossEncoderNegatives
from sentence_transformers.sentence_transformer.losses import (
    AdaptiveLayerLoss,
    CachedGISTEmbedLoss,
    GISTEmbedLoss,
    MatryoshkaLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.util import cos_sim
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import PreTrainedTokenizerFast

from selective_st.cross_encoder import losses as cross
from selective_st.functional import in_batch_loss
from selective_st.functional._in_batch_common import FalseNegatives, Guidance, InBatchSetting
from selective_st.functional.in_batch import in_batch_loss_of_setting
from selective_st.links import ConstantLink, ExponentialLink, Link, SigmoidLink
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveMultipleNegativesRankingLoss,
    WeightedLoss,
)
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse
from tests import model_types
from tests.host import needs_host
from tests.loss_cases import CACHE_KEEPS_DOUBLE, EchoModel
from tests.model_types import WORDS, sentence

ROWS = 8
CONSTANT = ConstantLink()
# Contrasting anchors, and positives, in GISTEmbedLoss, and the directions that do so here.
CONTRASTS: list[tuple[bool, bool, tuple[Any, ...]]] = [
    (False, False, ("query_to_doc",)),
    (True, False, ("query_to_doc", "query_to_query")),
    (True, True, ("query_to_doc", "query_to_query", "doc_to_doc")),
    (False, True, ("query_to_doc", "doc_to_doc")),
]
CACHED = 1e-9 if CACHE_KEEPS_DOUBLE else 1e-6  # of the largest
MARGINS: list[tuple[float, Any]] = [(0.0, "absolute"), (0.02, "absolute"), (0.01, "relative"), (-0.01, "absolute")]


def near(model: Any, seed: int = 1, by: float = 0.1) -> Any:
    """Another model of the same kind and tokenizer."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator).to(parameter))
    return other


def of_other_tokens(model: Any) -> Any:
    """Such a model whose tokens are others."""
    other = near(model)
    vocabulary = model.tokenizer.get_vocab()
    backend = json.loads(model.tokenizer.backend_tokenizer.to_str())
    backend["model"]["vocab"] = {token: len(vocabulary) - 1 - place for token, place in vocabulary.items()}
    backend["post_processor"] = None
    for token in backend["added_tokens"]:
        token["id"] = backend["model"]["vocab"][token["content"]]
    marks = {name: getattr(model.tokenizer, name) for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    other[0].processor = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)), model_max_length=64, **marks
    )
    return other


def of_other_words() -> SentenceTransformer:
    """A static guide whose tokens are others."""
    vocabulary = {word: place for place, word in enumerate(("[UNK]", *reversed(WORDS)))}
    words = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(4)
    return SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=5)], device="cpu")


GUIDES: dict[str, Callable[[Any], Any]] = {"same tokens": near, "other tokens": of_other_tokens}


def texts(column: int, rows: int = ROWS) -> list[str]:
    return [sentence(100 * column + row) for row in range(rows)]


def features(model: Any, columns: int) -> list[dict[str, Any]]:
    return [model.preprocess(texts(column)) for column in range(columns)]


def value_and_gradient(loss: nn.Module, model: Any, given: list[Any], labels: Any = None) -> list[Tensor]:
    torch.manual_seed(3)
    model.zero_grad()
    value = loss([dict(column) if isinstance(column, dict) else column for column in given], labels)
    value.backward()
    return [value.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])]


def assert_same(ours: list[Tensor], theirs: list[Tensor], rtol: float = 1e-9) -> None:
    assert theirs[0] > 0.01
    assert theirs[1].abs().max() > 0
    assert_close(ours[0], theirs[0], rtol=rtol, atol=0)
    assert_close(ours[1], theirs[1], rtol=0, atol=rtol * float(theirs[1].abs().max()))


@pytest.fixture(scope="module")
def model() -> Any:
    return model_types.bert_model().double()


# --- The identity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "strategy"), MARGINS)
@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("columns", [2, 3])
def test_with_a_constant_link_it_is_the_built_in_loss(
    model: Any, columns: int, guide: str, margin: float, strategy: Any
) -> None:
    guides = GUIDES[guide](model)
    given = features(model, columns)
    for anchors, positives, directions in CONTRASTS:
        # The direction doc_to_doc has hard negatives too; a negative margin would make an anchor its own negative.
        if (positives and columns > 2) or (margin < 0 and (anchors or positives)):
            continue
        theirs = GISTEmbedLoss(model, guides, 0.05, strategy, margin, anchors, positives)
        arguments: dict[str, Any] = {"directions": directions, "link": CONSTANT}
        ours = SelectiveMultipleNegativesRankingLoss(
            model, **arguments, guide=guides, margin=margin, margin_strategy=strategy
        )
        assert ours._guide is not None
        assert (not ours._guide._decoders) == (guide == "same tokens")
        expected = value_and_gradient(theirs, model, given)
        assert_same(value_and_gradient(ours, model, given), expected)
        unguided = SelectiveMultipleNegativesRankingLoss(model, **arguments)
        assert abs(float(value_and_gradient(unguided, model, given)[0] - expected[0])) > 1e-3


@pytest.mark.parametrize("sizes", [{"mini_batch_size": 3}, {"mini_batch_size": 100}, {"mini_batch_num_tokens": 20}])
@pytest.mark.parametrize(
    "guide",
    [
        "same tokens",
        pytest.param("other tokens", marks=needs_host("6.2", "the built-in loss fails with a guide of other tokens")),
    ],
)
@pytest.mark.parametrize("columns", [2, 4])
def test_cached_it_is_the_built_in_cached_loss(model: Any, columns: int, guide: str, sizes: dict[str, int]) -> None:
    guides = GUIDES[guide](model)
    given = features(model, columns)
    for anchors, positives, directions in CONTRASTS[: 2 if columns > 2 else 4]:
        theirs = CachedGISTEmbedLoss(
            model, guides, 0.05, **sizes, margin=0.01, contrast_anchors=anchors, contrast_positives=positives
        )
        arguments: dict[str, Any] = {"directions": directions, "link": CONSTANT, "guide": guides, "margin": 0.01}
        expected = value_and_gradient(theirs, model, given)
        for ours in (
            CachedSelectiveMultipleNegativesRankingLoss(model, **sizes, **arguments),
            SelectiveMultipleNegativesRankingLoss(model, **arguments),
        ):
            assert_same(value_and_gradient(ours, model, given), expected, CACHED)


@pytest.mark.parametrize("wrap", ["MatryoshkaLoss", "AdaptiveLayerLoss", "cached in MatryoshkaLoss"])
def test_in_the_losses_around_it(model: Any, wrap: str) -> None:
    guide, given = near(model), features(model, 3)
    arguments: dict[str, Any] = {"guide": guide, "margin": 0.01}
    ours: Any = SelectiveMultipleNegativesRankingLoss(model, link=CONSTANT, **arguments)
    theirs: Any = GISTEmbedLoss(model, guide, 0.05, "absolute", 0.01, False, False)
    if "cached" in wrap:
        ours = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=3, link=CONSTANT, **arguments)

    def wrapped(loss: nn.Module) -> nn.Module:
        if wrap == "AdaptiveLayerLoss":
            return AdaptiveLayerLoss(model, loss, n_layers_per_step=-1)
        return MatryoshkaLoss(model, loss, [16, 8])

    expected = value_and_gradient(wrapped(theirs), model, given)
    assert_same(value_and_gradient(wrapped(ours), model, given), expected, CACHED if "cached" in wrap else 1e-9)


def test_as_a_part_of_a_weighted_loss(model: Any) -> None:
    guide, given = near(model), features(model, 3)
    alone = SelectiveMultipleNegativesRankingLoss(model, guide=guide)
    model.train()
    ours = WeightedLoss(model, {"guided": alone}, [0.5])
    theirs = value_and_gradient(alone, model, given)
    found = value_and_gradient(ours, model, given)
    model.eval()
    assert_close(2 * found[0], theirs[0], rtol=1e-9, atol=0)
    assert_close(2 * found[1], theirs[1], rtol=1e-9, atol=1e-12)


# --- With any link ----------------------------------------------------------------------------------------------------

LINKS: list[Link] = [
    CONSTANT,
    ExponentialLink(1.0).normalized(0, 1, of="value"),
    SigmoidLink(scale=10.0, shift=0.5),
    0.3 * CONSTANT + ExponentialLink(3.0),
]


def kept_by_hand(guide: Any, columns: list[list[str]], margin: float, strategy: str) -> list[list[bool]]:
    """For each anchor, which documents of all columns are no false negatives, in a loop over single scores."""
    queries, *documents = [guide.encode(column, convert_to_tensor=True) for column in columns]
    every = torch.cat(documents)
    found = []
    for i, query in enumerate(queries):
        positive = float(cos_sim(query, documents[0][i]))
        bound = positive - (margin if strategy == "absolute" else abs(positive) * margin)
        found.append([k == i or float(cos_sim(query, document)) <= bound for k, document in enumerate(every)])
    return found


@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize(("margin", "strategy"), MARGINS[:3])
def test_with_any_link_what_the_guide_finds_is_left_out(model: Any, link: Link, margin: float, strategy: Any) -> None:
    guide, given = near(model), features(model, 3)
    kept = kept_by_hand(guide, [texts(column) for column in range(3)], margin, strategy)
    assert 10 < sum(map(sum, kept)) < 2 * ROWS**2 - 10
    loss = SelectiveMultipleNegativesRankingLoss(
        model, 5.0, link=link, guide=guide, margin=margin, margin_strategy=strategy
    )
    queries, *documents = [model(dict(column))["sentence_embedding"] for column in given]
    scores = cos_sim(queries, torch.cat(documents))
    logits = 5.0 * link.potential(scores)
    rows = []
    for i in range(ROWS):
        candidates = torch.stack([logits[i, k] for k in range(2 * ROWS) if kept[i][k]])
        rows.append(torch.logsumexp(candidates, 0) - logits[i, i])
    expected = torch.stack(rows).mean()
    model.zero_grad()
    expected.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert_same(value_and_gradient(loss, model, given), [expected.detach(), gradient])
    fused = in_batch_loss(queries, documents, link, 5.0, keep=torch.tensor(kept), normalize=True, block_size=3)
    assert_close(fused, expected)


@pytest.mark.parametrize("partition_mode", ["joint", "per_direction"])
@pytest.mark.parametrize("similarity", ["fused", "plain"])
def test_each_direction_has_its_candidates(partition_mode: Any, similarity: str) -> None:
    """In each direction the guide's score of a candidate is held against that of the anchor and its positive."""
    generator = torch.Generator().manual_seed(0)
    columns = [torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    guided = [nn.functional.normalize(torch.randn(5, 3, generator=generator, dtype=torch.float64)) for _ in range(3)]
    queries, documents = guided[0], torch.cat(guided[1:])
    guidance = Guidance(queries, documents, FalseNegatives(0.1))
    directions: Any = ("query_to_doc", "doc_to_query")
    if partition_mode == "joint":
        directions = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
    setting = InBatchSetting(LINKS[1], 4.0, directions=directions, partition_mode=partition_mode)
    plain = {"similarity_fct": lambda one, other: one @ other.T} if similarity == "plain" else {"block_size": 2}
    found = in_batch_loss_of_setting(setting, columns[0], columns[1:], keep=guidance.keep, **plain)  # type: ignore[arg-type]
    losses = []
    every = torch.cat(columns[1:])
    for i in range(5):
        bound = float(queries[i] @ documents[i]) - 0.1
        logits: dict[str, list[Tensor]] = {direction: [] for direction in directions}
        for direction in directions:
            left, guide_left = (every[i], documents[i]) if direction.startswith("doc") else (columns[0][i], queries[i])
            right, guide_right = (every, documents) if direction.endswith("doc") else (columns[0], queries)
            for k, candidate in enumerate(right):
                crosses = direction in ("query_to_doc", "doc_to_query")
                if (crosses and k == i) or ((crosses or k % 5 != i) and float(guide_left @ guide_right[k]) <= bound):
                    logits[direction].append(4.0 * LINKS[1].potential(left @ candidate))
        positive = 4.0 * LINKS[1].potential(columns[0][i] @ every[i])
        groups = list(logits.values())
        if partition_mode == "joint":
            groups = [[logit for group in groups for logit in group]]
        losses.append(sum(torch.logsumexp(torch.stack(group), 0) - positive for group in groups) / len(groups))
    assert_close(found, torch.stack(losses).mean())  # type: ignore[arg-type]


def test_the_positive_s_text_once_more_is_kept_whatever_the_rounding() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        documents = nn.functional.normalize(torch.randn(300, 37, dtype=dtype))
        documents[150:] = documents[:150]
        queries = nn.functional.normalize(torch.randn(300, 37, dtype=dtype))
        kept = Guidance(queries, documents, FalseNegatives()).keep("query_to_doc", 10, 140)
        assert kept is not None
        assert bool(kept.diagonal(160).all())
        assert bool(kept.diagonal(10).all())
        assert 0.3 < float(kept.double().mean()) < 0.7


def test_a_guide_that_finds_nothing_changes_nothing(model: Any) -> None:
    given = features(model, 3)
    plain = value_and_gradient(SelectiveMultipleNegativesRankingLoss(model), model, given)
    loss = SelectiveMultipleNegativesRankingLoss(model, guide=near(model), margin=-3.0)
    assert_same(value_and_gradient(loss, model, given), plain)


def test_with_a_teacher_and_texts_that_occur_twice(model: Any) -> None:
    """What a teacher has scored is a candidate whatever the guide says; the same text is left out besides."""
    guide = near(model)
    given = features(model, 3)
    given[1] = model.preprocess([*texts(1)[:-1], texts(1)[0]])
    labels = torch.rand(ROWS, 2, dtype=torch.float64)
    loss = SelectiveMultipleNegativesRankingLoss(model, guide=guide, mask_same_text=True)
    kept = torch.tensor(kept_by_hand(guide, [texts(0), [*texts(1)[:-1], texts(1)[0]], texts(2)], 0.0, "absolute"))
    ids = torch.arange(2 * ROWS)
    ids[ROWS - 1] = ids[0]
    queries, *documents = [model(dict(column))["sentence_embedding"] for column in given]
    for targets in (None, labels):
        expected = in_batch_loss(
            queries, documents, loss.link, 20.0, document_ids=ids, keep=kept, target_scores=targets, normalize=True
        )
        assert_close(loss([dict(column) for column in given], targets), expected)


# --- Other models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guide", ["bert", "static"])
def test_static_embeddings(guide: str) -> None:
    """Their tokens are no transformer's; the built-in loss refuses them."""
    student = model_types.static_model().double()
    teacher = model_types.bert_model().double() if guide == "bert" else near(student, by=1.0)
    kept = kept_by_hand(teacher, [texts(column) for column in range(3)], 0.0, "absolute")
    loss = SelectiveMultipleNegativesRankingLoss(student, guide=teacher)
    queries, *documents = [student(dict(column))["sentence_embedding"] for column in features(student, 3)]
    expected = in_batch_loss(queries, documents, loss.link, 20.0, keep=torch.tensor(kept), normalize=True)
    assert_close(loss(features(student, 3), None), expected)
    assert abs(float((expected - SelectiveMultipleNegativesRankingLoss(student)(features(student, 3), None)).detach()))


@pytest.mark.parametrize("guide", [of_other_words, lambda: model_types.bert_model()], ids=["static", "bert"])
@pytest.mark.parametrize("score_mini_batch_size", [None, 3])
def test_late_interaction(guide: Callable[[], Any], score_mini_batch_size: int | None) -> None:
    student, teacher = model_types.multi_vector_model(), guide()
    kept = torch.tensor(kept_by_hand(teacher, [texts(column) for column in range(3)], 0.0, "absolute"))
    given = [student.preprocess(texts(k), task="query" if not k else "document") for k in range(3)]
    arguments: dict[str, Any] = {"link": CONSTANT, "guide": teacher, "score_mini_batch_size": score_mini_batch_size}
    plain = multi_vector.SelectiveMultipleNegativesRankingLoss(student, **arguments)
    found = value_and_gradient(plain, student, given)
    embeddings = [student(dict(column)) for column in given]
    queries = embeddings[0]["token_embeddings"]

    def maxsim(document: dict[str, Tensor]) -> Tensor:
        products = torch.einsum("itd,jud->ijtu", queries, document["token_embeddings"])
        inside = document["attention_mask"].bool()[None, :, None, :]
        of_tokens = products.masked_fill(~inside, -math.inf).amax(-1)
        return (of_tokens * embeddings[0]["attention_mask"][:, None, :]).sum(-1)

    scores = torch.cat([maxsim(document) for document in embeddings[1:]], 1).masked_fill(~kept, -math.inf)
    expected = (torch.logsumexp(scores, 1) - scores.diagonal()).mean()
    assert_close(found[0], expected.detach(), rtol=1e-4, atol=1e-5)
    cached = multi_vector.CachedSelectiveMultipleNegativesRankingLoss(student, mini_batch_size=3, **arguments)
    ours = value_and_gradient(cached, student, given)
    assert_close(ours[0], found[0], rtol=1e-5, atol=1e-6)
    assert_close(ours[1], found[1], rtol=1e-4, atol=1e-5 * float(found[1].abs().max()))
    unguided = multi_vector.SelectiveMultipleNegativesRankingLoss(student, link=CONSTANT)
    assert abs(float(value_and_gradient(unguided, student, given)[0] - found[0])) > 1e-3


@pytest.mark.parametrize("num_negatives", [None, 3])
def test_cross_encoders(num_negatives: int | None) -> None:
    student, teacher = model_types.cross_encoder().double(), of_other_words()
    columns = [texts(column, 5) for column in range(3)]
    columns[1][4] = columns[1][0]  # the same text, and object, twice
    torch.manual_seed(3)
    sampled = [
        list(column)
        for column in CrossEncoderNegatives(student, num_negatives).get_in_batch_negatives(columns[0], columns[1:])
    ]
    by_column = [columns[1], *sampled, columns[2]]
    kept = torch.tensor(
        [
            [
                column is by_column[0]
                or float(cos_sim(teacher.encode(query), teacher.encode(column[row])))
                <= float(cos_sim(teacher.encode(query), teacher.encode(columns[1][row]))) + 1e-6
                for column in by_column
            ]
            for row, query in enumerate(columns[0])
        ]
    )
    assert 0 < int((~kept).sum()) < kept.numel() - 5
    arguments: dict[str, Any] = {"num_negatives": num_negatives, "link": CONSTANT, "guide": teacher}
    found = value_and_gradient(cross.SelectiveMultipleNegativesRankingLoss(student, **arguments), student, columns)
    scores = torch.stack(
        [
            student(student.preprocess(list(zip(columns[0], column, strict=True))))["scores"].squeeze(1).sigmoid()
            for column in by_column
        ],
        1,
    )
    logits = (10 * scores).masked_fill(~kept, -math.inf)
    assert_close(found[0], (torch.logsumexp(logits, 1) - logits[:, 0]).mean().detach())
    cached = cross.CachedSelectiveMultipleNegativesRankingLoss(student, mini_batch_size=4, **arguments)
    assert_same(value_and_gradient(cached, student, columns), found, CACHED)


def test_sparse_models_alone_and_in_a_loss_that_gives_no_texts() -> None:
    student = model_types.sparse_static_model()
    teacher = model_types.bert_model()
    kept = torch.tensor(kept_by_hand(teacher, [texts(0), texts(1)], 0.0, "absolute"))
    loss = sparse.SelectiveMultipleNegativesRankingLoss(student, guide=teacher)
    queries, documents = (student(dict(column))["sentence_embedding"] for column in features(student, 2))
    assert_close(loss(features(student, 2), None), in_batch_loss(queries, documents, loss.link, 1.0, keep=kept))
    outer = SpladeLoss(student, loss, document_regularizer_weight=0.0, query_regularizer_weight=0.0)
    with pytest.raises(ValueError, match=r"guide reads the texts .* such as SpladeLoss, does not go with a guide"):
        outer(features(student, 2), None)


# --- In use -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SelectiveMultipleNegativesRankingLoss, CachedSelectiveMultipleNegativesRankingLoss])
def test_in_the_trainer_the_guide_stays_as_it_is(kind: Any, tmp_path: Path) -> None:
    student = model_types.bert_model()
    guide = near(student)
    before = [parameter.clone() for parameter in guide.parameters()]
    loss = kind(student, guide=guide)
    data = Dataset.from_dict({"anchor": texts(0, 16), "positive": texts(1, 16)})
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path), per_device_train_batch_size=8, num_train_epochs=1, learning_rate=1e-2, report_to=[],
        save_strategy="no", logging_steps=1, use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(student, arguments, train_dataset=data, eval_dataset=data, loss=loss)
    trainer.train()
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    for parameter, was in zip(guide.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
    assert loss.guide is guide
    assert loss.model is student
    student.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert '"guide": "SentenceTransformer"' in card
    assert "eprint={2402.16829}" in card


EVERY: list[tuple[Any, Callable[[], Any]]] = [
    (SelectiveMultipleNegativesRankingLoss, model_types.bert_model),
    (CachedSelectiveMultipleNegativesRankingLoss, model_types.bert_model),
    (sparse.SelectiveMultipleNegativesRankingLoss, model_types.splade_model),
    (multi_vector.SelectiveMultipleNegativesRankingLoss, model_types.multi_vector_model),
    (multi_vector.CachedSelectiveMultipleNegativesRankingLoss, model_types.multi_vector_model),
    (cross.SelectiveMultipleNegativesRankingLoss, model_types.cross_encoder),
    (cross.CachedSelectiveMultipleNegativesRankingLoss, model_types.cross_encoder),
]


@pytest.mark.parametrize(("kind", "make"), EVERY)
def test_settings_are_told_and_bad_ones_refused(kind: Any, make: Callable[[], Any]) -> None:
    student, guide = make(), model_types.static_model()
    loss = kind(student, guide=guide, margin=0.1, margin_strategy="relative")
    assert (loss.guide, loss.margin, loss.margin_strategy) == (guide, 0.1, "relative")
    config = json.loads(json.dumps(loss.get_config_dict()))
    assert config["guide"] == "SentenceTransformer"
    assert (config["margin"], config["margin_strategy"]) == (0.1, "relative")
    assert "eprint={2402.16829}" in loss.citation
    without = kind(student)
    assert (without.guide, without.margin, without.margin_strategy) == (None, 0.0, "absolute")
    assert without.get_config_dict()["guide"] is None
    assert "2402.16829" not in without.citation
    name = kind.__name__
    for arguments, error, message in (
        ({"guide": "all-MiniLM-L6-v2"}, TypeError, r"guide must be a SentenceTransformer.* got str.*guide=Sentence"),
        ({"guide": model_types.cross_encoder()}, TypeError, "guide must be a SentenceTransformer.* got CrossEncoder"),
        ({"guide": model_types.multi_vector_model()}, TypeError, "got MultiVectorEncoder"),
        ({"guide": guide, "margin": "0.1"}, TypeError, "margin must be a finite number, got '0.1'"),
        ({"guide": guide, "margin": math.nan}, ValueError, "margin must be a finite number, got nan"),
        ({"guide": guide, "margin": True}, TypeError, "margin must be a finite number"),
        ({"guide": guide, "margin_strategy": "percent"}, ValueError, "one of 'absolute', 'relative', got 'percent'"),
        (
            {"margin": 0.1},
            ValueError,
            "margin and margin_strategy are for .* but guide is None. Give guide=",
        ),
        ({"margin_strategy": "relative"}, ValueError, "margin_strategy are for the scores of a guide"),
    ):
        with pytest.raises(error, match=f"^{name}: .*{message}"):
            kind(student, **arguments)


def test_embeddings_of_the_guide_by_hand() -> None:
    columns = [torch.randn(4, 3, dtype=torch.float64) for _ in range(2)]
    guided = [torch.randn(4, 5, dtype=torch.float64) for _ in range(2)]
    loss = SelectiveMultipleNegativesRankingLoss(EchoModel(), guide=EchoModel())
    units = [nn.functional.normalize(column) for column in guided]
    kept = Guidance(units[0], units[1], FalseNegatives()).keep("query_to_doc", 0, 4)
    expected = in_batch_loss(columns[0], columns[1], loss.link, 20.0, keep=kept, normalize=True)
    assert_close(loss.compute_loss_from_embeddings(columns, None, None, guided), expected)
    for given, message in (
        (None, "guide reads the texts"),
        (guided[:1], r"guide_embeddings must hold 2 tensors of 4 rows.* got \[\(4, 5\)\]"),
        ([guided[0], guided[1][:3]], r"2 tensors of 4 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            loss.compute_loss_from_embeddings(columns, None, None, given)
    with pytest.raises(ValueError, match="guide_embeddings are those of a guide, but guide is None"):
        SelectiveMultipleNegativesRankingLoss(EchoModel()).compute_loss_from_embeddings(columns, None, None, guided)


def test_features_without_texts_for_a_guide_of_other_tokens() -> None:
    student = model_types.bert_model()
    loss = SelectiveMultipleNegativesRankingLoss(student, guide=of_other_words())
    with pytest.raises(ValueError, match="guide must have the tokenizer of the model"):
        loss([{"pixel_values": torch.rand(2, 3)}, {"pixel_values": torch.rand(2, 3)}], None)
