"""Declared symmetries of a mesh, and sums over k refined to a tolerance."""

import warnings

import numpy as np
import pytest

import qtorque as qt
from qtorque.bloch import as_layered
from qtorque.brillouin import operations
from qtorque.cells import Peaks, Zone, refine, refine_zone
from qtorque.parallel import Checkpoint
from qtorque.refinement import NestedMeshes, climb
from qtorque.ridges import peaks_in_cells

EXACT = 1e-13
"""Sums over the same points in another order differ by rounding."""
FINE = 1501
"""Side of a mesh whose error, for square roots along a line, is far below the tolerances tested."""
SYMMETRIES = {None: 1, "inversion": 2, "rectangular": 4, "square": 8, "hexagonal": 12, "hexagonal-120": 12}


def two_orbitals(second=-0.6):
    """One orbital pair a site; `second` is the in-plane hopping along a2 of the first orbital."""
    lattice = 0.3 * np.eye(3)

    def material(onsite, exchange):
        mixing = np.array([[0.0, 0.3], [0.3, 0.0]])
        return qt.Material(
            name="two orbitals",
            lattice=lattice,
            onsite=np.diag([onsite, onsite + 1.0]) + mixing,
            exchange=exchange * np.eye(2),
            hoppings=(
                ((1, 0, 0), np.diag([-0.6, -0.4])),
                ((0, 1, 0), np.diag([second, -0.4])),
                ((0, 0, 1), np.diag([-1.0, -0.7])),
            ),
        )

    N, F = material(1.0, 0.0), material(1.5, 1.2)
    return qt.Stack(left=qt.Lead(N), layers=[qt.Layer(F, 3, magnetization=(0, 0, 1))], right=qt.Lead(N))


def junction(barrier=9.0):
    F, B = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=barrier)
    return qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 3, barrier=True)], right=qt.Lead(F))


def unequal_junction():
    """A barrier with another in-plane hopping: no density-of-states route."""
    F, B = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=8.0, hopping=-0.9)
    return qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 2, barrier=True)], right=qt.Lead(F))


def quantum_wells(seed):
    """Magnetic wells between barriers, all with hoppings of their own: narrow lines of resonances in the zone."""
    rng = np.random.default_rng(seed)

    def layer(onsite, hopping, thickness, exchange=0.0):
        material = qt.single_band(onsite=onsite, exchange=exchange, hopping=-hopping)
        return qt.Layer(material, thickness, **({"magnetization": (0, 0, 1)} if exchange else {}))

    left, right = (qt.Lead(qt.single_band(onsite=x)) for x in rng.uniform(0, 3, 2))
    before = layer(rng.uniform(3, 5), rng.uniform(0.5, 1.2), int(rng.integers(1, 3)))
    magnet = layer(rng.uniform(-1, 3), rng.uniform(0.6, 1.1), int(rng.integers(1, 4)), 1.5)
    return qt.Stack(left=left, layers=[before, magnet, layer(rng.uniform(3, 5), 1.0, 1)], right=right)


def double_barrier():
    """A level between equal barriers whose in-plane hopping differs from that of the well."""
    N, B, W = qt.single_band(onsite=1.0), qt.single_band(onsite=7.0, hopping=-0.9), qt.single_band(onsite=0.3)
    return qt.Stack(left=qt.Lead(N), layers=[qt.Layer(B, 2), qt.Layer(W, 1), qt.Layer(B, 2)], right=qt.Lead(N))


def sums(function):
    """The evaluation of a function of the phases, with rounding as its own error."""

    def evaluate(points, weights, stage):
        values = function(points)[..., None]
        total = np.einsum("cp,cpx->cx", weights, values)
        return total, 1e-15 * np.einsum("cp,cpx->cx", np.abs(weights), np.abs(values))

    return evaluate


class Kept(Checkpoint):
    """A checkpoint in memory that counts what had to be computed."""

    def __init__(self, store=None, name=()):
        self.store, self.name = {} if store is None else store, name
        self.saved = 0

    def load(self, index):
        return self.store.get((*self.name, index))

    def save(self, index, result):
        self.store[(*self.name, index)] = result

    def part(self, name):
        return Kept(self.store, (*self.name, name))

    def stop_reason(self):
        return None


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_orbits_have_the_weight_of_the_full_mesh(symmetry, n):
    group = operations(symmetry)
    assert len(group) == SYMMETRIES[symmetry]
    mesh = qt.kmesh(n, symmetry=symmetry)
    assert mesh.weights.sum() == pytest.approx(1, abs=EXACT)
    images = np.concatenate([mesh.points @ np.array(m).T for m in group])
    distinct = np.unique(np.round(np.exp(1j * images), 9), axis=0)
    assert len(distinct) == n * n
    assert mesh.unfold(np.arange(mesh.size)).shape == (n, n)
    assert np.bincount(mesh.unfold(np.arange(mesh.size)).ravel()).tolist() == np.round(mesh.weights * n * n).tolist()


@pytest.mark.parametrize(("symmetry", "n2"), [("inversion", 9), ("rectangular", 9), ("square", 10)])
def test_a_symmetric_mesh_gives_the_sum_over_the_full_mesh(symmetry, n2):
    full, reduced = qt.kmesh(10, n2), qt.kmesh(10, n2, symmetry)
    assert reduced.size < full.size / (len(operations(symmetry)) / 2)
    G = [qt.conductance(two_orbitals(), energy=0.3, kmesh=k).values for k in (full, reduced)]
    assert np.abs(G[0] - G[1]).max() < EXACT * np.abs(G[0]).max()
    mixing = [complex(qt.mixing_conductance(two_orbitals(), energy=0.3, kmesh=k)) for k in (full, reduced)]
    assert mixing[0] == pytest.approx(mixing[1], rel=EXACT)
    solved = qt.k_average(qt.transmission(qt.solve(two_orbitals(), energy=0.3, kmesh=reduced)))
    assert np.abs(solved.values - G[0]).max() < EXACT * np.abs(G[0]).max()


def test_a_symmetric_mesh_gives_the_torques_of_the_full_mesh():
    options = {"angle": [1.0], "voltage": [0.2], "tolerance": 1e-9}
    full, reduced = (qt.spin_torque(junction(), kmesh=qt.kmesh(8, symmetry=s), **options) for s in (None, "square"))
    scale = float(np.abs(full["spin_current"]).max())
    assert np.abs(full["spin_current"] - reduced["spin_current"]).max() < 1e-8 * scale
    omega = [
        qt.interlayer_coupling(junction(), kmesh=qt.kmesh(8, symmetry=s), tolerance=1e-9)["grand_potential"]
        for s in (None, "square")
    ]
    assert np.abs(omega[0] - omega[1]).max() < 1e-8 * np.abs(omega[0]).max()


def test_a_symmetry_that_does_not_hold_is_refused_with_its_operation():
    rectangular = two_orbitals(second=-0.9)
    qt.conductance(rectangular, energy=0.3, kmesh=qt.kmesh(6, symmetry="rectangular"))
    with pytest.raises(qt.InputError, match=r"'square' does not hold: under \(k.a1, k.a2\) -> \(-?k.a2, -?k.a1\)"):
        qt.conductance(rectangular, energy=0.3, kmesh=qt.kmesh(6, symmetry="square"))
    for symmetry in ("hexagonal", "hexagonal-120"):
        with pytest.raises(qt.InputError, match="does not hold"):
            qt.spin_torque(junction(), angle=[1.0], voltage=[0.1], kmesh=qt.kmesh(4, symmetry=symmetry))
        with pytest.raises(qt.InputError, match="does not hold"):
            qt.interlayer_coupling(junction(), kmesh=qt.kmesh(4, symmetry=symmetry))


def test_a_map_over_the_zone_unfolds_the_symmetry():
    images = []
    for mesh in (qt.kmesh(8), qt.kmesh(8, symmetry="square")):
        s = qt.solve(two_orbitals(), energy=0.3, kmesh=mesh)
        figure = qt.plot.transmission_map({"G": qt.transmission(s)}, mesh)
        images.append(np.asarray(figure.axes[0].collections[0].get_array().filled(0)))
    assert images[0].max() > 0.1
    assert np.abs(images[0] - images[1]).max() < EXACT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((4, 4, "cubic"), "unknown"), ((4, 5, "square"), "n1 = n2"), ((4, 5, "hexagonal"), "n1 = n2")],
)
def test_a_mesh_that_cannot_have_its_symmetry_is_refused(arguments, words):
    with pytest.raises(qt.InputError, match=words):
        qt.kmesh(*arguments)


def test_nested_meshes_are_the_midpoint_meshes():
    ladder = NestedMeshes()
    found = {}
    for number in range(3):
        rung = ladder.rung(number)
        found = {point: weight * ladder.kept for point, weight in found.items()}
        found |= {tuple(np.round(p, 9)): w for p, w in zip(rung.points.tolist(), rung.weights.tolist(), strict=True)}
    mesh = qt.kmesh(27)
    assert found.keys() == {tuple(np.round(p, 9)) for p in mesh.points.tolist()}
    assert np.ptp(list(found.values())) < EXACT
    assert sum(found.values()) == pytest.approx(1, abs=EXACT)


def test_nested_meshes_end_where_a_smooth_sum_has_converged():
    def smooth(k):
        return np.exp(np.cos(k[..., 0]) + 0.5 * np.cos(k[..., 1]))

    result = refine_zone(sums(smooth), tolerance=1e-3)
    mesh = qt.kmesh(round(np.sqrt(result.points)))
    assert result.value[0] == pytest.approx(smooth(mesh.points).mean(), rel=EXACT)
    assert result.converged
    assert result.name == "nested meshes"
    assert result.points < 81**2 + 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tolerance", [1e-3, 1e-4])
def test_cells_honour_the_tolerance_along_a_fermi_surface(seed, tolerance):
    a, b, c, d = np.random.default_rng(seed).normal(size=4)

    def channel(k):
        w = np.cos(k[..., 0] + d) + a * np.cos(k[..., 1]) + 0.5 * c * np.cos(k[..., 0] - k[..., 1]) - 0.5 * b
        return np.sqrt(np.maximum(w, 0))

    x = 2 * np.pi * (np.arange(FINE) + 0.31) / FINE
    exact = np.mean([channel(np.stack(np.broadcast_arrays(y, x), axis=-1)).mean() for y in x])
    result = refine(Zone(), sums(channel), tolerance=tolerance)
    assert result.converged
    assert result.error[0] <= tolerance * result.value[0]
    assert abs(result.value[0] - exact) <= tolerance * exact


def test_the_cells_go_to_the_fermi_surface():
    # A disc: a strip around its edge that is a twelfth of the zone gets most of the points.
    seen = []

    def disc(k):
        seen.append(k.reshape(-1, 2))
        return np.sqrt(np.maximum(np.cos(k[..., 0]) + np.cos(k[..., 1]) - 1.0, 0))

    refine(Zone(), sums(disc), tolerance=2e-5)
    w = np.cos(np.concatenate(seen)).sum(axis=1)
    assert np.mean(np.abs(w - 1.0) < 0.25) > 0.5


@pytest.mark.parametrize("seed", range(10))
def test_the_tolerance_is_honoured_where_resonances_are_narrow_lines(seed):
    system = quantum_wells(seed)
    exact, coarser = (
        qt.conductance(system, energy=0.0, kmesh=qt.kmesh(n, symmetry="square")).values for n in (1400, 900)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = qt.conductance(system, energy=0.0, tolerance=1e-2)
    limit = found.attrs["k_error"] + np.abs(exact - coarser).max()
    assert np.abs(found.values - exact).max() <= limit
    if not any("sum over k" in str(w.message) for w in caught):
        assert found.attrs["k_error"] <= 1e-2 * np.abs(found).max()


def test_a_zone_whose_coarse_meshes_meet_nothing_is_not_empty():
    N = qt.single_band
    layers = [
        qt.Layer(N(onsite=5.7277, hopping=-1.0372), 2),
        qt.Layer(N(onsite=2.3443, hopping=-0.9154, exchange=1.5), 2, magnetization=(0, 0, 1)),
        qt.Layer(N(onsite=4.1927), 1),
    ]
    system = qt.Stack(left=qt.Lead(N(onsite=2.9377)), layers=layers, right=qt.Lead(N(onsite=-1.0071)))
    assert not qt.conductance(system, energy=0.0, kmesh=27).any()
    exact = qt.conductance(system, energy=0.0, kmesh=qt.kmesh(1400, symmetry="square"))
    found = qt.conductance(system, energy=0.0, tolerance=3e-2)
    assert np.abs(found - exact).max() <= 3e-2 * exact.max()


def test_nested_meshes_go_on_where_only_some_meet_anything():
    # Nothing up to 27 points a side, and the same on 81 and on 243.
    added = {"rung 3": 1.0, "rung 4": 1 - 1 / 9, "rung 5": 1 - 1 / 9}

    def evaluate(sets, stage):
        return [(np.array([added.get(stage, 0.0)]), np.array([1e-15])) for _ in sets]

    (result,) = climb([NestedMeshes()], evaluate, tolerance=0.1)
    assert result.converged
    assert result.points == 729**2


def test_the_lines_of_resonances_carry_the_conductance_of_a_double_barrier():
    # Transmission is one on the line, and its width is that of a Lorentzian: no mesh takes part in this route.
    chain = as_layered(double_barrier()).chain()
    n = 41
    centres = 2 * np.pi * (np.stack(np.divmod(np.arange(n * n), n), axis=-1) + 0.53) / n
    peaks = peaks_in_cells([(chain, 0.0)])(centres, np.full(n * n, 2 * np.pi / n))
    mesh = qt.kpoints(peaks.phases, peaks.share)
    heights = qt.transmission(qt.solve(double_barrier(), energy=0.0, kmesh=mesh)).values[:, 0, 0]
    exact = float(qt.conductance(double_barrier(), energy=0.0, kmesh=qt.kmesh(1400, symmetry="square"))[0, 0])
    # Both spins have a line of their own, of which one counts. Every cell takes the longest way across itself.
    assert np.median(heights) > 0.9
    assert 1.0 < 0.5 * peaks.share @ heights / exact < 2.0


def test_a_stack_tells_the_zone_where_its_resonances_lie(monkeypatch):
    asked = []

    def on_cells(evaluate, *, find_peaks, **options):
        asked.append(find_peaks)
        return refine_zone(evaluate, find_peaks=None, **options)

    monkeypatch.setattr("qtorque.density_of_states.refine_zone", on_cells)
    qt.conductance(double_barrier(), energy=0.0, tolerance=0.5)
    (find,) = asked
    assert len(find(np.array([[1.0, 1.0]]), np.array([2 * np.pi])).suspect) == 1
    # Nothing but a barrier: no level between the leads comes near the energy.
    qt.conductance(unequal_junction(), energy=0.0, tolerance=0.5)
    assert not len(asked[1](np.array([[1.0, 1.0]]), np.array([0.1])).cell)


def test_what_a_domain_knows_to_lie_between_points_counts_as_error():
    def find(centres, widths):
        # One peak of the same volume in the first cell, whatever its size.
        first = np.abs(centres - centres[0]).max(axis=1) == 0
        cell = np.flatnonzero(first & (widths > 0.01))
        return Peaks(cell, np.full((len(cell), 2), 3.0), np.full(len(cell), 0.25), first)

    def evaluate(points, weights, stage):
        values = np.where(np.all(points == 3.0, axis=-1), 0.5, 1.0)
        return np.einsum("cp,cp->c", weights, values)[:, None], np.zeros((len(points), 1))

    result = refine(Zone(find_peaks=find), evaluate, tolerance=0.2)
    assert result.converged
    assert result.error[0] == pytest.approx(0.125, rel=EXACT)
    finer = refine(Zone(find_peaks=find), evaluate, tolerance=0.1)
    assert finer.error[0] == pytest.approx(0.0, abs=EXACT)
    assert finer.points > result.points


def test_a_sum_short_of_its_tolerance_says_so(monkeypatch):
    def step(k):
        return (np.cos(k[..., 0]) + 0.7 * np.cos(k[..., 1]) > 0.3).astype(float)

    result = refine(Zone(), sums(step), tolerance=1e-6, most_points=20_000)
    assert not result.converged
    assert result.points <= 20_000
    assert result.error[0] > 1e-6 * result.value[0]
    # A coarse ladder in place of a long run.
    monkeypatch.setattr("qtorque.density_of_states.NestedMeshes", lambda: NestedMeshes(9))
    with pytest.warns(UserWarning, match=r"the sum over k ends at .* momenta, off by"):
        d = qt.spin_torque(unequal_junction(), angle=[1.0], voltage=[0.1], tolerance=1e-4)
    assert float(d["k_error"][0]) > 1e-4 * float(np.abs(d["spin_current"]).max())


def test_errors_of_the_evaluations_are_not_refined():
    rng = np.random.default_rng(0)

    def evaluate(points, weights, stage):
        noise = 1e-4 * np.abs(weights).sum(axis=1, keepdims=True)
        return weights.sum(axis=1, keepdims=True) + noise * rng.uniform(-1, 1, noise.shape), noise

    result = refine(Zone(), evaluate, tolerance=1e-8)
    assert result.points < 120_000
    assert result.error[0] == 0
    assert result.noise[0] == pytest.approx(1e-4, rel=EXACT)


def test_several_sums_climb_at_once_and_each_ends_when_it_may():
    def evaluate(sets, stage):
        sharp = {0: 0.5, 1: 20.0}
        totals = [k.weights @ np.exp(sharp[i] * np.cos(k.points).sum(axis=1)) for i, k in sets]
        return [(np.array([x]), np.array([1e-15 * x])) for x in totals]

    soft, hard = climb([NestedMeshes(), NestedMeshes()], evaluate, tolerance=1e-5)
    assert soft.points < hard.points
    assert hard.value[0] == pytest.approx(float(np.i0(20.0)) ** 2, rel=1e-5)
    assert soft.value[0] == pytest.approx(float(np.i0(0.5)) ** 2, rel=1e-5)


def test_the_tolerance_is_honoured_where_several_orbitals_leave_only_the_zone():
    found = qt.conductance(two_orbitals(), energy=0.3, tolerance=2e-3)
    exact = qt.conductance(two_orbitals(), energy=0.3, kmesh=qt.kmesh(400, symmetry="square"))
    assert np.abs(found - exact).max() <= 2e-3 * np.abs(exact).max()
    assert found.attrs["k_error"] <= 2e-3 * float(np.abs(found).max())
    assert found.attrs["kmesh"].split(",")[0] in ("nested meshes", "adaptive cells")
    per_area = qt.per_area(found, 0.09)
    assert per_area.attrs["k_error"] / found.attrs["k_error"] == pytest.approx(float(per_area[0, 0] / found[0, 0]))


def test_the_tolerance_is_honoured_by_torques_over_nested_meshes():
    options = {"angle": [1.0], "voltage": [0.1, 0.3]}
    d = qt.spin_torque(unequal_junction(), tolerance=1e-2, **options)
    exact = qt.spin_torque(unequal_junction(), kmesh=qt.kmesh(100, symmetry="square"), **options)
    for v in range(2):
        now, then = d["spin_current"].isel(voltage=v), exact["spin_current"].isel(voltage=v)
        assert np.abs(now - then).max() <= 1e-2 * np.abs(then).max()
        assert d["k_error"][v] <= 1e-2 * np.abs(now).max()
    assert d.attrs["kmesh"].startswith("nested meshes")


def test_a_refined_sum_continues_from_its_checkpoint():
    for call in (
        lambda c: qt.conductance(junction(), energy=0.0, tolerance=1e-4, checkpoint=c).values,
        lambda c: qt.spin_torque(junction(), angle=[1.0], voltage=[0.0, 0.2], tolerance=1e-2, checkpoint=c)["torque"],
    ):
        kept = Kept()
        first = call(kept)
        count = len(kept.store)
        assert count > 1
        assert np.array_equal(call(kept), first)
        assert len(kept.store) == count
        assert np.array_equal(call(None), first)


@pytest.mark.parametrize(
    "call",
    [
        lambda **k: qt.conductance(junction(), energy=0.0, **k),
        lambda **k: qt.mixing_conductance(two_orbitals(), energy=0.3, **k),
        lambda **k: qt.transmitted_mixing_conductance(two_orbitals(), energy=0.3, **k),
        lambda **k: qt.tmr(junction(), **k),
        lambda **k: qt.spin_torque(junction(), angle=[1.0], **k),
        lambda **k: qt.layer_torque(junction(), angle=[1.0], **k),
        lambda **k: qt.interlayer_coupling(junction(), **k),
    ],
)
def test_without_mesh_and_tolerance_both_are_named(call):
    with pytest.raises(qt.InputError, match="kmesh= and tolerance="):
        call()
    for tolerance in (0.0, -1e-3, 1.0):
        with pytest.raises(qt.InputError, match="tolerance"):
            call(tolerance=tolerance)


def test_a_tolerance_beside_given_momenta_is_refused_where_it_means_nothing():
    with pytest.raises(qt.InputError, match="leave one out"):
        qt.conductance(junction(), energy=0.0, kmesh=4, tolerance=1e-3)
    s = qt.solve(two_orbitals(), energy=0.3, kmesh=4)
    for call in (qt.conductance, qt.mixing_conductance, qt.transmitted_mixing_conductance):
        with pytest.raises(qt.InputError, match="Scattering"):
            call(s, tolerance=1e-3)


def test_a_given_mesh_keeps_the_default_tolerance_of_the_energy():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        d = qt.spin_torque(junction(), angle=[1.0], voltage=[0.1], kmesh=4)
    assert d.attrs["energy_tolerance"] == 1e-6
    assert "k_error" not in d


RANKED = """
import sys
import numpy as np
import qtorque as qt
from qtorque import parallel

comm = parallel.world()
F, B = qt.single_band(onsite=4.3, exchange=2.6), qt.single_band(onsite=9.0)
mtj = qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 3, barrier=True)], right=qt.Lead(F))
C = qt.single_band(onsite=8.0, hopping=-0.9)
other = qt.Stack(left=qt.Lead(F), layers=[qt.Layer(C, 2, barrier=True)], right=qt.Lead(F))
d = qt.spin_torque(mtj, angle=[1.0], voltage=[0.0, 0.2], tolerance=1e-2, comm=comm)
arrays = {name: d[name].values for name in d.data_vars}
arrays["G"] = qt.conductance(other, energy=0.0, tolerance=3e-3, comm=comm).values
if comm is None or comm.rank == 0:
    np.savez(sys.argv[1], **arrays)
"""


@pytest.mark.slow
@pytest.mark.mpi
def test_refined_sums_do_not_depend_on_the_number_of_ranks(mpirun, tmp_path):
    script = tmp_path / "ranked.py"
    script.write_text(RANKED)
    for n in (1, 2):
        run = mpirun(n, [script, tmp_path / f"{n}.npz"])
        assert run.returncode == 0, run.stderr
    one, two = (np.load(tmp_path / f"{n}.npz") for n in (1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one.files)
