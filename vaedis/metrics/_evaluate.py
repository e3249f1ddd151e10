"""Several scores at once: of codes and factors, or of a model by the published protocols."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import LabelledImages, as_data
from vaedis.metrics._batches import beta_vae, factor_vae
from vaedis.metrics._dci import dci
from vaedis.metrics._encoder import encoder
from vaedis.metrics._infomec import infomec
from vaedis.metrics._inputs import SAMPLES_PER_VALUE, as_pair
from vaedis.metrics._latents import irs, mcc
from vaedis.metrics._mig import mig, mig_quantile, modularity
from vaedis.metrics._paths import factored_components, flatness, rank_correlations
from vaedis.metrics._regression import explicitness, r2, sap
from vaedis.metrics._scores import Score, Scores

# Data sets with fewer images than the full protocols draw are used without replacement.
_EACH_ONCE = 15_000

# Makes the shuffles unlike those of a caller who has the same seed.
_SHUFFLE = 21

# Published numbers of samples to train and to test on, in the full and the fast protocol.
PROTOCOLS = {
    "mig": {"full": (10_000, 0), "fast": (2_000, 0)},
    "mig_quantile": {"full": (10_000, 0), "fast": (2_000, 0)},
    "dci": {"full": (10_000, 5_000), "fast": (1_000, 500)},
    "sap": {"full": (10_000, 5_000), "fast": (2_000, 1_000)},
    "modularity": {"full": (10_000, 0), "fast": (2_000, 0)},
    "explicitness": {"full": (10_000, 5_000), "fast": (1_000, 500)},
    "infomec": {"full": (10_000, 0), "fast": (2_000, 0)},
    "irs": {"full": (10_000, 0), "fast": (2_000, 0)},
    "mcc": {"full": (10_000, 0), "fast": (2_000, 0)},
    "r2": {"full": (10_000, 5_000), "fast": (2_000, 1_000)},
}
SCORES: dict[str, Callable[..., Score]] = {
    "mig": mig,
    "mig_quantile": mig_quantile,
    "dci": dci,
    "sap": sap,
    "modularity": modularity,
    "explicitness": explicitness,
    "infomec": infomec,
    "irs": irs,
    "mcc": mcc,
    "r2": r2,
    "factor_vae": factor_vae,
    "beta_vae": beta_vae,
    "flatness": flatness,
    "factored_components": factored_components,
    "rank_correlations": rank_correlations,
}
"""Every score of codes and factors, by name."""


def score(
    codes: Any,
    factors: Any,
    *,
    metrics: str | Callable[..., Any] | Iterable[str | Callable[..., Any]] = tuple(SCORES),
    seed: int = 0,
    shuffles: int = 1,
) -> Scores:
    """Compute every score of the same codes and factors, or some of them.

    Scores that need batches with a fixed factor take them from the rows. A score that refuses these
    codes and factors is listed as missing, with the sentence that says why; if none is left, that
    sentence is the error.

    Few scores are 0 for codes without information, and of few samples hardly any is. So each is
    computed again for the same codes in random order, and shown in parentheses: a score means
    something only as far as it is above that.

    Parameters
    ----------
    codes, factors, seed
        See `vaedis.metrics`. Most scores take integer factors only.
    metrics : iterable of str or callable
        Names in `SCORES`, all by default, and scores of your own: functions of codes (n, z) and
        factors (n, f), two arrays, that return a number or a `Score`.
    shuffles : int
        How often to score the codes in random order; each takes as long as the scores themselves.

    Returns
    -------
    Scores
        A dict of names and scores that prints as a table; those in random order are in `shuffled`.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 25)
    >>> def spread(codes, factors):
    ...     return codes.std()
    >>> vd.metrics.score(factors * 1.0, factors, metrics=["mig", "sap", "infomec", spread])
              score  (shuffled)
    mig       1.000     (0.011)  noise_floor 0.02 (0.01)
    sap       0.545     (0.121)
    infomec   1.000     (0.500)  modularity 1.00 (0.50), compactness 1.00 (0.50),
                                 explicitness 1.00 (0.02)
    spread    0.500     (0.500)
    """
    code_array, factor_array = as_pair(codes, factors, allow_real=True, keep_whole=True)
    _check.count("seed", seed, 0)
    _check.count("shuffles", shuffles, 0)
    functions = _by_name(metrics)
    scores, refusals = _scores_of(functions, code_array, factor_array, seed)
    if refusals and not scores:
        raise next(iter(refusals.values()))
    computed = {name: functions[name] for name in scores}
    generator = np.random.default_rng([seed, _SHUFFLE])
    shuffled = []
    for _ in range(shuffles):
        order = generator.permutation(len(code_array))
        with warnings.catch_warnings():
            # what there is to say of these codes has been said
            warnings.simplefilter("ignore", UserWarning)
            shuffled.append(_scores_of(computed, code_array[order], factor_array, seed)[0])
    return Scores(scores, {name: str(why) for name, why in refusals.items()}, shuffled)


def _scores_of(
    functions: dict[str, Callable[..., Any]], codes: np.ndarray, factors: np.ndarray, seed: int
) -> tuple[dict[str, Score], dict[str, Exception]]:
    """Return the scores of codes by name, and the errors of those that refuse them."""
    scores = {}
    refusals: dict[str, Exception] = {}
    for name, compute in functions.items():
        if name not in SCORES:
            # a copy, as it may change what it gets
            scores[name] = _custom_score(name, compute(codes.copy(), factors.copy()))
            continue
        try:
            scores[name] = compute(codes, factors, seed=seed)
        except (ValueError, ImportError) as refusal:
            refusals[name] = refusal
    return scores, refusals


def _by_name(metrics: Any) -> dict[str, Callable[..., Any]]:
    """Return the functions of named scores and of the caller's own, each by its name."""
    functions: dict[str, Callable[..., Any]] = {}
    listed = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
    if not isinstance(listed, Iterable):
        raise TypeError(
            f"metrics must be names of scores and functions of codes and factors, not {metrics!r}."
        )
    metric: Any
    for metric in listed:
        is_ours = metric in SCORES.values()
        if callable(metric) and not is_ours:
            name = getattr(metric, "__name__", type(metric).__name__)
            if name in SCORES or functions.get(name, metric) is not metric:
                raise ValueError(f"two scores are called {name!r}: give yours another name.")
            functions[name] = metric
        else:
            name = _check.one_of("metric", getattr(metric, "__name__", metric), SCORES)
            functions[name] = SCORES[name]
    return functions


def _custom_score(name: str, value: Any) -> Score:
    """Return what a caller's own score returned as a Score."""
    if isinstance(value, Score):
        return value
    if np.ndim(value) or not isinstance(value := np.asarray(value).item(), numbers.Real):
        raise TypeError(f"{name} must return a number or a Score, not a {type(value).__name__}.")
    return Score(float(value), (), ())


def evaluate(
    model: Any,
    data: Any,
    *,
    metrics: Iterable[str] = ("mig", "dci"),
    protocol: str = "full",
    seed: int = 0,
    normalize: bool | None = None,
) -> dict[str, Score]:
    """Score a model's representation of a data set by the published protocols.

    Observations are drawn uniformly with replacement, as published; the posterior mean is the
    representation. A `data.LabelledImages`, and any data of fewer than 15,000 images, are used
    without replacement instead, so that no image is both trained and tested on; if images are too
    few, they are shared in the protocol's proportion.

    Source: Michlo, Klein and James (2023), section 5; protocols from the authors'
    ``disent/metrics``.

    Parameters
    ----------
    model : nn.Module, object or callable
        An object with ``encode(x)``, or such a function. It returns means of shape (B, z): as a
        tensor, as the first item of a tuple such as ``(mean, logvar)``, as ``embedding`` of an
        object or a mapping, or as a torch Distribution. An nn.Module is put into evaluation mode
        meanwhile, and gets observations on its device and in its precision. A model is refused if
        it gives an image other codes when it is asked again, as one that samples does, or beside
        other images, as one with statistics of the batch does.
    data : FactorData, (images, labels) or object
        Whatever `data.as_data` takes, or an object with ``factors``, a `FactorSpace`, and
        ``observations(index) -> (B, C, H, W)``.
    metrics : iterable of str
        Any of mig, mig_quantile, dci, sap, modularity, explicitness, infomec, irs, mcc and r2.
    protocol : {"full", "fast"}
        Published numbers of samples: "full" is 10,000 for MIG, and 10,000 to train and 5,000 to
        test for DCI; "fast" is 2,000, and 1,000 and 500. Scores of the two are not comparable.
    seed : int
        Seed of the draw and of each score.
    normalize : bool or None
        Whether the model gets normalized images. None is as `fit` trained the network, and True for
        a function, of which nothing says how its network was trained.

    Returns
    -------
    dict of str to Score

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> labels = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> images = np.zeros((16, 2, 2), np.uint8)
    >>> images[:, 0] = 80 * labels
    >>> corners = lambda x: x[:, 0, 0]
    >>> scores = vd.metrics.evaluate(corners, (images, labels), metrics=["mig"], protocol="fast")
    >>> print(f"{scores['mig'].score:.2f} of {scores['mig'].n_samples} images")
    1.00 of 16 images
    """
    data = as_data(data)
    names = list(dict.fromkeys(_check.listed(metrics)))
    for name in names:
        _check.one_of("metric", name, PROTOCOLS)
    _check.one_of("protocol", protocol, ("full", "fast"))
    _check.seed(seed)
    if not names:
        return {}
    index, counts = _draw(names, data, protocol, seed)
    if normalize is not None:
        normalize = _check.flag("normalize", normalize)
    codes = encoder(model, data, normalize)(index)
    # images that are no grid have labels of their own
    factors = (data.factors if getattr(data, "grid", True) else data).to_factors(index)
    scores = {}
    for name, (n_train, n_test) in counts.items():
        test = slice(n_train, n_train + n_test)
        options = {"test": (codes[test], factors[test])} if n_test else {}
        scores[name] = SCORES[name](codes[:n_train], factors[:n_train], **options, seed=seed)
    return scores


def _draw(
    names: list[str], data: Any, protocol: str, seed: int
) -> tuple[Tensor, dict[str, tuple[int, int]]]:
    """Return the indices to encode, and how many of them each score trains and tests on."""
    counts = {name: PROTOCOLS[name][protocol] for name in names}
    generator = torch.Generator().manual_seed(int(seed))
    is_grid = getattr(data, "grid", True)
    n_images = data.factors.size if is_grid else len(data)
    if not is_grid or n_images < _EACH_ONCE or isinstance(data, LabelledImages):
        counts = {name: _share(name, n, n_images, data.factors) for name, n in counts.items()}
        index = torch.randperm(n_images, generator=generator)
    else:
        # As many as the largest score needs, so that a score is the same whichever others are
        # computed beside it.
        largest = max(sum(count[protocol]) for count in PROTOCOLS.values())
        index = data.factors.sample_index(largest, generator=generator)
    return index[: max(sum(count) for count in counts.values())], counts


def _share(name: str, limits: tuple[int, int], n_images: int, space: Any) -> tuple[int, int]:
    """Return how many images to train and to test on, in the protocol's proportion at most."""
    total = sum(limits)
    n = min(n_images, total)
    n_test = n * limits[1] // total
    n_train = n - n_test
    n_values = max(space.sizes)
    n_needed = SAMPLES_PER_VALUE * n_values
    if n_train < n_needed:
        fewest = -(-n_needed * total // limits[0])
        remedy = f", or give at least {fewest:,} images" if n_needed <= limits[0] else ""
        raise ValueError(
            f"{name} of {n_images:,} images is computed from {n_train:,} of them, but factor "
            f"{space.names[space.sizes.index(n_values)]!r} has {n_values:,} values and needs at "
            f"least {n_needed:,}: group its values into fewer classes{remedy}."
        )
    return n_train, n_test
