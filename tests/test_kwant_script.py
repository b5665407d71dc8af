"""A stack written as a plain Kwant script gives the transmission that the package gives."""

import ast
import subprocess
import sys

import kwant
import numpy as np
import pytest

import qtorque as qt

SAME = 1e-9
"""Relative; two orders of the same sums, and Kwant's modes against surface Green functions."""
K = (0.7, -1.1)
ENERGY = -0.4

N = qt.single_band(onsite=0.4, hopping=-0.9)
F = qt.single_band(onsite=1.0, exchange=1.5)
OXIDE = qt.single_band(onsite=6.0)


def junction():
    free = qt.Layer(F, 2, (0.6, 0.0, 0.8), magnet="free")
    return qt.Stack(
        left=qt.Lead(F), layers=[qt.Layer(OXIDE, 2, barrier=True, shift=0.2), qt.Layer(N), free], right=qt.Lead(N)
    )


def two_orbitals():
    """Spin-orbit coupling, complex hoppings that reach two monolayers, unlike sides of the cell."""
    up = np.array([[-1.0, 0.3j], [0.2, -0.4]])
    hoppings = [((0, 0, 1), up), ((1, 0, 0), -0.5 * np.eye(2)), ((0, -1, -1), 0.2 * up), ((-1, 0, -2), 0.1 * up.T)]
    L = np.array([[0, -1j], [1j, 0]])
    return qt.Material(
        name='two "orbitals" (made up)',
        lattice=np.array([[0.3, 0.0, 0.0], [0.1, 0.4, 0.0], [0.1, -0.2, 0.25]]),
        onsite=np.array([[0.2, 0.1j], [-0.1j, -0.7]]),
        exchange=np.diag([0.3, 1.2]).astype(complex),
        hoppings=tuple((v, m.astype(complex)) for v, m in hoppings),
        spin_orbit=0.2 * np.array([L, 0.5 * L, -L]),
    )


def run_text(text):
    """The names a script defines, without its last part."""
    names = {"__name__": "script"}
    exec(compile(text, "script", "exec"), names)  # noqa: S102
    return names


def script_transmission(text):
    names = run_text(text)
    params = {**names["PARAMS"], "k_x": names["K"][0], "k_y": names["K"][1]}
    return kwant.smatrix(names["wrapped"](), names["ENERGY"], params=params).transmission(1, 0)


@pytest.mark.kwant
def test_the_script_prints_the_transmission_of_the_layered_engine(tmp_path):
    stack = junction()
    text = qt.kwant_script(stack, tmp_path / "junction.py", k=K, energy=ENERGY)
    assert (tmp_path / "junction.py").read_text() == text
    # Outside the package's folder, and without it.
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import sys, runpy; sys.modules['qtorque'] = None; runpy.run_path(sys.argv[1], "
         "run_name='__main__')", "junction.py"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed = float(done.stdout.rsplit(": ", 1)[1])
    expected = float(qt.transmission(qt.solve(stack, energy=ENERGY, kmesh=qt.kpoints([K]))).sum())
    assert expected > 1e-3
    assert printed == pytest.approx(expected, rel=SAME, abs=0)


@pytest.mark.kwant
@pytest.mark.parametrize(
    "stack",
    [
        junction(),
        qt.Stack(left=qt.Lead(two_orbitals(), (0, 1, 0)), right=qt.Lead(two_orbitals(), (0.6, 0.0, 0.8), magnet="b"),
                 layers=[qt.Layer(two_orbitals(), 1, (0, 1, 0), barrier=True)]),
    ],
    ids=["junction", "spin-orbit, reach of two monolayers, oblique"],
)  # fmt: skip
def test_bias_and_directions_are_parameters_of_the_script(stack):
    text = qt.kwant_script(stack, k=K, energy=ENERGY, angle=1.0, voltage=0.3)
    wrapped = stack.wrapped(K)
    for angle, voltage in ((1.0, 0.3), (0.2, -0.3)):
        names = run_text(text)
        magnets = {name.removeprefix("m_"): m for name, m in stack.params(angle, voltage).items() if name != "voltage"}
        params = {"voltage": voltage, "magnetization": magnets, "k_x": K[0], "k_y": K[1]}
        found = kwant.smatrix(names["wrapped"](), ENERGY, params=params).transmission(1, 0)
        expected = kwant.smatrix(wrapped, ENERGY, params=stack.params(angle, voltage)).transmission(1, 0)
        assert expected > 1e-4
        assert found == pytest.approx(expected, rel=SAME, abs=0)
    assert script_transmission(text) != pytest.approx(found, rel=1e-3)


@pytest.mark.kwant
def test_real_metals_with_unlike_orbitals_and_spin_orbit_are_written_out():
    iron = qt.slater_koster("Fe", facet="001", spin_orbit={"d": 0.06})
    oxide = qt.slater_koster("MgO", facet="001")
    stack = qt.Stack(left=qt.Lead(iron), layers=[qt.Layer(oxide, barrier=True)], right=qt.Lead(iron, (1, 0, 0)))
    text = qt.kwant_script(stack, k=K, energy=0.1, voltage=0.1)
    expected = kwant.smatrix(stack.wrapped(K), 0.1, params=stack.params(None, 0.1)).transmission(1, 0)
    assert expected > 1e-2
    assert script_transmission(text) == pytest.approx(expected, rel=SAME, abs=0)
    assert max(map(len, text.splitlines())) <= 120


def test_the_script_imports_kwant_and_numpy_only():
    text = qt.kwant_script(junction())
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {alias.name for node in imports for alias in node.names} == {"kwant", "numpy"}


def test_two_materials_of_one_name_stay_apart():
    first, other = (qt.single_band(onsite=e, name="metal (own)") for e in (0.0, 0.5))
    names = run_text(qt.kwant_script(qt.Stack(left=qt.Lead(first), layers=[qt.Layer(other)], right=qt.Lead(first))))
    assert {name: matrix.item() for name, matrix in names["ONSITE"].items()} == {"metal": 0.0, "metal #2": 0.5}


@pytest.mark.kwant
@pytest.mark.parametrize(
    "called",
    [("A #2", "A", "A"), ("A", "B", "A | B"), ('x"\n"""', "y\\", "{z} \x00 \ud800")],
    ids=["numbered", "joined", "signs"],
)
def test_names_that_look_like_those_of_the_script_stay_apart(called):
    metals = [qt.single_band(onsite=0.4 * i, hopping=-1 - 0.2 * i, name=name) for i, name in enumerate(called)]
    stack = qt.Stack(
        left=qt.Lead(metals[0]), layers=[qt.Layer(metals[1]), qt.Layer(metals[2], 2)], right=qt.Lead(metals[0])
    )
    text = qt.kwant_script(stack, k=K, energy=-0.7)
    expected = kwant.smatrix(stack.wrapped(K), -0.7, params=stack.params(None, 0.0)).transmission(1, 0)
    assert 0.1 < expected < 1.9
    assert script_transmission(text) == pytest.approx(expected, rel=SAME, abs=0)
    assert text.encode()


def test_bad_input_is_refused(tmp_path):
    stack = junction()
    path = tmp_path / "there.py"
    path.write_text("precious")
    for call, message in (
        (lambda: qt.kwant_script(stack, path), "exists; give another name"),
        (lambda: qt.kwant_script(stack, tmp_path / "no" / "where.py"), "does not exist; create it"),
        (lambda: qt.kwant_script(qt.layered(*stack.builders(), params=stack.params)), "plain Kwant already"),
        (lambda: qt.kwant_script(stack, k=(0.1, np.nan)), "nan"),
        (lambda: qt.kwant_script(stack, k=(0.1,)), "two phases"),
        (lambda: qt.kwant_script(stack, f"{tmp_path}/new/"), "names no file"),
        (lambda: qt.kwant_script(stack, ""), "names no file"),
        (lambda: qt.kwant_script(stack, 3), "path=3 names no file"),
        (lambda: qt.kwant_script(stack, tmp_path), "is a folder"),
        (lambda: qt.kwant_script(stack, tmp_path / ("n" * 300)), "cannot be written .File name too long"),
    ):
        with pytest.raises(qt.InputError, match=message):
            call()
    assert path.read_text() == "precious"
    qt.kwant_script(stack, path, force=True)
    assert "kwant" in path.read_text()
