"""Moments as lanes of the compiled kernels: blocks that hold their parameters, states and streams of random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from qtorque.compiling import announced
from qtorque.errors import InputError
from qtorque.llg import _dynamics_kernels as kernels
from qtorque.llg.drive import Waveform
from qtorque.units import GYROMAGNETIC_RATIO

if TYPE_CHECKING:
    from qtorque.llg.equation import EquationOfMotion

LANES = kernels.LANES

FIRST_TURN = 1e-2
"""rad: turn in the first step that the adaptive integrator tries; it corrects the length at once."""

SYMMETRIC = ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2))
"""Rows and columns of the six different elements of a symmetric matrix, in the order of the kernels."""


class Block:
    """Up to `LANES` moments, or half as many pairs, as rows of the kernels."""

    def __init__(self, m: np.ndarray, streams: np.ndarray | None, watch: ArrayLike | None):
        """m : (n, 1, 3) or (n, 2, 3)."""
        self.trajectories, self.magnets, _ = m.shape
        self.lanes = self.trajectories * self.magnets
        self.w = np.zeros(kernels.ROWS * LANES)
        self.layout = np.zeros(kernels.LAYOUT_SIZE, dtype=np.int64)
        self.layout[kernels.MOMENTS] = self.lanes
        self.layout[kernels.COUPLED] = self.magnets == 2
        self.state = np.zeros(4 * LANES, dtype=np.uint64)
        self.begun = 0
        self.seeded = streams is not None
        if streams is not None:
            # Partners draw from streams of their own: trajectories 2 i and 2 i + 1.
            addresses = np.repeat(np.asarray(streams, dtype=np.uint64)[np.newaxis], self.magnets, axis=0)
            addresses[:, :, 2] = (
                addresses[:, :, 2] * self.magnets + np.arange(self.magnets, dtype=np.uint64)[:, np.newaxis]
            )
            kernels.seed_streams(self.state, addresses.reshape(-1, 3))
        # Lanes: the first magnets of all pairs, then the second ones.
        directions = m.transpose(1, 0, 2).reshape(-1, 3)
        self._set_rows(kernels.M, directions)
        self._set_rows(kernels.X, directions)
        if watch is not None:
            self.layout[kernels.WATCHED] = True
            self._set_rows(kernels.WATCH, np.tile(np.asarray(watch, dtype=float), (self.lanes, 1)))
            self._set_rows(kernels.SIDE, np.sign(directions @ np.asarray(watch)))
        self.lengths = np.zeros(0)

    def set_equations(self, given: Sequence[Any], dt: float) -> None:
        """Parameters of the lanes, and drives at time 0; an `EquationOfMotion` or `PairEquation` for each."""
        if self.magnets == 2:
            coupling = np.array([[pair.coupling_first for pair in given], [pair.coupling_second for pair in given]])
            self._set_rows(kernels.COUPLING, coupling[..., SYMMETRIC[0], SYMMETRIC[1]].reshape(-1, 6))
            equations = [pair.first for pair in given] + [pair.second for pair in given]
        else:
            equations = list(given)
        different = list({id(equation): equation for equation in equations}.values())
        place = {id(equation): i for i, equation in enumerate(different)}
        of_lane = np.array([place[id(equation)] for equation in equations])
        self.scale = (GYROMAGNETIC_RATIO / (1 + np.array([e.alpha for e in different]) ** 2))[of_lane]
        rows = {
            kernels.ALPHA: [e.alpha for e in different],
            kernels.B0: [e.field for e in different],
            kernels.TENSOR_XX: [e.tensor[SYMMETRIC] for e in different],
            kernels.VOLTAGE_AXIS: [[*e.voltage_axis, e.voltage_field] for e in different],
            kernels.SIGMA: [e.fluctuation / math.sqrt(dt) for e in different],
            kernels.FIELD_AXIS: [(0, 0, 0) if e.field_drive is None else e.field_drive.direction for e in different],
        }
        for row, values in rows.items():
            self._set_rows(row, np.array(values, dtype=float)[of_lane])
        self._set_rows(kernels.STEP, self.scale * dt)
        self._set_rows(kernels.CROSSED, np.full(self.lanes, -1.0))
        self._set_terms(kernels.QUARTICS, kernels.QUARTIC_COUNT, [e.quartic_terms for e in different], of_lane)
        polarizers = [
            np.array([[*t.direction, t.damping_like, t.field_like, t.asymmetry] for t in e.polarizers]).reshape(-1, 6)
            for e in different
        ]
        self._set_terms(kernels.POLARIZERS, kernels.POLARIZER_COUNT, polarizers, of_lane)
        self.layout[kernels.VOLTAGE_TERM] = any(e.voltage_field != 0 for e in different)
        self.layout[kernels.DRIVE_VARIES] = any(e.drive.varies for e in different)
        self.layout[kernels.FIELD_VARIES] = any(e.field_drive is not None for e in different)
        self.thermal = any(e.fluctuation != 0 for e in different)
        if self.thermal and any(e.fluctuation == 0 for e in different):
            raise ValueError("moments with and without thermal field have different integrators; keep them apart")
        if self.thermal and not self.seeded:
            raise ValueError("a thermal field needs streams of random numbers")
        self._set_drives(different, of_lane)

    def _set_drives(self, different: Sequence[EquationOfMotion], of_lane: np.ndarray) -> None:
        """Waveforms and tables, and the values of both at time 0."""
        waves: dict[Waveform, int] = {}
        nothing = Waveform(time=(0.0,), value=(0.0,))
        drives, fields = (
            np.array([waves.setdefault(wave, len(waves)) for wave in chosen])[of_lane]
            for chosen in (
                [e.drive for e in different],
                [nothing if e.field_drive is None else e.field_drive.waveform for e in different],
            )
        )
        nodes = [wave.nodes for wave in waves]
        ends = np.concatenate([[0], np.cumsum([node.shape[1] for node in nodes])])
        self.waves = np.concatenate(nodes, axis=1), ends, np.array([wave.tone for wave in waves]), drives, fields
        tables = [e.table for e in different if e.table is not None]
        self.layout[kernels.TABULATED] = bool(tables)
        if tables:
            first = tables[0]
            same = [
                t.origin == first.origin
                and np.array_equal(t.knots, first.knots)
                and np.array_equal(t.breaks, first.breaks)
                for t in tables
            ]
            if not all(same):
                raise ValueError("moments of one block have torque maps on different grids")
            nothing_at_all = np.zeros_like(first.polynomials)
            polynomials = np.array([nothing_at_all if e.table is None else e.table.polynomials for e in different])
            axes = np.array([np.zeros(3) if e.table is None else e.table.direction for e in different])
            self._set_rows(kernels.TABLE_AXIS, axes[of_lane])
            self.table = first.breaks, polynomials, of_lane, first.origin, first.knots
        else:
            self.table = np.array([0.0, 1.0]), np.zeros((1, 1, 4, 2, 4)), of_lane, 0.0, np.zeros(0)
        self.coefficients = np.zeros(2 * self.table[1].shape[4] * LANES)
        kernels.begin(self.w, self.layout, self.coefficients, self.waves, self.table)

    def _set_terms(self, rows: Sequence[int], count: int, terms: Sequence[np.ndarray], of_lane: np.ndarray) -> None:
        """Terms of which an equation may have several, (terms, numbers) each, to the rows of as many places."""
        most = max(len(own) for own in terms)
        if most > len(rows):
            raise ValueError(f"an equation has {most} terms of a kind that has {len(rows)} places")
        self.layout[count] = most
        for place in range(most):
            numbers = next(own.shape[1] for own in terms if len(own) > place)
            values = [own[place] if len(own) > place else np.zeros(numbers) for own in terms]
            self._set_rows(rows[place], np.array(values)[of_lane])

    def advance(self, first: int, steps: int, dt: float, sample_steps: np.ndarray) -> np.ndarray:
        """(s, trajectories, magnets, 3)."""
        samples = np.empty((sample_steps.size, self.lanes, 3))
        what = self.layout, self.coefficients, self.waves, self.table
        with announced(kernels.heun if self.thermal else kernels.runge_kutta):
            if self.thermal:
                kernels.heun(self.w, self.state, *what, first, self.begun, steps, dt, sample_steps, samples)
                self.begun += steps
            else:
                kernels.runge_kutta(self.w, *what, first, steps, dt, sample_steps, samples)
        return samples.reshape(-1, self.magnets, self.trajectories, 3).transpose(0, 2, 1, 3)

    def advance_adaptively(self, start: float, end: float, tolerance: float) -> None:
        if self.lengths.size == 0:
            # Partners step together.
            fastest = np.linalg.norm(self.rates(start), axis=1).reshape(self.magnets, self.trajectories).max(axis=0)
            fastest = np.tile(fastest, self.magnets)
            self.lengths = np.minimum(end - start, FIRST_TURN / np.maximum(fastest, FIRST_TURN / (end - start)))
        inside = np.array([start, end]) + (end - start) * kernels.JUMP_MARGIN * np.array([1, -1])
        what = self.layout, self.coefficients, self.waves, self.table
        with announced(kernels.dormand_prince):
            arrived = kernels.dormand_prince(self.w, *what, start, end, self.lengths, tolerance, self.scale, inside)
        if not arrived:
            raise InputError(
                f"tolerance={tolerance!r} cannot be kept after {start:.6g} s: the steps shrink to nothing; "
                "give a larger one, or dt= in its place"
            )

    def rates(self, time: float) -> np.ndarray:
        """dm/dt without thermal field at the present directions, (lanes, 3), 1/s."""
        kernels.begin(self.w, self.layout, self.coefficients, self.waves, self.table, time)
        kernels.set_rates(self.w, self.layout, self.coefficients, self.table[3], self.table[4])
        return self._rows(kernels.R, 3) * self.scale[:, np.newaxis]

    def directions(self) -> np.ndarray:
        """(trajectories, magnets, 3)."""
        return self._rows(kernels.M, 3).reshape(self.magnets, self.trajectories, 3).transpose(1, 0, 2)

    def crossed(self) -> np.ndarray:
        """(trajectories, magnets)."""
        return self._rows(kernels.CROSSED, 1).astype(np.int64).reshape(self.magnets, self.trajectories).T

    def _set_rows(self, row: int, values: np.ndarray) -> None:
        """values (lanes,) or (lanes, rows) to consecutive rows."""
        block = self.w[row : row + LANES * (1 if values.ndim == 1 else values.shape[1])].reshape(-1, LANES)
        block[:, : self.lanes] = values.T

    def _rows(self, row: int, count: int) -> np.ndarray:
        """(lanes, count), a copy."""
        return self.w[row : row + count * LANES].reshape(count, LANES)[:, : self.lanes].T.copy()


def rates(equation: EquationOfMotion, m: np.ndarray, time: float) -> np.ndarray:
    """dm/dt (1/s) of one equation at directions (..., 3) and a time (s); no thermal field."""
    directions = m.reshape(-1, 1, 3)
    found = []
    for i in range(0, directions.shape[0], LANES):
        block = Block(directions[i : i + LANES], np.zeros((min(LANES, directions.shape[0] - i), 3)), None)
        block.set_equations([equation] * block.trajectories, 1.0)
        found.append(block.rates(time))
    return np.concatenate(found).reshape(m.shape)
