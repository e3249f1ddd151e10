"""Ground-truth factors: names, sizes, index arithmetic, and random draws.

A data set with factors of sizes ``(f_1, ..., f_F)`` holds one observation for each combination.
Observations are numbered in C-order: the first factor changes slowest, the last one fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaedis import _check
from vaedis._support.brief import fields_repr
from vaedis._support.integers import integers
from vaedis.spec import PAIR_RULES

Index = Tensor | Sequence[int] | int | slice
"""One index or several: integers in a tensor, array, list, Series or range, a slice, or one."""


@dataclass(frozen=True)
class FactorSpace:
    """The grid of all combinations of ground-truth factors.

    Methods take a factor by its name or its position, and draw with `generator`, on its device.

    Parameters
    ----------
    names : sequence of str
        The factors' names, slowest first.
    sizes : sequence of int
        How many values each factor has, at least 1.

    Raises
    ------
    ValueError
        If names are one text, are no text, do not fit the sizes, or are not all different; and,
        where images are numbered or drawn, if there are more than 2**63 - 1 combinations.

    Examples
    --------
    >>> space = FactorSpace(("x", "y"), (3, 4))
    >>> space.size, space.strides
    (12, (4, 1))
    >>> space.to_index(torch.tensor([[2, 1]]))
    tensor([9])
    >>> space.to_factors([9, 10])
    tensor([[2, 1],
            [2, 2]])
    >>> space.traversal("x", 1)
    tensor([1, 5, 9])
    >>> space.sample_index(3, generator=torch.Generator().manual_seed(0))
    tensor([8, 3, 5])
    """

    __repr__ = fields_repr

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __init__(self, names: Sequence[str], sizes: Sequence[int]):
        if isinstance(names, str):
            raise ValueError(f"names must be a list of names, such as [{names!r}], not one text.")
        for what, values in (("names", names), ("sizes", sizes)):
            if not hasattr(values, "__len__"):
                raise ValueError(f"{what} must be a list, one for each factor, not {values!r}.")
        if len(names) != len(sizes) or not len(names):
            raise ValueError(
                "names and sizes must have the same length of at least 1, "
                f"not {len(names)} and {len(sizes)}."
            )
        names = _check.names_of_factors(names)
        if len(set(names)) != len(names):
            raise ValueError(f"factor names must differ from each other, not {names}.")
        if not all(name.strip() for name in names):
            raise ValueError(f"each factor needs a name, but one is empty: {names}.")
        pairs = zip(names, sizes, strict=True)
        checked = [_check.count(f"the size of factor {name!r}", size) for name, size in pairs]
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "sizes", tuple(checked))

    def __len__(self) -> int:
        """How many factors there are."""
        return len(self.sizes)

    @property
    def size(self) -> int:
        """How many observations there are: the product of the sizes."""
        return math.prod(self.sizes)

    @property
    def strides(self) -> tuple[int, ...]:
        """By how much the index grows with one step of each factor."""
        self._numbered()
        return tuple(math.prod(self.sizes[i + 1 :]) for i in range(len(self)))

    def _numbered(self) -> int:
        """Return `size`; raise a ValueError if there are more than 64 bits can number."""
        if self.size >= 2**63:
            raise ValueError(f"{self.size:,} combinations of factors are too many to number.")
        return self.size

    def position(self, factor: str | int) -> int:
        """Return a factor's position, given its name or position; a ValueError lists the names."""
        if isinstance(factor, str):
            return self.names.index(_check.one_of("factor", factor, self.names))
        if factor not in range(len(self)):
            known = f"there are {len(self)}: {', '.join(self.names)}"
            raise ValueError(f"Factor {factor} is out of range; {known}.")
        return int(factor)

    def to_index(self, factors: Tensor) -> Tensor:
        """Return the index of each row of factor values, (..., F) to int64 (...).

        A ValueError says that a value is out of range or no integer, or there are not F columns.
        """
        factors = integers("factors", factors)
        if factors.ndim == 0 or factors.shape[-1] != len(self):
            columns = f"{len(self)} columns ({', '.join(self.names)})"
            raise ValueError(f"factors must have {columns}, not the shape {tuple(factors.shape)}.")
        outside = (factors < 0) | (factors >= torch.tensor(self.sizes, device=factors.device))
        if outside.any():
            first = tuple(outside.nonzero()[0].tolist())
            name = self.names[first[-1]]
            last = self.sizes[first[-1]] - 1
            raise ValueError(f"factor {name!r} is {int(factors[first])}; it runs from 0 to {last}.")
        return (factors * torch.tensor(self.strides, device=factors.device)).sum(-1)

    def to_factors(self, index: Index) -> Tensor:
        """Return the factor values of each index, (...) to int64 (..., F)."""
        return self._to_factors(self.check_index(index))

    def _to_factors(self, index: Tensor) -> Tensor:
        """Do it without a check, which would wait for the GPU."""
        pairs = zip(self.strides, self.sizes, strict=True)
        return torch.stack([(index // stride) % size for stride, size in pairs], -1)

    def check_index(self, index: Index) -> Tensor:
        """Return an index as an int64 tensor; raise a ValueError outside of 0 … size - 1."""
        return check_index(index, self._numbered())

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw factor values, int64 of shape (n, F), as `sample_index` draws indices."""
        return self._to_factors(self.sample_index(n, generator=generator))

    def sample_index(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw indices, int64 of shape (n,), with replacement."""
        return sample_index(self._numbered(), n, generator)

    def traversal(self, factor: str | int, base: Index) -> Tensor:
        """Return the indices that vary one factor over all values and keep the others of `base`.

        A base of shape (...) gives int64 of shape (..., f).
        """
        f = self.position(factor)
        stride = self.strides[f]
        base = self.check_index(base)
        start = base - (base // stride) % self.sizes[f] * stride
        return start[..., None] + torch.arange(self.sizes[f], device=base.device) * stride

    def traversal_bases(
        self,
        factor: str | int,
        *,
        vary: str | int | Sequence[str | int] | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return, for each traversal of a factor, the index at which the factor is 0.

        The indices are int64, (number of traversals,). They run over the other factors that `vary`
        names, by default all; the rest stay at 0.

        Examples
        --------
        >>> space = FactorSpace(("x", "y", "colour"), (2, 3, 4))
        >>> space.traversal_bases("x", vary=["y"])
        tensor([0, 4, 8])
        """
        vary = [vary] if isinstance(vary, str | int) else vary
        names = range(len(self)) if vary is None else vary
        positions = {self.position(name) for name in names}
        base = torch.zeros(1, dtype=torch.int64, device=device)
        for i in sorted(positions - {self.position(factor)}):
            steps = torch.arange(self.sizes[i], device=device) * self.strides[i]
            base = (base[:, None] + steps).flatten()
        return base

    def spread_bases(
        self, factor: str | int, n: int, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw bases of traversals, int64 of shape (n,), spread evenly over all other factors.

        Each base is uniformly distributed, so averages are unbiased; bases keep away from each
        other, so their variance is smaller. Owen (1997), *Scrambled net variance for integrals of
        smooth functions*.
        """
        f = self.position(factor)
        device = _device_of(generator)
        others = [i for i in range(len(self)) if i != f]
        seed = int(torch.randint(2**31, (), generator=generator, device=device))
        base = torch.zeros(_check.draws("n", n, 0), dtype=torch.int64)
        if others and n:
            engine = torch.quasirandom.SobolEngine(len(others), scramble=True, seed=seed)
            points = engine.draw(n, dtype=torch.float64)
            for i, u in zip(others, points.T, strict=True):
                base += (u * self.sizes[i]).long() * self.strides[i]
        return base.to(device)

    def sample_pairs(
        self, first: Index, *, rule: str = "paper-code", generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, for each index, a second one that shares some factors: Ada-GVAE's supervision.

        Parameters
        ----------
        first : Tensor of int, shape (n,)
            Indices of the pairs' first images.
        rule : {"paper-code", "paper-text"}
            ``"paper-code"``, what the published runs did: draw k' uniformly from 1 … F-1, take
            k = 1 or k = k' with probability one half each, choose k factors, and draw each of them
            anew over *all* its values, so that it may stay the same. ``"paper-text"``, what the
            paper's appendix B.3 says: k uniform in 1 … F, and each of the k chosen factors changes.
        generator : torch.Generator, optional

        Returns
        -------
        Tensor of int64, shape (n,)

        Raises
        ------
        ValueError
            If there is no such rule, an index is out of range, or `first` is not one list.

        References
        ----------
        Michlo, Klein and James (2023), appendix B.3; Locatello et al. (2020), section 5. The
        authors' code: ``disent/dataset/sampling/_groundtruth__pair_orig.py``.

        Examples
        --------
        >>> space = FactorSpace(("x", "y", "colour"), (8, 8, 8))
        >>> seeded = torch.Generator().manual_seed(0)
        >>> space.to_factors(space.sample_pairs([0, 0], generator=seeded))
        tensor([[6, 0, 0],
                [0, 2, 0]])
        """
        _check.one_of("pair rule", rule, PAIR_RULES)
        return self._sample_pairs(flat(self.check_index(first)), rule, generator)

    def _sample_pairs(self, first: Tensor, rule: str, generator: torch.Generator | None) -> Tensor:
        """Do it without a check, which would wait for the GPU."""
        n = len(first)
        F = len(self)
        device = first.device
        sizes = torch.tensor(self.sizes, device=device)
        if rule == "paper-code":
            k = torch.randint(1, max(F, 2), (n,), generator=generator, device=device)
            coin = torch.rand(n, generator=generator, device=device, dtype=torch.float32)
            k = torch.where(coin < 0.5, 1, k)
        else:
            k = torch.randint(1, F + 1, (n,), generator=generator, device=device)
        # the k factors with the lowest random keys are a uniform choice of k out of F
        keys = torch.rand(n, F, generator=generator, device=device, dtype=torch.float32)
        is_drawn = keys.argsort(-1).argsort(-1) < k[:, None]
        uniform = torch.rand(n, F, generator=generator, device=device, dtype=torch.float64)
        factors = self._to_factors(first)
        if rule == "paper-code":
            changed = (uniform * sizes).long()
        else:
            # a step of 1 … f-1 gives another value, unless the factor has only one
            changed = (factors + 1 + (uniform * (sizes - 1)).long()) % sizes
        second = torch.where(is_drawn, changed, factors)
        return (second * torch.tensor(self.strides, device=device)).sum(-1)

    def sample_traversal_pairs(
        self, factor: str | int, n: int, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n pairs of different observations from random traversals of one factor.

        Raises a ValueError if the factor has one value only.
        """
        f = self.position(factor)
        size = self.sizes[f]
        stride = self.strides[f]
        if size < 2:
            raise ValueError(
                f"factor {self.names[f]!r} has one value only, so no two observations differ in it."
            )
        first = self.sample_index(n, generator=generator)
        value = (first // stride) % size
        step = torch.randint(1, size, (n,), generator=generator, device=first.device)
        return first, first + ((value + step) % size - value) * stride


def check_index(index: Index, n: int) -> Tensor:
    """Return an index as an int64 tensor; raise a ValueError outside of 0 … n - 1."""
    if isinstance(index, slice):
        index = range(n)[index]
    index = integers("an index", index)
    outside = (index < 0) | (index >= n)
    if outside.any():
        raise ValueError(
            f"index {int(index[outside][0])} is out of range; "
            f"there are {n} observations, numbered from 0."
        )
    return index


def flat(index: Tensor) -> Tensor:
    """Return an index of shape (n,) or () as (n,); raise a ValueError for any other shape."""
    if index.ndim > 1:
        raise ValueError(
            f"an index must be one list, not of shape {tuple(index.shape)}; give index.flatten()."
        )
    return index.reshape(-1)


def sample_index(size: int, n: int, generator: torch.Generator | None) -> Tensor:
    """Draw n of the numbers 0 … size - 1, with replacement, on the generator's device."""
    n = _check.draws("n", n, 0)
    return torch.randint(size, (n,), generator=generator, device=_device_of(generator))


def _device_of(generator: torch.Generator | None) -> torch.device:
    if not isinstance(generator, torch.Generator | None):
        made = "torch.Generator().manual_seed(0)"
        raise TypeError(f"generator must be a torch.Generator, such as {made}, not {generator!r}.")
    return generator.device if generator is not None else torch.device("cpu")
