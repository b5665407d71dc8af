"""What the report asks: a disordered valve versus angle, spacer thickness and disorder, and one magnet alone.

Every study samples a lattice and its parts, builds the models from the parts, and returns comparisons. SI, per area.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from qtorque.diffusion import Interface, Layer, Multilayer, Reservoir, interface_from, solve_multilayer
from qtorque.diffusion.elements import Element
from qtorque.extraction import without_sharvin_resistance
from qtorque.interfaces import InterfaceParameters
from qtorque.parallel import Checkpoint
from qtorque.units import conductance_per_area
from qtorque.validation.comparison import FAILS, Comparison, Verdict, judge, nearest
from qtorque.validation.models import (
    QUANTITIES,
    UP,
    mean_free_path,
    predictions,
    spacer_resistance,
    valve,
    without_transmission,
)
from qtorque.validation.samples import (
    CONDUCTANCE_UNIT,
    TORKANCE_UNIT,
    Build,
    Estimate,
    jackknife,
    mean_parameters,
    slab_samples,
    valve_samples,
)
from qtorque.validation.user_table import QUANTITIES as USER_QUANTITIES
from qtorque.validation.user_table import UserTable

CIRCUIT = "circuit theory, Sharvin-corrected"
UNCORRECTED = "circuit theory without Sharvin correction"
THICK = "circuit theory of thick magnets"
DIFFUSION = "drift-diffusion, one resistivity"
NO_CORRECTION = "no Sharvin correction: the contact resistance of ballistic leads is counted between diffusive metals"
THICK_MAGNET = "thin magnet: transverse spin passes through it, and the model has none transmitted"
OHMIC = "one resistivity: the resistance of the spacer is not proportional to its thickness"
BALLISTIC = "the spacer is shorter than a mean free path (t/l = {:.2g}), momenta are not randomised"
UNEXPLAINED = "none of the assumptions tested here (t/l = {:.2g}); memory of momenta, interference, a small supercell"
LABELS = {
    "conductance": "conductance",
    "magnetoresistance": "angular magnetoresistance",
    "damping_like": "damping-like torque, free",
    "field_like": "field-like torque, free",
    "damping_like_fixed": "damping-like torque, fixed",
    "field_like_fixed": "field-like torque, fixed",
}
"""What the quantities are called in the report."""
ROWS = (*QUANTITIES, "magnetoresistance")
"""What is compared, in the order of the arrays."""
UNITS = {"conductance": CONDUCTANCE_UNIT, "magnetoresistance": "1"}
USER_LABELS = {
    "conductance": "conductance",
    "torque": "damping-like torque",
    "torque_efficiency": "damping-like torque per current",
}
"""What the columns of a user's table are called."""
WHOLE_TORQUE = "the whole torque"
WHOLE_MIXING = "|g_mix|"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many configurations of the valve and of its parts, on meshes of how many momenta a side; seed and energy.

    The parts of a configuration are the same samples as in its valve, at the same momenta: what chance does to both
    cancels in their difference.
    """

    configurations: int
    momenta: int
    seed: int
    energy: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Parts:
    """Scattering values of the two magnets, each a slab between normal leads, configuration by configuration."""

    fixed: list[InterfaceParameters]
    free: list[InterfaceParameters]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """Where a study runs: ranks, checkpoint, and whether it tells how far it is."""

    comm: object = None
    checkpoint: Checkpoint | None = None
    progress: bool = False

    def arguments(self, name: str, label: str) -> dict:
        """For functions that sample."""
        part = self.checkpoint.part(name) if self.checkpoint else None
        return {"comm": self.comm, "checkpoint": part, "progress": label if self.progress else None}


def sample_magnet(build: Build, name: str, sampling: Sampling, run: Run) -> list[InterfaceParameters]:
    """One magnet of the valve, "fixed" or "free", alone."""
    other = {"fixed": "free", "free": "fixed"}[name]
    alone = functools.partial(build, spacer_layers=0, **{f"{other}_layers": 0})
    return _parts(alone, sampling, run, name, f"{name} magnet")


def sample_parts(build: Build, sampling: Sampling, run: Run) -> Parts:
    """Both magnets of the valve, alone."""
    return Parts(**{name: sample_magnet(build, name, sampling, run) for name in ("fixed", "free")})


def sample_spacer(build: Build, sampling: Sampling, run: Run, name: str, **changed) -> list[InterfaceParameters]:
    """The spacer alone, some parameters of its build() changed; a `name` for its checkpoint."""
    alone = functools.partial(build, fixed_layers=0, free_layers=0, **changed)
    return _parts(alone, sampling, run, name, name)


def sample_composite(build: Build, sampling: Sampling, run: Run) -> list[InterfaceParameters]:
    """The spacer and the free magnet behind it, without the fixed one: N|F|N."""
    alone = functools.partial(build, fixed_layers=0)
    return _parts(alone, sampling, run, "composite", "spacer and free magnet")


def _parts(build: Build, sampling: Sampling, run: Run, name: str, label: str) -> list[InterfaceParameters]:
    return slab_samples(
        build, configurations=sampling.configurations, momenta=sampling.momenta,
        seed=sampling.seed, energy=sampling.energy, **run.arguments(name, label),
    )  # fmt: skip


def sample_valve(
    build: Build, angle: Sequence[float], sampling: Sampling, run: Run, name: str = "valve", **changed
) -> xr.Dataset:
    """The whole valve, some parameters of its build() changed."""
    return valve_samples(
        functools.partial(build, **changed), angle=angle, configurations=sampling.configurations,
        momenta=sampling.momenta, seed=sampling.seed, energy=sampling.energy, **run.arguments(name, name),
    )  # fmt: skip


def measured(samples: xr.Dataset) -> Estimate:
    """Means over the configurations of `ROWS`, shape (rows, angles).

    The magnetoresistance is R(angle)/R(first angle) - 1 of the mean conductances.
    """
    stacked = np.stack([samples[name].values for name in QUANTITIES], axis=1)

    def means(rows) -> np.ndarray:
        return _with_magnetoresistance(np.mean(rows, axis=0))

    return jackknife(means, list(stacked))


def _with_magnetoresistance(quantities: np.ndarray) -> np.ndarray:
    """(quantities, angles) with one more row, R(angle)/R(first) - 1."""
    return np.concatenate([quantities, quantities[:1, :1] / quantities[:1] - 1])


def angular_models(
    parts: Parts,
    spacers: Mapping[float, list[InterfaceParameters]],
    spacer: list[InterfaceParameters],
    thickness: float,
    angle: Sequence[float],
) -> dict[str, Estimate]:
    """Every model, shape (rows, angles) as `measured`.

    Parameters
    ----------
    spacers
        Samples by thickness (m): the one resistivity of all but this valve's own is that of the drift-diffusion model,
        which is left out where there is no other.
    spacer, thickness
        The spacer of this valve; its own resistance is that of circuit theory.
    """

    def layer(resistance: float) -> Layer:
        return Layer(thickness=thickness, rho_star=resistance / thickness, name="spacer")

    def model(change: Callable[[InterfaceParameters], InterfaceParameters], *, sharvin_corrected: bool = True):
        def values(fixed, free, alone) -> np.ndarray:
            resistance = spacer_resistance(mean_parameters(alone))
            left, right = change(mean_parameters(fixed)), change(mean_parameters(free))
            stack = valve(left, right, layer(resistance), sharvin_corrected=sharvin_corrected)
            return _with_magnetoresistance(predictions(stack, angle))

        return jackknife(values, parts.fixed, parts.free, spacer)

    def unchanged(parameters: InterfaceParameters) -> InterfaceParameters:
        return parameters

    # A model that knew the resistance of this very spacer would repeat circuit theory.
    others = {t: rows for t, rows in spacers.items() if rows is not spacer}

    def diffusive(fixed, free, *alone) -> np.ndarray:
        rho = float(resistivity_of(others)(*alone))
        stack = valve(mean_parameters(fixed), mean_parameters(free), layer(rho * thickness))
        return _with_magnetoresistance(predictions(stack, angle))

    found = {CIRCUIT: model(unchanged)}
    if others:
        found[DIFFUSION] = jackknife(diffusive, parts.fixed, parts.free, *(others[t] for t in sorted(others)))
    found[UNCORRECTED] = model(unchanged, sharvin_corrected=False)
    found[THICK] = model(without_transmission)
    return found


ASSUMPTIONS = {CIRCUIT: "", UNCORRECTED: NO_CORRECTION, THICK: THICK_MAGNET, DIFFUSION: OHMIC}
"""What each model takes for granted and the first does not."""


def mean_free_paths(spacer: list[InterfaceParameters], thickness: float) -> float:
    """Thickness (m) of a spacer over its mean free path."""
    mean = mean_parameters(spacer)
    return thickness / mean_free_path(spacer_resistance(mean), thickness, sum(mean.sharvin_left), mean.area)


def regime(ratio: float) -> str:
    """Why circuit theory itself may fail, for a spacer of so many mean free paths."""
    return (BALLISTIC if ratio < 1 else UNEXPLAINED).format(ratio)


def angular_comparisons(
    samples: xr.Dataset, models: Mapping[str, Estimate], angle: Sequence[float], ratio: float
) -> list[Comparison]:
    """Every quantity of every model at the angles where it is defined, quantum values from `sample_valve`.

    `ratio` is the thickness of the spacer over its mean free path.
    """
    quantum = measured(samples)
    angles = np.asarray(angle, dtype=float)
    found = []
    for row, name in enumerate(ROWS):
        # No resistance differs from itself: the first angle says nothing.
        kept = slice(1, None) if name == "magnetoresistance" else slice(None)
        found += [
            compared(
                quantum[row, kept], estimate[row, kept],
                scale=whole_torque(quantum.value, name)[kept] if name in QUANTITIES[1:] else None,
                scale_name=WHOLE_TORQUE if name in QUANTITIES[1:] else "", regime=[regime(ratio)] * len(angles[kept]),
                quantity=LABELS[name], unit=UNITS.get(name, TORKANCE_UNIT), model=model, coordinate="angle",
                coordinate_unit="deg", at=np.rad2deg(angles[kept]), assumption=ASSUMPTIONS[model],
            )
            for model, estimate in models.items()
        ]  # fmt: skip
    return found


def compared(quantum: Estimate, found: Estimate, **named) -> Comparison:
    """A comparison whose error knows what both samples have in common."""
    return Comparison(
        quantum=quantum.value, quantum_error=quantum.error, found=found.value, found_error=found.error,
        difference_error=found.minus(quantum).error, left_out=found.left_out, **named,
    )  # fmt: skip


def whole_torque(quantum: np.ndarray, name: str) -> np.ndarray:
    """Length of the vector of which the torque `name` is one component."""
    parts = [name.replace("damping", "field"), name.replace("field", "damping")]
    return np.hypot(*(quantum[ROWS.index(part)] for part in parts))


def line_weights(spacers: Mapping[float, list[InterfaceParameters]]) -> np.ndarray:
    """Weights w of a least-squares line through zero, rho* = sum_i w_i (rho* t)_i, thicknesses ascending.

    Every thickness counts with its number of configurations: the relative error of a resistance does not depend on it.
    """
    thickness = np.array(sorted(spacers))
    count = np.array([len(spacers[t]) for t in thickness])
    return count / thickness / count.sum()


def resistivity_of(spacers: Mapping[float, list[InterfaceParameters]]) -> Callable[..., np.ndarray]:
    """rho* of the line as a function of the samples of every thickness, ascending."""
    weights = line_weights(spacers)
    return lambda *alone: weights @ np.array([spacer_resistance(mean_parameters(rows)) for rows in alone])


def resistance_of_spacers(spacers: dict[float, list[InterfaceParameters]]) -> xr.Dataset:
    """rho* t of every spacer versus its thickness (m), and the line through them: rho* and its standard error.

    A straight line with an offset would hold coherence at the ends of the spacer; the model has a resistivity alone, so
    the line goes through zero (`line_weights`). Spacers of different thickness have configurations in common, and the
    error of rho* knows it.
    """
    thickness = np.array(sorted(spacers))
    alone = [jackknife(lambda rows: np.array(spacer_resistance(mean_parameters(rows))), spacers[t]) for t in thickness]
    resistance, error = (np.array([getattr(x, name) for x in alone], dtype=float) for name in ("value", "error"))
    line = jackknife(resistivity_of(spacers), *(spacers[t] for t in thickness))
    unit = {"units": "m", "long_name": "thickness of the spacer"}
    area = "Ohm m^2"
    return xr.Dataset(
        {
            "resistance": ("thickness", resistance, {"units": area, "long_name": "resistance of the spacer alone"}),
            "resistance_error": ("thickness", error, {"units": area, "long_name": "its standard error"}),
            "resistivity": ((), float(line.value), {"units": "Ohm m", "long_name": "rho* of the spacer"}),
            "resistivity_error": ((), float(line.error), {"units": "Ohm m", "long_name": "its standard error"}),
        },
        {"thickness": ("thickness", thickness, unit)},
    )


def single_magnet_comparisons(
    composite: list[InterfaceParameters],
    magnet: list[InterfaceParameters],
    spacer: list[InterfaceParameters],
    ratio: float,
) -> list[Comparison]:
    """Reservoir | disordered metal | magnet | reservoir, N|F|N: conductance, polarisation and mixing conductance.

    The mixing conductance is that of the whole seen from the left: what a spin accumulation across the magnetisation in
    the left reservoir loses, and so the torque it exerts. `ratio` as in `angular_comparisons`.
    """

    def quantum(rows) -> np.ndarray:
        p = mean_parameters(rows)
        per_area = conductance_per_area(1, p.area)
        up, down = p.conductance_up * per_area, p.conductance_down * per_area
        g = p.mixing_conductance_per_area
        return np.array([up + down, (up - down) / (up + down), g.real, g.imag])

    def model(corrected: bool):
        def values(magnets, spacers) -> np.ndarray:
            F, N = mean_parameters(magnets), mean_parameters(spacers)
            resistance = spacer_resistance(N)
            if corrected:
                F = without_sharvin_resistance(F, corrected_sides=("left",))
            contact = 1 / (4 * conductance_per_area(N.sharvin_left[0], N.area))
            # On the left the reservoir feeds the disordered metal through half of a Sharvin resistance.
            elements: list[Element] = [
                Interface(AR_star=contact), Layer(thickness=1e-9, rho_star=resistance / 1e-9),
                interface_from(F, magnetization=UP),
            ]  # fmt: skip
            charge = solve_multilayer(Multilayer(left=Reservoir(), elements=elements, right=Reservoir()), voltage=1.0)
            into, _ = charge.spin_currents_at_ends()
            fed = Multilayer(left=Reservoir(spin_accumulation=(1, 0, 0)), elements=elements, right=Reservoir())
            lost, _ = solve_multilayer(fed, voltage=0.0).spin_currents_at_ends()
            # A spin accumulation along x loses Re G along x and, by mu_s x m, -Im G along y.
            return np.array([charge.current_density, into[2] / charge.current_density, lost[0], -lost[1]])

        return jackknife(values, magnet, spacer)

    measured_here = jackknife(quantum, composite)
    length = float(np.hypot(*measured_here.value[2:]))
    whole: dict[str, Any] = {"scale": np.array([length]), "scale_name": WHOLE_MIXING}
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("conductance", CONDUCTANCE_UNIT, {}),
        ("polarisation of the current", "1", {}),
        ("Re g_mix, damping-like", CONDUCTANCE_UNIT, whole),
        ("Im g_mix, field-like", CONDUCTANCE_UNIT, whole),
    ]
    found = []
    for name, corrected in ((CIRCUIT, True), (UNCORRECTED, False)):
        estimate = model(corrected)
        found += [
            compared(
                measured_here[i : i + 1], estimate[i : i + 1], quantity=quantity, unit=unit, model=name, coordinate="",
                coordinate_unit="", at=np.zeros(1), assumption=ASSUMPTIONS[name], regime=[regime(ratio)], **relative_to,
            )
            for i, (quantity, unit, relative_to) in enumerate(kinds)
        ]  # fmt: skip
    return found


def sweep_comparisons(
    points: Sequence[tuple[float, xr.Dataset, Mapping[str, Estimate]]],
    *,
    column: int,
    coordinate: str,
    coordinate_unit: str,
    models: Sequence[str],
    ratios: Sequence[float],
) -> list[Comparison]:
    """Conductance, magnetoresistance and damping-like torque versus a parameter of the valve, at one of the angles.

    Parameters
    ----------
    points
        (value of the parameter, samples of the valve, its models), at the same angles each.
    column
        Which angle.
    ratios
        Thickness of the spacer over its mean free path, at every point.
    """
    quantum = together([measured(samples)[:, column] for _, samples, _ in points])
    found = []
    for name in ("conductance", "magnetoresistance", "damping_like"):
        row = ROWS.index(name)
        found += [
            compared(
                quantum[:, row], together([found_by[model][row, column] for _, _, found_by in points]),
                quantity=LABELS[name], unit=UNITS.get(name, TORKANCE_UNIT), model=model, coordinate=coordinate,
                coordinate_unit=coordinate_unit, at=np.array([at for at, _, _ in points]),
                assumption=ASSUMPTIONS[model], regime=[regime(ratio) for ratio in ratios],
            )
            for model in models
        ]  # fmt: skip
    return found


def together(estimates: Sequence[Estimate]) -> Estimate:
    """Several estimates as one, its first axis theirs."""
    return Estimate(
        value=np.array([x.value for x in estimates]), left_out=np.stack([x.left_out for x in estimates], axis=1)
    )


def user_comparisons(
    table: UserTable, samples: xr.Dataset, models: Mapping[str, Estimate], angle: Sequence[float]
) -> list[tuple[Comparison, Verdict, list[Comparison]]]:
    """A user's numbers judged like a model's, and whose of ours they are; our models beside them.

    `angle` are those of `samples` and `models`, the table's among them.
    """
    angles = np.asarray(angle, dtype=float)
    stacked = np.stack([samples[name].values for name in QUANTITIES], axis=1)
    found = []
    for column, given in table.values.items():
        kept = table.judged(column)
        if not kept.any():
            continue
        at = np.array([int(np.argmin(np.abs(angles - a))) for a in table.angle[kept]])

        def observable(quantities: np.ndarray, column=column, at=at) -> np.ndarray:
            conductance, torque = quantities[0, at], quantities[1, at] * np.sin(angles[at])
            return {"conductance": conductance, "torque": torque, "torque_efficiency": torque / conductance}[column]

        quantum = jackknife(lambda rows, f=observable: f(np.mean(rows, axis=0)), list(stacked))
        shared: dict[str, Any] = {
            "quantity": USER_LABELS[column], "unit": USER_QUANTITIES[column], "coordinate": "angle",
            "coordinate_unit": "deg", "at": np.rad2deg(angles[at]), "quantum": quantum.value,
            "quantum_error": quantum.error,
        }  # fmt: skip
        own = Comparison(model=table.name, found=given[kept], **shared)
        ours = [
            Comparison(model=name, found=observable(x.value), assumption=ASSUMPTIONS[name], **shared)
            for name, x in models.items()
        ]
        verdict, alike = judge(own), nearest(own, ours)
        if alike is not None:
            reason = f": {alike.assumption}" if verdict.kind == FAILS and alike.assumption else ""
            verdict = Verdict(kind=verdict.kind, text=f"{verdict.text}; these are the numbers of {alike.model}{reason}")
        elif verdict.kind == FAILS:
            verdict = Verdict(kind=verdict.kind, text=f"{verdict.text}; near none of the models of this report")
        found.append((own, verdict, ours))
    return found
