"""Ground-truth factors: names, sizes, index arithmetic, and how observations and pairs of them are
drawn.

A data set with factors of sizes ``(f_1, ..., f_F)`` holds one observation for each combination.
Observations are numbered in C-order: the first factor changes slowest, the last one fastest.
Everything here is integer arithmetic on tensors and runs on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaedis import _check
from vaedis.spec import PAIR_RULES


@dataclass(frozen=True)
class FactorSpace:
    """The grid of all combinations of ground-truth factors.

    Parameters
    ----------
    names : sequence of str
        The factors' names, slowest first.
    sizes : sequence of int
        How many values each factor has, at least 1 each.

    Examples
    --------
    >>> space = FactorSpace(("x", "y"), (3, 4))
    >>> space.to_index(torch.tensor([[2, 1]]))
    tensor([9])
    >>> space.traversal("x", torch.tensor(1))
    tensor([1, 5, 9])
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __init__(self, names: Sequence[str], sizes: Sequence[int]):
        if len(names) != len(sizes) or not names:
            raise ValueError(
                f"names and sizes must have the same length of at least 1, not {len(names)} and {len(sizes)}."
            )
        if len(set(names)) != len(names):
            raise ValueError(f"factor names must differ from each other, not {tuple(names)}.")
        object.__setattr__(self, "names", tuple(names))
        object.__setattr__(
            self,
            "sizes",
            tuple(
                _check.count(f"the size of factor {n!r}", s)
                for n, s in zip(names, sizes, strict=True)
            ),
        )

    def __len__(self) -> int:
        """How many factors there are."""
        return len(self.sizes)

    @property
    def size(self) -> int:
        """How many observations there are: the product of the sizes."""
        return math.prod(self.sizes)

    @property
    def strides(self) -> tuple[int, ...]:
        """How far apart, in index, two observations are that differ by one step of each factor."""
        return tuple(math.prod(self.sizes[i + 1 :]) for i in range(len(self)))

    def position(self, factor: str | int) -> int:
        """Return the position of a factor given by name or position; a ValueError lists the names."""
        if isinstance(factor, str):
            return self.names.index(_check.one_of("factor", factor, self.names))
        if factor not in range(len(self)):
            raise ValueError(
                f"Factor {factor} is out of range; there are {len(self)}: {', '.join(self.names)}."
            )
        return int(factor)

    def to_index(self, factors: Tensor) -> Tensor:
        """Return the index of each row of factor values.

        Parameters
        ----------
        factors : Tensor of int, shape (..., F)

        Returns
        -------
        Tensor of int64, shape (...)

        Raises
        ------
        ValueError
            If a value lies outside its factor's range or is not of an integer type, or the last
            axis is not F long.
        """
        factors = integers("factors", factors)
        if factors.ndim == 0 or factors.shape[-1] != len(self):
            raise ValueError(
                f"factors must have {len(self)} columns ({', '.join(self.names)}), not the shape {tuple(factors.shape)}."
            )
        sizes = torch.tensor(self.sizes, device=factors.device)
        bad = (factors < 0) | (factors >= sizes)
        if bad.any():
            where = bad.nonzero()[0]
            f = int(where[-1])
            value = factors[tuple(where.tolist())].item()
            raise ValueError(
                f"factor {self.names[f]!r} is {value}; it runs from 0 to {self.sizes[f] - 1}."
            )
        return self._to_index(factors)

    def _to_index(self, factors: Tensor) -> Tensor:
        strides = torch.tensor(self.strides, device=factors.device)
        return (factors.long() * strides).sum(-1)

    def check_index(self, index: Tensor) -> Tensor:
        """Return `index` as an int64 tensor; raise a ValueError if one lies outside 0 … size - 1."""
        index = integers("an index", index)
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= self.size):
            bad = index[(index < 0) | (index >= self.size)].flatten()[0].item()
            raise ValueError(
                f"index {bad} is out of range; there are {self.size} observations, numbered from 0."
            )
        return index

    def to_factors(self, index: Tensor) -> Tensor:
        """Return the factor values of each index: the inverse of `to_index`.

        Parameters
        ----------
        index : Tensor of int, shape (...)

        Returns
        -------
        Tensor of int64, shape (..., F)
        """
        return self._to_factors(self.check_index(index))

    def _to_factors(self, index: Tensor) -> Tensor:
        columns = [
            (index // stride) % size for stride, size in zip(self.strides, self.sizes, strict=True)
        ]
        return torch.stack(columns, -1)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw factor values uniformly and independently, with replacement.

        Parameters
        ----------
        n : int
        generator : torch.Generator, optional
            Fixes the draw, and with it the device.

        Returns
        -------
        Tensor of int64, shape (n, F)
        """
        return self._to_factors(self.sample_index(n, generator=generator))

    def sample_index(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw indices uniformly and independently, with replacement: Tensor of int64, shape (n,)."""
        _check.count("n", n, 0)
        return torch.randint(self.size, (n,), generator=generator, device=_device_of(generator))

    def traversal(self, factor: str | int, base: Tensor | int) -> Tensor:
        """Return the indices that vary one factor over all its values and keep the others of `base`.

        Parameters
        ----------
        factor : str or int
        base : int or Tensor of int, shape (...)

        Returns
        -------
        Tensor of int64, shape (..., f)
        """
        f = self.position(factor)
        stride, size = self.strides[f], self.sizes[f]
        base = self.check_index(torch.as_tensor(base))
        start = base - (base // stride) % size * stride
        return start[..., None] + torch.arange(size, device=base.device) * stride

    def traversal_bases(
        self,
        factor: str | int,
        *,
        vary: Sequence[str | int] | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return one index for each traversal of a factor, those where the factor is 0.

        Parameters
        ----------
        factor : str or int
        vary : sequence of (str or int), optional
            Names or positions of the other factors to run over; the rest stay at 0. By default all
            of them: every traversal of the data set.
        device : torch.device or str

        Returns
        -------
        Tensor of int64, shape (number of traversals,)
        """
        f = self.position(factor)
        vary = [vary] if isinstance(vary, str) else vary
        names = range(len(self)) if vary is None else vary
        others = sorted({self.position(name) for name in names} - {f})
        base = torch.zeros(1, dtype=torch.int64, device=device)
        for i in others:
            steps = torch.arange(self.sizes[i], device=device) * self.strides[i]
            base = (base[:, None] + steps).flatten()
        return base

    def spread_bases(
        self, factor: str | int, n: int, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw bases of traversals that are spread evenly over the values of all other factors:
        randomised quasi-Monte Carlo.

        Each is uniformly distributed, so that averages over them are unbiased, but they are not
        independent: they avoid each other, and averages vary less, far less if one or two factors
        matter most.

        Parameters
        ----------
        factor : str or int
            The factor of the traversals; it is 0 in all of them.
        n : int
        generator : torch.Generator, optional
            Fixes the draw, and with it the device.

        Returns
        -------
        Tensor of int64, shape (n,)

        References
        ----------
        Owen (1997), *Scrambled net variance for integrals of smooth functions*. The points are
        `torch.quasirandom.SobolEngine`'s.
        """
        f, device = self.position(factor), _device_of(generator)
        others = [i for i in range(len(self)) if i != f]
        seed = int(torch.randint(2**31, (), generator=generator, device=device))
        base = torch.zeros(_check.count("n", n, 0), dtype=torch.int64)
        if others and n:
            points = torch.quasirandom.SobolEngine(len(others), scramble=True, seed=seed).draw(
                n, dtype=torch.float64
            )
            for i, u in zip(others, points.T, strict=True):
                base += (u * self.sizes[i]).long() * self.strides[i]
        return base.to(device)

    def sample_pairs(
        self, first: Tensor, *, rule: str = "paper-code", generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw, for each index, a second one that shares some of its factors: the weak supervision of
        Ada-GVAE.

        Parameters
        ----------
        first : Tensor of int64, shape (n,)
            Indices of the pairs' first images.
        rule : {"paper-code", "paper-text"}
            ``"paper-code"``, what the published runs did: draw k' uniformly from 1 … F-1, take k =
            1 or k = k' with probability one half each, choose k factors, and draw each of them anew
            over *all* its values, so that it may stay what it was. ``"paper-text"``, what the
            paper's appendix B.3 says: k uniform in 1 … F, and each of the k chosen factors really
            changes.
        generator : torch.Generator, optional

        Returns
        -------
        Tensor of int64, shape (n,)

        Raises
        ------
        ValueError
            If there is no such rule, an index is out of range, or `first` is not one list of them.

        References
        ----------
        Michlo, Klein and James (2023), appendix B.3; Locatello et al. (2020), section 5. The
        authors' code: ``disent/dataset/sampling/_groundtruth__pair_orig.py``.
        """
        _check.one_of("pair rule", rule, PAIR_RULES)
        return self._sample_pairs(flat(self.check_index(first)), rule, generator)

    def _sample_pairs(self, first: Tensor, rule: str, generator: torch.Generator | None) -> Tensor:
        n, F, device = len(first), len(self), first.device
        sizes = torch.tensor(self.sizes, device=device)
        if rule == "paper-code":
            k = torch.randint(1, max(F, 2), (n,), generator=generator, device=device)
            k = torch.where(
                torch.rand(n, generator=generator, device=device, dtype=torch.float32) < 0.5, 1, k
            )
        else:
            k = torch.randint(1, F + 1, (n,), generator=generator, device=device)
        # the k factors with the lowest random keys are a uniform choice of k out of F
        keys = torch.rand(n, F, generator=generator, device=device, dtype=torch.float32)
        chosen = keys.argsort(-1).argsort(-1) < k[:, None]
        uniform = torch.rand(n, F, generator=generator, device=device, dtype=torch.float64)
        factors = self._to_factors(first)
        # anew over all values; or a step of 1 … f-1, so that the value differs, which a factor of
        # one value cannot
        stepped = (factors + 1 + (uniform * (sizes - 1)).long()) % sizes
        drawn = (uniform * sizes).long() if rule == "paper-code" else stepped
        return self._to_index(torch.where(chosen, drawn, factors))

    def sample_traversal_pairs(
        self, factor: str | int, n: int, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw pairs of different observations from random traversals of one factor.

        Parameters
        ----------
        factor : str or int
            A factor with at least two values.
        n : int
        generator : torch.Generator, optional

        Returns
        -------
        pair of Tensor of int64, shape (n,)
        """
        f = self.position(factor)
        size, stride = self.sizes[f], self.strides[f]
        if size < 2:
            raise ValueError(
                f"factor {self.names[f]!r} has one value only, so no two observations differ in it."
            )
        first = self.sample_index(n, generator=generator)
        value = (first // stride) % size
        step = torch.randint(1, size, (n,), generator=generator, device=first.device)
        return first, first + ((value + step) % size - value) * stride


def integers(what: str, values: Tensor) -> Tensor:
    """Return values as an int64 tensor; raise a ValueError if they are not of an integer type."""
    if isinstance(values, list | tuple) and not values:
        return torch.zeros(0, dtype=torch.int64)
    values = torch.as_tensor(values)
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{what} must be of an integer type, not {values.dtype}.")
    return values.long()


def flat(index: Tensor) -> Tensor:
    """Return an index as it is; raise a ValueError if its shape is not (n,)."""
    if index.ndim != 1:
        mended = "index.flatten()" if index.ndim else "a list of it, [index]"
        raise ValueError(
            f"an index must be one list, of shape (n,), not of shape {tuple(index.shape)}; give {mended}."
        )
    return index


def _device_of(generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")
