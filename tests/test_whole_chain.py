"""From a lattice to a moving moment, and the same bits from any number of ranks."""

import numpy as np
import pytest

import qtorque as qt
from qtorque import llg

RANKED = """
import sys
import numpy as np
import qtorque as qt
from qtorque import llg, parallel, store

comm = parallel.world()
with parallel.abort_on_error(comm):
    parallel.limit_threads(comm)
    F = qt.single_band(onsite=4.3, exchange=2.6)
    B = qt.single_band(onsite=9.0)
    mtj = qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 3, barrier=True)], right=qt.Lead(F))
    k = qt.kmesh(23)  # 529 momenta, two chunks: at a single voltage a third rank has nothing to do
    d = qt.spin_torque(mtj, angle=[0.0, np.pi], voltage=VOLTAGES, kmesh=k, tolerance=1e-3, comm=comm)
    G = qt.conductance(mtj, energy=0.0, kmesh=qt.kmesh(70), comm=comm)
    omega = qt.interlayer_coupling(mtj, kmesh=k, tolerance=1e-3, comm=comm)
    layers = qt.layer_torque(mtj, angle=[1.0], voltage=[0.2], kmesh=k, tolerance=1e-2, comm=comm)
    tmap = qt.TorqueMap.from_dataset(d)
    free = llg.Macrospin(Ms=1.2e6, thickness=1.5e-9, area=1.26e-15, alpha=0.02, anisotropy=9.5e5, demag=(.01, .01, .98))
    r = llg.ensemble(free, tmap, voltage=VOLTAGES, initial="antiparallel", trajectories=130, duration=5e-11, dt=1e-12,
                     temperature=300, seed=3, thermalisation=1e-11, comm=comm)
    arrays = {"G": G.values, "omega": omega["grand_potential"].values, "layers": layers["torque"].values}
    arrays |= {f"d_{n}": d[n].values for n in d.data_vars} | {f"r_{n}": r[n].values for n in r.data_vars}
    if comm is None or comm.rank == 0:
        np.savez(sys.argv[1], **arrays)
"""


def junction():
    F = qt.single_band(onsite=4.3, exchange=2.6)
    B = qt.single_band(onsite=9.0)
    return qt.Stack(left=qt.Lead(F), layers=[qt.Layer(B, 3, barrier=True, name="oxide")], right=qt.Lead(F))


def test_the_reference_junction_relaxes_to_antiparallel_without_bias_or_field():
    # The sign check of the conventions, through every stage: tau_FL(V = 0) = -4.1313e-7 eV is antiferromagnetic, and
    # the moment, with no other torque, turns away from p. Flip one sign between lattice and LLG: it turns towards p.
    d = qt.spin_torque(junction(), angle=np.linspace(0, np.pi, 5), voltage=[0.0], kmesh=qt.kmesh(16))
    assert float(d["field_like"].sel(angle=np.pi / 2, method="nearest")[0]) == pytest.approx(-4.1313e-7, rel=2e-5)
    tmap = qt.TorqueMap.from_dataset(d)
    # A sphere: its shape has no preferred direction, so the coupling is alone.
    free = llg.Macrospin(Ms=1e6, thickness=1.5e-9, area=1.26e-15, alpha=0.5, demag=(1 / 3, 1 / 3, 1 / 3))
    coupling = 4.1313e-7 * 1.602176634e-19 * 1.26e-15 / 0.09e-18 / (free.Ms * free.volume)  # T
    time = 20 / (0.5 / 1.25 * 1.76085963e11 * coupling)  # 20 relaxation times of that field
    start = np.array([np.sin(0.2), 0.0, np.cos(0.2)])
    r = llg.run(free, tmap, voltage=0.0, initial=start, duration=time, dt=time / 20000, temperature=0.0)
    assert float(r["m"].values[0, 2]) > 0.97
    assert float(r["m"].values[-1, 2]) < -0.9999


def test_voltage_of_the_right_sign_switches_antiparallel_to_parallel_only():
    d = qt.spin_torque(junction(), angle=np.linspace(0, np.pi, 5), voltage=[-0.6, 0.0, 0.6], kmesh=qt.kmesh(8))
    tmap = qt.TorqueMap.from_dataset(d)
    free = llg.Macrospin(
        Ms=1.2e6, thickness=1.5e-9, area=1.26e-15, alpha=0.003, anisotropy=9.2e5, demag=(0.01, 0.01, 0.98)
    )
    start = np.array([0.05, 0.0, -np.sqrt(1 - 0.05**2)])
    final = {
        V: llg.run(free, tmap, voltage=V, initial=start, duration=60e-9, dt=1e-12)["m"].values[-1, 2]
        for V in (-0.6, 0.6)
    }
    assert final[0.6] > 0.5
    assert final[-0.6] < -0.9


@pytest.mark.mpi
def test_transport_and_dynamics_give_the_same_bits_on_1_and_3_ranks(mpirun, tmp_path):
    results = []
    for ranks in (1, 3):
        output = tmp_path / f"{ranks}.npz"
        script = RANKED.replace("sys.argv[1]", repr(str(output))).replace("VOLTAGES", "[-0.4, 0.0]")
        done = mpirun(ranks, script, timeout=240)
        assert done.returncode == 0, done.stderr
        results.append(dict(np.load(output)))
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        for name, array in results[0].items():
            assert array.tobytes() == other[name].tobytes(), name
