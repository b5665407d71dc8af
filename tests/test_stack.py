"""Stacks: bias profile, exchange and spin conventions, magnets and their names, angles, lattice matching, refusals."""

import kwant
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qtorque as qt
from qtorque.errors import InputError
from qtorque.materials import Material
from qtorque.spin import PAULI, rotation

EXACT = 1e-14
"""Sums and products of a few numbers of order one."""
SAME_TRANSMISSION = 1e-12
"""The same matrices in two Kwant systems; rounding 1e-16 times the condition number of six layers."""
N = qt.single_band(onsite=2.0, name="N")
F = qt.single_band(onsite=4.0, exchange=2.0, name="F")
OXIDE = qt.single_band(onsite=9.0, name="oxide")
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def barrier(n, **more):
    return qt.Layer(OXIDE, n, barrier=True, **more)


def shifts(layers, voltage=0.8):
    """Shift of every monolayer over eV, read from the on-site matrices of the region between nonmagnetic leads."""
    stack = qt.Stack(left=qt.Lead(N), layers=layers, right=qt.Lead(N))
    return (onsites(stack, voltage=voltage) - onsites(stack, voltage=0.0)).trace(axis1=1, axis2=2).real / 2 / voltage


def onsites(stack, **params):
    """On-site matrix of every monolayer of the region, from the builder."""
    region, *_ = stack.builders()
    return np.array([onsite(region, site, stack.params(**params)) for site in sorted(region.sites(), key=height)])


def onsite(builder, site, params):
    function = builder[site]
    names = list(kwant.builder.get_parameters(function))[1:]
    return np.asarray(function(site, *(params[name] for name in names)))


def height(site):
    return site.pos[2]


def test_bias_raises_left_of_the_barrier_and_lowers_right_of_it_in_equal_steps():
    profile = shifts([qt.Layer(N, 1), barrier(3), qt.Layer(N, 2)])
    np.testing.assert_allclose(profile, [0.5, 0.5, 0.25, 0.0, -0.25, -0.5, -0.5, -0.5], atol=EXACT)


def test_bias_drops_over_both_barriers_and_is_antisymmetric_under_mirror():
    profile = shifts([barrier(2), qt.Layer(N, 2), barrier(2)])
    np.testing.assert_allclose(profile[[1, 2, 5, 6]], [0.3, 0.1, -0.1, -0.3], atol=EXACT)
    np.testing.assert_allclose(profile, -profile[::-1], atol=EXACT)


def test_layers_between_unlike_barriers_lie_between_the_shifts_of_their_neighbours():
    profile = shifts([barrier(1), qt.Layer(N, 2), barrier(2)])
    mirrored = shifts([barrier(2), qt.Layer(N, 2), barrier(1)])
    assert np.all(np.diff(profile) <= 0)
    np.testing.assert_allclose(profile, -mirrored[::-1], atol=EXACT)


def test_without_barrier_no_band_shifts():
    stack = qt.Stack(left=qt.Lead(N), layers=[qt.Layer(OXIDE, 3)], right=qt.Lead(N))
    assert not stack.has_barrier
    np.testing.assert_array_equal(shifts([qt.Layer(OXIDE, 3)]), 0.0)


def test_leads_shift_like_the_layers_they_touch():
    stack = qt.Stack(left=qt.Lead(N), layers=[barrier(2)], right=qt.Lead(F))
    params = stack.params(voltage=0.6)
    _, left, right = stack.builders()
    expected = (2.0 + 0.3) * PAULI[0], (4.0 - 0.3) * PAULI[0] - 1.0 * PAULI[3]
    for lead, matrix in zip((left, right), expected, strict=True):
        (site,) = lead.sites()
        np.testing.assert_allclose(onsite(lead, site, params), matrix, atol=EXACT)


@pytest.mark.parametrize("m", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (0.6, 0.0, 0.8)])
def test_exchange_lowers_the_spin_along_the_magnetization_by_half_the_splitting(m):
    H = onsites(qt.Stack(left=qt.Lead(F, magnetization=m), right=qt.Lead(N)))[0]
    spin = np.einsum("a,aij->ij", m, PAULI[1:])
    np.testing.assert_allclose(H, 4.0 * PAULI[0] - 0.5 * 2.0 * spin, atol=EXACT)
    energies, states = np.linalg.eigh(H)
    np.testing.assert_allclose(energies, [3.0, 5.0], atol=EXACT)
    np.testing.assert_allclose(np.vdot(states[:, 0], spin @ states[:, 0]), 1.0, atol=EXACT)


def two_orbital(name="two", hopping=None, exchange=None, lattice=None):
    hopping = np.array([[-1.0, 0.3j], [0.2, 0.5]]) if hopping is None else hopping
    exchange = np.array([[1.0, 0.1j], [-0.1j, 0.4]]) if exchange is None else exchange
    vectors = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    return Material(
        name=name,
        lattice=0.3 * np.eye(3) if lattice is None else lattice,
        onsite=np.array([[1.0, 0.2 - 0.1j], [0.2 + 0.1j, -1.0]]),
        exchange=exchange,
        hoppings=tuple((v, hopping) for v in vectors),
    )


def test_spin_is_the_last_tensor_factor():
    material = two_orbital()
    m = np.array([0.6, 0.0, 0.8])
    stack = qt.Stack(left=qt.Lead(material, magnetization=m), right=qt.Lead(material, magnetization=m))
    spin = np.einsum("a,aij->ij", m, PAULI[1:])
    expected = np.kron(material.onsite, np.eye(2)) - 0.5 * np.kron(material.exchange, spin)
    np.testing.assert_allclose(onsites(stack)[0], expected, atol=EXACT)
    region, left, right = stack.builders()
    for builder in (region, left, right):
        for (to, source), value in builder.hopping_value_pairs():
            step = tuple(source.tag - to.tag)
            block = material.hoppings[0][1] if sum(step) > 0 else material.hoppings[0][1].conj().T
            np.testing.assert_allclose(value, np.kron(block, np.eye(2)), atol=EXACT)


def test_hopping_is_stored_as_that_from_the_upper_to_the_lower_layer():
    hopping = np.array([[1.0, 2.0j], [0.0, -1.0]])
    stack = qt.Stack(left=qt.Lead(two_orbital(hopping=hopping)), right=qt.Lead(two_orbital(hopping=hopping)))
    region, left, right = stack.builders()
    for builder in (region, left, right):
        low = min(builder.sites(), key=height)
        high = next(s for s in builder.neighbors(low) if height(s) > height(low))
        np.testing.assert_allclose(builder[low, high], np.kron(hopping, np.eye(2)), atol=EXACT)


def test_hopping_may_be_given_for_either_of_two_opposite_vectors():
    there = two_orbital()
    back = Material(
        name="back",
        lattice=there.lattice,
        onsite=there.onsite,
        exchange=there.exchange,
        hoppings=tuple((tuple(-x for x in v), matrix.conj().T) for v, matrix in there.hoppings),
    )
    regions = [
        qt.Stack(left=qt.Lead(a), layers=[qt.Layer(b)], right=qt.Lead(a)).builders()[0]
        for a, b in ((there, there), (back, back), (there, back), (back, there))
    ]
    expected = dict(regions[0].hopping_value_pairs())
    for region in regions[1:]:
        for (to, source), value in expected.items():
            np.testing.assert_allclose(region[to, source], value, atol=EXACT)


def test_hopping_between_unlike_materials_is_the_mean():
    a, b = qt.single_band(onsite=0.0, hopping=-1.0), qt.single_band(onsite=0.0, hopping=-0.4)
    stack = qt.Stack(left=qt.Lead(a), right=qt.Lead(b))
    region, *_ = stack.builders()
    low, high = sorted(region.sites(), key=height)
    np.testing.assert_allclose(region[low, high], -0.7 * np.eye(2), atol=EXACT)
    for site, hopping in ((low, -1.0), (high, -0.4)):
        sheet = next(s for s in region.neighbors(site) if height(s) == height(site))
        np.testing.assert_allclose(region[site, sheet], hopping * np.eye(2), atol=EXACT)


def test_region_begins_and_ends_with_a_layer_of_the_leads():
    stack = qt.Stack(left=qt.Lead(N, name="bottom"), layers=[barrier(2, name="MgO")], right=qt.Lead(F))
    assert [m.label for m in stack.monolayers] == ["bottom", "MgO 1", "MgO 2", "right lead"]
    np.testing.assert_allclose(onsites(stack).trace(axis1=1, axis2=2).real / 2, [2.0, 9.0, 9.0, 4.0], atol=EXACT)


def test_neighbouring_magnetic_layers_form_one_magnet_and_a_gap_splits_them():
    stack = qt.Stack(left=qt.Lead(F), layers=[qt.Layer(F, 2), qt.Layer(N), qt.Layer(F), qt.Layer(N)], right=qt.Lead(F))
    assert list(stack.magnets) == ["F1", "F2", "F3"]
    assert [m.magnet for m in stack.monolayers] == ["F1", "F1", "F1", None, "F2", None, "F3"]
    assert (stack.fixed_magnet, stack.free_magnet) == ("F1", "F3")


def test_magnet_names_split_touching_layers():
    stack = qt.Stack(
        left=qt.Lead(F, magnet="pinned"),
        layers=[qt.Layer(F, 2, magnet="soft", magnetization=(1, 0, 0))],
        right=qt.Lead(N),
    )
    assert list(stack.magnets) == ["pinned", "soft"]
    np.testing.assert_allclose(stack.params(np.pi / 2)["m_soft"], [1, 0, 0], atol=EXACT)


def test_fixed_and_free_magnet_can_be_named():
    stack = qt.Stack(
        left=qt.Lead(F), layers=[qt.Layer(N), qt.Layer(F), qt.Layer(N)], right=qt.Lead(F), fixed="F3", free="F2"
    )
    params = stack.params(np.pi / 2)
    np.testing.assert_allclose(params["m_F2"], [1, 0, 0], atol=EXACT)
    for name in ("m_F1", "m_F3"):
        np.testing.assert_allclose(params[name], [0, 0, 1], atol=EXACT)


def test_without_an_angle_magnets_keep_their_declared_directions():
    stack = qt.Stack(
        left=qt.Lead(F, magnetization=(0, 1, 0)), layers=[barrier(1)], right=qt.Lead(F, magnetization=(1, 0, 0))
    )
    np.testing.assert_allclose(stack.params()["m_F1"], [0, 1, 0], atol=EXACT)
    np.testing.assert_allclose(stack.params()["m_F2"], [1, 0, 0], atol=EXACT)


def test_angle_zero_is_parallel_whatever_was_declared():
    stack = qt.Stack(left=qt.Lead(F), layers=[barrier(1)], right=qt.Lead(F, magnetization=(0, 0, -1)))
    np.testing.assert_allclose(stack.params(0.0)["m_F2"], [0, 0, 1], atol=EXACT)
    np.testing.assert_allclose(stack.params(np.pi / 2)["m_F2"], [1, 0, 0], atol=EXACT)


@FEW
@given(st.floats(0.0, np.pi), st.floats(-np.pi, np.pi), st.floats(0.0, np.pi))
def test_free_magnet_points_along_sin_0_cos_in_the_frame_where_the_fixed_one_is_z(polar, azimuth, angle):
    p = np.array([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    stack = qt.Stack(left=qt.Lead(F, magnetization=tuple(p)), layers=[barrier(1)], right=qt.Lead(F))
    params = stack.params(angle)
    frame = rotation(p)
    assert np.linalg.det(frame) == pytest.approx(1.0)
    np.testing.assert_allclose(frame @ [0, 0, 1], p, atol=10 * EXACT)
    np.testing.assert_allclose(frame.T @ params["m_F2"], [np.sin(angle), 0, np.cos(angle)], atol=10 * EXACT)
    np.testing.assert_allclose(params["m_F1"], p, atol=10 * EXACT)


@pytest.mark.kwant
def test_system_bound_to_a_momentum_is_the_one_with_that_momentum_as_parameter():
    stack = qt.Stack(left=qt.Lead(N), layers=[barrier(1), qt.Layer(F, 1)], right=qt.Lead(N))
    params, k = stack.params(voltage=0.3), (0.4, -1.1)
    bound, free = stack.wrapped(k), stack.wrapped()
    assert "k_x" not in bound.parameters
    expected = kwant.smatrix(free, 0.2, params={**params, "k_x": k[0], "k_y": k[1]})
    found = kwant.smatrix(bound, 0.2, params=params)
    assert expected.transmission(1, 0) > 1e-6
    assert found.transmission(1, 0) == pytest.approx(expected.transmission(1, 0), rel=SAME_TRANSMISSION)
    other = kwant.smatrix(free, 0.2, params={**params, "k_x": k[0] + 0.3, "k_y": k[1]}).transmission(1, 0)
    assert abs(other - expected.transmission(1, 0)) > 1e-9  # the momentum matters


def test_area_is_the_in_plane_cell_of_the_left_lead():
    left, right = qt.single_band(onsite=0, lattice_constant=0.3), qt.single_band(onsite=0, lattice_constant=0.31)
    assert qt.Stack(left=qt.Lead(left), right=qt.Lead(right)).area == pytest.approx(0.09)


def refused(make, *words):
    with pytest.raises(InputError) as error:
        make()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_contradicting_magnetizations_in_one_magnet_are_refused():
    layers = [qt.Layer(F, 2, magnetization=(1, 0, 0), name="soft")]
    refused(lambda: qt.Stack(left=qt.Lead(F), layers=layers, right=qt.Lead(N)), "magnetization=", "soft", "magnet=")


@pytest.mark.parametrize("m", [(0, 0, 2), (0, 0, 0), (1, 1, 0), (0, 0, 1 + 1e-5)])
def test_magnetization_of_another_length_than_one_is_refused(m):
    for kind in (qt.Lead, qt.Layer):
        refused(lambda kind=kind: kind(F, magnetization=m), "magnetization=", "unit vector")


@pytest.mark.parametrize("m", [(0, 1), 3, "up", (0, 0, np.nan), None])
def test_magnetization_that_is_no_vector_is_refused(m):
    refused(lambda: qt.Lead(F, magnetization=m), "magnetization=", "give three")


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_layer_of_no_positive_number_of_monolayers_is_refused(n):
    refused(lambda: qt.Layer(F, n, name="soft"), "soft", f"n={n!r}", "positive integer")


def test_unknown_fixed_or_free_magnet_is_refused():
    for role in ("fixed", "free"):
        refused(
            lambda role=role: qt.Stack(left=qt.Lead(F), layers=[barrier(1)], right=qt.Lead(F), **{role: "Fe"}),
            f"{role}='Fe'",
            "known: F1, F2",
        )


def test_one_name_for_two_magnets_that_do_not_touch_is_refused():
    refused(
        lambda: qt.Stack(left=qt.Lead(F, magnet="a"), layers=[barrier(1)], right=qt.Lead(F, magnet="a")), "magnet='a'"
    )


def test_magnet_name_of_a_nonmagnetic_layer_is_refused():
    refused(lambda: qt.Layer(N, magnet="a"), "magnet='a'", "no exchange")


def test_magnet_name_that_is_no_identifier_is_refused():
    refused(lambda: qt.Lead(F, magnet="soft layer"), "magnet='soft layer'")


def test_lattice_mismatch_over_six_percent_is_refused_and_below_it_accepted():
    def stack(a):
        return qt.Stack(left=qt.Lead(N), right=qt.Lead(qt.single_band(onsite=0, lattice_constant=a, name="wide")))

    stack(0.3 * 1.059)
    stack(0.3 / 1.059)
    refused(lambda: stack(0.3 * 1.07), "wide", "7.0 %", "6 %")
    refused(lambda: stack(0.3 * 0.93), "wide")


@pytest.mark.parametrize(
    "second", [(0.0, 0.33, 0.0), (0.15, 0.3 * np.sqrt(3) / 2, 0.0)], ids=["rectangular", "hexagonal"]
)
def test_other_type_of_net_is_refused(second):
    lattice = np.array([(0.3, 0, 0), second, (0, 0, 0.3)])
    square, other = two_orbital("square"), two_orbital("other", lattice=lattice)
    refused(lambda: qt.Stack(left=qt.Lead(square), right=qt.Lead(other)), "square", "other", "shape")


def test_unlike_numbers_of_orbitals_are_refused():
    refused(lambda: qt.Stack(left=qt.Lead(N), right=qt.Lead(two_orbital("two"))), "two", "orbitals")


def test_pieces_of_the_wrong_kind_are_refused():
    refused(lambda: qt.Stack(left=qt.Layer(N), right=qt.Lead(N)), "qt.Lead")
    refused(lambda: qt.Stack(left=qt.Lead(N), layers=[qt.Lead(N)], right=qt.Lead(N)), "qt.Layer")
    refused(lambda: qt.Lead("Fe"), "material='Fe'")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"onsite": np.nan}, "onsite"),
        ({"onsite": 1.0, "hopping": np.inf}, "hopping"),
        ({"onsite": "a"}, "onsite"),
        ({"onsite": 1.0, "exchange": -1.0}, "exchange"),
        ({"onsite": 1.0, "lattice_constant": 0.0}, "lattice_constant"),
        ({"onsite": 1.0, "lattice_constant": -0.3}, "lattice_constant"),
    ],
)
def test_single_band_refuses_numbers_that_make_no_sense(arguments, word):
    refused(lambda: qt.single_band(**arguments), "single_band", f"{word}=")


def test_single_band_has_the_bands_of_its_docstring():
    material = qt.single_band(onsite=4.3, exchange=2.6, hopping=-1.0)
    stack = qt.Stack(left=qt.Lead(material), right=qt.Lead(material))
    _, left, _ = stack.builders()
    bulk = kwant.wraparound.wraparound(left).finalized()
    k = np.array([0.4, 1.0, -0.7])
    H = bulk.hamiltonian_submatrix(params={**stack.params(), **dict(zip(("k_x", "k_y", "k_z"), k, strict=True))})
    np.testing.assert_allclose(np.diag(H), np.array([3.0, 5.6]) - 2 * np.cos(k).sum(), atol=EXACT)


@pytest.mark.parametrize("spoil", ["onsite", "exchange"])
def test_material_that_is_not_hermitian_is_refused(spoil):
    matrices = {"onsite": np.eye(2), "exchange": np.eye(2), spoil: np.array([[0, 1], [0, 0]])}
    refused(
        lambda: Material(name="odd", lattice=np.eye(3), hoppings=(), **matrices), "odd", spoil, "not Hermitian", "mend"
    )


def test_material_with_a_hopping_and_its_opposite_is_refused():
    one = np.eye(1)
    hoppings = (((1, 0, 0), one), ((-1, 0, 0), one))
    refused(lambda: Material(name="odd", lattice=np.eye(3), onsite=one, exchange=one, hoppings=hoppings), "twice")


def test_naming_one_role_leaves_the_other_to_another_magnet():
    magnet, normal = qt.single_band(onsite=2.8, exchange=2.0), qt.single_band(onsite=2.5)
    layers = [qt.Layer(magnet, 1, magnet="a"), qt.Layer(normal, 1), qt.Layer(magnet, 1, magnet="b")]

    def roles(**names):
        stack = qt.Stack(left=qt.Lead(normal), layers=layers, right=qt.Lead(normal), **names)
        return stack.fixed_magnet, stack.free_magnet

    assert roles() == ("a", "b")
    assert roles(free="a") == ("b", "a")
    assert roles(fixed="b") == ("b", "a")
    assert roles(fixed="a") == roles(free="b") == ("a", "b")
    with pytest.raises(qt.InputError, match="two different"):
        roles(fixed="a", free="a")


def test_an_exchange_without_positive_trace_is_refused():
    good = qt.single_band(onsite=1.0, exchange=1.0)
    for exchange in (np.array([[-1.0]]), np.diag([1.0, -1.0])):
        n = len(exchange)
        with pytest.raises(qt.InputError, match="trace"):
            qt.Material(name="X", lattice=good.lattice, onsite=np.eye(n), exchange=exchange, hoppings=())
