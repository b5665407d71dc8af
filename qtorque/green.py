"""Recursive Green functions of a chain of layers, for many (k, E) at once.

Two sweeps give, for every cut between elements b and b + 1 of the chain, the Green function g_left of everything up
to b and g_right of everything from b + 1 on, each without the other. A `Join` puts the two together: it holds all
that flows through the cut. Spins are kept apart as long as the swept part has one spin axis; where two axes meet, the
blocks are turned by SU(2) and joined as matrices in spin space.

A long run of equal layers is not passed layer by layer: doubling gives the Green function between the ends of 1, 2, 4
... layers (`Run`), and the run is then attached in one step wherever no cut inside it is asked for.

Arrays have the shape (spin, k, E, n, n): spin has length 2 where spins are apart (up, down along an axis), or 1 for
full matrices in the laboratory frame (axis None), with n twice as large.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from qtorque._linalg import adjoint, inverse, multiply
from qtorque.chain import Axis, Chain, Fourier, lead_axis, lead_parts
from qtorque.halves import Half, Join, Run, SpinMatrix, Step, common_axis
from qtorque.leads import surface_green

LONG_RUN = 24
"""Equal layers from which on doubling, log2 of them steps of fourfold size, is less work than one by one."""


def blocks(fourier: Fourier, axis: Axis, phases: "Phases") -> np.ndarray:
    """A block at all momenta, shape (2 or 1, nk or 1, 1, n, n); one momentum if it does not depend on k."""
    return phases.block(fourier, axis)


class Phases:
    """exp(i k.R) at phases k, shape (nk, 2), made once for every set of vectors R, and the blocks made of them."""

    def __init__(self, k: np.ndarray) -> None:
        self.k = k
        self._known: dict[bytes, np.ndarray] = {}
        self._blocks: dict[tuple[Fourier, Axis], np.ndarray] = {}

    def block(self, fourier: Fourier, axis: Axis) -> np.ndarray:
        """What `blocks` returns, once for all layers that share a block."""
        key = (fourier, axis)
        if key not in self._blocks:
            matrices = fourier.in_frame(axis)
            if len(matrices) == 1 and not fourier.vectors.any():
                self._blocks[key] = matrices[0][:, None, None]
            else:
                size = matrices.shape
                values = self.of(fourier.vectors) @ matrices.reshape(size[0], -1)
                self._blocks[key] = values.reshape(-1, *size[1:]).swapaxes(0, 1)[:, :, None]
        return self._blocks[key]

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """shape (nk, nR)"""
        key = vectors.tobytes()
        if key not in self._known:
            self._known[key] = np.exp(1j * (self.k @ vectors.T))
        return self._known[key]


class _Sweep:
    """One direction of the recursion: elements in the order in which they are added to the lead."""

    def __init__(self, sweeps: "Sweeps", elements: Sequence[int], lead: int) -> None:
        self.sweeps, self.elements, self.lead = sweeps, elements, lead
        chain = sweeps.chain
        inward = (chain.left_outward, *chain.bond) if lead == 0 else (*chain.bond, chain.right_outward)
        self.blocks = [(chain.onsite[e], inward[e]) for e in elements]
        self.axes = _axes(self.blocks)
        self._halves: dict[int, Half] = {}

    def half(self, position: int) -> Half:
        """Everything up to the element at a position of the sweep, from what is there already."""
        if position not in self._halves:
            start = max((p for p in self._halves if p < position), default=-1)
            while start < position:
                start, half = self._next(start, position)
                self._halves[start] = half
        return self._halves[position]

    def _next(self, before: int, until: int) -> tuple[int, Half]:
        """The half that follows the one at `before`: a run or a layer further."""
        position = before + 1
        if self.sweeps.like is not None and position < self.shared:
            position = min(until, self.shared - 1)
            other = self.sweeps.like.swept(self.lead).half(position)
            return position, self._seen(other, position)
        axis = self.axes[position]
        if position == 0:
            return 0, self.sweeps.surface(self.lead)
        half = self._halves[before]
        V = blocks(self.blocks[position][1], axis, self.sweeps.k)
        V = adjoint(V) if self.lead == 0 else V
        sigma = multiply(V, half.g.along(axis), adjoint(V))
        first = self.elements[position]
        length = self.sweeps.run_length(first, 1 if self.lead == 0 else -1, until - before)
        if length >= LONG_RUN and all(a == axis for a in self.axes[position : position + length]):
            run = self.sweeps.run(first, length if self.lead == 0 else -length, axis).attached_to(sigma)
            g, across, back, position = run.last, run.down, run.up, before + length
        else:
            g = across = back = inverse(self.sweeps.denominator(first, axis) - sigma)
        return position, Half(SpinMatrix(g, axis), half.surface, Step(half, V, across, back))

    def _seen(self, half: Half, position: int) -> Half:
        """A half of the other chain, seen from the axes of this one."""
        surface, axis = half.surface, self.axes[position]
        if half.g.axis == axis and (surface is None or surface.axis == self.axes[0]):
            return half
        if surface is not None:
            surface = SpinMatrix(surface.data, self.axes[0])
        return Half(SpinMatrix(half.g.data, axis), surface, same=half)

    @cached_property
    def shared(self) -> int:
        """How many halves are those of `like`, each seen from its own spin axis."""
        if self.sweeps.like is None:
            return 0
        other = self.sweeps.like.swept(self.lead)
        unturned, count = True, 0
        for mine, axis, theirs, their_axis in zip(self.blocks, self.axes, other.blocks, other.axes, strict=False):
            pairs = list(zip(mine, theirs, strict=True))
            # A full half is in the laboratory frame, where whatever turned further out is turned in it too.
            unturned = unturned and all(a.equals(None, b, None) for a, b in pairs)
            if axis is None and not unturned:
                break
            if not all(a.equals(axis, b, their_axis) for a, b in pairs):
                break
            count += 1
        return count


class Sweeps:
    """The two sweeps over a chain at the momenta of `k` and energies `energy`, shape (nk or 1, nE).

    Energies are real (approached from above) or in the upper half plane. `like`: sweeps at the same momenta and
    energies over a chain that may differ in the directions of its magnets or in its layers. A half that is the same,
    each seen from its own spin axis, is taken from there: when a magnet turns rigidly, only the joins are new. Halves
    are solved when they are asked for.
    """

    def __init__(self, chain: Chain, k: Phases, energy: np.ndarray, like: "Sweeps | None" = None) -> None:
        self.chain, self.k, self.like = chain, k, like
        self.energy = np.asarray(energy)[None, :, :]
        self.real = not np.iscomplexobj(self.energy)
        last = len(chain.onsite) - 1
        self._sweeps = (_Sweep(self, range(last), 0), _Sweep(self, range(last, 0, -1), 1))
        self._surfaces: dict[int, Half] = {}
        self._recent: tuple[tuple[int, Axis], np.ndarray] | None = None
        self._runs: dict[tuple[int, int, Axis], Run] = {}

    @property
    def left(self) -> list[Half]:
        """left[b]: everything up to and including element b, b = 0 ... N."""
        return [self._sweeps[0].half(position) for position in range(len(self.chain.bond))]

    @property
    def right(self) -> list[Half]:
        """right[b]: everything from element b + 1 on, b = 0 ... N."""
        return [self._sweeps[1].half(position) for position in range(len(self.chain.bond))][::-1]

    def halves(self, bond: int) -> tuple[Half, Half]:
        """left[bond] and right[bond], without the others where a run of equal layers can be passed in one step."""
        return self._sweeps[0].half(bond), self._sweeps[1].half(len(self.chain.bond) - 1 - bond)

    def swept(self, lead: int) -> _Sweep:
        """The sweep that starts at lead 0 (left) or 1 (right)."""
        return self._sweeps[lead]

    def shared_cut(self) -> tuple[int, int]:
        """(first, last) bond at which both halves are those of `like`; first > last if there is none."""
        left, right = (sweep.shared for sweep in self._sweeps)
        return len(self.chain.bond) - right, left - 1

    def join(self, bond: int) -> "Join":
        """Both halves of the chain at the cut between elements `bond` and `bond` + 1."""
        left, right = self.halves(bond)
        axis = common_axis(left.g.axis, right.g.axis)
        if not self.chain.bond[bond].spin_part.diagonal_along(axis):
            axis = None
        return Join(
            axis=axis,
            V=blocks(self.chain.bond[bond], axis, self.k),
            scalar=self.chain.bond[bond].spin_part.independent,
            left=left.g.along(axis),
            right=right.g.along(axis),
            left_spectral=left.a.along(axis) if left.a else None,
            right_spectral=right.a.along(axis) if right.a else None,
        )

    def surface(self, lead: int) -> Half:
        """The surface of lead 0 (left) or 1 (right), without the region."""
        if lead not in self._surfaces:
            element, axis = -lead, self._sweeps[lead].axes[0]
            outward = self.chain.left_outward if lead == 0 else self.chain.right_outward
            H, V = blocks(self.chain.onsite[element], axis, self.k), blocks(outward, axis, self.k)
            if self.chain.onsite[element].spin_part.independent and outward.spin_part.independent and axis is not None:
                # Both spins of a normal lead are one problem.
                g = surface_green(self.energy, H[:1], V[:1])
                g = np.broadcast_to(g, (2, *g.shape[1:]))
            else:
                g = surface_green(self.energy, H, V)
            spectral = SpinMatrix(1j * (g - adjoint(g)), axis) if self.real else None
            self._surfaces[lead] = Half(SpinMatrix(g, axis), spectral)
        return self._surfaces[lead]

    def denominator(self, element: int, axis: Axis) -> np.ndarray:
        """E - H of an element."""
        kind = (self._kinds[0][element], axis)
        # Equal layers lie next to each other; the last one made is enough.
        if self._recent is None or self._recent[0] != kind:
            H = blocks(self.chain.onsite[element], axis, self.k)
            self._recent = kind, self.energy[..., None, None] * np.eye(H.shape[-1]) - H
        return self._recent[1]

    @cached_property
    def _kinds(self) -> tuple[list[int], list[int]]:
        """For every element and every bond the number of the first one with the same block."""
        found = []
        for fouriers in (self.chain.onsite, self.chain.bond):
            known: dict[tuple[bytes, bytes], int] = {}
            keys = ((f.vectors.tobytes(), f.matrices.tobytes()) for f in fouriers)
            found.append([known.setdefault(key, number) for number, key in enumerate(keys)])
        return found[0], found[1]

    def run_length(self, first: int, step: int, limit: int) -> int:
        """How many equal layers with equal hopping between them follow from `first` on, in steps of +1 or -1."""
        (onsite, bond), length = self._kinds, 1
        while length < limit:
            e = first + step * length
            # A bond has the number of the lower of its two elements.
            same_bond = bond[min(e, e - step)] == bond[min(first, first + step)]
            if onsite[e] != onsite[first] or not same_bond:
                break
            length += 1
        return length

    def run(self, first: int, length: int, axis: Axis) -> Run:
        """The run of |length| equal layers from `first` on, to the right (length > 0) or to the left."""
        if length < 0:
            return self.run(first + length + 1, -length, axis).reversed
        key = (first, length, axis)
        if key not in self._runs:
            D, V = self.denominator(first, axis), blocks(self.chain.bond[first], axis, self.k)
            # The size of the hopping opens the ends about as much as more layers would.
            leak = max(float(np.abs(V).max()), np.finfo(float).tiny)
            one = inverse(D + 2j * leak * np.eye(D.shape[-1]))
            power, whole = Run(leak, one, one, one, one), None
            while True:
                if length & 1:
                    whole = power if whole is None else whole.followed_by(power, V)
                length >>= 1
                if not length:
                    break
                power = power.followed_by(power, V)
            assert whole is not None
            self._runs[key] = whole
        return self._runs[key]

    def corners(self) -> dict[tuple[int, int], SpinMatrix]:
        """Green function between the first (0) and the last (1) layer of the region, at key (row, column).

        Spins stay apart if the whole chain has one axis.
        """
        count, axis = len(self.chain.onsite) - 2, self._one_axis()
        V = blocks(self.chain.bond[0], axis, self.k)
        sigma = multiply(adjoint(V), self.surface(0).g.along(axis), V)
        beyond = blocks(self.chain.bond[-1], axis, self.k)
        right = multiply(beyond, self.surface(1).g.along(axis), adjoint(beyond))
        ends: Run | None = None
        element = 1
        while True:
            # The last layer is joined alone, with the right lead.
            length = self.run_length(element, 1, count - element)
            if length >= LONG_RUN:
                run = self.run(element, length, axis).attached_to(sigma)
                element += length - 1
            else:
                g = inverse(self.denominator(element, axis) - (sigma + right if element == count else sigma))
                run = Run(0.0, g, g, g, g)
            if ends is None:
                ends = run
            else:
                into, out = multiply(adjoint(V), ends.down), multiply(ends.up, V)
                up = multiply(out, run.up)
                ends = Run(0.0, ends.first + multiply(out, run.first, into), run.last, multiply(run.down, into), up)
            if element == count:
                break
            V = blocks(self.chain.bond[element], axis, self.k)
            sigma = multiply(adjoint(V), run.last, V)
            element += 1
        found = {(0, 0): ends.first, (1, 0): ends.down, (0, 1): ends.up, (1, 1): ends.last}
        return {pair: SpinMatrix(matrix, axis) for pair, matrix in found.items()}

    def _one_axis(self) -> Axis:
        """The axis along which all of the chain conserves spin; None if there is none."""
        axis = self._sweeps[0].axes[0]
        swept = all(common_axis(axis, other) for other in self._sweeps[1].axes)
        return axis if swept and all(b.spin_part.diagonal_along(axis) for b in self.chain.bond) else None

    def self_energy(self, lead: int) -> SpinMatrix:
        """Sigma of lead 0 (left) or 1 (right) on the first or the last layer of the region."""
        g, bond = self.surface(lead).g, self.chain.bond[-lead]
        axis = g.axis if bond.spin_part.diagonal_along(g.axis) else None
        V = blocks(bond, axis, self.k)
        inward = adjoint(V) if lead == 0 else V
        return SpinMatrix(multiply(inward, g.along(axis), adjoint(inward)), axis)

    def resonances(self) -> np.ndarray:
        """Complex energies of the open region, shape (k, n): eigenvalues of H + Sigma_L + Sigma_R, Sigma at `energy`.

        A long-lived state at E_r with the width Gamma has the eigenvalue E_r - i Gamma/2. One energy only.
        """
        sizes = np.array([h.matrices.shape[1] for h in self.chain.onsite[1:-1]])
        ends = np.cumsum(sizes)
        points = len(self.k.k)
        H = np.zeros((points, ends[-1], ends[-1]), dtype=complex)
        for e, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            own = slice(end - size, end)
            H[:, own, own] = blocks(self.chain.onsite[e + 1], None, self.k)[0, :, 0]
            if e + 1 < len(sizes):
                beyond = slice(end, end + sizes[e + 1])
                V = blocks(self.chain.bond[e + 1], None, self.k)[0, :, 0]
                H[:, own, beyond], H[:, beyond, own] = V, adjoint(V)
        first, last = slice(0, sizes[0]), slice(ends[-1] - sizes[-1], ends[-1])
        H[:, first, first] += self.self_energy(0).full[0, :, 0]
        H[:, last, last] += self.self_energy(1).full[0, :, 0]
        return np.linalg.eigvals(H)


def transmissions(chains: Sequence[Chain], k: np.ndarray, energy: float) -> np.ndarray:
    """Transmission from the left lead to the right one through several chains that have most of their parts in common.

    T^{s -> s'} = Tr[Gamma_R^{s'} G_N1 Gamma_L^s G_N1^dagger] with G_N1 composed at a cut, of the way from the left lead
    to it, the join, and the way on to the right lead. Halves that are the same in
    the first chain and another, each seen from its own spin axis, are solved once: of a chain with one magnet turned
    only the join is new.

    Parameters
    ----------
    chains
        As for a list of angles of one magnet, or of thicknesses of one layer.
    k
        Phases k.a1, k.a2, shape (nk, 2).
    energy
        eV, real.

    Returns
    -------
    ndarray
        shape (chains, nk, 2, 2): spin in, spin out, up along each lead's own majority direction, z if it is normal;
        one spin on the side of a lead that conserves none in any of the chains. Not a number on a band edge or flat
        band that leaves G without a value.
    """
    phases, energies = Phases(k), np.array([[float(energy)]])
    axes = list(zip(*(_common_axes([lead_axis(lead_parts(c)[p]) for c in chains]) for p in range(2)), strict=True))
    first = Sweeps(chains[0], phases, energies)
    sweeps = [first, *(Sweeps(chain, phases, energies, like=first) for chain in chains[1:])]
    common = _common_cut(sweeps[1:], len(chains[0].bond))
    spins = [1 if axis is None else 2 for axis in axes[0]]
    result = np.empty((len(chains), len(k), *spins))
    for s, lead_axes, into in zip(sweeps, axes, result, strict=True):
        start, stop = s.shared_cut()
        bond = stop if s is not first and start > stop >= 0 else min(common, len(s.chain.bond) - 1)
        left, right = s.halves(bond)
        into[:] = s.join(bond).transmissions(left.entering(lead_axes[0]), right.leaving(lead_axes[1]))
    return result


def _common_axes(axes: Sequence[Axis]) -> Sequence[Axis]:
    """The axes of one lead in several chains; None in all of them if it is None in one."""
    return [None] * len(axes) if None in axes else axes


def _common_cut(others: Sequence[Sweeps], bonds: int) -> int:
    """A cut at which the first chain shares both halves with as many others as possible; the middle if all do."""
    wanted = np.zeros(bonds, dtype=int)
    for s in others:
        start, stop = s.shared_cut()
        if len(s.chain.bond) == bonds:
            wanted[start : stop + 1] += 1
    best = np.flatnonzero(wanted == wanted.max())
    return int(best[len(best) // 2])


def _axes(swept: Sequence[tuple[Fourier, Fourier]]) -> list[Axis]:
    """The spin axis in which a sweep over these blocks, in this order, keeps spins apart; None from where it cannot."""
    found = (h.spin_part.axis for h, _ in swept if h.spin_part.axis is not None)
    axis: Axis = next(found, (0.0, 0.0, 1.0))
    axes: list[Axis] = []
    for h, v in swept:
        if not (h.spin_part.diagonal_along(axis) and v.spin_part.diagonal_along(axis)):
            axis = None
        axes.append(axis)
    return axes
