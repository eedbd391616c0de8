"""What the tests of this folder share."""


def features(a, b, alpha, x, sigma):
    """Pre-activations of each layer of the interpolated networks, list of [n, n_samples, units]."""
    h, found = x, []
    for (wa, ba), (wb, bb) in zip(a, b, strict=True):
        z = h @ ((1 - alpha) * wa + alpha * wb).swapaxes(1, 2) + ((1 - alpha) * ba + alpha * bb)[:, None]
        found.append(z)
        h = sigma(z)
    return found
