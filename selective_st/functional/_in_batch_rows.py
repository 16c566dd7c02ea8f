"""The in-batch losses of some anchors from their rows of scores, for every option, and the scores' slopes beside them.

Of a row's logits the positive's is taken out: what the others' Softmax sums up to, less the positive, is all that the
loss of a label depends on, `log(1 + e^excess)`, which keeps its digits however right the row is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from selective_st._autograd import KnownSlopes, in_transform, pull_through
from selective_st.functional._blockwise import Direction, Products, Slopes, differentiated
from selective_st.functional._common import mean_under, potentials, some_score
from selective_st.functional._in_batch_common import Batch, InBatchSetting
from selective_st.links import Link
from selective_st.links._numerics import _to_working_precision

logger = logging.getLogger(__name__)
_BOTH_WAYS = ("query_to_doc", "doc_to_query")
_WORTH_COMPILING = 2**22  # scores of a block: compiling takes seconds
# A logit that is nothing beside others; and beyond which x log(1 + e^x) is x to the last digit, but e^x still finite.
_LOWEST = {dtype: torch.finfo(dtype).min / 4 for dtype in (torch.float32, torch.float64)}
_LARGEST = {torch.float32: 80.0, torch.float64: 700.0}


@dataclass
class _Candidates:
    """The candidates of some anchors in one direction.

    Attributes:
        logits: Their logits; of what is none, a number that is nothing beside them.
        place: Where the anchors' positives stand, of shape (anchors, 1).
        positive: The logit of each anchor's positive, of shape (anchors, 1); None if there is none.
        spread: The sum of the logits, and of how many, over which smoothing spreads the label.
        taught: A teacher's labels, their logarithms, the logits of what has them, and the terms of calibration.
    """

    logits: Tensor
    place: Tensor
    positive: Tensor | None
    spread: tuple[Tensor, Tensor] | None = None
    taught: tuple[Tensor, Tensor, Tensor, Tensor] | None = None


class InBatchRows:
    """What the rows of an in-batch loss become, as `Blockwise` takes it.

    Attributes:
        batch: What is known of the batch.
        setting: What is the same for every batch.
        products: How matrices are multiplied.
        begin: The first anchor.
        end: One past the last.
        directions: What is compared: from whom to whom, True for documents and False for queries.
        groups: The directions of each Softmax.
    """

    def __init__(self, batch: Batch, setting: InBatchSetting, products: Products) -> None:
        """Say of which batch."""
        self.batch, self.setting, self.products, self.begin, self.end = batch, setting, products, batch.begin, batch.end
        self.directions: dict[Direction, tuple[bool, bool]] = setting.directions_by_name
        self.groups = setting.groups
        # Of the one Softmax of plain labels, which most batches have.
        self._is_plain = not setting.label_smoothing and batch.target_scores is None and not setting.hardens
        self._has_all = batch.document_ids is None and batch.keep is None
        # What the Softmaxes back need is then read from the same scores before, which saves two products of six.
        is_whole = batch.shares is None and batch.end - batch.begin == batch.queries
        self.reads_columns = self._is_plain and self._has_all and is_whole and setting.directions == _BOTH_WAYS
        self._is_joint, self._columns = len(self.groups) == 1, list[Tensor]()

    def losses(self, scores: Mapping[Direction, Tensor]) -> Tensor:
        """The losses of all anchors from whole matrices, for automatic differentiation to any order."""
        link, scale, batch = self.setting.link, self.setting.scale, self.batch
        groups = ({name: scores[name] for name in group} for group in self.groups)
        found = [self._losses(batch.begin, batch.end, lambda z: scale * link.potential(z), group) for group in groups]
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

    def read_columns(self, scores: Tensor, begin: int, slab: Callable[..., Tensor] | None) -> None:
        """Note what a block of scores adds to the Softmaxes back, from the documents to the queries."""
        setting = self.setting
        if setting.asks_scores:
            self.batch.note_scores(setting, scores)
        out = None if slab is None else slab("logits", *scores.shape)
        logits, _ = setting.link._logits(scores, setting.scale, out)
        place = torch.arange(begin, begin + len(logits), device=logits.device).unsqueeze(1)
        if not begin:
            self._columns = [logits.new_full((self.end,), _LOWEST[logits.dtype]), logits.new_zeros(self.end)]
            self._positives, self._sums = logits.new_empty(self.end), logits.new_empty(self.end)
        block, back = slice(begin, begin + len(logits)), logits[:, : self.end]
        self._positives[block] = logits.gather(1, place).squeeze(1)
        logits.scatter_(1, place, _LOWEST[logits.dtype])
        if self._is_joint:
            self._sums[block] = torch.logsumexp(logits, 1)
        before, total = self._columns
        top = torch.maximum(before, back.amax(0))
        self._columns = [top, total.mul_((before - top).exp_()).add_(back.sub_(top).exp_().sum(0))]

    def end_columns(self) -> None:
        """Make of it the losses, the logarithm of what is divided by, and the part that a document's others have."""
        (top, total), positives = self._columns, self._positives
        log = total.log_()
        of_others = top + log
        if self._is_joint:  # where the positive is twice
            of_all = torch.stack([of_others, self._sums, positives, positives])
            rest = torch.logsumexp((of_all - positives)[:-1], 0)
            divisors, others = torch.logsumexp(of_all, 0), torch.softmax(of_all, 0)[0]
        else:
            rest = (top - positives).add_(log)
            divisors, others = torch.logaddexp(of_others, positives), rest.sigmoid()
        self._columns = [softplus(rest, threshold=_LARGEST[rest.dtype]), divisors, others]

    def losses_and_slopes(
        self,
        scores: Mapping[Direction, Tensor],
        begin: int,
        end: int,
        slab: Callable[..., Tensor] | None,
        wants_slopes: bool,
    ) -> tuple[Tensor, dict[Direction, Slopes]]:
        """The losses of a block of anchors in one Softmax, and what multiplies the embeddings in the gradient.

        Args:
            scores: Of each direction of the Softmax the scores, a row for each anchor, which are overwritten.
            begin: The first of these anchors.
            end: One past the last.
            slab: Gives memory of a name and a shape; None where there is only one block.
            wants_slopes: Whether slopes are wanted.

        Returns:
            The losses, of shape (anchors,), and the slopes of each direction, in the mean over all anchors and all
            Softmaxes; none if they are not wanted.
        """
        setting, batch, products = self.setting, self.batch, self.products
        share = (
            1 / (self.end - self.begin) if batch.shares is None else batch.shares[begin - self.begin :][: end - begin]
        )
        share = share / len(self.groups)
        if len(scores) > 1 or not self._is_plain:
            of_each = share.squeeze(1) if isinstance(share, Tensor) else share
            return differentiated(partial(self._losses, begin, end, self._potentials), scores, of_each, wants_slopes)
        ((name, matrix),) = scores.items()
        if setting.asks_scores:
            batch.note_scores(setting, matrix)
        place = torch.arange(begin, end, device=matrix.device).unsqueeze(1)
        left_out = None if self._has_all else batch.left_out(name, begin, end)
        if left_out is not None:
            left_out.scatter_(1, place, False)
        low = None if products.is_exact else matrix.dtype
        if products.is_mixed and products.low == torch.bfloat16:  # in float16, they are still to be raised
            low = torch.bfloat16
        of_rows: Callable[..., Any] = _rows_alone
        out = None if slab is None else slab("logits", *matrix.shape)
        if matrix.is_cuda:
            of_rows, out = rows_alone, None
            share = share if isinstance(share, Tensor) else matrix.new_full((1, 1), share)  # a number: compiled anew
        options = place, left_out, setting.link, setting.scale, share if wants_slopes else None, low, out
        back = None
        if self._columns:
            of_back, divisors, others = self._columns
            in_both, of_back = of_back[begin:end].unsqueeze(1) if self._is_joint else None, of_back[begin:end]
            back = divisors, others[begin:end].unsqueeze(1), in_both
        losses, *slopes = of_rows(matrix, *options, back)
        if self._columns:
            losses = of_back if self._is_joint else (losses + of_back) / 2
        return losses, {name: (slopes[0], slopes[1])} if slopes else {}

    def own(self, begin: int, end: int, to_documents: bool, device: torch.device) -> Tensor:
        """Where the anchors' own documents (or queries) stand among the candidates, of shape (anchors, columns)."""
        own = torch.arange(begin, end, device=device).unsqueeze(1)
        if not to_documents or self.batch.columns == 1:
            return own
        return own + self.batch.queries * torch.arange(self.batch.columns, device=device)

    def mean(self, losses: Tensor) -> Tensor:
        """The mean of the anchors' losses, when all is right that is asked of the device, once a batch."""
        if self.batch.questions:
            self.batch.ask()
        shares = self.batch.shares
        return losses.mean() if shares is None else (losses * shares.squeeze(1)).sum()

    def _potentials(self, scores: Tensor) -> Tensor:
        return potentials(self.setting.link, scores, self.setting.scale)

    def _losses(
        self, begin: int, end: int, logits_of: Callable[[Tensor], Tensor], scores: Mapping[Direction, Tensor]
    ) -> Tensor:
        """The losses of some anchors in one Softmax, for every option, by what can be differentiated."""
        parts = [self._candidates(name, matrix, begin, end, logits_of) for name, matrix in scores.items()]
        first, smoothing = parts[0], self.setting.label_smoothing
        assert first.positive is not None
        highest = torch.cat([part.logits.detach().amax(1, keepdim=True) for part in parts], 1).amax(1, keepdim=True)
        # Large numbers are subtracted first; with a graph, so that what cancels in the logits does in their gradients.
        top = torch.where(first.positive < highest, highest, first.positive)
        others = []
        for part in parts:
            rule, place = _LogOfOthers(), None if part.positive is None else part.place
            # A transform of torch.func would have to differentiate within a derivative.
            others.append((rule.plain if in_transform() else rule)(part.logits, top, place))
        positive, *positives = (part.positive - top for part in parts if part.positive is not None)
        rest = torch.logsumexp(torch.cat([*others, *positives], 1), 1, keepdim=True)
        losses = _log_of_one_and(rest - positive)
        if first.taught is not None or first.spread is not None:
            # The same, but its derivatives do not cancel where the positive is far below the highest.
            whole = torch.logsumexp(torch.cat([rest, positive], 1), 1, keepdim=True)
            whole = torch.where(positive < 0, whole, losses + positive)
        if first.taught is not None:  # as a list of `listwise_matching_loss`
            label, log_label, of_label, more = first.taught
            losses = mean_under(label, log_label - (of_label - top - whole) + more, keepdim=True)
        if first.spread is not None:
            totals, counts = zip(*(part.spread for part in parts if part.spread is not None), strict=True)
            losses = (1 - smoothing) * losses + smoothing * (whole - (sum(totals) / sum(counts) - top))
        return losses.squeeze(1)

    def _candidates(
        self, name: Direction, scores: Tensor, begin: int, end: int, logits_of: Callable[[Tensor], Tensor]
    ) -> _Candidates:
        """The candidates of one direction, given their scores."""
        batch, setting = self.batch, self.setting
        from_documents, to_documents = self.directions[name]
        has_positive, is_labelled = from_documents != to_documents, name == "query_to_doc"
        batch.note_scores(setting, scores)
        own = self.own(begin, end, to_documents, scores.device)
        taught = batch.target_scores[begin:end] if is_labelled and batch.target_scores is not None else None
        # Not NaN, nor what is never right: both are candidates without a label.
        known = None if taught is None else taught > -math.inf
        left_out = batch.left_out(name, begin, end)
        if not has_positive:
            left_out = torch.zeros_like(scores, dtype=torch.bool) if left_out is None else left_out
            left_out.scatter_(1, own, True)
        elif left_out is not None:
            left_out.scatter_(1, own[:, :1], False)
            if known is not None and batch.teaches_all:
                left_out &= ~known
            elif known is not None:  # what the teacher has scored is a candidate
                left_out.scatter_(1, own, left_out.gather(1, own) & ~known)
        logits = logits_of(scores)
        if is_labelled and setting.hardens:
            logits = logits + self._penalty(scores.detach(), own)
        if left_out is not None:
            logits = logits.masked_fill(left_out, _LOWEST[logits.dtype])
        found = _Candidates(logits, own[:, :1], logits.gather(1, own[:, :1]) if has_positive else None)
        if taught is not None and known is not None:
            of_label, p = (x if batch.teaches_all else x.gather(1, own) for x in (logits, scores))
            target = _to_working_precision(torch.where(known, taught, 0))  # what fills counts for nothing
            potential = setting.scale * setting.link._potential(target)
            log_label = torch.log_softmax(potential.masked_fill(~known, -math.inf), -1)
            more = torch.zeros_like(p)
            if setting.calibrates:
                filling = some_score(setting.calibration_link)
                pair = (torch.where(known, x, filling) for x in (p, target.to(p)))
                more = setting.calibration * setting.scale * setting.calibration_link.divergence(*pair)
            found.taught = log_label.exp().to(p), log_label.to(p), of_label, more
        if setting.label_smoothing:
            counted, count = logits, torch.full_like(logits[:, :1], logits.shape[1])
            if left_out is not None:
                counted, count = logits.masked_fill(left_out, 0), (~left_out).sum(1, keepdim=True).to(logits)
            found.spread = counted.sum(1, keepdim=True), count
        return found

    def _penalty(self, scores: Tensor, own: Tensor) -> Tensor:
        """What is added to the logits of negatives, the more the harder they are."""
        mode, penalty = self.setting.hardness_mode, self.setting.hardness_strength * scores
        of_own = penalty.gather(1, own)
        of_own[:, : 1 if mode != "in_batch_negatives" else None] = 0
        if mode == "hard_negatives":
            penalty.zero_()
        return penalty.scatter_(1, own, of_own)


class _LogOfOthers(KnownSlopes):
    """The logarithm of what a row's candidates sum up to, without its positive, and less a number of the row."""

    def value(self, *tensors: Any) -> Tensor:
        logits, top, place = tensors
        highest, log, self._shares = _others(logits.clone(), place)
        value: Tensor = (highest - top).sub_(log)
        return value

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Any) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():
            return pull_through(self.plain, gradient, needed, tensors)
        return gradient * self._shares, -gradient, None

    def plain(self, logits: Tensor, top: Tensor, place: Tensor | None) -> Tensor:
        """The same, by what autograd can follow to any order."""
        others = logits - top
        others = others if place is None else others.scatter(1, place, _LOWEST[logits.dtype])
        return torch.logsumexp(others, 1, keepdim=True)


def _log_of_one_and(logarithm: Tensor) -> Tensor:
    """`log(1 + e^x)`, so that its second derivative keeps its digits, too."""
    return torch.where(logarithm > 0, logarithm + softplus(-logarithm), softplus(logarithm))


def _others(logits: Tensor, place: Tensor | None, at_place: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """The highest of all logits but one, the logarithm of its share of their Softmax, and the shares of all.

    The logits are overwritten; where the one is, stands `at_place`.
    """
    put: Callable[..., Tensor] = _put if torch.compiler.is_compiling() else Tensor.scatter_
    if place is not None:
        logits = put(logits, 1, place, _LOWEST[logits.dtype])
    top = logits.amax(1, keepdim=True)
    shares = torch.softmax(logits, 1, out=None if torch.compiler.is_compiling() else logits)
    log = shares.amax(1, keepdim=True).log_()
    return top, log, put(shares, 1, place, at_place) if at_place else shares


def _put(matrix: Tensor, _: int, place: Tensor, value: Tensor | float) -> Tensor:
    """As `scatter`, for a compiler, which makes one loop of it and of what comes after."""
    return torch.where(place == torch.arange(matrix.shape[1], device=matrix.device), value, matrix)


def _rows_alone(
    scores: Tensor,
    place: Tensor,
    left_out: Tensor | None,
    link: Link,
    scale: float,
    share: Tensor | float | None,
    low: torch.dtype | None = None,
    out: Tensor | None = None,
    back: tuple[Tensor, Tensor, Tensor | None] | None = None,
) -> tuple[Any, ...]:
    """The losses of anchors with plain labels in a Softmax of their own, in few operations, or those of one compiled.

    Args:
        scores: The scores of the candidates, which are overwritten.
        place: Where the positives stand, of shape (anchors, 1).
        left_out: Which candidates are none.
        link: The link.
        scale: The factor of its potential.
        share: The anchors' share in the mean; None if no slopes are wanted.
        low: The dtype of the slopes, of which then those of the positives are apart; None for that of the scores.
        out: Memory for the logits.
        back: Of the Softmaxes back, whose slopes are added: the logarithm of what each of the first candidates divides
            by, of the anchors' own the others' part of it, and, where there is one Softmax both ways, its losses.

    Returns:
        The losses; the slopes of the scores; and those of the positives, or None.
    """
    if torch.compiler.is_compiling():  # which would write what is overwritten
        scores = scores.clone()
    logits, slope = link._logits(scores, scale, out)
    if left_out is not None:
        logits = logits.masked_fill_(left_out, _LOWEST[logits.dtype])
    positive = logits.gather(1, place)
    of_back = None if back is None or share is None else (logits[:, : len(back[0])] - back[0]).exp_()
    top, log, shares = _others(logits, place, -1.0 if low is None else 0.0)
    excess = (top - positive).sub_(log)  # large numbers first: what is small would be lost beside them
    losses = softplus(excess, threshold=_LARGEST[excess.dtype])
    taken = excess.sigmoid()
    if back is not None and back[2] is not None:
        losses, high = back[2], -_LOWEST[logits.dtype]  # which subtracts where both are infinite
        taken = (excess.clamp(max=high) - losses.clamp(max=high)).exp_()
    if share is None:
        return (losses.squeeze(1),)
    size = share if isinstance(slope, Tensor) else share * slope
    taken.mul_(size)
    weights = shares.mul_(taken)
    if back is not None and of_back is not None:
        put: Callable[..., Tensor] = _put if torch.compiler.is_compiling() else Tensor.scatter_
        weights[:, : len(back[0])] += put(of_back, 1, place, 0.0).mul_(size)
        taken = taken + back[1] * size
        weights = weights if low is not None else put(weights, 1, place, -taken)
    if isinstance(slope, Tensor):
        weights = weights.mul_(slope)
    if low is None:
        return losses.squeeze(1), weights, None
    pull = taken.neg() if not isinstance(slope, Tensor) else taken.neg() * slope.gather(1, place)
    return losses.squeeze(1), weights.to(low), pull


class _Compiled:
    """A function of tensors, compiled where a GPU gains by it; as it is from the first time that this fails."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None
        self._fails = False

    def __call__(self, first: Tensor, *others: Any) -> Any:
        if not self._fails and first.is_cuda and first.numel() >= _WORTH_COMPILING:
            try:
                self._compiled = self._compiled or torch.compile(self._function)
                return self._compiled(first, *others)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of the compiler, or of what it needs: Triton, a C compiler
                self._fails = True
                logger.warning("torch.compile fails, so the in-batch loss goes without: %s", f"{error!s:.200}")
        return self._function(first, *others)


rows_alone = _Compiled(_rows_alone)
