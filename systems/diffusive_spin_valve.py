"""Spin valve for the drift-diffusion model: two magnets, a spacer, and contacts into wide reservoirs. SI.

    reservoir | contact | fixed | spacer | free | contact | reservoir        current along the stack

The defaults are Co and Cu at 4 K, in the two-current notation of Valet and Fert, in round numbers of the literature on
current perpendicular to the planes. Look at it with drivers/diffusive_valve.py. To try another stack, change the list
of elements.
"""

import qtorque as qt
from qtorque.diffusion import Interface, Layer, Multilayer, Reservoir


def build(
    *,
    contact_thickness=20e-9,
    fixed_thickness=10e-9,
    spacer_thickness=5e-9,
    free_thickness=3e-9,
    magnet_rho_star=75e-9,
    magnet_beta=0.46,
    magnet_diffusion_length=60e-9,
    normal_rho_star=6e-9,
    normal_diffusion_length=450e-9,
    interface_AR_star=0.51e-15,
    interface_gamma=0.77,
    spin_memory_loss=0.0,
    mixing_conductance=0.55e15,
    mixing_conductance_imaginary=0.015e15,
    transverse_decay_length=0.0,
    precession_length=3e-9,
    mixing_transmitted=0.0,
):
    """The valve with both magnets along z; drivers turn the one called free.

    Parameters
    ----------
    contact_thickness, fixed_thickness, spacer_thickness, free_thickness
        m.
    magnet_rho_star, magnet_beta, magnet_diffusion_length
        Of both magnets: Ohm m, rho_up,down = 2 rho* (1 -+ beta), m.
    normal_rho_star, normal_diffusion_length
        Of spacer and contacts: Ohm m, m.
    interface_AR_star, interface_gamma
        Of all four interfaces: Ohm m^2, r_up,down = 2 AR* (1 -+ gamma).
    spin_memory_loss
        delta of every interface; measurements on Co/Cu give about 0.25. It acts on spin along the magnetisation only:
        the mixing conductance given must already contain the loss of spin across it.
    mixing_conductance, mixing_conductance_imaginary
        Reflected, of every interface, S/m^2. The default is that of scattering states between bulk leads. AR* of a
        measurement is that of the interface alone, as after the Sharvin correction 1/G~ = 1/G - 1/(2 G_Sh), which with
        G_Sh = 0.58e15 S/m^2 of Cu makes about 1.05e15 of it.
    transverse_decay_length
        Of spin across the magnetisation inside the free magnet, m; 0: all of it is taken up at the faces.
    precession_length, mixing_transmitted
        Of the free magnet and its two interfaces where the decay length is not 0: m, S/m^2 of spin across the
        magnetisation that passes an interface.
    """
    if (transverse_decay_length == 0) != (mixing_transmitted == 0):
        raise qt.InputError(
            f"transverse_decay_length={transverse_decay_length}, mixing_transmitted={mixing_transmitted}: spin across "
            "the magnetisation has to enter to decay inside; give both, or 0 for both"
        )

    def normal(thickness, name):
        return Layer(
            thickness=thickness, rho_star=normal_rho_star, spin_diffusion_length=normal_diffusion_length, name=name
        )

    def magnet(thickness, name, **transverse):
        return Layer(
            thickness=thickness, rho_star=magnet_rho_star, beta=magnet_beta,
            spin_diffusion_length=magnet_diffusion_length, magnetization=(0, 0, 1), name=name, **transverse,
        )  # fmt: skip

    def interface(transmitted=0.0):
        return Interface(
            AR_star=interface_AR_star, gamma=interface_gamma, spin_memory_loss=spin_memory_loss,
            mixing_conductance=complex(mixing_conductance, mixing_conductance_imaginary),
            mixing_transmitted=transmitted,
        )  # fmt: skip

    inside = {}
    if transverse_decay_length:
        inside = {"transverse_decay_length": transverse_decay_length, "precession_length": precession_length}
    return Multilayer(
        left=Reservoir(),
        elements=[
            normal(contact_thickness, "contact"),
            interface(),
            magnet(fixed_thickness, "fixed"),
            interface(),
            normal(spacer_thickness, "spacer"),
            interface(mixing_transmitted),
            magnet(free_thickness, "free", **inside),
            interface(mixing_transmitted),
            normal(contact_thickness, "contact"),
        ],
        right=Reservoir(),
    )
