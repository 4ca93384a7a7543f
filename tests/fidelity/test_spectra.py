import numpy as np

from sonosynth.fidelity.spectra import spectra


def test_the_spectrum_of_white_noise_is_flat_and_a_wave_lies_in_its_ring():
    noise = np.random.default_rng(0).normal(128, 20, (200, 64, 64))
    assert np.ptp(spectra(noise).mean(axis=0)[1:]) < 0.1
    wave = 128 + 50 * np.sin(2 * np.pi * 16 / 64 * np.arange(64))[None, None] * np.ones((1, 64, 1))
    assert spectra(wave)[0].argmax() in (7, 8)  # a frequency of 1/4 lies on the edge of two rings
