"""Scattering matrices and conductances: closed forms, two engines, freedom of basis, conservation laws, refusals."""

import kwant
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qtorque as qt
from qtorque import (
    conductance,
    k_average,
    mixing_conductance,
    per_area,
    polarization,
    schep_corrected,
    sharvin_conductance,
    tmr,
    transmission,
    transmitted_mixing_conductance,
)
from qtorque.bloch import layered
from qtorque.errors import InputError
from qtorque.scattering import CHUNK, solve
from qtorque.spin import PAULI

ENGINES = 1e-10
"""Two solvers at one k: relative rounding 1e-16 times the condition number of a few layers and of the modes."""
FORMULA = 1e-10
"""One interface against its formula; near a band edge of a lead the square root loses half of the digits of 1e-16."""
AVERAGE = 1e-6
"""The printed digits of the reference."""
IDENTITY = 1e-9
"""Conservation laws of random systems; their resonances enlarge the rounding."""
SAME = 1e-12
"""The same sum in another order."""
FEW = settings(max_examples=8, deadline=None, derandomize=True)
MANY = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)

NORMAL = qt.single_band(onsite=2.5)
MAGNET = qt.single_band(onsite=2.75, exchange=2.5)
"""The step of the reference: spin up at 1.5, down at 4.0 eV against 2.5 eV, hopping -1 eV."""
STEP = qt.Stack(left=qt.Lead(NORMAL), right=qt.Lead(MAGNET))
STEP_REFERENCE = {"sharvin": 0.387000, "g_mix": 0.407227 + 0.066894j, "up": 0.296532, "down": 0.145341}
"""200 x 200 midpoint mesh, E = 0, per cell; wave matching on the lattice (project reference, section 2)."""
IRON = qt.single_band(onsite=4.3, exchange=2.6)
OXIDE = qt.single_band(onsite=9.0)
E_SQUARED_OVER_H = 3.8740458e-5
"""S, per spin (CODATA)."""


def junction(voltage_layers=3, right=(0, 0, 1)):
    return qt.Stack(
        left=qt.Lead(IRON),
        layers=[qt.Layer(OXIDE, voltage_layers, barrier=True)],
        right=qt.Lead(IRON, magnetization=right),
    )


def unit(seed):
    v = np.random.default_rng(seed).normal(size=3)
    return v / np.linalg.norm(v)


def momenta(seed, count=3):
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, 2))


def random_matrix(rng, n):
    return rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))


def hermitian(rng, n):
    a = random_matrix(rng, n)
    return (a + a.conj().T) / 2


def along(m, energy, splitting):
    """kron(energy, 1) - (1/2) kron(splitting, m.sigma)."""
    return np.kron(energy, np.eye(2)) - 0.5 * np.kron(splitting, np.einsum("a,aij->ij", m, PAULI[1:]))


def random_builders(seed, *, orbitals=3, left=None, right=None, inner="mixing", degenerate=False, layers=4):
    """Kwant builders with random Hermitian matrices.

    `left`, `right`: direction of the spin that the lead conserves, None for a normal lead. `inner`: a direction for
    collinear layers, "mixing" for layers that conserve no spin. `degenerate`: all orbitals of a normal lead are alike.
    """
    rng = np.random.default_rng(seed)
    periods = np.eye(3)
    lattice = kwant.lattice.general(periods, norbs=2 * orbitals)
    region = kwant.Builder(kwant.TranslationalSymmetry(*(tuple(p) for p in periods[:2])))
    zero, one = np.zeros((orbitals, orbitals)), np.eye(orbitals)

    def lead(m, sign):
        if m is None and degenerate:
            energy, up, sheet = 0.3 * one, -one, -0.4 * one
        else:
            energy, up, sheet = (
                0.5 * hermitian(rng, orbitals),
                random_matrix(rng, orbitals),
                0.3 * hermitian(rng, orbitals),
            )
        splitting = (
            (zero, zero) if m is None else (one + 0.3 * hermitian(rng, orbitals), 0.2 * hermitian(rng, orbitals))
        )
        m = (0, 0, 1) if m is None else m
        builder = kwant.Builder(kwant.TranslationalSymmetry(*(tuple(p) for p in (*periods[:2], sign * periods[2]))))
        values = along(m, energy, splitting[0]), along(m, up, splitting[1]), along(m, sheet, zero)
        builder[lattice(0, 0, 0)] = values[0]
        builder[lattice(0, 0, 0), lattice(0, 0, 1)] = values[1]
        builder[lattice(0, 0, 0), lattice(1, 0, 0)] = values[2]
        builder[lattice(0, 0, 0), lattice(0, 1, 0)] = values[2]
        return builder, values

    (left_lead, left_values), (right_lead, right_values) = lead(left, -1), lead(right, 1)

    def block(scale, make):
        if isinstance(inner, str):
            return scale * make(rng, 2 * orbitals)
        return along(inner, scale * make(rng, orbitals), scale * make(rng, orbitals))

    for z in range(layers):
        end = left_values if z == 0 else right_values if z == layers - 1 else None
        region[lattice(0, 0, z)] = (
            end[0]
            if end
            else block(0.7, hermitian) + 0.5 * along((0, 0, 1) if isinstance(inner, str) else inner, zero, one)
        )
        for step in ((1, 0, 0), (0, 1, 0)):
            region[lattice(0, 0, z), lattice(*step[:2], z)] = end[2] if end else block(0.3, hermitian)
        if z:
            region[lattice(0, 0, z - 1), lattice(0, 0, z)] = block(1.0, random_matrix)
    return region, left_lead, right_lead


def transformed(builders, left, inner, right):
    """The same system in another basis: unitary matrices for the sites of the left end, the inside, the right end."""
    region, *leads = builders
    top = max(s.pos[2] for s in region.sites())

    def basis(site):
        return left if site.pos[2] <= 0 else right if site.pos[2] >= top else inner

    result = []
    for builder, choose in ((region, basis), (leads[0], lambda site: left), (leads[1], lambda site: right)):
        copy = kwant.Builder(builder.symmetry)
        for site, value in builder.site_value_pairs():
            copy[site] = choose(site) @ value @ choose(site).conj().T
        for (a, b), value in builder.hopping_value_pairs():
            copy[a, b] = choose(a) @ value @ choose(b).conj().T
        result.append(copy)
    return tuple(result)


def random_unitary(seed, n):
    return np.linalg.qr(random_matrix(np.random.default_rng(seed), n))[0]


def random_su2(seed):
    u = random_unitary(seed, 2)
    return u / np.sqrt(np.linalg.det(u))


def rotation_of(U):
    """R with U (v.sigma) U^dagger = (R v).sigma."""
    return 0.5 * np.einsum("aij,jk,bkl,li->ab", PAULI[1:], U, PAULI[1:], U.conj().T).real


def lead_values(t):
    return t.transpose("k", "spin_in", "spin_out").values


def assert_same_physics(a, b, tolerance=ENGINES):
    """Two Scatterings agree in everything that does not depend on the phases of channels."""
    np.testing.assert_array_equal(a.open_channels, b.open_channels)
    np.testing.assert_allclose(a.lead_axes, b.lead_axes, atol=tolerance)
    assert a.lead_magnetic == b.lead_magnetic
    for p in a.leads:
        for q in a.leads:
            np.testing.assert_allclose(transmission(a, p, q), transmission(b, p, q), atol=tolerance)
    for lead, magnetic in zip(a.leads, a.lead_magnetic, strict=True):
        if a.magnet_axes[0] is not None and not magnetic:
            mine, other = (mixing_conductance(s, lead=lead) for s in (a, b))
            np.testing.assert_allclose(mine, other, atol=tolerance)
    if a.magnet_axes[0] is not None and not any(a.lead_magnetic):
        mine, other = (transmitted_mixing_conductance(s) for s in (a, b))
        np.testing.assert_allclose(mine, other, atol=tolerance)
    for s in (a, b):
        assert s.unitarity_error.max() < tolerance


def both_engines(system, energies, k, **more):
    """Both engines agree at all energies; returns the open channels met."""
    met = []
    for energy in energies:
        a, b = (solve(system, energy=energy, kmesh=qt.kpoints(k), engine=e, **more) for e in ("layered", "kwant"))
        assert_same_physics(a, b)
        met.append(a.open_channels)
    return np.array(met)


# closed forms


def step_reflection(k, onsite, energy=0.0):
    """r_N|F of the lattice step by wave matching, and lambda of both sides; hopping -1 eV."""
    sheet = -2 * (np.cos(k[:, 0]) + np.cos(k[:, 1]))

    def factor(eps):
        half = -(energy - eps - sheet) / 2  # lambda + 1/lambda = 2 half
        root = np.sqrt(half.astype(complex) ** 2 - 1)
        small = np.where(np.abs(half + root) < np.abs(half - root), half + root, half - root)
        # In the band the wave that flows to the right: v = -2 t sin(k) with t = -1, hence Im lambda > 0.
        wave = half + 1j * np.sqrt(np.clip(1 - half**2, 0, None))
        return np.where(np.abs(half) < 1, wave, small)

    n, s = factor(np.full(len(k), 2.5)), factor(np.full(len(k), onsite))
    return (1 / s - 1 / n) / (n - 1 / s), n, s


def test_step_has_the_reflection_amplitudes_of_wave_matching_at_every_k():
    k = qt.kmesh(40).points
    s = solve(STEP, energy=0.0, kmesh=qt.kpoints(k))
    (up, n, _), (down, _, _) = step_reflection(k, 1.5), step_reflection(k, 4.0)
    is_open = np.abs(np.abs(n) - 1) < 1e-9
    np.testing.assert_array_equal(s.open_channels[:, 0, 0], is_open)
    expected = np.where(is_open, 1 - up * down.conj(), 0)
    np.testing.assert_allclose(mixing_conductance(s, lead="left"), expected, atol=FORMULA)
    assert np.abs(expected.imag).max() > 0.1
    T = lead_values(transmission(s))
    for spin, r in enumerate((up, down)):
        np.testing.assert_allclose(T[:, spin, spin], np.where(is_open, 1 - np.abs(r) ** 2, 0), atol=FORMULA)
    np.testing.assert_allclose(T[:, [0, 1], [1, 0]], 0, atol=FORMULA)


def test_step_has_the_reference_averages():
    mesh = qt.kmesh(200)
    g_mix = mixing_conductance(STEP, lead="left", energy=0.0, kmesh=mesh).item()
    G = conductance(STEP, energy=0.0, kmesh=mesh)
    assert g_mix.real == pytest.approx(STEP_REFERENCE["g_mix"].real, abs=AVERAGE)
    assert g_mix.imag == pytest.approx(STEP_REFERENCE["g_mix"].imag, abs=AVERAGE)
    assert G.sel(spin_in="up", spin_out="up").item() == pytest.approx(STEP_REFERENCE["up"], abs=AVERAGE)
    assert G.sel(spin_in="down", spin_out="down").item() == pytest.approx(STEP_REFERENCE["down"], abs=AVERAGE)
    s = solve(STEP, energy=0.0, kmesh=mesh)
    np.testing.assert_allclose(sharvin_conductance(s, "left"), STEP_REFERENCE["sharvin"], atol=AVERAGE)


FREE_ELECTRON = 2e-5
"""Lattice corrections (k_F a)^2 are extrapolated away; the next order, k_F^4 ~ 1e-6, and the quadrature are left."""


def fermi_disc(edges, k_fermi, nodes=60):
    """Momenta and weights over the disc |k| < k_fermi, dense at the `edges`, where transmission has square roots.

    With sin(k_i/2) = u_i/2 the transverse energy of the lattice is u^2 exactly.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    theta = np.pi / 4 * (x + 1)
    u, weight = [], []
    for low, high in zip((0.0, *edges), (*edges, 1.0), strict=True):
        if high > low:
            square = low**2 + (high**2 - low**2) * np.sin(theta) ** 2
            u.append(k_fermi * np.sqrt(square))
            weight.append(w * (high**2 - low**2) * np.sin(2 * theta))
    u, weight = np.concatenate(u), np.concatenate(weight)
    phi = (np.arange(4) + 0.5) * np.pi / 8
    ux, uy = np.outer(u, np.cos(phi)).ravel(), np.outer(u, np.sin(phi)).ravel()
    jacobian = 1 / np.sqrt((1 - ux**2 / 4) * (1 - uy**2 / 4))
    return qt.kpoints(2 * np.arcsin(np.stack([ux, uy], axis=1) / 2), np.repeat(weight, 4) * jacobian)


def free_electron_step(up, down, edges):
    """(g_up, g_down, g_mix)/g_Sharvin for Fermi wave vectors up, down in units of that of the normal metal."""

    def lattice(k_fermi):
        depth = k_fermi**2 * np.array([1, up**2, down**2])
        normal = qt.single_band(onsite=6 - depth[0])
        magnet = qt.single_band(onsite=6 - depth[1:].mean(), exchange=depth[1] - depth[2])
        stack = qt.Stack(left=qt.Lead(normal), right=qt.Lead(magnet))
        s = solve(stack, energy=0.0, kmesh=fermi_disc(edges, k_fermi))
        G = conductance(s)
        sharvin = sharvin_conductance(s, "left")[0].item()
        return np.array([G[0, 0].item(), G[1, 1].item(), k_average(mixing_conductance(s)).item()]) / sharvin

    coarse, fine = lattice(0.1), lattice(0.1 / np.sqrt(2))
    return 2 * fine - coarse


def test_free_electron_limit_of_the_step():
    """Closed forms of the project reference, section 2: 5/27 for rho = 0.5, 64/75 for rho = 1.5; g_mix likewise."""
    up, down, g_mix = free_electron_step(1.5, 0.5, (0.5,))
    assert up.real == pytest.approx(64 / 75, abs=FREE_ELECTRON)
    assert down.real == pytest.approx(5 / 27, abs=FREE_ELECTRON)
    assert g_mix == pytest.approx(0.969175 + 0.225379j, abs=FREE_ELECTRON)
    assert free_electron_step(1.1, 0.9, (0.9,))[2] == pytest.approx(0.998642 + 0.047397j, abs=FREE_ELECTRON)
    assert free_electron_step(1.0, 0.5, (0.5,))[2] == pytest.approx(1.0, abs=FREE_ELECTRON)  # r_up = 0


def test_transparent_interface_has_the_sharvin_mixing_conductance():
    """Spin up meets no step: r_up = 0 and g_mix = g_Sharvin exactly."""
    magnet = qt.single_band(onsite=3.5, exchange=2.0)  # up at 2.5 eV as the normal metal
    s = solve(qt.Stack(left=qt.Lead(NORMAL), right=qt.Lead(magnet)), energy=0.0, kmesh=qt.kmesh(20))
    np.testing.assert_allclose(mixing_conductance(s), s.open_channels[:, 0, 0], atol=FORMULA)


# two engines


@pytest.mark.kwant
def test_engines_agree_for_a_noncollinear_junction_at_bias():
    met = both_engines(junction(), np.linspace(-2.5, 3.0, 6), momenta(1), angle=1.0, voltage=0.4)
    assert met.min() == 0
    assert met.max() == 1


@pytest.mark.kwant
def test_engines_agree_for_a_spin_valve_of_thin_magnets_between_normal_leads():
    """Antiparallel and of unlike thickness: "up" is the majority of the first magnet for both engines."""
    thin, thick = qt.Layer(MAGNET, 1), qt.Layer(MAGNET, 3, magnetization=(0, 0, -1))
    stack = qt.Stack(left=qt.Lead(NORMAL), layers=[thin, qt.Layer(NORMAL, 2), thick], right=qt.Lead(NORMAL))
    k = momenta(2, 6)
    both_engines(stack, [0.0], k)
    s = solve(stack, energy=0.0, kmesh=qt.kpoints(k))
    np.testing.assert_allclose(np.abs(s.magnet_axes), [(0, 0, 1)] * 2, atol=SAME)
    assert np.abs(mixing_conductance(s).imag).max() > 0.1


@pytest.mark.kwant
@FEW
@given(seeds, st.floats(-2, 2))
def test_engines_agree_for_random_builders_with_tilted_leads_and_spin_mixing_layers(seed, energy):
    builders = random_builders(seed, left=unit(seed), right=unit(seed + 1))
    system = layered(*builders)
    k = momenta(seed, 2)
    both_engines(system, [energy], k)
    total = transmission(solve(system, energy=energy, kmesh=qt.kpoints(k))).sum(["spin_in", "spin_out"])
    for value, point in zip(total.values, k, strict=True):
        S = kwant.smatrix(system.wrapped(), energy, params={"k_x": point[0], "k_y": point[1]})
        assert value == pytest.approx(S.transmission(1, 0), abs=ENGINES)


@pytest.mark.kwant
@FEW
@given(seeds, st.floats(-2, 2), st.booleans())
def test_engines_agree_for_multi_orbital_normal_leads(seed, energy, degenerate):
    both_engines(layered(*random_builders(seed, inner=unit(seed), degenerate=degenerate)), [energy], momenta(seed, 2))


@pytest.mark.kwant
@FEW
@given(seeds, st.floats(-2, 2))
def test_engines_agree_between_a_normal_and_a_tilted_magnetic_lead(seed, energy):
    m = unit(seed)
    both_engines(layered(*random_builders(seed, inner=m, right=m, orbitals=2)), [energy], momenta(seed, 2))


@pytest.mark.kwant
def test_random_builders_have_open_and_closed_channels():
    """The two tests above mean something: channels are open, closed, and unlike for the two spins."""
    systems = [layered(*random_builders(seed, left=unit(seed), right=unit(seed + 1))) for seed in range(6)]
    k = qt.kpoints(momenta(1))
    counts = np.array([[solve(x, energy=e, kmesh=k).open_channels for x in systems] for e in (-1.5, 0.0, 1.5)])
    assert counts.min() < 3
    assert counts.max() == 3
    assert np.any(counts[..., 0] != counts[..., 1])


# freedom of basis


def normal_system(seed, *, right=None, degenerate=False):
    m = unit(seed)
    return random_builders(seed, inner=m, right=None if right is None else m, degenerate=degenerate)


def all_mixing(builders, k, energy=0.2):
    s = solve(layered(*builders), energy=energy, kmesh=qt.kpoints(k))
    values = [mixing_conductance(s, lead="left").values]
    if not any(s.lead_magnetic):
        values += [mixing_conductance(s, lead="right").values, transmitted_mixing_conductance(s).values]
    return np.array(values)


@MANY
@given(seeds, st.booleans(), st.sampled_from([None, "magnetic"]))
def test_mixing_conductance_does_not_depend_on_the_basis_of_orbitals(seed, degenerate, right):
    """Permuted orbitals, and a unitary of its own for each lead."""
    builders, k = normal_system(seed, right=right, degenerate=degenerate), momenta(seed)
    expected = all_mixing(builders, k)
    permutation = np.kron(np.eye(3)[np.random.default_rng(seed).permutation(3)], np.eye(2))
    turned = [np.kron(random_unitary(seed + i, 3), np.eye(2)) for i in range(3)]
    for bases in ([permutation] * 3, turned):
        np.testing.assert_allclose(all_mixing(transformed(builders, *bases), k), expected, atol=IDENTITY)


@MANY
@given(seeds, st.booleans(), st.sampled_from([None, "magnetic"]))
def test_mixing_conductance_does_not_depend_on_the_spin_axis(seed, degenerate, right):
    builders, k = normal_system(seed, right=right, degenerate=degenerate), momenta(seed)
    turn = np.kron(np.eye(3), random_su2(seed))
    found = all_mixing(transformed(builders, turn, turn, turn), k)
    np.testing.assert_allclose(found, all_mixing(builders, k), atol=IDENTITY)


def conserved(builders):
    """The same builders with leads that tell Kwant about sigma_z: down first, then up."""
    region, *leads = builders
    result = []
    for lead in leads:
        (site,) = lead.sites()
        copy = kwant.Builder(lead.symmetry, conservation_law=np.kron(np.eye(site.family.norbs // 2), PAULI[3].real))
        for site, value in lead.site_value_pairs():
            copy[site] = value
        for hopping, value in lead.hopping_value_pairs():
            copy[hopping] = value
        result.append(copy)
    return region, *result


def aligned(S, p, q):
    """Amplitudes q -> p of Kwant's S for up and for down, the latter turned into the mode bases of the former.

    The modes of both spins are those of one lead Hamiltonian, in bases of their own: psi_dn = psi_up R.
    """

    def bases(lead):
        info = S.lead_info[lead]
        waves, velocities = info.wave_functions, info.velocities
        # Spin blocks: a mode has its weight on the rows of one spin, spin being the fastest index.
        up = np.linalg.norm(waves[0::2], axis=0) > np.linalg.norm(waves[1::2], axis=0)
        kinds = []
        for sign in (-1, 1):  # incoming modes have negative velocity
            kind = np.sign(velocities) == sign
            R = np.linalg.lstsq(waves[0::2][:, kind & up], waves[1::2][:, kind & ~up], rcond=None)[0]
            np.testing.assert_allclose(R.conj().T @ R, np.eye(len(R)), atol=1e-8)
            kinds.append((up[kind], R))
        return kinds

    (_, _), (out_up, R_out) = bases(p)
    (in_up, R_in), (_, _) = bases(q)
    block = S.submatrix(p, q)
    return block[np.ix_(out_up, in_up)], R_out @ block[np.ix_(~out_up, ~in_up)] @ R_in.conj().T


@pytest.mark.kwant
@pytest.mark.parametrize("degenerate", [False, True])
def test_mixing_conductance_equals_that_of_kwants_modes_once_these_are_aligned(degenerate):
    for seed in range(4):
        builders = conserved(random_builders(seed, inner=np.array([0, 0, 1]), degenerate=degenerate))
        # A spin-dependent unitary inside the leads would be no gauge freedom; one of the orbitals is.
        W = np.kron(random_unitary(seed, 3), np.eye(2))
        builders = conserved(transformed(builders, W, W, W))
        system, k = layered(*builders), momenta(seed, 1)
        s = solve(system, energy=0.2, kmesh=qt.kpoints(k))
        S = kwant.smatrix(system.wrapped(), 0.2, params={"k_x": k[0, 0], "k_y": k[0, 1]})
        for lead, name in ((0, "left"), (1, "right")):
            up, down = aligned(S, lead, lead)
            expected = len(up) - np.trace(up @ down.conj().T)
            sign = s.magnet_axes[lead][2]  # the axis of the package may be -z: its majority
            expected = expected if sign > 0 else expected.conj()
            assert mixing_conductance(s, lead=name).item() == pytest.approx(expected, abs=1e-8)
        up, down = aligned(S, 1, 0)
        expected = np.trace(up @ down.conj().T)
        expected = expected if s.magnet_axes[0][2] > 0 else expected.conj()
        assert transmitted_mixing_conductance(s).item() == pytest.approx(expected, abs=1e-8)


@pytest.mark.kwant
@pytest.mark.parametrize("degenerate", [False, True])
def test_mixing_conductance_equals_the_formula_without_any_modes(degenerate):
    """g_mix = i Tr[Gamma (G_up - G_dn^dagger)] - Tr[Gamma G_up Gamma G_dn^dagger], G and Gamma from Kwant."""
    for seed in range(4):
        system = layered(*random_builders(seed, inner=np.array([0, 0, 1]), degenerate=degenerate))
        k = momenta(seed, 1)
        s = solve(system, energy=0.2, kmesh=qt.kpoints(k))
        G = kwant.greens_function(system.wrapped(), 0.2, params={"k_x": k[0, 0], "k_y": k[0, 1]})
        gammas = [1j * (sigma - sigma.conj().T)[0::2, 0::2] for sigma in G.lead_info]
        for lead, name in ((0, "left"), (1, "right")):
            up, down = (0, 1) if s.magnet_axes[lead][2] > 0 else (1, 0)
            block, gamma = G.submatrix(lead, lead), gammas[lead]
            g_up, g_down = block[up::2, up::2], block[down::2, down::2].conj().T
            expected = 1j * np.trace(gamma @ (g_up - g_down)) - np.trace(gamma @ g_up @ gamma @ g_down)
            assert mixing_conductance(s, lead=name).item() == pytest.approx(expected, abs=ENGINES * 10)
        block = G.submatrix(1, 0)
        up, down = (0, 1) if s.magnet_axes[0][2] > 0 else (1, 0)
        g_up, g_down = block[up::2, up::2], block[down::2, down::2].conj().T
        expected = np.trace(gammas[1] @ g_up @ gammas[0] @ g_down)
        assert transmitted_mixing_conductance(s).item() == pytest.approx(expected, abs=ENGINES * 10)


@pytest.mark.parametrize("m", [(0, 0, -1), (1, 0, 0), (0.6, 0, -0.8), (0, -1, 0)])
def test_up_is_the_majority_wherever_the_magnetization_points(m):
    """Flipping up and down would conjugate g_mix; Im g_mix > 0 for the step of the reference."""
    stack = qt.Stack(left=qt.Lead(NORMAL), right=qt.Lead(MAGNET, magnetization=m))
    mesh = qt.kmesh(20)
    expected = mixing_conductance(STEP, energy=0.0, kmesh=mesh).item()
    assert expected.imag > 0.01
    assert mixing_conductance(stack, energy=0.0, kmesh=mesh).item() == pytest.approx(expected, abs=SAME)
    s = solve(stack, energy=0.0, kmesh=mesh)
    np.testing.assert_allclose(s.lead_axes, [(0, 0, 1), m], atol=SAME)
    G = conductance(s).sum("spin_in")  # out of the magnet's own channels
    assert G.sel(spin_out="up").item() == pytest.approx(
        conductance(STEP, energy=0.0, kmesh=mesh)[0, 0].item(), abs=SAME
    )


def test_channels_of_a_magnetic_lead_point_along_its_own_axis():
    """A spin prepared along +x in the left magnet arrives as up in a right magnet along +x, as down in one along -x."""
    mesh = qt.kmesh(12)
    T = {}
    for m in ((1, 0, 0), (-1, 0, 0)):
        stack = qt.Stack(
            left=qt.Lead(MAGNET, magnetization=(1, 0, 0), magnet="a"),
            layers=[qt.Layer(NORMAL, 2)],
            right=qt.Lead(MAGNET, magnetization=m, magnet="b"),
        )
        T[m] = conductance(stack, energy=0.0, kmesh=mesh).values
    np.testing.assert_allclose(T[1, 0, 0][[0, 1], [1, 0]], 0, atol=SAME)
    np.testing.assert_allclose(T[-1, 0, 0][[0, 1], [0, 1]], 0, atol=SAME)


def test_amplitudes_between_turned_leads_carry_the_spinors_of_their_axes():
    """Without exchange inside, t^{s->s'} factorises: |<s'|s>|^2 = cos^2(angle/2) for one and the same orbital problem.

    Leads so weakly split that up and down transmit alike to the accuracy asked for.
    """
    weak = qt.single_band(onsite=2.5, exchange=1e-7)
    angle = 0.8
    stack = qt.Stack(
        left=qt.Lead(weak, magnetization=(0, 0, 1)),
        layers=[qt.Layer(NORMAL, 1)],
        right=qt.Lead(weak, magnetization=(0, 0, 1)),
    )
    s = solve(stack, energy=0.0, kmesh=qt.kpoints([[0.9, 1.1]]), angle=angle)
    expected = [[np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2], [np.sin(angle / 2) ** 2, np.cos(angle / 2) ** 2]]
    np.testing.assert_allclose(transmission(s)[0], expected, atol=1e-6)


# conservation laws


def any_builders(seed, kinds):
    """Leads: normal or magnetic along unlike directions; inside everything is mixed."""
    left, right = (unit(seed + i) if kind else None for i, kind in enumerate(kinds))
    return random_builders(seed, orbitals=2, left=left, right=right)


lead_kinds = st.tuples(st.booleans(), st.booleans())


@MANY
@given(seeds, st.floats(-2, 2), lead_kinds)
def test_scattering_matrix_is_unitary_and_channels_are_conserved(seed, energy, kinds):
    s = solve(layered(*any_builders(seed, kinds)), energy=energy, kmesh=qt.kpoints(momenta(seed)))
    assert s.unitarity_error.max() < IDENTITY
    for p, name in enumerate(s.leads):
        out = sum(lead_values(transmission(s, name, target)).sum(axis=2) for target in s.leads)
        into = sum(lead_values(transmission(s, source, name)).sum(axis=1) for source in s.leads)
        np.testing.assert_allclose(out, s.open_channels[:, p], atol=IDENTITY)
        np.testing.assert_allclose(into, s.open_channels[:, p], atol=IDENTITY)
    # S itself, put together from its blocks, is unitary on the open channels of the two spins.
    for index in range(s.kset.size):
        whole = np.block([[full_block(s.amplitudes[p, q][index]) for q in range(2)] for p in range(2)])
        count = s.open_channels[index].sum()
        singular = np.linalg.svd(whole, compute_uv=False)
        np.testing.assert_allclose(singular, [1] * count + [0] * (len(singular) - count), atol=IDENTITY)


def full_block(block):
    spins, _, n, m = block.shape
    return block.transpose(0, 2, 1, 3).reshape(spins * n, spins * m)


def time_reversed(builders):
    """H(-k, -m) = sigma_y H(k, m)* sigma_y as a system of its own."""
    result = []
    for builder in builders:
        copy = kwant.Builder(builder.symmetry)
        for site, value in builder.site_value_pairs():
            copy[site] = reversed_matrix(value)
        for hopping, value in builder.hopping_value_pairs():
            copy[hopping] = reversed_matrix(value)
        result.append(copy)
    return tuple(result)


def reversed_matrix(value):
    flip = np.kron(np.eye(len(value) // 2), PAULI[2])
    return flip @ value.conj() @ flip


@MANY
@given(seeds, st.floats(-2, 2), lead_kinds)
def test_onsager_relation_with_spins_along_the_leads_own_axes(seed, energy, kinds):
    """T^{s->s'}_{L->R}(k, m) = T^{-s'->-s}_{R->L}(-k, -m).

    The axis of a magnetic lead turns with m, so its spin keeps its index; a normal lead keeps z, and its index flips.
    """
    builders, k = any_builders(seed, kinds), momenta(seed)
    forward = solve(layered(*builders), energy=energy, kmesh=qt.kpoints(k))
    backward = solve(layered(*time_reversed(builders)), energy=energy, kmesh=qt.kpoints(-k))
    for p, magnetic in enumerate(kinds):
        np.testing.assert_allclose(backward.lead_axes[p], (-1 if magnetic else 1) * forward.lead_axes[p], atol=IDENTITY)
    keep, flip = [0, 1], [1, 0]
    left, right = (keep if magnetic else flip for magnetic in kinds)
    T = lead_values(transmission(forward, "left", "right"))
    back = lead_values(transmission(backward, "right", "left"))[:, right][:, :, left]
    np.testing.assert_allclose(T, back.transpose(0, 2, 1), atol=IDENTITY)


def test_onsager_relation_of_a_stack_is_the_reversal_of_its_magnetizations():
    k = momenta(4, 6)
    m, p = unit(1), unit(2)
    T = []
    for sign, source, target in ((1, "left", "right"), (-1, "right", "left")):
        stack = qt.Stack(
            left=qt.Lead(IRON, magnetization=tuple(sign * p)),
            layers=[qt.Layer(OXIDE, 1, barrier=True), qt.Layer(NORMAL, 1)],
            right=qt.Lead(MAGNET, magnetization=tuple(sign * m)),
        )
        T.append(lead_values(transmission(solve(stack, energy=0.3, kmesh=qt.kpoints(sign * k)), source, target)))
    assert T[0].max() > 1e-3
    assert np.abs(T[0] - T[0].transpose(0, 2, 1)).max() > 1e-4  # the order of the spins matters
    np.testing.assert_allclose(T[0], T[1].transpose(0, 2, 1), atol=SAME)


@MANY
@given(seeds, st.floats(-2, 2), st.booleans(), st.booleans())
def test_twice_the_mixing_conductance_exceeds_the_sum_of_both_spins_by_tr_r_up_minus_r_dn_squared(
    seed, energy, degenerate, magnetic
):
    z = np.array([0.0, 0.0, 1.0])
    builders = random_builders(seed, inner=z, right=z if magnetic else None, degenerate=degenerate)
    s = solve(layered(*builders), energy=energy, kmesh=qt.kpoints(momenta(seed)))
    r = s.reflection("left")
    T = lead_values(transmission(s))
    g_mix = mixing_conductance(s).values
    excess = 2 * g_mix.real - T.sum(axis=(1, 2))
    expected = np.sum(np.abs(r[:, 0, 0] - r[:, 1, 1]) ** 2, axis=(1, 2))
    np.testing.assert_allclose(excess, expected, atol=IDENTITY)
    assert excess.min() > -IDENTITY


@MANY
@given(seeds, st.floats(-2, 2))
def test_rotation_of_all_spins_changes_no_transmission_between_magnetic_leads(seed, energy):
    U = random_su2(seed)
    builders, k = any_builders(seed, (True, True)), momenta(seed)
    turn = np.kron(np.eye(2), U)
    before, after = (
        solve(layered(*b), energy=energy, kmesh=qt.kpoints(k))
        for b in (builders, transformed(builders, turn, turn, turn))
    )
    np.testing.assert_allclose(after.lead_axes, before.lead_axes @ rotation_of(U).T, atol=IDENTITY)
    for source in before.leads:
        for target in before.leads:
            np.testing.assert_allclose(
                transmission(after, source, target), transmission(before, source, target), atol=IDENTITY
            )


def test_spin_of_a_normal_lead_is_quantised_along_z():
    """In through a normal lead along z, through a thick half-metal along +x: up and down pass with equal shares."""
    half_metal = qt.single_band(onsite=6.5, exchange=9.0)
    stack = qt.Stack(
        left=qt.Lead(NORMAL), layers=[qt.Layer(half_metal, 8, magnetization=(1, 0, 0))], right=qt.Lead(NORMAL)
    )
    s = solve(stack, energy=0.0, kmesh=qt.kpoints([[0.7, 0.9]]))
    T = lead_values(transmission(s))[0]
    assert T.min() > 0.05
    np.testing.assert_allclose(T, np.full((2, 2), T.mean()), atol=1e-6)


# a Kwant system of three leads


def three_leads(seed, *, mixing=True):
    """A T-shaped junction of square lattice strips; leads magnetic along x, normal, and along an oblique direction."""
    rng = np.random.default_rng(seed)
    lattice = kwant.lattice.square(norbs=4)
    system = kwant.Builder()
    for x in range(6):
        for y in range(6):
            if y < 2 or 2 <= x < 4:
                system[lattice(x, y)] = (
                    0.4 * hermitian(rng, 4) if mixing else along((0, 0, 1), hermitian(rng, 2), np.eye(2))
                )
    system[lattice.neighbors()] = -np.eye(4)
    axes = np.array([(1, 0, 0), (0, 0, 1), unit(seed)])
    shapes = (((-1, 0), [(0, 0), (0, 1)]), ((1, 0), [(0, 0), (0, 1)]), ((0, 1), [(2, 0), (3, 0)]))
    for number, (direction, sites) in enumerate(shapes):
        lead = kwant.Builder(kwant.TranslationalSymmetry(direction))
        for site in sites:
            lead[lattice(*site)] = along(axes[number], 0.3 * hermitian(rng, 2), (number != 1) * 0.8 * np.eye(2))
        lead[lattice.neighbors()] = -np.eye(4)
        system.attach_lead(lead)
    return system.finalized(), axes


@pytest.mark.kwant
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_finalised_kwant_system_of_three_leads_scatters_as_in_kwant(seed):
    system, axes = three_leads(seed)
    s = solve(system, energy=0.2, engine="kwant")
    assert s.leads == ("left", "right", "lead 2")
    assert s.lead_magnetic == (True, False, True)
    np.testing.assert_allclose(s.lead_axes, axes, atol=ENGINES)
    assert s.unitarity_error.max() < ENGINES
    S = kwant.smatrix(system, 0.2)
    for p, target in enumerate(s.leads):
        assert s.open_channels[0, p].sum() == S.num_propagating(p)
        for q, source in enumerate(s.leads):
            found = transmission(s, source, target).sum().item()
            assert found == pytest.approx(S.transmission(p, q), abs=ENGINES)
            assert found > 0.01


@pytest.mark.kwant
def test_parameters_of_a_finalised_system_reach_its_leads():
    lattice = kwant.lattice.chain(norbs=2)
    system = kwant.Builder()
    system[(lattice(x) for x in range(3))] = 0.1 * np.eye(2)
    system[lattice.neighbors()] = -np.eye(2)
    for direction in (-1, 1):
        lead = kwant.Builder(kwant.TranslationalSymmetry((direction,)))
        lead[lattice(0)] = lambda site, shift: shift * np.eye(2)
        lead[lattice.neighbors()] = -np.eye(2)
        system.attach_lead(lead)
    finalised = system.finalized()
    s = solve(finalised, energy=0.5, engine="kwant", params={"shift": 0.7})
    expected = kwant.smatrix(finalised, 0.5, params={"shift": 0.7}).transmission(1, 0)
    assert transmission(s).sum().item() == pytest.approx(expected, abs=ENGINES)
    with pytest.raises(InputError, match="shift"):
        solve(finalised, energy=0.5, engine="kwant")


# conductances


@pytest.mark.kwant
def test_tmr_is_positive_and_that_of_kwant():
    mesh = qt.kpoints(np.random.default_rng(1).uniform(-0.5, 0.5, (4, 2)))  # both spins are open here
    ratio = tmr(junction(), energy=0.0, kmesh=mesh)
    P, AP = (
        transmission(solve(junction(), energy=0.0, kmesh=mesh, engine="kwant", angle=angle)).values.sum()
        for angle in (0.0, np.pi)
    )
    assert ratio > 0.01
    assert ratio == pytest.approx(P / AP - 1, rel=1e-8)


def test_tmr_does_not_depend_on_the_declared_directions():
    mesh = qt.kmesh(8)
    expected = tmr(junction(), kmesh=mesh)
    assert tmr(junction(right=(0, 0, -1)), kmesh=mesh) == pytest.approx(expected, rel=1e-9)
    assert tmr(junction(right=(1, 0, 0)), kmesh=mesh) == pytest.approx(expected, rel=1e-9)


def test_polarization_is_positive_where_the_majority_transmits_better():
    s = solve(STEP, energy=0.0, kmesh=qt.kmesh(40))
    G = conductance(s)
    expected = (G[0, 0] - G[1, 1]).item() / (G[0, 0] + G[1, 1]).item()
    assert expected > 0.3
    assert polarization(s) == pytest.approx(expected)
    assert polarization(s, source="right", target="left") == pytest.approx(expected)


def test_polarization_counts_the_spin_that_arrives():
    """Out of a magnet along -z into a normal lead: the majority arrives as down."""
    stack = qt.Stack(left=qt.Lead(MAGNET, magnetization=(0, 0, -1)), right=qt.Lead(NORMAL))
    assert polarization(solve(stack, energy=0.0, kmesh=qt.kmesh(20))) < -0.3


def test_conductance_lists_the_incoming_spin_first():
    s = solve(junction(), energy=0.0, kmesh=qt.kmesh(6), angle=0.7)
    t = s.transmission_amplitudes("left", "right")
    T = transmission(s)
    assert T.dims == ("k", "spin_in", "spin_out")
    assert abs(T[:, 0, 1] - T[:, 1, 0]).max() < 1.0
    np.testing.assert_allclose(T.sel(spin_in="up", spin_out="down"), np.abs(t[:, 1, 0, 0, 0]) ** 2, atol=SAME)
    # Unlike leads tell the two orders apart.
    stack = qt.Stack(left=qt.Lead(IRON), layers=[qt.Layer(OXIDE, 1)], right=qt.Lead(MAGNET))
    s = solve(stack, energy=0.0, kmesh=qt.kmesh(6), angle=0.7)
    t, T = s.transmission_amplitudes("left", "right"), transmission(s)
    assert abs(T[:, 0, 1] - T[:, 1, 0]).max() > 1e-3
    np.testing.assert_allclose(T.sel(spin_in="up", spin_out="down"), np.abs(t[:, 1, 0, 0, 0]) ** 2, atol=SAME)


def test_streamed_results_are_those_of_the_k_resolved_average_over_more_than_one_chunk():
    mesh = qt.kmesh(66)
    assert mesh.size > CHUNK
    s = solve(STEP, energy=0.1, kmesh=mesh)
    streamed = conductance(STEP, energy=0.1, kmesh=mesh)
    np.testing.assert_allclose(streamed, k_average(transmission(s)), atol=SAME)
    assert streamed.dims == ("spin_in", "spin_out")
    g_mix = mixing_conductance(STEP, energy=0.1, kmesh=mesh)
    np.testing.assert_allclose(g_mix, k_average(mixing_conductance(s)), atol=SAME)
    points = qt.kpoints(mesh.points, mesh.weights)
    np.testing.assert_allclose(conductance(STEP, energy=0.1, kmesh=points), streamed, atol=SAME)
    np.testing.assert_allclose(mixing_conductance(STEP, energy=0.1, kmesh=points), g_mix, atol=SAME)
    np.testing.assert_allclose(conductance(solve(STEP, energy=0.1, kmesh=points)), streamed, atol=SAME)


def test_mesh_points_are_midpoints_and_weights_sum_to_one():
    mesh = qt.kmesh(4, 2)
    np.testing.assert_allclose(mesh.points[:3], 2 * np.pi * np.array([(0.125, 0.25), (0.125, 0.75), (0.375, 0.25)]))
    assert mesh.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(qt.kpoints(mesh.points).weights, mesh.weights)


def test_per_area_counts_conductance_quanta_per_cell():
    G = conductance(STEP, energy=0.0, kmesh=qt.kmesh(10))
    cell = (0.3e-9) ** 2
    for system in (STEP, solve(STEP, energy=0.0, kmesh=qt.kmesh(10)), 0.09):
        found = per_area(G, system)
        np.testing.assert_allclose(found, G.values * E_SQUARED_OVER_H / cell, rtol=1e-7)
        assert found.attrs["units"] == "Ohm^-1 m^-2"
    g_mix = mixing_conductance(STEP, energy=0.0, kmesh=qt.kmesh(10))
    np.testing.assert_allclose(per_area(g_mix, STEP), g_mix.item() * E_SQUARED_OVER_H / cell, rtol=1e-7)


def test_schep_correction_takes_the_contact_resistance_off():
    # A transparent interface between equal leads has no resistance of its own.
    assert 1 / schep_corrected(0.4 * (1 - 1e-12), 0.4, 0.4) == pytest.approx(0.0, abs=1e-11)
    assert 1 / schep_corrected(0.2, 0.4, 0.5) == pytest.approx(1 / 0.2 - 0.5 * (1 / 0.4 + 1 / 0.5))
    assert 1 / schep_corrected(0.3 + 0.1j, 0.4) == pytest.approx(1 / (0.3 + 0.1j) - 1 / 0.8)


def test_two_interfaces_in_series_lose_one_contact_resistance():
    """Ohm's law for incoherent interfaces: R = R_1 + R_2 - 1/g_N, which the corrected resistances obey by adding up."""
    g_n, g_1, g_2 = 0.387, 0.2965, 0.1453
    corrected = 1 / schep_corrected(g_1, g_n, g_n) + 1 / schep_corrected(g_2, g_n, g_n) + 1 / g_n
    assert corrected == pytest.approx(1 / g_1 + 1 / g_2 - 1 / g_n)


def test_public_names_are_functions_whatever_was_imported_before():
    """A module of the same name would hide a function as soon as it is imported."""
    for name in qt.__all__:
        assert callable(getattr(qt, name)), name


# refusals


def refused(call, *words):
    with pytest.raises(InputError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


MESH = qt.kmesh(4)


def test_mixing_conductance_of_a_magnetic_lead_is_refused():
    s = solve(STEP, energy=0.0, kmesh=MESH)
    refused(lambda: mixing_conductance(s, lead="right"), "right lead is magnetic")
    refused(lambda: mixing_conductance(STEP, lead="right", energy=0.0, kmesh=MESH), "right lead is magnetic")
    refused(lambda: transmitted_mixing_conductance(s), "right lead is magnetic")


def test_mixing_conductance_of_noncollinear_magnets_is_refused():
    layers = [qt.Layer(MAGNET), qt.Layer(NORMAL), qt.Layer(MAGNET, magnetization=(1, 0, 0))]
    stack = qt.Stack(left=qt.Lead(NORMAL), layers=layers, right=qt.Lead(NORMAL))
    refused(lambda: mixing_conductance(stack, energy=0.0, kmesh=MESH), "not collinear")
    s = solve(stack, energy=0.0, kmesh=qt.kpoints([[1.0, 1.1]]), engine="kwant")
    refused(lambda: transmitted_mixing_conductance(s), "not collinear")


@pytest.mark.parametrize("engine", ["layered", "kwant"])
def test_energy_without_an_open_channel_is_refused(engine):
    refused(lambda: solve(STEP, energy=20.0, kmesh=qt.kmesh(2), engine=engine), "left lead", "energy=20", "band")


def test_streamed_energy_without_an_open_channel_is_refused():
    closed = qt.Stack(left=qt.Lead(NORMAL), right=qt.Lead(qt.single_band(onsite=40.0)))
    refused(lambda: conductance(closed, energy=0.0, kmesh=MESH), "right lead", "energy=0", "band")


@pytest.mark.parametrize("energy", [np.nan, np.inf, None, "0", [0.0], 1j])
def test_energy_that_is_no_finite_number_is_refused(energy):
    refused(lambda: solve(STEP, energy=energy, kmesh=MESH), "energy=")
    refused(lambda: conductance(STEP, energy=energy, kmesh=MESH), "energy=")


def test_unknown_lead_is_refused():
    s = solve(STEP, energy=0.0, kmesh=MESH)
    for lead in ("top", 2, -1, None):
        refused(lambda lead=lead: sharvin_conductance(s, lead), f"lead={lead!r}", "left, right")


def test_unknown_engine_is_refused():
    refused(lambda: solve(STEP, energy=0.0, kmesh=MESH, engine="fast"), "engine='fast'", "layered")


@pytest.mark.parametrize("engine", ["layered", "kwant"])
def test_the_channels_of_a_lead_that_conserves_no_spin_have_no_spin(engine):
    region, left, right = random_builders(1, orbitals=1, left=unit(1), right=unit(1))
    (site,) = right.sites()
    other = next(s for s in right.neighbors(site) if s.pos[2] > site.pos[2])
    right[site, other] = along(unit(2), np.eye(1), np.eye(1))
    s = solve(layered(region, left, right), energy=0.0, kmesh=qt.kpoints([[0.1, 0.2]]), engine=engine)
    assert s.lead_spin_conserved == (True, False)
    assert s.transmission_amplitudes().shape[1:3] == (1, 2)
    assert s.unitarity_error.max() < IDENTITY


def test_finalised_system_with_odd_orbitals_or_non_hermitian_lead_is_refused():
    for norbs, lead_onsite, word in ((1, 0.0, "norbs"), (2, -0.1j * np.eye(2), "lead 0 is not Hermitian")):
        lattice = kwant.lattice.chain(norbs=norbs)
        one = np.eye(norbs)
        system = kwant.Builder()
        system[lattice(0)] = system[lattice(1)] = 0 * one
        system[lattice.neighbors()] = -one
        lead = kwant.Builder(kwant.TranslationalSymmetry((-1,)))
        lead[lattice(0)] = lead_onsite * one
        lead[lattice.neighbors()] = -one
        system.attach_lead(lead)
        finalised = system.finalized()
        refused(lambda f=finalised: solve(f, energy=0.1, engine="kwant"), word)


def test_missing_or_wrong_momenta_are_refused():
    refused(lambda: solve(STEP, energy=0.0), "kmesh= is missing", "qt.kmesh")
    refused(lambda: solve(STEP, energy=0.0, kmesh="fine"), "kmesh='fine'")
    refused(lambda: conductance(STEP, energy=0.0), "kmesh=")
    refused(lambda: qt.kmesh(0), "0", "positive integer")
    refused(lambda: qt.kmesh(4, 2.5), "2.5", "positive integer")
    refused(lambda: qt.kpoints([[0.0, np.nan]]), "finite")
    refused(lambda: qt.kpoints([0.0, 1.0, 2.0]), "shape")
    refused(lambda: qt.kpoints([[0.0, 1.0]], [0.5, 0.5]), "weights")


def test_arguments_that_belong_to_another_kind_of_system_are_refused():
    finalised = STEP.wrapped((0.1, 0.2))
    refused(lambda: solve(finalised, energy=0.0), "engine='kwant'")
    refused(lambda: solve(finalised, energy=0.0, engine="kwant", kmesh=MESH), "kmesh=")
    refused(lambda: solve(STEP, energy=0.0, kmesh=MESH, params={"voltage": 0.1}), "params=")
    refused(lambda: solve("stack", energy=0.0, kmesh=MESH), "no stack")


def test_ratio_of_a_stack_with_one_magnet_is_refused():
    refused(lambda: tmr(STEP, kmesh=MESH), "1 magnet")


def test_ratio_of_rounding_is_infinite():
    """One spin has no channel on this mesh: what is left of the antiparallel transmission is rounding, 1e-33."""
    assert tmr(junction(), energy=0.0, kmesh=MESH) == np.inf


def test_units_without_an_area_are_refused():
    G = conductance(STEP, energy=0.0, kmesh=MESH)
    refused(lambda: per_area(G, 0.0), "area=")
    refused(lambda: per_area(G.assign_attrs(units="m"), STEP), "'m'")
    refused(lambda: k_average(G), "weights")


def test_mixing_conductances_of_a_mirror_symmetric_valve_are_equal_on_both_sides():
    """Up is the majority of the magnet that faces the lead, so that antiparallel magnets are no different."""
    normal, magnet = qt.single_band(onsite=2.5), qt.single_band(onsite=2.8, exchange=2.0)
    layers = [qt.Layer(magnet, 2), qt.Layer(normal, 3), qt.Layer(magnet, 2)]
    valve = qt.Stack(left=qt.Lead(normal), layers=layers, right=qt.Lead(normal))
    for angle in (0.0, np.pi):
        s = solve(valve, energy=0.0, kmesh=qt.kmesh(6), angle=angle)
        left, right = (complex(k_average(mixing_conductance(s, lead=side))) for side in ("left", "right"))
        assert abs(left.imag) > 1e-3
        assert right == pytest.approx(left, abs=ENGINES)


@pytest.mark.kwant
def test_a_finalised_system_takes_its_majority_from_the_magnet_nearest_to_each_lead():
    """A weak and a strong magnet, antiparallel: the trace over the region would give one sign for both leads."""
    normal = qt.single_band(onsite=2.5)
    layers = [
        qt.Layer(qt.single_band(onsite=2.8, exchange=1.0), 1),
        qt.Layer(normal, 2),
        qt.Layer(qt.single_band(onsite=2.8, exchange=2.0), 2, magnetization=(0, 0, -1)),
    ]
    stack = qt.Stack(left=qt.Lead(normal), layers=layers, right=qt.Lead(normal))
    k = (0.4, 0.9)
    a = solve(stack, energy=0.0, kmesh=qt.kpoints([k]))
    b = solve(stack.wrapped(k), energy=0.0, engine="kwant", params=stack.params())
    for lead in ("left", "right"):
        assert mixing_conductance(b, lead=lead).item() == pytest.approx(
            mixing_conductance(a, lead=lead).item(), abs=ENGINES
        )


def test_momenta_on_a_band_edge_are_solved_above_it_and_marked():
    """A layer that equals its lead has a diverging Green function at the band edge; nothing may be dropped for it."""
    normal = qt.single_band(onsite=2.0)
    stack = qt.Stack(left=qt.Lead(normal), layers=[qt.Layer(normal, 3)], right=qt.Lead(normal))
    s = solve(stack, energy=0.0, kmesh=qt.kmesh(16))
    assert 0 < s.shifted.sum() < 0.2 * s.kset.size
    assert np.all(np.isfinite(s.unitarity_error))
    assert np.all(np.isfinite(transmission(s)))
    # No interface: every open channel is transmitted, shifted or not.
    np.testing.assert_allclose(conductance(s).sum(), sharvin_conductance(s).sum(), rtol=1e-9)


def test_an_average_over_k_never_drops_a_momentum():
    s = solve(STEP, energy=0.0, kmesh=qt.kmesh(4))
    x = mixing_conductance(s)
    x[3] = np.nan
    assert np.isnan(k_average(x))


@pytest.mark.parametrize("change", [{"angle": np.nan}, {"angle": [0, 1]}, {"voltage": "a"}, {"voltage": np.inf}])
def test_angles_and_voltages_that_are_no_numbers_are_refused_by_name(change):
    (name,) = change
    refused(lambda: solve(STEP, energy=0.0, kmesh=qt.kmesh(4), **change), f"{name}=")
    if name == "voltage":
        refused(lambda: conductance(STEP, energy=0.0, kmesh=qt.kmesh(4), **change), f"{name}=")


def test_finalised_systems_without_leads_or_channels_are_refused():
    wrapped = STEP.wrapped((0.1, 0.2))
    refused(lambda: solve(wrapped, energy=50.0, engine="kwant", params=STEP.params()), "no open channel")
    lattice = kwant.lattice.chain(norbs=2)
    builder = kwant.Builder()
    builder[lattice(0)] = np.eye(2)
    refused(lambda: solve(builder.finalized(), energy=0.0, engine="kwant"), "no leads")


@pytest.mark.kwant
@pytest.mark.parametrize("m", [(0, 0, 1), (1, 0, 0), (0, 0, -1), (0.48, 0.6, 0.64)])
def test_a_finalised_system_finds_a_magnet_that_is_a_lead(m):
    """A normal region between a normal and a magnetic lead: g_mix knows nothing of where the magnetization points."""
    chain = kwant.lattice.chain(norbs=2)
    builder = kwant.Builder()
    builder[(chain(i) for i in range(3))] = 0.5 * np.eye(2)
    builder[chain.neighbors()] = -np.eye(2)
    leads = []
    for step, onsite in ((-1, 0.5 * np.eye(2)), (1, 1.5 * np.eye(2) - 1.5 * np.einsum("a,aij->ij", m, PAULI[1:]))):
        lead = kwant.Builder(kwant.TranslationalSymmetry((step,)))
        lead[chain(0)] = onsite
        lead[chain.neighbors()] = -np.eye(2)
        leads.append(lead)
        builder.attach_lead(lead)
    s = solve(builder.finalized(), energy=0.8, engine="kwant")
    g = mixing_conductance(s).item()

    def factor(onsite):
        # Outgoing wave of a chain with hopping -1: propagating, or the decaying root.
        x = -(0.8 - onsite) / 2
        return x + 1j * np.sqrt(1 - x * x) if abs(x) < 1 else x - np.sign(x) * np.sqrt(x * x - 1)

    normal, up, down = (factor(onsite) for onsite in (0.5, 0.0, 3.0))
    r_up, r_down = ((1 / s - 1 / normal) / (normal - 1 / s) for s in (up, down))
    expected = 1 - r_up * np.conj(r_down)
    assert abs(expected.imag) > 0.01
    assert g == pytest.approx(expected, abs=1e-9)


def test_transmitted_mixing_is_refused_on_a_mesh_whose_symmetry_it_does_not_have():
    # Layers of fcc (111): k and -k are equal for conductances, by time reversal, but not for Tr t_up t_dn^dagger.
    Cu, Co = (qt.slater_koster(name, facet="111") for name in ("Cu", "Co"))
    film = qt.Stack(left=qt.Lead(Cu), layers=[qt.Layer(Co)], right=qt.Lead(Cu))
    whole, threefold, sixfold = (qt.solve(film, kmesh=mesh) for mesh in (
        qt.kpoints(np.stack(np.meshgrid(*2 * [2 * np.pi * np.arange(6) / 6]), axis=-1).reshape(-1, 2)),
        qt.kmesh(6, symmetry="trigonal"), qt.kmesh(6, symmetry="hexagonal"),
    ))  # fmt: skip
    t = [complex(qt.k_average(qt.transmitted_mixing_conductance(s))) for s in (whole, threefold)]
    assert t[1] == pytest.approx(t[0], abs=1e-9)
    g = [complex(qt.k_average(qt.mixing_conductance(s))) for s in (whole, threefold, sixfold)]
    assert g[1:] == pytest.approx(g[:1] * 2, abs=1e-9)
    with pytest.raises(InputError, match="trigonal"):
        qt.transmitted_mixing_conductance(sixfold)
