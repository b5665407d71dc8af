"""Reading Kwant builders: blocks against kwant.wraparound, principal layers, freedom of notation, refusals."""

import kwant
import numpy as np
import pytest

import qtorque as qt
from qtorque.bloch import layered
from qtorque.errors import InputError
from qtorque.scattering import solve
from qtorque.spin import PAULI

SAME_BLOCK = 1e-13
"""Both sides add a few elements of order one times a phase; nothing amplifies the rounding."""
SAME_TRANSMISSION = 1e-10
"""Two solvers at one k: relative rounding 1e-16 times the condition number of a few layers."""
VISIBLE = 0.01
"""Transmissions above this are no trivial agreement of zeros."""
PERIODS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
A1, A2, A3 = (np.array(p) for p in PERIODS)
CLOSE_PACKED = ((1.0, 0.0, 0.0), (0.5, np.sqrt(3) / 2, 0.0), (0.5, np.sqrt(3) / 6, np.sqrt(2 / 3)))
"""A close-packed layer; the third vector has an in-plane part, as in the (111) stacking of fcc."""
MOMENTA = np.random.default_rng(11).uniform(-np.pi, 3 * np.pi, (4, 2))
UNIT2 = np.eye(2)


def random_matrix(rng, n, m=None):
    return rng.normal(size=(n, m or n)) + 1j * rng.normal(size=(n, m or n))


def hermitian(rng, n):
    a = random_matrix(rng, n)
    return (a + a.conj().T) / 2


def translations(periods):
    return kwant.TranslationalSymmetry(*(tuple(p) for p in periods))


def by_height(sites):
    """Sites in the order of the chain: height first, then Kwant's own order."""
    return sorted(sites, key=lambda s: (round(s.pos[2], 6), s))


def slices(sites):
    ends = np.cumsum([s.family.norbs for s in sites])
    return {s: np.arange(end - s.family.norbs, end) for s, end in zip(sites, ends, strict=True)}


def region_blocks(region, k, params):
    """H of the whole wrapped region as Kwant gives it, and the index of every monolayer in it."""
    system = kwant.wraparound.wraparound(region).finalized()
    H = system.hamiltonian_submatrix(params={**params, "k_x": k[0], "k_y": k[1]})
    index = slices(system.sites)
    layers = {}
    for site in by_height(system.sites):
        layers.setdefault(round(site.pos[2], 6), []).append(index[site])
    return H, [np.concatenate(indices) for _, indices in sorted(layers.items())]


def lead_blocks(lead, keep, k, params):
    """(H, V) of a lead from kwant.wraparound; V leads from the next cell outwards to the cell before."""
    system = kwant.wraparound.wraparound(lead, keep=keep, coordinate_names="xyz").finalized()
    momenta = dict(zip(lead_momenta(keep), k, strict=True))
    H = system.cell_hamiltonian(params={**params, **momenta})
    hopping = system.inter_cell_hopping(params={**params, **momenta})
    index = slices(system.sites)
    order = np.concatenate([index[s] for s in by_height(system.sites[: system.cell_size])])
    V = np.zeros_like(H)
    # Kwant: from the interface sites of the cell next to the region to all sites of the cell beyond.
    V[:, : hopping.shape[1]] = hopping
    return H[np.ix_(order, order)], V[np.ix_(order, order)].conj().T


def lead_momenta(keep):
    return [f"k_{name}" for i, name in enumerate("xyz") if i != keep]


def assert_blocks_of_kwant(builders, params=None, get=None):
    """Every block of the chain equals that of kwant.wraparound; monolayers are principal layers here."""
    region, left, right = builders
    params = params or {}
    system = layered(*builders, params=get)
    chain = system.chain(0.3, 0.2) if get else system.chain()
    for k in MOMENTA:
        H, layers = region_blocks(region, k, params)
        assert system.layers == len(layers)
        for l, rows in enumerate(layers):
            np.testing.assert_allclose(chain.onsite[l + 1].at(k[None])[0], H[np.ix_(rows, rows)], atol=SAME_BLOCK)
        for l, (rows, columns) in enumerate(zip(layers, layers[1:], strict=False)):
            np.testing.assert_allclose(chain.bond[l + 1].at(k[None])[0], H[np.ix_(rows, columns)], atol=SAME_BLOCK)
        for lead, element, outward in ((left, 0, chain.left_outward), (right, -1, chain.right_outward)):
            H_lead, V_lead = lead_blocks(lead, 2, k, params)
            np.testing.assert_allclose(chain.onsite[element].at(k[None])[0], H_lead, atol=SAME_BLOCK)
            np.testing.assert_allclose(outward.at(k[None])[0], V_lead, atol=SAME_BLOCK)
        # The hopping between lead and region is the lead's own.
        from_left = chain.left_outward.at(k[None])[0].conj().T
        np.testing.assert_allclose(chain.bond[0].at(k[None])[0], from_left, atol=SAME_BLOCK)
        np.testing.assert_allclose(chain.bond[-1].at(k[None])[0], chain.right_outward.at(k[None])[0], atol=SAME_BLOCK)


def bravais(hoppings, onsites, lead_onsite, *, vectors=PERIODS, thirds=None, order=(0, 1, 2)):
    """(region, left, right) with one site per layer: hoppings {(n1, n2, n3): matrix}, one on-site matrix per layer."""
    a1, a2, a3 = (np.array(v) for v in vectors)
    lattice = kwant.lattice.general(vectors, norbs=len(lead_onsite))
    region = kwant.Builder(translations((a1, a2)))
    for z, onsite in enumerate(onsites):
        region[lattice(0, 0, z)] = onsite
    for z in range(len(onsites)):
        for (n1, n2, n3), matrix in hoppings.items():
            if z + n3 < len(onsites):
                region[lattice(0, 0, z), lattice(n1, n2, z + n3)] = matrix
    leads = []
    for third in thirds or (-a3, a3):
        periods = (a1, a2, np.asarray(third))
        lead = kwant.Builder(translations([periods[i] for i in order]))
        lead[lattice(0, 0, 0)] = lead_onsite
        for vector, matrix in hoppings.items():
            lead[lattice(0, 0, 0), lattice(*vector)] = matrix
        leads.append(lead)
    return region, *leads


def spin_degenerate(matrix):
    return np.kron(matrix, UNIT2)


def close_packed(rng, *, thirds=None, order=(0, 1, 2), layers=4):
    """A two-orbital crystal on the close-packed net with spin-split layers and spin-degenerate leads."""
    vectors = [(1, 0, 0), (0, 1, 0), (1, -1, 0), (0, 0, 1), (-1, 0, 1), (0, -1, 1)]
    hoppings = {v: spin_degenerate((-1.0 if v[2] else -0.1) * np.eye(2) + 0.1 * random_matrix(rng, 2)) for v in vectors}
    lead = spin_degenerate(0.3 * hermitian(rng, 2))
    onsites = [lead, *(hermitian(rng, 4) for _ in range(layers - 2)), lead]
    return bravais(hoppings, onsites, lead, vectors=CLOSE_PACKED, thirds=thirds, order=order)


def several_sites(rng):
    """Two kinds of sites (2 and 1 orbitals) in every layer, unlike layers, all matrices random and spin-mixing."""
    s = kwant.lattice.Monatomic(PERIODS, offset=(0, 0, 0), name="s", norbs=4)
    t = kwant.lattice.Monatomic(PERIODS, offset=(0.4, 0.3, 0), name="t", norbs=2)
    height = 4
    onsite = {f: hermitian(rng, f.norbs) for f in (s, t)}
    pairs = [(s, s, v) for v in ((1, 0, 0), (1, 1, 0), (0, 0, 1), (-1, 1, 1))]
    pairs += [(s, t, v) for v in ((0, 0, 0), (-1, 0, 0), (0, 1, 1))] + [(t, s, (0, 0, 1)), (t, t, (0, 1, 0))]
    hoppings = {(a, b, v): 0.5 * random_matrix(rng, a.norbs, b.norbs) for a, b, v in pairs}
    region = kwant.Builder(translations(PERIODS[:2]))
    for z in range(height):
        for f in (s, t):
            region[f(0, 0, z)] = hermitian(rng, f.norbs) if 0 < z < height - 1 else onsite[f]
    leads = [kwant.Builder(translations((A1, A2, sign * A3))) for sign in (-1, 1)]
    for lead in leads:
        for f in (s, t):
            lead[f(0, 0, 0)] = onsite[f]
    for (a, b, v), matrix in hoppings.items():
        for lead in leads:
            lead[a(0, 0, 0), b(*v)] = matrix
        for z in range(height - v[2]):
            region[a(0, 0, z), b(v[0], v[1], z + v[2])] = matrix
    return region, *leads


def transmission(system, k, energy, engine="layered"):
    """Total transmission left -> right, by the engine or by Kwant's scattering matrix."""
    if engine == "smatrix":
        wrapped = system.wrapped()
        return np.array(
            [kwant.smatrix(wrapped, energy, params={"k_x": p[0], "k_y": p[1]}).transmission(1, 0) for p in k]
        )
    s = solve(system, energy=energy, kmesh=qt.kpoints(k), engine=engine)
    return qt.transmission(s).sum(["spin_in", "spin_out"]).values


def test_blocks_of_a_stack_are_those_of_kwant_wraparound():
    iron = qt.single_band(onsite=1.0, exchange=0.7)
    oxide = qt.single_band(onsite=5.0, hopping=-0.6)
    stack = qt.Stack(
        left=qt.Lead(iron), layers=[qt.Layer(oxide, 2, barrier=True), qt.Layer(iron, 1)], right=qt.Lead(oxide)
    )
    assert_blocks_of_kwant(stack.builders(), stack.params(0.3, 0.2), stack.params)


def test_blocks_of_several_orbitals_and_sites_per_layer_are_those_of_kwant_wraparound():
    assert_blocks_of_kwant(several_sites(np.random.default_rng(1)))


def test_blocks_on_an_oblique_net_are_those_of_kwant_wraparound():
    assert_blocks_of_kwant(close_packed(np.random.default_rng(2)))


def test_value_functions_get_their_parameters_and_their_sites():
    lattice = kwant.lattice.general(PERIODS, norbs=2)
    region = kwant.Builder(translations((A1, A2)))

    def onsite(site, angle, voltage):
        return (1 + 0.1 * site.pos[2]) * voltage * UNIT2 + np.sin(angle) * PAULI[1] + np.cos(angle) * PAULI[3]

    def up(to, source, strength):
        return strength * (1 + 0.2j * (to.pos[2] + source.pos[2])) * UNIT2

    def plain(site, voltage):
        return voltage * UNIT2

    heights = range(4)
    for z in heights:
        region[lattice(0, 0, z)] = onsite
        region[lattice(0, 0, z), lattice(1, 0, z)] = -UNIT2
    for z in heights[:-1]:
        region[lattice(0, 0, z), lattice(0, 0, z + 1)] = up
    leads = []
    for sign in (-1, 1):
        lead = kwant.Builder(translations((A1, A2, sign * A3)))
        lead[lattice(0, 0, 0)] = plain
        lead[lattice(0, 0, 0), lattice(1, 0, 0)] = -UNIT2
        lead[lattice(0, 0, 0), lattice(0, 0, 1)] = -1j * UNIT2
        leads.append(lead)

    def params(angle, voltage):
        return {"angle": angle or 0.0, "voltage": voltage, "strength": 0.7, "unused": None}

    assert_blocks_of_kwant((region, *leads), params(0.3, 0.2), params)


@pytest.mark.kwant
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(-1, 1), (1, 1), (-1, -1)])
def test_order_and_sign_of_the_periods_of_a_lead_do_not_matter(order, signs):
    third = np.array(CLOSE_PACKED[2])
    reference = layered(*close_packed(np.random.default_rng(3)))
    written = layered(*close_packed(np.random.default_rng(3), thirds=[s * third for s in signs], order=order))
    expected = transmission(reference, MOMENTA, 0.2, "smatrix")
    assert expected.min() > VISIBLE
    for engine in ("layered", "kwant"):
        np.testing.assert_allclose(transmission(written, MOMENTA, 0.2, engine), expected, atol=SAME_TRANSMISSION)


@pytest.mark.kwant
def test_in_plane_shift_of_a_leads_third_period_does_not_matter():
    a1, a2, a3 = (np.array(v) for v in CLOSE_PACKED)
    expected = transmission(layered(*close_packed(np.random.default_rng(3))), MOMENTA, 0.2, "smatrix")
    shifted = layered(*close_packed(np.random.default_rng(3), thirds=(2 * a1 - a3, a3 - a1 + 3 * a2)))
    for engine in ("layered", "kwant"):
        np.testing.assert_allclose(transmission(shifted, MOMENTA, 0.2, engine), expected, atol=SAME_TRANSMISSION)


def zigzag(rng, *, alternating, per_period=2):
    """Leads of alternating monolayers, two per period; or of equal ones, written with one or two per period."""
    first, second = (spin_degenerate(np.array([[e]])) for e in (0.2, -0.1))
    sheet, rise, tilt = (spin_degenerate(np.array([[t]])) for t in (-0.2 + 0.1j, -1.0, 0.3j))
    onsite = [first, second] if alternating else [first, first]
    lattice = kwant.lattice.general(PERIODS, norbs=2)
    region = kwant.Builder(translations((A1, A2)))
    region_onsite = [*onsite, hermitian(rng, 2), hermitian(rng, 2), *onsite]
    leads = [kwant.Builder(translations((A1, A2, sign * per_period * A3))) for sign in (-1, 1)]
    for builder, values in ((region, region_onsite), *((lead, onsite[:per_period]) for lead in leads)):
        for z, value in enumerate(values):
            builder[lattice(0, 0, z)] = value
        for z in range(len(values)):
            builder[lattice(0, 0, z), lattice(1, 0, z)] = sheet
            if builder is not region or z + 1 < len(values):
                builder[lattice(0, 0, z), lattice(0, 0, z + 1)] = rise
                builder[lattice(0, 0, z), lattice(0, 1, z + 1)] = tilt
    return region, *leads


@pytest.mark.kwant
def test_lead_with_two_monolayers_per_period_transmits_as_in_kwant():
    system = layered(*zigzag(np.random.default_rng(5), alternating=True))
    expected = transmission(system, MOMENTA, 1.1, "smatrix")
    assert expected.min() > VISIBLE
    for engine in ("layered", "kwant"):
        np.testing.assert_allclose(transmission(system, MOMENTA, 1.1, engine), expected, atol=SAME_TRANSMISSION)


def test_monolayers_per_period_of_a_lead_are_a_matter_of_notation():
    one, two = (layered(*zigzag(np.random.default_rng(5), alternating=False, per_period=n)) for n in (1, 2))
    assert (one.dimensions[0], two.dimensions[0]) == (2, 4)
    expected = transmission(one, MOMENTA, 1.1)
    assert expected.min() > VISIBLE
    np.testing.assert_allclose(transmission(two, MOMENTA, 1.1), expected, atol=SAME_TRANSMISSION)


def far_hopping(rng, layers, reach=2):
    hoppings = {(1, 0, 0): -0.3 * UNIT2, (0, 1, 0): -0.2j * UNIT2}
    hoppings |= {(0, 0, d): spin_degenerate(random_matrix(rng, 1)) / d for d in range(1, reach + 1)}
    hoppings |= {(1, 0, reach): 0.2 * UNIT2}
    lead = 0.3 * UNIT2
    middle = max(0, layers - 2 * reach)
    onsites = [lead] * ((layers - middle) // 2) + [hermitian(rng, 2) for _ in range(middle)]
    return bravais(hoppings, onsites + [lead] * (layers - len(onsites)), lead)


@pytest.mark.kwant
@pytest.mark.parametrize(("layers", "reach"), [(2, 2), (4, 2), (5, 2), (7, 2), (3, 3), (7, 3), (8, 3)])
def test_hopping_beyond_the_next_monolayer_is_grouped_into_principal_layers(layers, reach):
    system = layered(*far_hopping(np.random.default_rng(7), layers, reach))
    assert system.layers == max(1, layers // reach)
    assert sum(system.dimensions[1:-1]) == 2 * layers
    expected = transmission(system, MOMENTA, 0.4, "smatrix")
    assert expected.min() > VISIBLE
    for engine in ("layered", "kwant"):
        np.testing.assert_allclose(transmission(system, MOMENTA, 0.4, engine), expected, atol=SAME_TRANSMISSION)


def simple(
    *, onsite=UNIT2, lead_onsite=UNIT2, hopping=-UNIT2, layers=2, norbs=2, lead_vectors=PERIODS[:2], plane=PERIODS[:2]
):
    """A cubic chain of plain matrices, one thing of which a test spoils."""
    lattice = kwant.lattice.general(PERIODS, norbs=norbs)
    lead_lattice = kwant.lattice.general((*lead_vectors, A3), norbs=norbs)
    region = kwant.Builder(translations(plane)) if plane else kwant.Builder()
    for z in range(layers):
        region[lattice(0, 0, z)] = onsite
    for z in range(layers - 1):
        region[lattice(0, 0, z), lattice(0, 0, z + 1)] = hopping
    leads = []
    for sign, value in ((-1, lead_onsite), (1, UNIT2 if norbs == 2 else lead_onsite)):
        lead = kwant.Builder(translations((*lead_vectors, sign * A3)))
        lead[lead_lattice(0, 0, 0)] = value
        lead[lead_lattice(0, 0, 0), lead_lattice(0, 0, 1)] = hopping
        leads.append(lead)
    return region, *leads


def refusal(builders, params=None):
    with pytest.raises(InputError) as error:
        layered(*builders, params=params)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_non_hermitian_region_is_refused_by_layer():
    message = refusal(simple(onsite=UNIT2 + np.array([[0, 0.1], [0, 0]])))
    assert "layer '1'" in message
    assert "not Hermitian" in message
    assert "mend" in message


def test_non_hermitian_lead_is_refused_though_kwant_passes_it():
    lead_onsite = UNIT2 - 0.05j * UNIT2
    builders = simple(lead_onsite=lead_onsite)
    lead = kwant.wraparound.wraparound(builders[1], keep=2).finalized()
    lead.modes(0.1, params={"k_x": 0.0, "k_y": 0.0})  # Kwant raises nothing
    message = refusal(builders)
    assert "left lead" in message
    assert "not Hermitian" in message


def test_non_hermitian_lead_is_refused_when_a_parameter_spoils_it_later():
    def lossy(site, voltage):
        return UNIT2 - 1j * voltage * UNIT2

    system = layered(*simple(lead_onsite=lossy), params=lambda angle, voltage: {"voltage": voltage})
    with pytest.raises(InputError, match="left lead is not Hermitian"):
        system.chain(None, 0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("spoiled", "place"), [("onsite", "layer '1'"), ("lead_onsite", "left lead")])
def test_value_that_is_not_finite_is_refused_by_place(value, spoiled, place):
    message = refusal(simple(**{spoiled: np.diag([value, 1.0])}))
    assert place in message
    assert "not finite" in message


def test_hopping_that_is_not_finite_is_refused():
    assert "not finite" in refusal(simple(hopping=np.diag([np.nan, 1.0])))


@pytest.mark.parametrize("norbs", [1, 3, None])
def test_odd_or_unknown_number_of_orbitals_is_refused(norbs):
    value = np.eye(norbs or 2)
    message = refusal(simple(onsite=value, lead_onsite=value, hopping=-value, norbs=norbs))
    assert f"norbs={norbs}" in message
    assert "even" in message


def test_region_that_lacks_sites_of_the_lead_is_refused():
    region, left, right = several_sites(np.random.default_rng(8))
    site = next(s for s in region.sites() if s.family.name == "t" and s.pos[2] == 0)
    del region[site]
    message = refusal((region, left, right))
    assert "left lead" in message
    assert "end the region in a full cell" in message


@pytest.mark.parametrize("vectors", [(A1, 1.01 * A2), (A1, A1 + A2), (A1, 2 * A2)])
def test_in_plane_nets_that_differ_are_refused(vectors):
    message = refusal(simple(lead_vectors=vectors))
    assert "left lead" in message
    assert "in-plane vectors" in message


def test_lead_without_a_vector_along_the_transport_direction_is_refused():
    lattice = kwant.lattice.general(PERIODS, norbs=2)
    region, _, right = simple()
    left = kwant.Builder(translations((A1, A2)))
    left[lattice(0, 0, 0)] = UNIT2
    assert "left lead" in refusal((region, left, right))


@pytest.mark.parametrize("plane", [(), PERIODS[:1], PERIODS])
def test_region_that_is_not_periodic_in_the_plane_is_refused(plane):
    message = refusal(simple(plane=plane, layers=1))
    assert "region" in message
    assert "TranslationalSymmetry(a1, a2)" in message


def test_missing_parameter_is_refused_by_name():
    def onsite(site, height_of_barrier):
        return height_of_barrier * UNIT2

    message = refusal(simple(onsite=onsite))
    assert "height_of_barrier" in message
    assert "params=" in message


def test_empty_region_is_refused():
    assert "no sites" in refusal(simple(layers=0))


def test_layer_names_must_count_the_monolayers():
    with pytest.raises(InputError, match="2 monolayers"):
        layered(*simple(), layer_names=("only one",))


def test_area_is_that_of_the_in_plane_cell():
    assert layered(*close_packed(np.random.default_rng(2))).area == pytest.approx(np.sqrt(3) / 2)


@pytest.mark.parametrize("in_hopping", [False, True])
def test_one_orbital_per_layer_without_hopping_in_the_plane_may_depend_on_spin(in_hopping):
    """A bundle of chains: every block has one matrix of one orbital."""
    lattice = kwant.lattice.general(PERIODS, norbs=2)
    region = kwant.Builder(translations((A1, A2)))
    leads = [kwant.Builder(translations((A1, A2, sign * A3))) for sign in (-1, 1)]
    onsite = 0.1 * UNIT2 if in_hopping else -0.4 * PAULI[3]
    hopping = -UNIT2 + 0.2 * PAULI[3] if in_hopping else -UNIT2
    for builder in (region, *leads):
        heights = range(3) if builder is region else range(1)
        for z in heights:
            builder[lattice(0, 0, z)] = onsite
        for z in heights if builder is not region else heights[:-1]:
            builder[lattice(0, 0, z), lattice(0, 0, z + 1)] = hopping
    s = solve(layered(region, *leads), energy=0.2, kmesh=qt.kpoints(MOMENTA))
    np.testing.assert_allclose(qt.transmission(s), np.broadcast_to(UNIT2, (len(MOMENTA), 2, 2)), atol=SAME_TRANSMISSION)
    assert s.lead_magnetic == (True, True)


def test_hopping_of_a_lead_that_jumps_over_the_whole_region_is_refused():
    message = refusal(far_hopping(np.random.default_rng(7), 1))
    assert "lead" in message
    assert "region" in message
