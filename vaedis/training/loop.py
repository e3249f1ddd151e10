"""`fit`, and the one training loop behind it, for a single run and for a population.

There is no data loader: images are made, and pairs drawn, on the device that trains. Losses stay
there until they are checked.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from vaedis import _check, data as data_sets, losses
from vaedis.data import FactorData
from vaedis.losses import properties
from vaedis.spec import RunSpec
from vaedis.training import population, rehearsal
from vaedis.training.checkpoint import Checkpoints
from vaedis.training.custom import Custom, check_function, untrained
from vaedis.training.progress import Progress, ctrl_c_waits, progress_line
from vaedis.training.run import Run, TrainingStopped
from vaedis.training.saved import need_storable
from vaedis.training.stateless import need_stateless
from vaedis.training.step import PRECISIONS, arithmetic, on_device, resolve_precision, undisturbed

Callback = Callable[[int, Run], None]

# steps between checks of the loss: each check waits for the device
_CHECK_EVERY = 50


@overload
def fit(spec: RunSpec, **options: Any) -> Run: ...
@overload
def fit(spec: Sequence[RunSpec], **options: Any) -> list[Run]: ...
@undisturbed()  # type: ignore[misc]
def fit(
    spec: RunSpec | Sequence[RunSpec],
    *,
    device: str | torch.device = "auto",
    data: Any = None,
    loss: Any = None,
    model: Any = None,
    objective: Callable[..., Any] | None = None,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    beta: Callable[[int], float] | None = None,
    lr: Callable[[int], float] | None = None,
    precision: str = "auto",
    callback: Callback | None = None,
    every: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    deadline: Callable[[], bool] | None = None,
    progress: bool | None = None,
) -> Run | list[Run]:
    """Train a VAE.

    Parameters
    ----------
    spec : RunSpec or sequence of RunSpec
        A sequence of multi-layer perceptrons (``model="mlp"``) trains at once, as one population:
        their seed, beta, warm-up, learning rate, loss, averaging, pair rule and data may differ,
        but not the sizes of layers and batches. Other sequences train one after the other. If one
        run fails, the others go on.
    device : str or torch.device
        "auto" is CUDA if there is a GPU, and the CPU otherwise.
    data : FactorData, (images, labels), name or path, optional
        A data set of your own, as `data.as_data` takes it. `Run.spec` then names it, and has a key
        of its own.
    loss : str, Loss or function, optional
        A reconstruction loss instead of the one that `spec` names, as `losses.get` takes it.
    model : nn.Module, optional
        A network of your own, with ``encode(x) -> (mean, logvar)`` and ``decode(z)``. A copy is
        trained, `Run.model`, so that the same call gives the same run. Layers that are in
        evaluation mode, as after ``bn.eval()``, stay in it, unless the whole network is.
    objective : callable, optional
        In place of `objectives.beta_vae`, or `objectives.ada_gvae` for pairs: called as
        ``objective(model, x, noise, loss=loss, beta=beta)`` with a whole batch, it returns loss,
        reconstruction loss and KL divergence. It is not copied: an objective that learns keeps its
        state in the next call.
    optimizer : callable, optional
        From the list of parameters to a torch.optim.Optimizer with its own learning rate.
    beta, lr : callable, optional
        Functions of the step alone, counted from 0, that return beta and the learning rate.
    precision : {"auto", "float32", "tf32", "bf16"}
        Of the network's arithmetic; weights and losses are float32. "auto" is "tf32" on a GPU; on a
        CPU, "bf16" for the convolutional network if the CPU has instructions for it, and "float32"
        otherwise. Populations of perceptrons are float32. An objective of your own has it in
        ``encode``, ``decode`` and calls of the network, and not in calls of its parts.
    callback : callable, optional
        Called as ``callback(step, run)`` after each `every` steps, with the run so far and its
        network in evaluation mode. All its runs have the one network that trains on, so copy what
        is to be kept, as by `Run.save`; a callback must not change the network.
    every : int
        At least 1 if there is a callback, which is never called if it is more than the steps.
    checkpoint : path, optional
        Folder for checkpoints of the run, or of the whole population. The last two are kept;
        `forget` removes them. Training continues from a checkpoint with the same specifications,
        or with ones that differ in `steps` alone, and ends with the same bits as if it had never
        stopped; another thread count or version of torch gives a warning. Ctrl-C finishes the step,
        writes a checkpoint, and raises KeyboardInterrupt.
    checkpoint_every : int
        Steps between checkpoints; there is one at the end too.
    deadline : callable, optional
        Asked before each step: training stops as soon as it returns true, with a checkpoint if
        `checkpoint` is given.
    progress : bool, optional
        Whether a line shows loss, images per second and time left. By default it does on a terminal
        and in a notebook, if tqdm is installed and ``TQDM_DISABLE`` is not set.

    Raises
    ------
    TrainingFailed
        If the loss becomes NaN, infinite or larger than 1e20, or one of its parts NaN or infinite.
        In a sequence there is a warning instead; see `Run.failure`.
    TrainingStopped
        If `deadline` returned true.
    ValueError, TypeError
        If something is not as described, or members of a population cannot be stacked; most is
        found before training.
    RuntimeError
        In a process that was forked from one that used several threads of torch.

    Notes
    -----
    Adam with moments .9 and .999, no decay and no clipping, as in the paper's runs. Each epoch
    visits every image once, in a new random order. The same specification, device, precision,
    thread count and version of torch give the same bits. What a network or an objective of your own
    draws from torch's generators follows from the seed too, unless fits run in several threads.

    A checkpoint holds the weights and buffers of a network, and of an optimizer the state of the
    weights and the numbers of their groups. Nothing that decides a step may be kept outside of
    these: not in a scheduler (give ``lr``), in a variable that a callback changes, nor in one that
    a hook counts. So with a checkpoint and
    something of your own, copies of the run first take eight steps, without a stop and with two;
    if they end differently, `fit` refuses. How these steps go also tells a checkpoint of this run
    from one that was made with other code or numbers.

    Examples
    --------
    >>> options = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
    >>> spec = RunSpec(data_options=options, model="mlp", latents=2, steps=5, batch=9)
    >>> fit(spec, device="cpu").steps_taken
    5
    >>> [run.spec.seed for run in fit([spec, spec.replace(seed=1)], device="cpu")]
    [0, 1]
    """
    _check.one_of("precision", precision, PRECISIONS)
    _check.count("checkpoint_every", checkpoint_every)
    progress = _check.flag_or_none("progress", progress)
    if device is None:
        raise TypeError("device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not None.")
    check_function("callback", callback)
    check_function("deadline", deadline)
    if _check.count("every", every, 0) == 0 and callback is not None:
        raise ValueError(
            "There is a callback, but every is 0; "
            "say after how many steps it is to be called, for instance every=100."
        )
    custom = Custom(model, objective, optimizer, beta, lr)
    specs = list(spec) if isinstance(spec, Iterable) else [spec]
    is_other = isinstance(spec, str | bytes | Mapping)
    if is_other or not all(isinstance(one, RunSpec) for one in specs):
        raise TypeError(
            f"fit takes a RunSpec or a sequence of them, not {type(spec).__name__}; "
            "a data set of your own goes as in fit(RunSpec(...), data=mine)."
        )
    if custom.names and not isinstance(spec, RunSpec):
        raise ValueError(
            f"{custom.names[0]} is given to one run, and this is a sequence; call fit for each."
        )
    if loss is not None:
        loss = loss if isinstance(loss, str) else losses.get(loss)
        specs = [one.replace(loss=loss, loss_options={}) for one in specs]
    specs = [custom.named_in(one) for one in specs]
    train = functools.partial(
        _train,
        custom=custom,
        device=device,
        data=None if data is None else data_sets.as_data(data),
        precision=precision,
        callback=callback,
        every=every,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        deadline=deadline,
        show_progress=progress,
    )
    if isinstance(spec, RunSpec):
        (run,) = train(specs, stacked=False)
        if run.failure is not None:
            raise run.failure
        return run
    runs: list[Run] = []
    if any(one.model == "mlp" for one in specs):
        runs = train(specs, stacked=True)
    else:
        try:
            for one in specs:
                runs += train([one], stacked=False)
        except TrainingStopped as stopped:
            stopped.runs = runs
            raise
    for number, run in enumerate(runs, 1):
        if run.failure is not None:
            warnings.warn(
                f"Run {number} of {len(runs)} failed: {run.failure}",
                RuntimeWarning,
                stacklevel=3,
            )
    return runs


def _train(
    specs: list[RunSpec],
    *,
    stacked: bool,
    custom: Custom,
    device: str | torch.device,
    data: FactorData | None,
    precision: str,
    checkpoint: str | Path | None,
    show_progress: bool | None,
    **options: Any,
) -> list[Run]:
    """Train one run, or a population if `stacked`; runs that failed have their `failure` set."""
    device = data_sets.resolve_device(device)
    if stacked:
        population.check_shared(specs)
        if precision not in ("auto", "float32"):
            raise ValueError(
                f"A population of perceptrons is trained in float32, not {precision!r}; "
                "use 'auto', or train one by one."
            )
        precision = "float32"
    else:
        precision = resolve_precision(precision, device, specs[0].model)
    runs = untrained(specs, device, data, precision, custom)
    files = None
    if checkpoint is not None:
        if custom.model is not None:
            network = runs[0].model
            state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
            need_storable(state, "have a checkpoint")
            need_stateless(runs[0])
        files = Checkpoints(
            checkpoint, specs if stacked else specs[0], runs[0].data, precision, data is not None
        )
    with on_device(device), arithmetic(precision):
        if files is not None:
            names = [*custom.names, *{"loss" for run in runs if properties.is_own(run.loss)}]
            names += ["data"] if data is not None else []
            if names:
                files.rehearsal = rehearsal.rehearse(runs, custom, names, stacked=stacked)
        progress = Progress(runs, custom, files, stacked=stacked)
        with (
            ctrl_c_waits(files is not None) as interrupted,
            progress_line(progress, show_progress) as show_step,
        ):
            _take_steps(progress, interrupted, show_step, **options)
    return progress.finished()


def _take_steps(
    progress: Progress,
    interrupted: Callable[[], bool],
    show_step: Callable[[], None],
    *,
    callback: Callback | None,
    every: int,
    checkpoint_every: int,
    deadline: Callable[[], bool] | None,
) -> None:
    """Take the steps that are left, until the last, a stop, or the failure of all members."""
    started = time.perf_counter()
    while not progress.has_ended():
        by_hand = interrupted()
        if by_hand or (deadline is not None and deadline()):
            progress.check_finite()
            progress.seconds += time.perf_counter() - started
            if progress.training:
                _stop(progress, by_hand)
            return
        progress.take_step()
        show_step()
        step = progress.steps_taken
        is_called = every > 0 and step % every == 0
        is_saved = step % checkpoint_every == 0 or step == progress.last_step
        if not (is_called or is_saved or step % _CHECK_EVERY == 0):
            continue
        progress.check_finite()
        if is_called or is_saved or not progress.training:
            progress.seconds += time.perf_counter() - started
            if callback is not None and is_called:
                progress.call(callback)
            # after the callback: a run that is killed between the two resumes before it
            if is_saved and progress.training:
                progress.save()
            started = time.perf_counter()


def _stop(progress: Progress, by_hand: bool) -> None:
    """Write a checkpoint, and raise what ends training early."""
    stopped = TrainingStopped(
        progress.runs[0].spec,
        progress.steps_taken,
        progress.save(),
        len(progress.runs),
        "by Ctrl-C" if by_hand else "since the time was up",
    )
    raise KeyboardInterrupt(str(stopped)) if by_hand else stopped
