"""What sweeps over a chain are made of: matrices in spin space, one side of a cut, runs of equal layers, the join.

Arrays have the shape (spin, k, E, n, n): spin has length 2 where spins are apart (up, down along an axis), or 1 for
full matrices in the laboratory frame (axis None), with n twice as large.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qtorque._linalg import adjoint, identity_minus, inverse, multiply
from qtorque.chain import PARALLEL_TOLERANCE, Axis
from qtorque.spin import PAULI, join_spin, su2


@dataclass(frozen=True, eq=False)
class SpinMatrix:
    """Matrices with spins apart along `axis`, or full ones (`axis` None)."""

    data: np.ndarray
    axis: Axis

    @cached_property
    def full(self) -> np.ndarray:
        """The full matrices, shape (1, ..., 2n, 2n)."""
        if self.axis is None:
            return self.data
        return join_spin(self.data[0], self.data[1], su2(self.axis))[None]

    def along(self, axis: Axis) -> np.ndarray:
        """The blocks in the frame of an axis parallel or antiparallel to the own one, or full ones for None."""
        if axis is None:
            return self.full
        assert self.axis is not None, "full matrices cannot be split again"
        return self.data if np.dot(axis, self.axis) > 0 else self.data[::-1]


@dataclass(frozen=True, eq=False)
class Half:
    """One side of a cut: Green function g at its end, and how it grew out of the lead.

    Attributes
    ----------
    g
        At the last element.
    surface
        Spectral function i (g - g^dagger) of the bare lead; None at complex energy.
    step
        What was added last; None for the bare lead.
    same
        A half of another chain that this one is, seen from an axis of its own.
    """

    g: SpinMatrix
    surface: SpinMatrix | None
    step: "Step | None" = None
    same: "Half | None" = None

    @cached_property
    def reach(self) -> SpinMatrix | None:
        """The product of all g V from the lead's surface to the last element; None on the surface itself."""
        return self._product("reach", lambda step: step.across)

    @cached_property
    def escape(self) -> SpinMatrix | None:
        """The product of all g^dagger V: its adjoint leads from the last element out to the lead's surface."""
        return self._product("escape", lambda step: adjoint(step.back))

    def _product(self, name: str, factor: Callable[["Step"], np.ndarray]) -> SpinMatrix | None:
        """The product of factor V over all that the half is made of, kept as `name` in every half on the way."""
        path, before = [self], self._before
        while name not in vars(path[-1]) and before is not None:
            path.append(before)
            before = before._before
        # The innermost first, so that hundreds of layers are no recursion.
        product: SpinMatrix | None = vars(path[-1]).get(name)
        for half in path[-2::-1]:
            if half.step is not None:
                hop = multiply(factor(half.step), half.step.V)
                data = multiply(hop, product.along(half.g.axis)) if product else hop
                product = SpinMatrix(data, half.g.axis)
            elif product is not None:
                product = SpinMatrix(product.data, half.g.axis)
            vars(half)[name] = product
        return product

    @property
    def _before(self) -> "Half | None":
        """The half this one was made from."""
        return self.step.inner if self.step is not None else self.same

    @cached_property
    def a(self) -> SpinMatrix | None:
        """Spectral function i (g - g^dagger); None at complex energy.

        Taken as reach a_lead reach^dagger, a product of positive factors, it keeps its relative accuracy behind thick
        barriers, where the difference of g and its conjugate has lost all digits.
        """
        if self.surface is None or self.reach is None:
            return self.surface
        lead = self.surface.along(self.reach.axis)
        return SpinMatrix(multiply(self.reach.data, lead, adjoint(self.reach.data)), self.reach.axis)

    def entering(self, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
        """How spins along `axis` of the lead get in, (reach, a_lead): the sum of reach a_lead^s reach^dagger is a.

        `axis` has to be that of a magnetic lead, or any of a normal one. Shapes (1, k, E, 2n, 2m), the columns spin up
        first, then spin down, and (2, k, E, m, m). None is for a lead that conserves no spin: the columns are then in
        its own order, and a_lead is (1, k, E, 2m, 2m).
        """
        return self._of_lead(axis, self.reach)

    def leaving(self, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
        """How spins get out to the lead: (escape, a_lead), shapes as for `entering`."""
        return self._of_lead(axis, self.escape)

    def _of_lead(self, axis: Axis, product: SpinMatrix | None) -> tuple[np.ndarray, np.ndarray]:
        assert self.surface is not None, "spectral functions exist at real energies"
        if axis is None:
            lead = self.surface.full
            return product.full if product else np.eye(lead.shape[-1])[None, None, None], lead
        assert self.surface.axis is not None, "a lead that conserves no spin"
        parallel = common_axis(axis, self.surface.axis) is not None
        # The two spins of a normal lead are equal along any axis.
        lead = self.surface.along(axis) if parallel else self.surface.data
        full = product.full if product else np.eye(2 * lead.shape[-1])[None, None, None]
        *batch, rows, columns = full.shape
        turned = full.reshape(*batch, rows, columns // 2, 2) @ su2(axis)
        return turned.swapaxes(-1, -2).reshape(*batch, rows, columns), lead


@dataclass(frozen=True, eq=False)
class Step:
    """One more element, or a run of equal ones, on a half.

    Attributes
    ----------
    inner
        The half before.
    V
        Hopping block from its last element to the first new one.
    across, back
        Green function from the first to the last of the new elements, and from the last to the first.
    """

    inner: Half
    V: np.ndarray
    across: np.ndarray
    back: np.ndarray


@dataclass(frozen=True, eq=False)
class Run:
    """Green function between the two ends of equal layers, both ends held open by `leak`.

    An isolated run has poles on the real axis. With -i leak added to H of its first and its last layer (once each, also
    if they are one) every state that hops decays, G is finite, and so is the step that takes the leak out again where
    the run is joined to something else.

    One `leak`, the largest element of V, serves all orbitals. An orbital that hops less is opened too far: leaving the
    leak out again costs about as many digits as the hoppings lie apart. For bands of width 1 and 1e-3 `last` is good to
    1e-11 and `down` to 1e-10, for 1 and 1e-5 to 1e-9 and 1e-8. An orbital of the run that does not hop at all stays
    bound within every layer, and G diverges where E is its level, as it does layer by layer.

    Attributes
    ----------
    first, last, down, up
        G between first and first, last and last, from the first layer to the last, from the last to the first.
    """

    leak: float
    first: np.ndarray
    last: np.ndarray
    down: np.ndarray
    up: np.ndarray

    @property
    def reversed(self) -> "Run":
        """The run seen from its other end."""
        return Run(self.leak, self.last, self.first, self.up, self.down)

    def followed_by(self, other: "Run", V: np.ndarray) -> "Run":
        """Both runs as one; V is the hopping block from the first layer of `other` to the last one of this.

        G = G0 + G0 T G0 with T = (1 - W G0)^-1 W, where W = [[i leak, V], [V^dagger, i leak]] between the two layers.
        """
        n = self.first.shape[-1]
        leak = 1j * self.leak * np.eye(n)
        batch = np.broadcast_shapes(self.last.shape, other.first.shape, V.shape)[:-2]
        W, inner = np.empty((*batch, 2 * n, 2 * n), dtype=complex), np.zeros((*batch, 2 * n, 2 * n), dtype=complex)
        W[..., :n, :n], W[..., n:, n:], W[..., :n, n:], W[..., n:, :n] = leak, leak, V, adjoint(V)
        inner[..., :n, :n], inner[..., n:, n:] = self.last, other.first
        T = multiply(inverse(identity_minus(multiply(W, inner))), W)
        onto, beyond = multiply(self.up, T[..., :n, :]), multiply(other.down, T[..., n:, :])
        return Run(
            self.leak,
            self.first + multiply(onto[..., :n], self.down),
            other.last + multiply(beyond[..., n:], other.up),
            multiply(beyond[..., :n], self.down),
            multiply(onto[..., n:], other.up),
        )

    def attached_to(self, sigma: np.ndarray) -> "Run":
        """The run with the self-energy `sigma` on its first layer and no leak any more."""
        n = self.first.shape[-1]
        leak = 1j * self.leak * np.eye(n)
        added = sigma + leak
        enter = inverse(identity_minus(multiply(self.first, added)))
        first, up = multiply(enter, self.first), multiply(enter, self.up)
        into = multiply(self.down, added)
        down, last = self.down + multiply(into, first), self.last + multiply(into, up)
        leave = inverse(identity_minus(1j * self.leak * last))
        down, last = multiply(leave, down), multiply(leave, last)
        lost = 1j * self.leak * up
        return Run(0.0, first + multiply(lost, down), last, down, up + multiply(lost, last))


@dataclass(frozen=True, eq=False)
class Join:
    """All that flows through one cut. V is the hopping block from right to left of the cut.

    With D = [1 - g_left V g_right V^dagger]^-1 the Green function on the left of the cut is G = D g_left, the one
    across it D g_left V g_right; the spectral function of states from the left lead is A_L = D a_left D^dagger there.
    """

    axis: Axis
    V: np.ndarray
    scalar: bool
    left: np.ndarray
    right: np.ndarray
    left_spectral: np.ndarray | None
    right_spectral: np.ndarray | None

    @cached_property
    def _scatter(self) -> np.ndarray:
        """X = g_left V g_right V^dagger."""
        return multiply(self.left, self.V, self.right, adjoint(self.V))

    @cached_property
    def _dress(self) -> np.ndarray:
        """D."""
        return inverse(identity_minus(self._scatter))

    @cached_property
    def green(self) -> np.ndarray:
        """G on the element left of the cut."""
        return multiply(self._dress, self.left)

    @cached_property
    def spectral(self) -> tuple[np.ndarray, np.ndarray]:
        """(A_L, A_R) on the element left of the cut."""
        assert self.left_spectral is not None, "spectral functions exist at real energies"
        assert self.right_spectral is not None
        from_left = multiply(self._dress, self.left_spectral, adjoint(self._dress))
        hop = multiply(self.green, self.V)
        return from_left, multiply(hop, self.right_spectral, adjoint(hop))

    def transmissions(
        self, entering: tuple[np.ndarray, np.ndarray], leaving: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Tr[a_R^{s'} Z a_L^s Z^dagger], Z = escape^dagger V^dagger D reach from spin s to s': shape (k, s, s').

        One s where a lead conserves no spin.

        `entering` is that of the left half, `leaving` that of the right one. One energy only.
        """
        (reach, source), (escape, target) = entering, leaving
        dress, V = (SpinMatrix(matrix, self.axis).full for matrix in (self._dress, self.V))
        Z = multiply(adjoint(escape), adjoint(V), dress, reach)[0, :, 0]
        n, m = target.shape[-1], source.shape[-1]
        parts = Z.reshape(len(Z), len(target), n, len(source), m).transpose(1, 3, 0, 2, 4)
        flow = target[:, None, :, 0] @ parts @ source[None, :, :, 0]
        return np.sum(flow * parts.conj(), axis=(3, 4)).real.T

    def window_currents(self) -> tuple[np.ndarray, np.ndarray]:
        """Im Tr[(1/2){V^dagger, sigma_a} A] across the cut, for A_L and A_R: (4, k, E) each, a = 0 (charge), x, y, z.

        A_L(l, l+1) = A_L(l, l) V g_right^dagger, and A_R(l, l+1) = G V a_right (1 + g_right V^dagger G V)^dagger with
        G = G(l, l).
        """
        assert self.right_spectral is not None, "spectral functions exist at real energies"
        across_left = multiply(self.spectral[0], self.V, adjoint(self.right))
        hop = multiply(self.green, self.V)
        dressed = identity_minus(-multiply(self.right, adjoint(self.V), hop))
        across_right = multiply(hop, self.right_spectral, adjoint(dressed))
        return self._currents(across_left).imag, self._currents(across_right).imag

    def sea_currents(self) -> np.ndarray:
        """Tr[W_a G(l, l+1)] - Tr[W_a^dagger G(l+1, l)] with W_a = (1/2){V^dagger, sigma_a}; analytic in E, (4, k,
        E)."""
        across = multiply(self.green, self.V, self.right)
        back = multiply(self.right, adjoint(self.V), self.green)
        return self._currents(across) - self._back_currents(back)

    def _currents(self, across: np.ndarray) -> np.ndarray:
        """Tr[(1/2){V^dagger, sigma_a} across]."""
        trace = self._spin_trace(multiply(across, adjoint(self.V)))
        if not self.scalar:
            trace = 0.5 * (trace + self._spin_trace(multiply(adjoint(self.V), across)))
        return trace

    def _back_currents(self, back: np.ndarray) -> np.ndarray:
        """Tr[(1/2){V, sigma_a} back]."""
        trace = self._spin_trace(multiply(self.V, back))
        if not self.scalar:
            trace = 0.5 * (trace + self._spin_trace(multiply(back, self.V)))
        return trace

    def _spin_trace(self, matrix: np.ndarray) -> np.ndarray:
        return spin_trace(matrix, self.axis)

    def window_torques(self, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(i/2) Tr([sigma_a, H] A) on the element left of the cut, for A_L and A_R: (3, k, E) each.

        With the exchange H = -(1/2) D m.sigma this is (1/2) m x Tr[D sigma A]. H: full matrices (1, k, 1, 2n, 2n).
        """
        left, right = (self._torque(H, a) for a in self.spectral)
        return left.real, right.real

    def sea_torques(self, H: np.ndarray) -> np.ndarray:
        """(i/2) Tr([sigma_a, H] G) on the element left of the cut; analytic in E, (3, k, E)."""
        return self._torque(H, self.green)

    def _torque(self, H: np.ndarray, operator: np.ndarray) -> np.ndarray:
        full = SpinMatrix(operator, self.axis).full
        return 0.5j * spin_trace(multiply(H, full) - multiply(full, H), None)[1:]

    def log_determinant_ratio(self, reference: "Join") -> np.ndarray:
        """ln det(1 - X) of this join over that of `reference`, (k, E): the angle-dependent part of -ln det G."""
        return _log_determinant(self._full_scatter) - _log_determinant(reference._full_scatter)

    @property
    def _full_scatter(self) -> np.ndarray:
        return SpinMatrix(self._scatter, self.axis).full[0]


def _log_determinant(scatter: np.ndarray) -> np.ndarray:
    """ln det(1 - X) from the eigenvalues of X, which keeps the digits of a small X."""
    return np.log1p(-np.linalg.eigvals(scatter)).sum(axis=-1)


def spin_trace(matrix: np.ndarray, axis: Axis) -> np.ndarray:
    """Tr[sigma_a M], a = 0, x, y, z, in the laboratory frame: (spin, k, E, n, n) -> (4, k, E)."""
    if axis is not None:
        up, down = np.trace(matrix, axis1=-2, axis2=-1)
        difference = up - down
        return np.stack([up + down, *(component * difference for component in axis)])
    *batch, n, _ = matrix[0].shape
    spins = np.einsum("...isit->...st", matrix[0].reshape(*batch, n // 2, 2, n // 2, 2))
    return np.einsum("ats,...st->a...", PAULI, spins)


def common_axis(first: Axis, second: Axis) -> Axis:
    """The first axis if both lie on one line, else None."""
    if first is None or second is None or np.linalg.norm(np.cross(first, second)) > PARALLEL_TOLERANCE:
        return None
    return first
